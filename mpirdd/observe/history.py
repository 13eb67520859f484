"""The recent jobs and stages, for status reports and progress. Bounded; any thread may read."""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import Literal, TypeVar

from mpirdd.observe import run_events
from mpirdd.observe.bus import Bus
from mpirdd.protocol.ids import JobId, Rank, StageId
from mpirdd.protocol.values import dataclass, field

_MOST = 1000
"""At most so many jobs, and so many stages, are remembered."""
_SHOWN = 20
"""At most so many of the latest stages are shown as under way."""


@dataclass(slots=True)
class JobRecord:
    id: JobId
    group: str | None
    stages: list[StageId] = field(default_factory=list)
    status: Literal["RUNNING", "SUCCEEDED", "FAILED"] = "RUNNING"


@dataclass(slots=True)
class StageRecord:
    id: StageId
    name: str
    tasks: int
    running: set[tuple[int, Rank]] = field(default_factory=set)
    """Tasks under way: partition and executor."""
    completed: int = 0
    failed: int = 0
    open: bool = True
    """Tasks may still be started."""

    @property
    def active(self) -> int:
        return len(self.running)


_Record = TypeVar("_Record", JobRecord, StageRecord)


class History:
    """A reader of the bus."""

    def __init__(self) -> None:
        self.jobs: OrderedDict[JobId, JobRecord] = OrderedDict()
        self.stages: OrderedDict[StageId, StageRecord] = OrderedDict()

    def subscribe_to(self, bus: Bus) -> None:
        bus.subscribe({
            run_events.JobStarted: self._job_started,
            run_events.JobEnded: self._job_ended,
            run_events.StageStarted: self._stage_started,
            run_events.StageEnded: self._stage_ended,
            run_events.TasksStarted: self._tasks_started,
            run_events.TasksFinished: self._tasks_finished,
            run_events.TaskFailed: self._task_failed,
            run_events.TaskStopped: self._task_stopped,
            run_events.ExecutorLost: self._executor_lost,
        })

    # --- what happens -----------------------------------------------------------------------------

    def _job_started(self, event: run_events.JobStarted) -> None:
        _remember(self.jobs, JobRecord(event.job, event.group))

    def _job_ended(self, event: run_events.JobEnded) -> None:
        if event.job in self.jobs:
            self.jobs[event.job].status = "SUCCEEDED" if event.status == "SUCCEEDED" else "FAILED"

    def _stage_started(self, event: run_events.StageStarted) -> None:
        _remember(self.stages, StageRecord(event.stage, event.label, event.tasks))

    def _tasks_started(self, event: run_events.TasksStarted) -> None:
        for job in event.jobs:
            if job in self.jobs and event.stage not in self.jobs[job].stages:
                self.jobs[job].stages.append(event.stage)
        record = self.stages.get(event.stage)
        if record is not None:
            executor = event.executor
            record.running.update([(partition, executor) for partition in event.partitions])

    def _tasks_finished(self, event: run_events.TasksFinished) -> None:
        record = self.stages.get(event.stage)
        if record is not None:
            executor, before = event.executor, len(record.running)
            record.running.difference_update([(partition, executor) for partition in event.partitions])
            record.completed += before - len(record.running)

    def _task_failed(self, event: run_events.TaskFailed) -> None:
        record = self.stages.get(event.stage)
        if record is not None and (event.partition, event.executor) in record.running:
            record.running.discard((event.partition, event.executor))
            record.failed += 1

    def _task_stopped(self, event: run_events.TaskStopped) -> None:
        record = self.stages.get(event.stage)
        if record is not None:
            record.running.discard((event.partition, event.executor))

    def _stage_ended(self, event: run_events.StageEnded) -> None:
        record = self.stages.get(event.stage)
        if record is not None:
            record.open = False
            record.running.clear()

    def _executor_lost(self, event: run_events.ExecutorLost) -> None:
        for record in self.stages.values():
            record.running = {task for task in record.running if task[1] != event.executor}

    # --- questions --------------------------------------------------------------------------------

    def load(self) -> Counter[Rank]:
        """How many tasks each executor has, running or queued."""
        return Counter(rank for record in self.stages.values() for _, rank in record.running)

    def open_stages(self) -> dict[StageId, tuple[str, int, int]]:
        """The stages under way: label, tasks done, tasks in all."""
        return {stage.id: (stage.name, stage.completed, stage.tasks)
                for stage in list(self.stages.values())[-_SHOWN:] if stage.open}


def _remember(records: OrderedDict[int, _Record], record: _Record) -> None:
    records[record.id] = record
    if len(records) > _MOST:
        records.popitem(last=False)
