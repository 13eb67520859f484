"""Turns a run's events into the lines of the event log, and passes them on to the file and the summary.

The number of lines is bounded, whatever the run does: a task's heartbeats are written at 1, 2, 4, 8 s
and so on, portions of tasks until there were ``_MOST_STARTED``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from mpirdd.observe import data_events, run_events
from mpirdd.observe.event_lines import as_line
from mpirdd.observe.run_events import Event
from mpirdd.protocol.ids import Rank, StageId

_MOST_STARTED = 50_000
_SMALL_STAGE = 200
"""A stage of up to so many tasks gets a line for each portion of tasks, a larger one only for portions of up to ``_FEW``."""
_FEW = 4
_MOST_KEPT = 300_000
"""At most so many lines tell of kept partitions. For larger runs the lines about memory have the sums."""

Sink = Callable[[dict[str, Any]], None]


@dataclass(slots=True)
class _Stage:
    began: float
    tasks: int
    done: int = 0
    failed: int = 0


class Recorder:
    """A reader of all events.

    Args:
        zero: ``perf_counter`` at the run's start.
    """

    def __init__(self, zero: float) -> None:
        self._zero = zero
        self._sinks: list[Sink] = []
        self._stages: dict[StageId, _Stage] = {}
        self._started = self._kept = 0
        self._beats: dict[tuple[StageId, int, Rank], float] = {}
        """By running task, the seconds at which its next heartbeat is written."""
        self._jobs = self._tasks = 0

    def add(self, sink: Sink) -> None:
        self._sinks.append(sink)

    def take(self, event: Event) -> None:
        t = perf_counter() - self._zero
        if not self._wanted(event, t):
            return
        line = as_line(event, t)
        self._complete(line, event, t)
        for sink in self._sinks:
            sink(line)

    def _finished(self, stage: StageId, executor: Rank, partitions: tuple[int, ...]) -> None:
        self._tasks += len(partitions)
        if stage in self._stages:
            self._stages[stage].done += len(partitions)
        self._over(stage, executor, partitions)

    def _over(self, stage: StageId, executor: Rank, partitions: tuple[int, ...]) -> None:
        """These attempts no longer run."""
        if self._beats:
            for partition in partitions:
                self._beats.pop((stage, partition, executor), None)

    def _wanted(self, event: Event, t: float) -> bool:
        if isinstance(event, run_events.TasksStarted):
            stage = self._stages.get(event.stage)
            if stage is not None and stage.tasks > _SMALL_STAGE and len(event.partitions) > _FEW and not event.retry:
                return False  # they take some ms together, and have ended before anybody looks
            self._started += 1
            return self._started <= _MOST_STARTED
        if isinstance(event, data_events.Kept | data_events.NotKept | data_events.Recomputed | data_events.Evicted):
            self._kept += 1
            return self._kept <= _MOST_KEPT
        if isinstance(event, run_events.TaskRunning):
            task = event.stage, event.partition, event.executor
            if event.seconds < self._beats.get(task, 1.0):
                return False
            self._beats[task] = 2 * event.seconds
            return True
        return True

    def _complete(self, line: dict[str, Any], event: Event, t: float) -> None:
        """Add figures that the event itself does not have, and note the event."""
        if isinstance(event, run_events.TaskMeasured):
            self._finished(event.stage, event.executor, (event.partition,))
        elif isinstance(event, run_events.TasksMeasured):
            self._finished(event.stage, event.executor, event.partitions)
        elif isinstance(event, run_events.StageStarted):
            self._stages[event.stage] = _Stage(t, event.tasks)
        elif isinstance(event, run_events.StageEnded):
            stage = self._stages.pop(event.stage, None)
            if stage is not None:
                line.update(done=stage.done, failed=stage.failed, seconds=round(t - stage.began, 6))
            self._beats = {task: due for task, due in self._beats.items() if task[0] != event.stage} if self._beats else {}
        elif isinstance(event, run_events.TaskFailed):
            self._over(event.stage, event.executor, (event.partition,))
            if event.stage in self._stages:
                self._stages[event.stage].failed += 1
        elif isinstance(event, run_events.TaskStopped):
            self._over(event.stage, event.executor, (event.partition,))
        elif isinstance(event, run_events.ExecutorLost):
            line["running"] = [[stage, partition] for stage, partition, executor in self._beats if executor == event.executor]
        elif isinstance(event, run_events.JobStarted):
            self._jobs += 1
        elif isinstance(event, run_events.RunEnded):
            line.update(jobs=self._jobs, tasks=self._tasks)
