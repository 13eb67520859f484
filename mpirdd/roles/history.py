"""What became of recent jobs and stages: for status reports and progress. Bounded, and read by any thread."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from mpirdd.words.ids import JobId, StageId

_MOST = 1000
"""Jobs, and stages, that are remembered."""


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
    active: int = 0
    completed: int = 0
    failed: int = 0
    open: bool = True
    """Tasks may still be started."""


_Record = TypeVar("_Record", JobRecord, StageRecord)


class History:
    """Written by the driver's loop only."""

    def __init__(self) -> None:
        self.jobs: OrderedDict[JobId, JobRecord] = OrderedDict()
        self.stages: OrderedDict[StageId, StageRecord] = OrderedDict()

    def job_started(self, job: JobId, group: str | None) -> None:
        _remember(self.jobs, JobRecord(job, group))

    def job_ended(self, job: JobId, *, succeeded: bool) -> None:
        if job in self.jobs:
            self.jobs[job].status = "SUCCEEDED" if succeeded else "FAILED"

    def tasks_started(self, stage: StageId, name: str, tasks: int, started: int, jobs: list[JobId]) -> None:
        if stage not in self.stages:
            _remember(self.stages, StageRecord(stage, name, tasks))
            for job in jobs:
                if job in self.jobs:
                    self.jobs[job].stages.append(stage)
        self.stages[stage].active += started

    def task_ended(self, stage: StageId, *, succeeded: bool) -> None:
        record = self.stages.get(stage)
        if record is not None:
            record.active -= 1
            record.completed += succeeded
            record.failed += not succeeded

    def stage_closed(self, stage: StageId) -> None:
        record = self.stages.get(stage)
        if record is not None:
            record.open, record.active = False, 0


def _remember(records: OrderedDict[int, _Record], record: _Record) -> None:
    records[record.id] = record
    if len(records) > _MOST:
        records.popitem(last=False)
