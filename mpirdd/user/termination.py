"""Being told to end: by Slurm some time before the walltime is over (SIGUSR2), or by anybody at once (SIGTERM).

A signal may arrive anywhere, in the middle of the engine too, where no job can be run. So its handler calls the
program's callbacks itself only when nothing of the engine is on the stack; else it leaves a note, and the engine calls
them at its next safe point: before a job, or in a turn of the driver's loop while one runs.

After SIGTERM all callbacks are called, also behind one that fails, and together have the grace period that is set: then
the process is ended. What fails or is cut off is told on stderr, as nothing else would.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread, current_thread, main_thread
from types import FrameType
from typing import Any

from mpirdd.words.settings import Settings

_ENTRANCES = ("mpirdd.__main__", "mpirdd.edge.cli", "mpirdd.edge.launch", "mpirdd.edge.program")
"""Modules that call the program, so that they are on the stack all the time."""
_TOLD_AT = 0.9
"""That time is up is told after this part of the grace period, as the launcher ends everything after all of it."""


class Termination:
    """What a program has registered for its end. Handles the signals from the first registration on."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[], Any]] = []
        self._before: dict[signal.Signals, Any] = {}
        self._asked: signal.Signals | None = None

    def add(self, callback: Callable[[], Any]) -> None:
        """Call it when the program is told to end."""
        if not self._before and current_thread() is main_thread():  # Python lets no other thread set handlers
            for number in (signal.SIGUSR2, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._on_signal)
            if getattr(self._before[signal.SIGUSR2], "arrived", False):  # mpirdd.edge.program remembers it
                self._asked = signal.SIGUSR2
        self._callbacks.append(callback)

    def remove(self, callback: Callable[[], Any]) -> None:
        """Do not call it any more."""
        self._callbacks.remove(callback)

    def close(self) -> None:
        """Handle no signals any more."""
        if current_thread() is main_thread():
            for number, handler in self._before.items():
                signal.signal(number, handler)
            self._before.clear()
        self._callbacks.clear()

    def check(self) -> None:
        """The engine is at a safe point: do now what a signal has asked for. Called often, by any thread."""
        if self._asked is not None and current_thread() is main_thread():
            self._obey()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._asked is not signal.SIGTERM:  # the stronger wish; it is repeated by mpirun and Slurm
            self._asked = signal.Signals(number)
        if not _engine_is_running(frame):
            self._obey()

    def _obey(self) -> None:
        number, self._asked = self._asked, None
        if number is not signal.SIGTERM:
            for callback in list(self._callbacks):
                callback()
            return
        signal.signal(number, signal.SIG_IGN)  # it is repeated, and the callbacks are not to be called inside of themselves
        with _limited(Settings.read().grace_s) as under_way:
            for callback in list(self._callbacks):
                under_way[:] = [_name_of(callback)]
                try:
                    callback()
                except (Exception, SystemExit) as error:  # the next one may still save something
                    if not isinstance(error, SystemExit):
                        _tell(f"{under_way[0]}, called as the program is ended (SIGTERM), failed: "
                              f"{type(error).__name__}: {error}")
        before = self._before.get(number)
        if callable(before):
            before(int(number), None)  # ends the program, and soon
        signal.signal(number, signal.SIG_DFL)  # a plain Python: a second one ends what does not unwind
        raise SystemExit(128 + signal.SIGTERM)


@contextmanager
def _limited(grace_s: float) -> Iterator[list[str]]:
    """End the process if the block takes longer. The block keeps in the list what it is at."""
    under_way: list[str] = []
    done = Event()

    def watch() -> None:
        if not done.wait(_TOLD_AT * grace_s):
            _tell(f"{', '.join(under_way)} has not finished {grace_s:g} s after SIGTERM, and is cut off: MPIRDD_GRACE_S is "
                  "how long it may take")
            if not done.wait((1 - _TOLD_AT) * grace_s):
                os._exit(128 + signal.SIGTERM)

    Thread(target=watch, daemon=True).start()
    try:
        yield under_way
    finally:
        done.set()


def _name_of(callback: Callable[[], Any]) -> str:
    return f"the callback {getattr(callback, '__qualname__', None) or repr(callback)}"


def _tell(text: str) -> None:
    # Not print: the signal may have come in the middle of one, whose buffer then is locked.
    with suppress(OSError):
        os.write(2, f"mpirdd: {text}\n".encode(errors="replace"))


def _engine_is_running(frame: FrameType | None) -> bool:
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith("mpirdd.") and module not in _ENTRANCES:
            return True
        frame = frame.f_back
    return False
