"""The program's view of jobs and stages, from another thread or afterwards."""

from __future__ import annotations

from typing import NamedTuple

from mpirdd.driver.driver import Driver


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
        """The facts known of a job; None if there are none."""
        job = self._driver.history.jobs.get(jobId)
        return None if job is None else SparkJobInfo(job.id, list(job.stages), job.status)

    def getStageInfo(self, stageId: int) -> SparkStageInfo | None:
        """The facts known of a stage; None if there are none."""
        stage = self._driver.history.stages.get(stageId)
        if stage is None:
            return None
        return SparkStageInfo(stage.id, 0, stage.name, stage.tasks, stage.active, stage.completed, stage.failed)

    def getExecutorInfos(self) -> list[SparkExecutorInfo]:
        """The living executors: each one's number of tasks, bytes of persisted RDDs, memory budget, and
        its use of the budget at its last report. Spares are not among them until they join."""
        load, memory, hosts = self._driver.load(), self._driver.memory, self._driver.hosts
        return [
            SparkExecutorInfo(hosts[rank], 0, memory.kept_bytes(rank), load.get(rank, 0), memory.used_bytes.get(rank, 0), 0,
                              memory.limit_bytes.get(rank, 0), 0)
            for rank in load]
