"""The results of jobs: values of their tasks, additions to accumulators, and the end of each job."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mpirdd.executor.failures import failure_of
from mpirdd.protocol import messages
from mpirdd.protocol.errors import ClusterError, Failure, JobCancelled, ResultTooLarge, TaskError
from mpirdd.protocol.frames import Frames
from mpirdd.protocol.ids import JobId, NodeId, Rank, StageId
from mpirdd.protocol.stage import Stage
from mpirdd.scheduler import events
from mpirdd.scheduler.state import NOBODY_LEFT
from mpirdd.store.codec import decode

_UNSET = object()


@dataclass(frozen=True, slots=True)
class Request:
    """The origin of a job; the program cancels jobs by it."""

    group: str | None = None
    tags: frozenset[str] = frozenset()
    properties: dict[str, str] = field(default_factory=dict)
    """Local properties of the thread that submits the job, for its tasks."""


class Job:
    """The driver's own record of a job: its results so far, and its end."""

    def __init__(self, request: Request, label: str, partitions: Sequence[int]) -> None:
        self.request, self.label = request, label
        self.results: dict[int, Any] = dict.fromkeys(partitions, _UNSET)
        self.result_bytes = 0
        self.counted: set[int] = set()
        """The partitions whose additions to accumulators have been counted."""
        self.ended = False
        self.cancelled = False
        self.failure: Failure | None = None
        self.error: ResultTooLarge | None = None

    @property
    def succeeded(self) -> bool:
        return self.ended and not self.cancelled and self.error is None and self.failure is None

    def end(self) -> tuple[str, str]:
        """The end as the event log shows it: the status, and the first line of the error."""
        if self.succeeded:
            return "SUCCEEDED", ""
        if self.error is not None or self.failure is not None:
            text = str(self.error) if self.failure is None else self.failure.summary
            return "FAILED", text.partition("\n")[0]
        return "CANCELLED", ""

    def begin_again(self) -> None:
        """All partitions will be computed again."""
        self.results = dict.fromkeys(self.results, _UNSET)
        self.result_bytes = 0

    def values(self) -> list[Any]:
        """The results of a job that has ended, in the order of its partitions.

        Raises:
            TaskError, ResultTooLarge, JobCancelled, ClusterError: the job has failed or was cancelled.
        """
        if self.error is not None:
            raise self.error
        if self.cancelled:
            raise JobCancelled(f"{self.label} was cancelled")
        if self.failure is not None and self.failure.summary == NOBODY_LEFT:
            raise ClusterError(f"{self.label}: all executors are lost, so nothing can run any more. The lines above say "
                               "which, and why.")
        if self.failure is not None:
            exception = _exception(self.failure)
            if isinstance(exception, ResultTooLarge):
                raise exception
            raise TaskError(self.failure) from exception
        return list(self.results.values())


@dataclass(slots=True)
class _Barrier:
    """A barrier stage under way. After a failure all of its tasks run again, so the additions of those that have finished wait
    for the others."""

    tasks: int
    additions: dict[int, Frames] = field(default_factory=dict)
    """By finished task; empty if it added nothing."""


class Results:
    """All jobs under way.

    Args:
        max_result_bytes: a job with more result bytes fails; 0 for no limit.
        hosts: of the executors.
        tell: passes an event to the scheduler.
    """

    def __init__(
        self, max_result_bytes: int, hosts: Mapping[Rank, str], tell: Callable[[events.Event], None]
    ) -> None:
        self.jobs: dict[JobId, Job] = {}
        self.take_updates: Callable[[dict[int, Any]], None] = lambda updates: None
        """Gets the tasks' additions to accumulators, exactly once for each partition of a job or shuffle."""
        self._max_result_bytes, self._hosts, self._tell = max_result_bytes, hosts, tell
        self._stages: dict[StageId, Stage] = {}
        """The stages under way."""
        self._barriers: dict[StageId, _Barrier] = {}
        self._counted: dict[NodeId, set[int]] = {}
        """By shuffle, the map tasks whose additions have been counted."""

    def tasks_started(self, command: events.StartTasks) -> None:
        stage = command.stage
        if command.barrier and stage.id not in self._stages:
            self._barriers[stage.id] = _Barrier(command.total)
            if stage.output.kind == "result":
                self.jobs[stage.output.of].begin_again()  # tasks of an earlier attempt talked to others than these will
        self._stages[stage.id] = stage

    def stage_closed(self, stage: StageId) -> None:
        self._stages.pop(stage, None)
        self._barriers.pop(stage, None)

    def take(self, sender: Rank, done: messages.Done) -> events.TaskFinished | events.TaskFailed | None:
        """Take the result and the additions of a finished task.

        Returns:
            The event for the scheduler; None if this result has ended the job.
        """
        finished = events.TaskFinished(sender, done.stage, done.partition, done.made, done.seconds)
        stage = self._stages.get(done.stage)
        if stage is None:
            return finished  # its job has ended
        output = stage.output
        if output.kind == "map":
            return self._count(sender, done, stage) or finished
        job = self.jobs[output.of]
        if job.results[done.partition] is not _UNSET:
            return finished  # another attempt was faster
        job.result_bytes += sum(map(len, done.result))
        if 0 < self._max_result_bytes < job.result_bytes:
            self._refuse(output.of, job)
            return None
        try:
            result = decode(done.result)
        except Exception as problem:  # the user's classes may raise anything when they are unpickled
            return self._not_taken(sender, done, stage, problem, "unpickle its result")
        failed = self._count(sender, done, stage)
        if failed is None:
            job.results[done.partition] = result
        return failed or finished

    def _count(self, sender: Rank, done: messages.Done, stage: Stage) -> events.TaskFailed | None:
        """Count the additions of a finished task; those of a barrier stage when its last task has finished."""
        barrier, output = self._barriers.get(stage.id), stage.output
        if barrier is None:
            ended = {done.partition: done.updates}
        else:
            barrier.additions[done.partition] = done.updates
            ended = barrier.additions if len(barrier.additions) == barrier.tasks else {}
        for partition, updates in ended.items():
            if not updates:
                continue
            counted = self._counted.setdefault(output.of, set()) if output.kind == "map" else self.jobs[output.of].counted
            if partition not in counted:
                try:
                    self.take_updates(decode(updates))
                except Exception as problem:  # the user's classes and accumulators may raise anything
                    return self._not_taken(sender, done, stage, problem, "add its updates to accumulators")
                counted.add(partition)
        return None

    def _not_taken(
        self, sender: Rank, done: messages.Done, stage: Stage, problem: Exception, what: str
    ) -> events.TaskFailed:
        """The event for a task that has failed because the driver cannot take its result or additions."""
        failure = failure_of(
            problem, rank=sender, host=self._hosts[sender], stage=stage.label, partition=done.partition)
        summary = f"UsageError: the task succeeded, but the driver cannot {what}: {failure.summary}"
        return events.TaskFailed(sender, done.stage, done.partition, replace(failure, summary=summary))

    def _refuse(self, job_id: JobId, job: Job) -> None:
        """End a job whose results exceed the limit."""
        job.error = ResultTooLarge.of_a_job(job.result_bytes, self._max_result_bytes, job.label)
        job.ended = True
        job.results.clear()
        self._tell(events.JobWithdrawn(job_id))

    def job_ended(self, command: events.JobEnded) -> None:
        job = self.jobs.get(command.job)
        if job is not None:
            job.failure, job.ended = command.failure, True

    def cancel(self, wanted: Callable[[Request], bool]) -> None:
        """Cancel the jobs under way whose request is ``wanted``."""
        for job_id, job in list(self.jobs.items()):
            if not job.ended and wanted(job.request):
                job.cancelled = job.ended = True
                self._tell(events.JobWithdrawn(job_id))

    def forget(self, nodes: Iterable[NodeId]) -> None:
        """The nodes are gone, so none of their partitions will be computed again."""
        for node in nodes:
            self._counted.pop(node, None)


def _exception(failure: Failure) -> BaseException | None:
    """The user's exception, if it can be unpickled here."""
    if failure.exception is None:
        return None
    try:
        exception = pickle.loads(failure.exception)
    except Exception:  # the user's classes may raise anything when they are unpickled
        return None
    return exception if isinstance(exception, BaseException) else None
