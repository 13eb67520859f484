"""Everything that watches a run from inside the driver's process, around one bus.

``Observers`` makes the readers that the settings ask for. The driver gets the bus alone.
"""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from time import perf_counter

from mpirdd.observe.bus import Bus
from mpirdd.observe.console import Console
from mpirdd.observe.history import History
from mpirdd.observe.progress import Progress
from mpirdd.observe.run_events import RunEnded, RunStarted
from mpirdd.protocol.settings import Settings
from mpirdd.protocol.version import __version__

SCHEMA_VERSION = 1


class Observers:
    """The observers of one Context.

    Raises:
        UsageError: the event log cannot be written.
    """

    def __init__(self, settings: Settings) -> None:
        self.bus = Bus()
        self.history = History()
        self.zero = perf_counter()
        """The start of the run, on the clock of ``perf_counter``."""
        self.events_path: str | None = None
        """The file of the event log, if there is one."""
        self.before_end: list[Callable[[], None]] = []
        """Calls to make just before the readers learn of the end, the last one first."""
        self._end: RunEnded | None = RunEnded("ok")
        self._progress = Progress(settings.progress)
        self._settings = settings
        if settings.events or settings.summary:
            self._record()
        self.history.subscribe_to(self.bus)
        Console(self._progress, self.history).subscribe_to(self.bus)
        if settings.progress_every_s and not settings.progress:
            from mpirdd.observe.progress_line import ProgressLine

            ProgressLine(self.history, settings.progress_every_s, self._progress.write).subscribe_to(self.bus)

    def _record(self) -> None:
        from mpirdd.observe.recorder import Recorder  # imports json, which most runs do not need

        recorder = Recorder(self.zero)
        if self._settings.events:
            from mpirdd.observe.event_file import EventFile

            file = EventFile(self._settings.events, self._settings.app_name)
            self.events_path = file.path
            recorder.add(file.write)
            self.bus.when_idle(file.flush)
        if self._settings.summary:
            from mpirdd.observe.summary import AtEnd

            recorder.add(AtEnd(self._progress.write, terminal=bool(self._settings.progress)).take)
        self.bus.subscribe_all(recorder.take)

    def begin(self, *, host: str, ranks: int, mpi: str, folder: str, context: int) -> None:
        """Emit the first event of the log. ``context``: the number of the Context in this process, from 1."""
        self.bus.emit(RunStarted(
            context=context, version=SCHEMA_VERSION, unix=round(time.time() - (perf_counter() - self.zero), 3),
            app=self._settings.app_name, program=tuple(sys.argv), folder=folder, mpirdd=__version__,
            python=platform.python_version(), mpi=mpi,
            platform=f"{os.uname().sysname}-{os.uname().release}-{os.uname().machine}", host=host, pid=os.getpid(), ranks=ranks,
            mode=self._settings.mode, settings=asdict(self._settings)))

    def ends_with(self, error: BaseException) -> None:
        """Note the error that ends the program; readers learn of it once the Context stops."""
        if self._end is not None:
            self._end = end_of(error)

    def end(self) -> None:
        """Tell the readers, once, that the run has ended: the Context has stopped, or the program ends without stopping it."""
        end, self._end = self._end, None
        if end is not None:
            for call in reversed(self.before_end):
                call()
            self.bus.emit(end)


def end_of(error: BaseException) -> RunEnded:
    """The end of a run that ``error`` ends."""
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if not code:
            return RunEnded("ok")
        return RunEnded("terminated" if code > 128 else "failed", f"exit code {code}")
    if isinstance(error, KeyboardInterrupt):
        return RunEnded("terminated", "Ctrl-C")
    return RunEnded("failed", f"{type(error).__name__}: {error}")
