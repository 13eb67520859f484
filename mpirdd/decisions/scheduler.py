"""The scheduler: a value machine. ``handle(event) -> commands``; the driver loop alone acts on the commands.

It keeps the account of what executors hold (``Have``), and decides for each event what it means for the jobs. What it
works with: ``agenda`` (a job: what it still lacks), ``runs`` (stages under way), ``exchanges``, ``placement``. A job is
planned with ``missing`` when it comes and again when something was lost; in between, each time a stage or an exchange
ends, only what waited for it is looked at.

An event is handled in two steps. First it is entered into the account: what it ends, drops and gives up. Then the jobs
are moved on, if it made a difference to them, until nothing more can start or end. So whatever is dropped is dropped
before anything is made anew.

An executor that is lost takes its blocks and tasks along, and breaks the group, so that every exchange under way is
void; later ones are among the living, in the next *epoch*. Tasks on survivors are left alone. A lost task is started
again where all that it reads is; if nobody has that, it is given up and planned anew, as what else is missing.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import replace

from mpirdd.decisions.agenda import Job
from mpirdd.decisions.barriers import in_the_way
from mpirdd.decisions.events import (
    BlocksGone,
    CancelTask,
    Command,
    DropBlocks,
    Event,
    ExchangeFinished,
    ExecutorLost,
    JobCancelled,
    JobEnded,
    JobSubmitted,
    Recovering,
    Regroup,
    TaskFailed,
    TaskFinished,
    TaskRunning,
    TaskSlow,
)
from mpirdd.decisions.exchanges import Exchanges
from mpirdd.decisions.placement import able, lacking, place
from mpirdd.decisions.plan import Have, Need, need_of
from mpirdd.decisions.runs import Run, Runs
from mpirdd.words.errors import Failure
from mpirdd.words.ids import BlockId, JobId, NodeId, Rank, StageId
from mpirdd.words.stage import Output

_TELL_S = 10.0
"""Who reads that a task is slow can do little about one that takes seconds; a second attempt is told of at once."""


class Scheduler:
    """One for each driver. Its attributes may be read by the driver; only events change what is running.

    Args:
        executors: their ranks.
        task_retries: how often a task that raised is started again, on another executor where one can run it.
        speculation: start a second attempt of a slow task on an idle executor.
        most_losses: a task that was under way on so many executors that died fails its job, as it may be what kills them;
            0 for no limit.
    """

    def __init__(
        self, executors: Iterable[Rank], *, task_retries: int = 0, speculation: bool = False, most_losses: int = 0
    ) -> None:
        self.executors: list[Rank] = sorted(executors)
        """The living."""
        self.hosts: dict[Rank, str] = {}
        """Set by the driver, for the placement of copies."""
        self.epoch = 0
        """How many executors have been lost so far; the number of the group that exchanges run in."""
        self.have = Have()
        self.kept: dict[NodeId, int] = {}
        """Persisted nodes, and how many copies of each partition are wanted."""
        self._task_retries, self._speculation, self._most_losses = task_retries, speculation, most_losses
        self._jobs: dict[JobId, Job] = {}
        self._runs = Runs(self.executors)
        self._exchanges = Exchanges(self.have, self.kept)
        self._failures: dict[Output, dict[int, list[Rank]]] = {}
        """Where each task of an output that is not complete has raised."""
        self._losses: Counter[tuple[Output, int]] = Counter()
        """How many executors each task was under way on when they died."""
        self._abandoned: set[StageId] = set()
        """Barrier stages that were given up, and what they left dropped."""
        self._move_on = False
        """Something has ended that jobs, or copies, may have waited for."""

    def handle(self, event: Event) -> list[Command]:
        commands = self._enter(event)
        while self._move_on:
            self._move_on = False
            for job in list(self._jobs.values()):
                commands += self._advance(job)
            commands += self._copy_kept()
        return commands

    def _enter(self, event: Event) -> list[Command]:
        if isinstance(event, TaskFinished):  # the most common one
            return self._task_finished(event) if event.executor in self._runs.load else []
        if isinstance(event, JobSubmitted):
            return self._job_submitted(event)
        if isinstance(event, JobCancelled):
            return self._end_job(event.job, None)[1:]
        if event.executor not in self._runs.load:
            return []  # sent before its sender was lost
        if isinstance(event, TaskRunning):
            return self._task_running(event)
        if isinstance(event, ExchangeFinished):
            return self._exchange_finished(event)
        if isinstance(event, BlocksGone):
            return self._blocks_gone(event)
        if isinstance(event, TaskFailed):
            return self._task_failed(event)
        return self._executor_lost(event)

    # --- questions ----------------------------------------------------------------------------------------------------

    def output_of(self, stage: StageId) -> Output | None:
        """Where the records of a stage under way go; None if nobody waits for it any more."""
        run = self._runs.get(stage)
        return run.stage.output if run else None

    def tasks_of(self, stage: StageId) -> int:
        """The number of tasks of a stage under way; 0 if it is not."""
        run = self._runs.get(stage)
        return run.tasks if run else 0

    def finished_of(self, stage: StageId) -> int:
        """How many tasks of a stage under way have finished."""
        run = self._runs.get(stage)
        return run.finished if run else 0

    def load(self) -> dict[Rank, int]:
        """Tasks under way at each executor."""
        return self._runs.load.copy()

    def jobs_wanting(self, output: Output) -> list[JobId]:
        """The jobs that a stage with this output runs for, oldest first."""
        return [job.id for job in self._jobs.values() if output in job.pending]

    def progress(self, job: JobId) -> dict[StageId, tuple[str, int, int]]:
        """Stages of the job under way: label, tasks done, tasks in all; none when it has ended."""
        if job not in self._jobs:
            return {}
        return {
            stage: (run.stage.label, run.finished, run.tasks)
            for output in self._jobs[job].pending
            for stage, run in self._runs.of_output(output).items()
        }

    def forget(self, node: NodeId) -> None:
        """Executors are told to drop everything of the node: nobody refers to it any more."""
        self.kept.pop(node, None)
        self.have.forget(node)
        self._exchanges.forget(node)

    def forget_shuffle(self, node: NodeId) -> None:
        """Executors are told to drop the shuffle's map outputs and what was exchanged of them."""
        self.have.forget_shuffle(node)
        self._exchanges.forget(node)

    # --- jobs ---------------------------------------------------------------------------------------------------------

    def _job_submitted(self, event: JobSubmitted) -> list[Command]:
        job = Job(event.job, event.node, event.label, dict.fromkeys(event.partitions), asked=event.partitions)
        if job.undone and not self.executors:
            return [_nobody_left(job)]
        self._jobs[event.job] = job
        return self._advance(job)

    def _end_job(self, job_id: JobId, failure: Failure | None) -> list[Command]:
        """End the job, and cancel what runs for no other."""
        job = self._jobs.pop(job_id, None)
        commands: list[Command] = [JobEnded(job_id, failure)]
        if job is None:
            return commands
        for run in self._runs:
            if not self.jobs_wanting(run.stage.output):
                commands += self._cancel(run)
                self._move_on = True
        for output in job.pending:
            self._forget_failures(output)
        return commands

    def _fail(self, run: Run, failure: Failure) -> list[Command]:
        """End the jobs that need the output of the run as things are now; others did when they were planned."""
        commands: list[Command] = []
        output = run.stage.output
        for job_id in self.jobs_wanting(output):
            job = self._jobs[job_id]
            if output == job.result or job.needs_maps(output.of, self.have, self.kept):
                commands += self._end_job(job_id, failure)
            else:
                job.stale = True
        if self._runs.get(run.stage.id):
            commands += self._cancel(run)
            self._move_on = True
        return commands

    def _cancel(self, run: Run) -> list[Command]:
        return self._runs.cancel(run) + (self._drop_of_barrier(run) if run.need.barrier else [])

    def _forget_failures(self, output: Output) -> None:
        if not self._runs.of_output(output):
            self._failures.pop(output, None)

    def _plan_anew(self) -> None:
        for job in self._jobs.values():
            job.stale = True

    # --- tasks --------------------------------------------------------------------------------------------------------

    def _task_finished(self, event: TaskFinished) -> list[Command]:
        run, partition = self._runs.of_attempt(event.stage, event.partition, event.executor), event.partition
        if run is None:
            return self._late(event)
        commands = self._take_blocks(event)
        losers = self._runs.settle(run, partition, event.executor)
        for executor in losers:
            self._runs.settle(run, partition, executor)
            commands.append(CancelTask(executor, event.stage, partition))
        run.finish(event.seconds)
        self._runs.let_go(run, partition)
        if run.need.barrier:
            run.made += [(block, event.executor) for block in event.made]
        output = run.stage.output
        if output.kind == "result":
            self._jobs[output.of].undone.pop(partition, None)
        return commands + self._go_on(run, event.executor, *losers)

    def _take_blocks(self, event: TaskFinished) -> list[Command]:
        unwanted = []
        for block in event.made:
            if block.kind == "rdd" and block.of not in self.kept:
                unwanted.append(block)
            else:
                self._add_made(block, event.executor)
        return [DropBlocks(event.executor, tuple(unwanted))] if unwanted else []

    def _add_made(self, block: BlockId, executor: Rank) -> None:
        self.have.add(block, executor)
        if block.kind == "rdd":
            self._exchanges.note_uncopied(block)

    def _late(self, event: TaskFinished) -> list[Command]:
        """The task had been cancelled, or another attempt was faster. Kept partitions are as good as any; map outputs
        are dropped, unless the executor has been told to make the same now: it may do so before it hears of the drop,
        which would then take what the account says is there."""
        if event.stage in self._abandoned:
            return []  # these blocks were dropped already
        unwanted = []
        for block in event.made:
            if block.kind == "rdd":
                wanted = block.of in self.kept
            else:
                wanted = any(event.executor in run.attempts.get(block.part, ())
                             for run in self._runs.of_output(Output("map", block.of)).values())
            if wanted or event.executor in self.have.holders(block):
                self._add_made(block, event.executor)
            else:
                unwanted.append(block)
        drops: list[Command] = [DropBlocks(event.executor, tuple(unwanted))] if unwanted else []
        return drops + self._copy_kept()

    def _task_failed(self, event: TaskFailed) -> list[Command]:
        run = self._runs.of_attempt(event.stage, event.partition, event.executor)
        if run is None:
            return []
        if self._runs.settle(run, event.partition, event.executor):
            return self._go_on(run, event.executor)  # the other attempt may do better
        failed = self._failures.setdefault(run.stage.output, {}).setdefault(event.partition, [])
        failed.append(event.executor)
        if len(failed) > self._task_retries:
            return self._fail(run, self._of_all_attempts(event.failure, failed))
        if run.need.barrier:
            return self._restart_barrier(run)
        can = able(run.need.work[event.partition], self.have, self.executors)
        can = [executor for executor in can if executor not in failed] or can
        if not can:  # its input is gone; when the run is over, it is planned again
            return self._go_on(run, event.executor)
        again = self._runs.send(run, min(can, key=self._runs.load.__getitem__), [event.partition])
        return [again, *self._go_on(run, event.executor)]

    def _of_all_attempts(self, failure: Failure, failed: list[Rank]) -> Failure:
        """Retries are silent, so the last failure tells of the others."""
        if len(failed) == 1:
            return failure
        return replace(failure, tried=tuple(f"rank {rank} ({self.hosts.get(rank, 'unknown')})" for rank in failed))

    def _task_running(self, event: TaskRunning) -> list[Command]:
        run, partition = self._runs.of_attempt(event.stage, event.partition, event.executor), event.partition
        usual = run.usual_if_slow(event.seconds) if run else None
        if run is None or usual is None:
            return []
        other = self._speculate(run, partition)
        commands: list[Command] = [] if other is None else [self._runs.send(run, other, [partition])]
        if (event.seconds > _TELL_S or other is not None) and (partition, event.executor) not in run.slow:
            run.slow.add((partition, event.executor))
            commands.append(TaskSlow(
                event.executor, event.stage, run.stage.label, partition, event.seconds, usual, other))
        return commands

    def _speculate(self, run: Run, partition: int) -> Rank | None:
        """An idle executor for a second attempt, if there is one that has what the task reads."""
        if not self._speculation or run.need.barrier or len(run.attempts[partition]) > 1:
            return None
        idle = self._runs.idle
        return next((executor for executor in able(run.need.work[partition], self.have, idle) if executor in idle), None)

    def _blocks_gone(self, event: BlocksGone) -> list[Command]:
        for block in event.blocks:
            self.have.discard(block, event.executor)
            if block.kind == "map":
                self._exchanges.forget(block.of)  # an exchange that lacks a map output is void
        run = self._runs.get(event.stage)
        came_back = [p for p in event.partitions if event.executor in run.attempts.get(p, ())] if run else []
        if run is None or not came_back:
            return []
        for partition in came_back:
            self._runs.settle(run, partition, event.executor)
        return self._restart_barrier(run) if run.need.barrier else self._go_on(run, event.executor)

    def _exchange_finished(self, event: ExchangeFinished) -> list[Command]:
        drops = self._exchanges.finished(event)
        if drops is None:
            return []
        self._move_on = True
        return drops

    def _go_on(self, run: Run, *executors: Rank) -> list[Command]:
        """A task of the run is over on these executors: give them more, or end the run if nothing of it is under way; what
        came back for lack of a block is planned again."""
        if run.free:
            return self._runs.hand_out(run, executors)
        if run.attempts:
            return []
        self._move_on = True
        if len(self._jobs) > 1 and any(pipe.keep for pipe in run.stage.pipes.values()):
            self._plan_anew()  # other jobs may find what they were about to compute
        return [self._runs.close(run)]

    # --- losses -------------------------------------------------------------------------------------------------------

    def _executor_lost(self, event: ExecutorLost) -> list[Command]:
        lost = event.executor
        self.executors.remove(lost)
        self.epoch += 1
        gone, copied = self.have.lose(lost)
        recovering = Recovering(lost, dict(Counter(block.kind for block in gone)), self._runs.lose(lost))
        if not self.executors:
            return [recovering, *self._end_all()]
        for block in copied:
            self._exchanges.note_uncopied(block)
        commands = [Regroup(self.epoch, tuple(self.executors)), recovering, *self._exchanges.void(self._runs.load)]
        self._plan_anew()
        for run in self._runs:
            if self._runs.get(run.stage.id):
                deadly = self._deadly_task(run, lost)
                commands += self._lose_tasks(run, lost)
                if deadly is not None and self._runs.get(run.stage.id):
                    commands += self._fail(run, deadly)
        self._move_on = True
        return commands

    def _deadly_task(self, run: Run, lost: Rank) -> Failure | None:
        """Count what was under way on the lost executor, and whether one such task has taken too many with it."""
        deadly = None
        for partition, attempts in run.attempts.items():
            if lost in attempts:
                key = run.stage.output, partition
                self._losses[key] += 1
                if self._losses[key] == self._most_losses:
                    summary = (f"ClusterError: this task was under way on {self._most_losses} executors when they died. Does "
                               "it end its process, or take all the memory there is? See the lines above, and the logs of "
                               "the hosts.")
                    deadly = Failure(summary, "", lost, self.hosts.get(lost, "unknown"), run.stage.label, partition, None)
        return deadly

    def _lose_tasks(self, run: Run, lost: Rank) -> list[Command]:
        if run.need.barrier:  # even if its tasks live: one that waits at the barrier cannot join the new group
            return self._restart_barrier(run)
        if lost not in run.load:
            return []
        again = self._runs.lose_tasks(run, lost, self.have)
        return again + self._go_on(run, *(self.executors if run.free else ()))

    def _restart_barrier(self, run: Run) -> list[Command]:
        """The tasks of a barrier stage waited for each other, so none of them counts; all run again."""
        if run.stage.output.kind == "result":
            job = self._jobs[run.stage.output.of]
            job.undone = {**dict.fromkeys(run.whole), **job.undone}
        self._plan_anew()
        self._move_on = True
        return self._cancel(run)

    def _drop_of_barrier(self, run: Run) -> list[Command]:
        """Drop what the tasks of a barrier stage may have left, or one that finds its partition there would not come to the
        barrier when they run again."""
        unwanted: dict[Rank, set[BlockId]] = {}
        output = run.stage.output
        for partition, attempts in run.attempts.items():
            for executor in attempts:
                unwanted.setdefault(executor, set()).update(run.whole[partition].makes)
                if output.kind == "map":
                    unwanted[executor].add(BlockId("map", output.of, partition))
        for block, executor in run.made:
            self.have.discard(block, executor)
            unwanted.setdefault(executor, set()).add(block)
        self._abandoned.add(run.stage.id)
        return [DropBlocks(executor, tuple(sorted(blocks))) for executor, blocks in unwanted.items()
                if blocks and executor in self._runs.load]

    def _end_all(self) -> list[Command]:
        commands: list[Command] = [self._runs.close(run) for run in self._runs]
        commands += [_nobody_left(job) for job in self._jobs.values()]
        self._jobs.clear()
        self._failures.clear()
        self._exchanges.void(())
        return commands

    # --- moving on ----------------------------------------------------------------------------------------------------

    def _advance(self, job: Job) -> list[Command]:
        """Start whatever can start for the job, or end it. Cost: what waits for no shuffle, unless the job is stale."""
        if job.id not in self._jobs:
            return []  # ended together with another one
        if not job.undone:
            return self._end_job(job.id, None)
        needs = job.plan(self.have, self.kept, self._runs.partitions) if job.stale else {}
        commands: list[Command] = []
        ready = deque(job.ready)
        while ready and job.id in self._jobs:
            output = ready.popleft()
            lack = job.lacking(output, self.have)
            if not lack:
                ready.extend(job.release(output))
                self._forget_failures(output)
                continue
            taken = self._runs.partitions(output)
            left = [partition for partition in lack if partition not in taken]
            if not left:
                continue
            need = needs.pop(output, None) or need_of(job.goal(output, left), self.have, self.kept)
            if need.barrier and not self._barrier_waits():
                need, drops = self._all_to_barrier(job, need)
                commands += drops
            if need.unwritten:  # something that was there when the job was planned is not any more
                needs = job.plan(self.have, self.kept, self._runs.partitions)
                ready = deque(job.ready)
                continue
            commands += self._start(need)
        return commands

    def _start(self, need: Need) -> list[Command]:
        need = need.without(self._runs.making)
        if not need.work:
            return []
        if need.barrier:
            if len(need.work) > len(self.executors):
                return self._refuse_barrier(need)
            if self._barrier_waits():
                return []
            places: dict[int, Rank | None] = dict(zip(need.work, self.executors, strict=False))
        else:
            places = {partition: place(partition, work, self.have, self.executors) for partition, work in need.work.items()}
        if need.absent:
            return self._exchanges.bring(need, places, self.executors) if self._can_exchange() else []
        need = need if need.barrier else need.of_first_makers()
        copies = lacking(need, places, self.have)
        if not copies:
            return self._runs.begin(need, places)
        return self._exchanges.copy(copies, self.executors) if self._can_exchange() else []

    def _barrier_waits(self) -> bool:
        """A barrier stage starts when nothing else is under way."""
        return self._exchanges.under_way() or any(run.attempts for run in self._runs)

    def _all_to_barrier(self, job: Job, need: Need) -> tuple[Need, list[Command]]:
        """The need with all tasks of the barrier stage, where only some of it exists; what does is dropped."""
        output, unwanted = need.goal.output, set[BlockId]()
        if output.kind == "map":
            unwanted.update(BlockId("map", output.of, index) for index in self.have.indexes("map", output.of))
        else:
            job.undone = dict.fromkeys(job.asked)
        drops: dict[Rank, list[BlockId]] = {}
        while True:
            for block in sorted(unwanted):
                for executor in list(self.have.holders(block)):
                    self.have.discard(block, executor)
                    drops.setdefault(executor, []).append(block)
            need = need_of(job.goal(output, job.lacking(output, self.have)), self.have, self.kept)
            unwanted = in_the_way(need, self.have)
            if not unwanted:
                return need, [DropBlocks(executor, tuple(blocks)) for executor, blocks in drops.items()]

    def _refuse_barrier(self, need: Need) -> list[Command]:
        """It can never start all its tasks at once."""
        summary = (f"a barrier stage needs an executor for each of its {len(need.work)} tasks, but there are "
                   f"{len(self.executors)}. Run with -n {len(need.work) + 1}, or use fewer partitions.")
        failure = Failure(f"UsageError: {summary}", "", 0, "driver", need.goal.label, 0, None)
        return [command for job in self.jobs_wanting(need.goal.output) for command in self._end_job(job, failure)]

    def _can_exchange(self) -> bool:
        """Not while tasks wait for each other at a barrier, as an executor would wait in the exchange for one that waits at
        the barrier for it."""
        return not self._runs.at_barrier()

    def _copy_kept(self) -> list[Command]:
        return self._exchanges.copy_kept(self.executors, self.hosts) if self._can_exchange() else []


def _nobody_left(job: Job) -> JobEnded:
    summary = ("ClusterError: all executors are lost, so nothing can run any more. Start the program again; the lines "
               "above, and the logs of the hosts, say what became of them.")
    return JobEnded(job.id, Failure(summary, "", 0, "driver", job.label, 0, None))
