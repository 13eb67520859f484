"""The progress of a run without a terminal: a line on stderr once in a while, for the log of a batch job. A bus reader."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic

from mpirdd.observe.bus import Bus
from mpirdd.observe.history import History
from mpirdd.observe.run_events import Event, ExecutorJoined, ExecutorLost, TaskRunning, TasksFinished, TasksStarted
from mpirdd.observe.shown import duration
from mpirdd.protocol.ids import StageId

_MOST = 3
"""At most so many stages in a line."""


class ProgressLine:
    """Writes a line of progress at most every ``every_s`` seconds. Shorter programs write none.

    Args:
        every_s: time before the first line, and between lines.
        write: gets the text, with its line end.
    """

    def __init__(
        self, history: History, every_s: float, write: Callable[[str], None], clock: Callable[[], float] = monotonic
    ) -> None:
        self._history, self._every_s, self._write, self._clock = history, every_s, write, clock
        self._began = clock()
        self._due = self._began + every_s
        self._executors = 0
        self._before: dict[StageId, int] = {}
        """The tasks of each stage that were done at the last line."""

    def subscribe_to(self, bus: Bus) -> None:
        bus.subscribe({ExecutorJoined: self._joined, ExecutorLost: self._lost, TasksStarted: self._moved,
                       TasksFinished: self._moved, TaskRunning: self._moved})

    def _joined(self, event: ExecutorJoined) -> None:
        self._executors += 1

    def _lost(self, event: ExecutorLost) -> None:
        self._executors -= 1

    def _moved(self, event: Event) -> None:
        now = self._clock()
        if now < self._due:
            return
        self._due = now + self._every_s
        stages = self._history.open_stages()
        if stages:
            self._write(f"mpirdd: after {duration(now - self._began)}: {self._of(stages)}, {self._executors:,} "
                        f"executor{'s' if self._executors != 1 else ''}\n")
            self._before = {stage: done for stage, (_, done, _) in stages.items()}

    def _of(self, stages: Mapping[StageId, tuple[str, int, int]]) -> str:
        shown = []
        for stage, (label, done, total) in sorted(stages.items())[-_MOST:]:
            new = done - self._before.get(stage, 0)
            shown.append(f"stage {stage}: {label}, {done:,} of {total:,} tasks ({new:,} since the last line)"
                         if stage in self._before else f"stage {stage}: {label}, {done:,} of {total:,} tasks")
        more = len(stages) - len(shown)
        return "; ".join(shown) + (f"; {more} more stages" if more else "")
