"""The lines on stderr while a run goes on: lost executors, slow tasks, lines that tasks printed, and
the progress bar. A reader of the bus.
"""

from __future__ import annotations

from mpirdd.observe import notices
from mpirdd.observe.bus import Bus
from mpirdd.observe.history import History
from mpirdd.observe.progress import Progress
from mpirdd.observe.run_events import (
    Event,
    ExecutorJoined,
    ExecutorLost,
    JobEnded,
    Printed,
    RunEnded,
    TaskRunning,
    TasksFinished,
    TaskSlow,
    TasksStarted,
)
from mpirdd.observe.spare_events import SpareLost
from mpirdd.observe.stack_event import Stack
from mpirdd.protocol.ids import Rank


class Console:
    def __init__(self, progress: Progress, history: History) -> None:
        self._progress, self._history = progress, history
        self._hosts: dict[Rank, str] = {}

    def subscribe_to(self, bus: Bus) -> None:
        bus.subscribe({
            ExecutorJoined: self._joined,
            ExecutorLost: self._lost,
            SpareLost: self._spare_lost,
            TaskSlow: self._slow,
            Stack: self._stack,
            Printed: self._printed,
            TasksStarted: self._moved,
            TasksFinished: self._moved,
            TaskRunning: self._moved,
            JobEnded: self._job_ended,
            RunEnded: self._run_ended,
        })

    def _joined(self, event: ExecutorJoined) -> None:
        self._hosts[event.executor] = event.host

    def _lost(self, event: ExecutorLost) -> None:
        self._progress.write(notices.of_loss(event))

    def _spare_lost(self, event: SpareLost) -> None:
        self._progress.write(notices.of_lost_spare(event))

    def _slow(self, event: TaskSlow) -> None:
        self._progress.write(notices.of_slow_task(event, self._hosts))

    def _stack(self, event: Stack) -> None:
        self._progress.write(notices.of_stack(event.text.splitlines()))

    def _printed(self, event: Printed) -> None:
        self._progress.write("".join(f"[rank {event.executor}] {line}\n" for line in event.lines))

    def _moved(self, event: Event) -> None:
        if self._progress.due():
            self._progress.show(self._history.open_stages())

    def _job_ended(self, event: JobEnded) -> None:
        self._progress.done()

    def _run_ended(self, event: RunEnded) -> None:
        self._progress.close()
