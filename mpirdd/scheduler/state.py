"""The state of the scheduler, and the steps that several events share."""

from __future__ import annotations

from collections.abc import Iterable

from mpirdd.protocol.errors import Failure
from mpirdd.protocol.ids import BlockId, JobId, NodeId, Rank, StageId
from mpirdd.protocol.stage import Output
from mpirdd.scheduler.events import Command, DropBlocks, JobEnded
from mpirdd.scheduler.exchanges import Exchanges
from mpirdd.scheduler.job_state import JobState
from mpirdd.scheduler.locations import BlockLocations
from mpirdd.scheduler.spares import Spares
from mpirdd.scheduler.task_set import TaskSet
from mpirdd.scheduler.task_sets import TaskSets

NOBODY_LEFT = ("ClusterError: all executors are lost, so nothing can run any more. Start the program again; the lines above, and "
               "the logs of the hosts, say what became of them.")


class SchedulerState:
    """Shared by the parts of one scheduler.

    Its methods update the account. They do not start anything new for a job: they set ``move_on``, and the scheduler then looks
    at all jobs.
    """

    def __init__(self, executors: Iterable[Rank], epoch: int = 0) -> None:
        self.executors: list[Rank] = sorted(executors)
        """The living executors, in the order of their places."""
        self.places: dict[Rank, int] = {executor: place for place, executor in enumerate(self.executors)}
        """By living executor, its index while nobody is missing. A spare gets that of the lost executor that it replaces, so RDDs
        with equal partitioners still meet without moving."""
        self.spares = Spares()
        self.hosts: dict[Rank, str] = {}
        self.epoch = epoch
        """The number of the group of executors that exchange data; it grows with each loss."""
        self.locations = BlockLocations()
        self.kept: dict[NodeId, int] = {}
        """Persisted nodes, and the wanted number of copies of each partition."""
        self.jobs: dict[JobId, JobState] = {}
        self.tried: dict[Output, dict[int, int]] = {}
        """For each task that was tried and will be tried again: the number of tries."""
        self.deaths: dict[Output, dict[int, int]] = {}
        """For each task: the number of executors that died while it ran there, or may have run there."""
        self.task_sets = TaskSets(self.executors, self.jobs_wanting, self.tried, self.deaths, self.hosts)
        self.exchanges = Exchanges(self.locations, self.kept)
        self.failures: dict[Output, dict[int, list[Rank]]] = {}
        """For each task of an incomplete output: the executors on which it has raised."""
        self.began: dict[Rank, tuple[StageId, int]] = {}
        """By executor, the task that it last said it runs."""
        self.silent: set[Rank] = set()
        """Spares that have joined and said nothing since: they may have been dead when they joined."""
        self.abandoned: set[StageId] = set()
        """Barrier stages that were given up; executors drop their data."""
        self.move_on = False
        """Something has ended for which jobs, or copies, may have waited."""

    def host_of(self, executor: Rank) -> str:
        return self.hosts.get(executor, "unknown")

    def jobs_wanting(self, output: Output) -> tuple[JobId, ...]:
        """The jobs that need this output, oldest first."""
        return tuple([job.id for job in self.jobs.values() if output in job.pending])

    def end_job(self, job_id: JobId, failure: Failure | None) -> list[Command]:
        """End the job, and cancel the stages that no other job needs."""
        job = self.jobs.pop(job_id, None)
        commands: list[Command] = [JobEnded(job_id, failure)]
        if job is None:
            return commands
        for task_set in self.task_sets:
            if not self.jobs_wanting(task_set.stage.output):
                commands += self.cancel(task_set)
                self.move_on = True
        for output in job.pending:
            self.forget_failures(output)
        self.tried.pop(job.result, None)
        self.deaths.pop(job.result, None)
        return commands

    def fail(self, task_set: TaskSet, failure: Failure) -> list[Command]:
        """End the jobs that need the output of the task set now. Jobs that needed it only when they were planned are planned
        anew."""
        commands: list[Command] = []
        output = task_set.stage.output
        for job_id in self.jobs_wanting(output):
            job = self.jobs[job_id]
            if output == job.result or job.needs_maps(output.of, self.locations, self.kept):
                commands += self.end_job(job_id, failure)
            else:
                job.stale = True
        if self.task_sets.get(task_set.stage.id):
            commands += self.cancel(task_set)
            self.move_on = True
        return commands

    def cancel(self, task_set: TaskSet) -> list[Command]:
        drops = self._drop_of_barrier(task_set) if task_set.plan.barrier else []
        return self.task_sets.cancel(task_set) + drops

    def forget_failures(self, output: Output) -> None:
        if not self.task_sets.of_output(output):
            self.failures.pop(output, None)

    def count_try(self, output: Output, partition: int) -> None:
        """The task was tried, and will be tried again."""
        tried = self.tried.setdefault(output, {})
        tried[partition] = tried.get(partition, 0) + 1

    def plan_anew(self) -> None:
        for job in self.jobs.values():
            job.stale = True

    def go_on(self, task_set: TaskSet, *executors: Rank) -> list[Command]:
        """A task of the set has ended on each of these executors: give them more, or close the set if none of its tasks runs.
        Tasks that came back for lack of a block are planned again."""
        if task_set.free:
            return self.task_sets.hand_out(task_set, executors)
        if task_set.running:
            return []
        self.move_on = True
        if len(self.jobs) > 1 and any(pipe.keep for pipe in task_set.stage.pipes.values()):
            self.plan_anew()  # other jobs may find partitions that they were about to compute
        return [self.task_sets.close(task_set)]

    def restart_barrier(self, task_set: TaskSet) -> list[Command]:
        """Run all tasks of a barrier stage again: they waited for each other, so none of them counts."""
        for partition in task_set.plan.tasks:
            self.count_try(task_set.stage.output, partition)
        if task_set.stage.output.kind == "result":
            job = self.jobs[task_set.stage.output.of]
            for partition in task_set.plan.tasks:
                job.undone.add(partition)
        self.plan_anew()
        self.move_on = True
        return self.cancel(task_set)

    def _drop_of_barrier(self, task_set: TaskSet) -> list[Command]:
        """Drop all data that the tasks of a barrier stage may have left. A task that found its partition there would not come to
        the barrier when they run again."""
        unwanted: dict[Rank, set[BlockId]] = {}
        output = task_set.stage.output
        for partition, executor in task_set.running.items():
            unwanted.setdefault(executor, set()).update(task_set.plan.tasks[partition].makes)
            if output.kind == "map":
                unwanted[executor].add(BlockId("map", output.of, partition))
        for block, executor in task_set.made:
            unwanted.setdefault(executor, set()).add(block)
        for executor, blocks in unwanted.items():
            for block in blocks:  # a late task may have made it there too
                self.locations.discard(block, executor)
        self.abandoned.add(task_set.stage.id)
        return [DropBlocks(executor, tuple(sorted(blocks))) for executor, blocks in unwanted.items()
                if blocks and executor in self.task_sets.load]

    def can_exchange(self) -> bool:
        """May an exchange start? Not while tasks wait for each other at a barrier: an executor in the exchange would wait for one
        that waits for it at the barrier."""
        return not self.task_sets.at_barrier()

    def copy_kept(self) -> list[Command]:
        return self.exchanges.copy_kept(self.executors, self.hosts) if self.can_exchange() else []


def nobody_left(job: JobState) -> JobEnded:
    return JobEnded(job.id, Failure(NOBODY_LEFT, "", 0, "driver", job.label, 0, None))
