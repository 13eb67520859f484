"""Watching jobs and stages from the program, in another thread or afterwards."""

from __future__ import annotations

from typing import NamedTuple

from mpirdd.roles.driver import Driver


class SparkJobInfo(NamedTuple):
    jobId: int
    stageIds: list[int]
    status: str
    """RUNNING, SUCCEEDED or FAILED."""


class SparkStageInfo(NamedTuple):
    stageId: int
    currentAttemptId: int
    name: str
    numTasks: int
    numActiveTasks: int
    numCompletedTasks: int
    numFailedTasks: int


class SparkExecutorInfo(NamedTuple):
    host: str
    port: int
    """Always 0: executors listen on no port."""
    cacheSize: int
    """Bytes of persisted RDDs, in memory and on disk."""
    numRunningTasks: int
    usedOnHeapStorageMemory: int
    usedOffHeapStorageMemory: int
    totalOnHeapStorageMemory: int
    totalOffHeapStorageMemory: int


class StatusTracker:
    """The recent jobs and stages of a Context (the last 1,000 of each).

    >>> _ = sc.parallelize(range(4), 2).count()
    >>> tracker = sc.statusTracker()
    >>> tracker.getJobInfo(max(tracker.getJobIdsForGroup())).status
    'SUCCEEDED'
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    def getJobIdsForGroup(self, jobGroup: str | None = None) -> list[int]:
        """The known jobs of a group; None: those without one."""
        return [job.id for job in list(self._driver.history.jobs.values()) if job.group == jobGroup]

    def getActiveStageIds(self) -> list[int]:
        """The running stages."""
        return sorted(stage.id for stage in list(self._driver.history.stages.values()) if stage.open)

    def getActiveJobsIds(self) -> list[int]:
        """The running jobs."""
        return sorted(job.id for job in list(self._driver.history.jobs.values()) if job.status == "RUNNING")

    def getJobInfo(self, jobId: int) -> SparkJobInfo | None:
        """What is known of a job; None if nothing."""
        job = self._driver.history.jobs.get(jobId)
        return None if job is None else SparkJobInfo(job.id, list(job.stages), job.status)

    def getStageInfo(self, stageId: int) -> SparkStageInfo | None:
        """What is known of a stage; None if nothing."""
        stage = self._driver.history.stages.get(stageId)
        if stage is None:
            return None
        return SparkStageInfo(stage.id, 0, stage.name, stage.tasks, stage.active, stage.completed, stage.failed)

    def getExecutorInfos(self) -> list[SparkExecutorInfo]:
        """The executors, how many tasks each has, what it keeps of persisted RDDs, how much of its memory budget was taken
        when it last reported, and the budget."""
        load, memory = self._driver.load(), self._driver.memory
        return [
            SparkExecutorInfo(host, 0, memory.kept_bytes(rank), load.get(rank, 0), memory.used_bytes.get(rank, 0), 0,
                              memory.limit_bytes.get(rank, 0), 0)
            for rank, host in self._driver.hosts.items()]
