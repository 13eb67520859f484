"""The scheduler: a value machine. ``handle(event) -> commands``; the driver loop alone acts on the commands.

It keeps the account of what executors hold (``Have``), which stages run where, and which exchanges are under
way. A job is planned with ``missing`` when it comes and again when something was lost; in between, each time a stage
or an exchange ends, only what waited for it is looked at.

Placement is a pure function of what exists. A task that reads blocks goes to the executor that holds most of
them; one that reads a shuffle which nobody holds yet goes to its partition's place among the living executors,
so that RDDs with equal partitioners meet without moving; a task that only reads splits is free, and free tasks
are handed out as executors ask for more (guided self-scheduling: a share of what is left, so that many small
tasks cost few messages and few large ones still balance).

An executor that is lost takes its blocks and tasks along, and breaks the group, so that every exchange under way is
void. The living form a new group, that of the next *epoch*; until they have, no exchange is started, but tasks are.
Tasks on survivors are left alone. A lost task is started again where all that it reads is; if nobody has that, it is
given up and planned anew, as what else is missing.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Set
from dataclasses import replace
from itertools import count

from mpirdd.decisions.agenda import Job
from mpirdd.decisions.barriers import in_the_way
from mpirdd.decisions.copies import Copies
from mpirdd.decisions.events import (
    BlocksGone,
    CancelStage,
    CancelTask,
    CloseStage,
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
    Regrouped,
    StartExchange,
    StartTasks,
    Task,
    TaskFailed,
    TaskFinished,
    TaskRunning,
    TaskSlow,
)
from mpirdd.decisions.plan import Have, Need, Work, need_of
from mpirdd.decisions.runs import Exchange, Run
from mpirdd.words.errors import Failure
from mpirdd.words.ids import BlockId, JobId, NodeId, Rank, StageId
from mpirdd.words.stage import Output, Stage

_SLOW_S = 1.0
"""Nothing that takes less is slow, so that a second attempt would pay."""
_SLOW_TIMES = 3.0
"""A task is slow when it runs longer than so many times the median of its siblings. Spark takes 1.5, but also waits for
three quarters of them."""
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
        self._task_retries, self._speculation = task_retries, speculation
        self._regrouping = False
        self._jobs: dict[JobId, Job] = {}
        self._runs: dict[StageId, Run] = {}
        self._outputs: dict[Output, dict[StageId, Run]] = {}
        self._exchanges: dict[int, Exchange] = {}
        self._making: dict[BlockId, StageId] = {}
        self._failures: dict[Output, dict[int, list[Rank]]] = {}
        self._most_losses = most_losses
        self._losses: dict[tuple[Output, int], int] = {}
        self._uncopied: dict[BlockId, None] = {}
        self._abandoned: set[StageId] = set()
        self._load: dict[Rank, int] = dict.fromkeys(self.executors, 0)
        self._idle: dict[Rank, None] = dict.fromkeys(self.executors)
        self._stage_ids = count(1)
        self._exchange_ids = count(1)

    def handle(self, event: Event) -> list[Command]:
        if isinstance(event, TaskFinished):  # the most common one
            return self._task_finished(event) if event.executor in self._load else []
        if isinstance(event, JobSubmitted):
            return self._job_submitted(event)
        if isinstance(event, JobCancelled):
            return self._end_job(event.job, None)[1:]
        if isinstance(event, Regrouped):
            return self._regrouped(event)
        if event.executor not in self._load:
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
        return self._load.copy()

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
            for stage, run in self._outputs.get(output, {}).items()
        }

    def forget(self, node: NodeId) -> None:
        """Executors are told to drop everything of the node: nobody refers to it any more."""
        self.kept.pop(node, None)
        self.have.forget(node)
        self._forget_arrivals(node)

    def forget_shuffle(self, node: NodeId) -> None:
        """Executors are told to drop the shuffle's map outputs and what was exchanged of them."""
        self.have.forget_shuffle(node)
        self._forget_arrivals(node)

    def _forget_arrivals(self, node: NodeId) -> None:
        for exchange in self._exchanges.values():
            exchange.forgotten.add(node)

    # --- jobs ---------------------------------------------------------------------------------------------------------

    def _job_submitted(self, event: JobSubmitted) -> list[Command]:
        job = Job(event.job, event.node, event.label, dict.fromkeys(event.partitions), asked=event.partitions)
        if job.undone and not self.executors:
            return [_nobody_left(job)]
        self._jobs[event.job] = job
        return self._advance(job)

    def _end_job(self, job_id: JobId, failure: Failure | None) -> list[Command]:
        """End the job, and cancel what runs for no other; then let others go on that waited for it."""
        job = self._jobs.pop(job_id, None)
        commands: list[Command] = [JobEnded(job_id, failure)]
        if job is None:
            return commands
        orphans = [run for run in self._runs.values() if not self.jobs_wanting(run.stage.output)]
        for run in orphans:
            commands += self._cancel(run)
        for output in job.pending:
            if output not in self._outputs:
                self._failures.pop(output, None)
        return commands + ([*self._advance_all(), *self._copy_kept()] if orphans else [])

    # --- tasks --------------------------------------------------------------------------------------------------------

    def _task_finished(self, event: TaskFinished) -> list[Command]:
        run = self._runs.get(event.stage)
        if run is None or event.executor not in run.attempts.get(event.partition, ()):
            return self._late(event)
        output, partition = run.stage.output, event.partition
        commands = self._take_blocks(event)
        losers: list[Rank] = []
        if self._settle(run, partition, event.executor):
            losers += run.attempts[partition]
            for executor in losers:
                self._settle(run, partition, executor)
                commands.append(CancelTask(executor, event.stage, partition))
        run.finish(event.seconds)
        self._let_go(run, partition)
        if run.need.barrier:
            run.made += [(block, event.executor) for block in event.made]
        if output.kind == "result":
            self._jobs[output.of].undone.pop(partition, None)
        return commands + self._go_on(run, event.executor, *losers)

    def _take_blocks(self, event: TaskFinished) -> list[Command]:
        unwanted = []
        for block in event.made:
            if block.kind == "rdd" and block.of not in self.kept:
                unwanted.append(block)
                continue
            self._add_made(block, event.executor)
        return [DropBlocks(event.executor, tuple(unwanted))] if unwanted else []

    def _add_made(self, block: BlockId, executor: Rank) -> None:
        self.have.add(block, executor)
        if block.kind == "rdd" and self.kept.get(block.of, 0) > 1:
            self._uncopied[block] = None

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
                             for run in self._outputs.get(Output("map", block.of), {}).values())
            if wanted or event.executor in self.have.holders(block):
                self._add_made(block, event.executor)
            else:
                unwanted.append(block)
        drops: list[Command] = [DropBlocks(event.executor, tuple(unwanted))] if unwanted else []
        return drops + self._copy_kept()

    def _task_failed(self, event: TaskFailed) -> list[Command]:
        run = self._runs.get(event.stage)
        if run is None or event.executor not in run.attempts.get(event.partition, ()):
            return []
        if self._settle(run, event.partition, event.executor):
            return self._go_on(run, event.executor)  # the other attempt may do better
        output = run.stage.output
        failed = self._failures.setdefault(output, {}).setdefault(event.partition, [])
        failed.append(event.executor)
        if len(failed) > self._task_retries:
            return self._fail(run, self._of_all_attempts(event.failure, failed))
        if run.need.barrier:
            return self._restart_barrier(run)
        able = self._able(run.need.work[event.partition])
        able = [executor for executor in able if executor not in failed] or able
        if not able:  # its input is gone; when the run is over, it is planned again
            return self._go_on(run, event.executor)
        again = self._send(run, min(able, key=self._load.__getitem__), [event.partition])
        return [again, *self._go_on(run, event.executor)]

    def _of_all_attempts(self, failure: Failure, failed: list[Rank]) -> Failure:
        """Retries are silent, so the last failure tells of the others."""
        if len(failed) == 1:
            return failure
        return replace(failure, tried=tuple(f"rank {rank} ({self.hosts.get(rank, 'unknown')})" for rank in failed))

    def _able(self, work: Work) -> list[Rank]:
        """Executors that have all that a task reads."""
        if not work.reads:
            return self.executors
        first, *others = (self.have.holders(block) for block in work.reads)
        return [executor for executor in first if all(executor in holders for holders in others)]

    def _fail(self, run: Run, failure: Failure) -> list[Command]:
        """End the jobs that need the output of the run as things are now; others did when they were planned."""
        commands: list[Command] = []
        output = run.stage.output
        for job_id in self.jobs_wanting(output):
            job = self._jobs.get(job_id)
            if job is None:
                continue  # ended by what another's end has set going
            if output == job.result or job.needs_maps(output.of, self.have, self.kept):
                commands += self._end_job(job_id, failure)
            else:
                job.stale = True
        if run.stage.id in self._runs:
            commands += [*self._cancel(run), *self._advance_all()]
        return commands

    def _task_running(self, event: TaskRunning) -> list[Command]:
        if event.seconds <= _SLOW_S:
            return []
        run, partition = self._runs.get(event.stage), event.partition
        if run is None or event.executor not in run.attempts.get(partition, ()):
            return []
        usual = run.usual_seconds()
        if usual is None or event.seconds <= _SLOW_TIMES * usual:
            return []
        other = self._speculate(run, partition)
        commands: list[Command] = [] if other is None else [self._send(run, other, [partition])]
        if (event.seconds > _TELL_S or other is not None) and (partition, event.executor) not in run.slow:
            run.slow.add((partition, event.executor))
            commands.append(TaskSlow(
                event.executor, event.stage, run.stage.label, partition, event.seconds, usual, other))
        return commands

    def _speculate(self, run: Run, partition: int) -> Rank | None:
        """An idle executor for a second attempt, if there is one that has what the task reads."""
        if not self._speculation or run.need.barrier or len(run.attempts[partition]) > 1:
            return None
        work = run.need.work[partition]
        able = self._able(work) if work.reads else self._idle
        return next((executor for executor in able if executor in self._idle), None)

    def _blocks_gone(self, event: BlocksGone) -> list[Command]:
        for block in event.blocks:
            self.have.discard(block, event.executor)
            if block.kind == "map":
                self._forget_arrivals(block.of)  # an exchange that lacks a map output is void
        run = self._runs.get(event.stage) if event.stage is not None else None
        if run is None:
            return []
        lacking = False
        for partition in event.partitions:
            if event.executor in run.attempts.get(partition, ()):
                self._settle(run, partition, event.executor)
                lacking = True
        if not lacking:
            return []
        return self._restart_barrier(run) if run.need.barrier else self._go_on(run, event.executor)

    # --- losses -------------------------------------------------------------------------------------------------------

    def _executor_lost(self, event: ExecutorLost) -> list[Command]:
        lost = event.executor
        self.executors.remove(lost)
        self._idle.pop(lost, None)
        self.epoch += 1
        gone, copied = self.have.lose(lost)
        recovering = Recovering(lost, dict(Counter(block.kind for block in gone)), self._load.pop(lost))
        self._uncopied.update((block, None) for block in copied if self.kept.get(block.of, 0) > 1)
        if not self.executors:
            return [recovering, *self._end_all()]
        self._regrouping = True
        commands: list[Command] = [Regroup(self.epoch, tuple(self.executors)), recovering, *self._void_exchanges()]
        for job in self._jobs.values():
            job.stale = True
        for run in list(self._runs.values()):
            if run.stage.id in self._runs:
                deadly = self._deadly_task(run, lost)
                commands += self._lose_tasks(run, lost)
                if deadly is not None and run.stage.id in self._runs:
                    commands += self._fail(run, deadly)
        return commands + self._advance_all()

    def _deadly_task(self, run: Run, lost: Rank) -> Failure | None:
        """Count what was under way on the lost executor, and whether one such task has taken too many with it."""
        deadly = None
        for partition, attempts in run.attempts.items():
            if lost in attempts:
                key = run.stage.output, partition
                losses = self._losses[key] = self._losses.get(key, 0) + 1
                if losses == self._most_losses:
                    summary = (f"ClusterError: this task was under way on {losses} executors when they died. Does it end its "
                               "process, or take all the memory there is? See the lines above, and the logs of the hosts.")
                    deadly = Failure(summary, "", lost, self.hosts.get(lost, "unknown"), run.stage.label, partition, None)
        return deadly

    def _end_all(self) -> list[Command]:
        commands: list[Command] = [CloseStage(stage) for stage in self._runs]
        commands += [_nobody_left(job) for job in self._jobs.values()]
        for left in (self._jobs, self._runs, self._outputs, self._exchanges, self._making, self._failures):
            left.clear()
        return commands

    def _void_exchanges(self) -> list[Command]:
        """The group is broken, so nobody can know what an exchange under way has brought to whom: drop what executors
        got of it."""
        unwanted: dict[Rank, list[BlockId]] = {}
        for exchange in self._exchanges.values():
            for block, executor, _ in self._arrivals(exchange.plan):
                if executor in self._load and executor not in self.have.holders(block):
                    unwanted.setdefault(executor, []).append(block)
                if self.kept.get(block.of, 0) > 1 and self.have.holders(block):
                    self._uncopied[block] = None
        self._exchanges.clear()
        return [DropBlocks(executor, tuple(blocks)) for executor, blocks in unwanted.items()]

    def _lose_tasks(self, run: Run, lost: Rank) -> list[Command]:
        if run.need.barrier:  # even if its tasks live: one that waits at the barrier cannot join the new group
            return self._restart_barrier(run)
        if lost not in run.load:
            return []
        del run.load[lost]
        again: dict[Rank, list[int]] = {}
        for partition in [partition for partition, attempts in run.attempts.items() if lost in attempts]:
            left = tuple(executor for executor in run.attempts[partition] if executor != lost)
            if left:
                run.attempts[partition] = left
                continue
            del run.attempts[partition]
            work = run.need.work[partition]
            able = self._able(work)
            if not work.reads:
                run.free.append(partition)
            elif able:
                again.setdefault(able[partition % len(able)], []).append(partition)
            else:  # it is not this run's any more, so that the new plan has it at once
                run.tasks -= 1
                self._let_go(run, partition)
        commands: list[Command] = [self._send(run, executor, partitions) for executor, partitions in again.items()]
        return commands + self._go_on(run, *(self.executors if run.free else ()))

    def _restart_barrier(self, run: Run) -> list[Command]:
        """The tasks of a barrier stage waited for each other, so none of them counts; all run again."""
        if run.stage.output.kind == "result":
            job = self._jobs[run.stage.output.of]
            job.undone = {**dict.fromkeys(run.whole), **job.undone}
        for job in self._jobs.values():
            job.stale = True
        return [*self._cancel(run), *self._advance_all()]

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
                if blocks and executor in self._load]

    def _regrouped(self, event: Regrouped) -> list[Command]:
        if event.epoch != self.epoch or not self._regrouping:
            return []
        self._regrouping = False
        return [*self._advance_all(), *self._copy_kept()]

    # --- planning -----------------------------------------------------------------------------------------------------

    def _advance_all(self) -> list[Command]:
        return [command for job in list(self._jobs.values()) for command in self._advance(job)]

    def _advance(self, job: Job) -> list[Command]:
        """Start whatever can start for the job, or end it. Cost: what waits for no shuffle, unless the job is stale."""
        if job.id not in self._jobs:
            return []  # ended by what was started for another job
        if not job.undone:
            return self._end_job(job.id, None)
        needs = job.plan(self.have, self.kept, self._under_way) if job.stale else {}
        commands: list[Command] = []
        ready = deque(job.ready)
        while ready and job.id in self._jobs:
            output = ready.popleft()
            lacking = job.lacking(output, self.have)
            if not lacking:
                ready.extend(job.release(output))
                if output not in self._outputs:
                    self._failures.pop(output, None)
                continue
            left = self._not_under_way(output, lacking)
            if not left:
                continue
            need = needs.pop(output, None) or need_of(job.goal(output, left), self.have, self.kept)
            if need.barrier and not self._barrier_waits():
                need, drops = self._all_to_barrier(job, need)
                commands += drops
            if need.unwritten:  # something that was there when the job was planned is not any more
                needs = job.plan(self.have, self.kept, self._under_way)
                ready = deque(job.ready)
                continue
            started = self._start(need)
            commands += started
            if any(isinstance(command, JobEnded) for command in started):
                needs = {}  # other jobs were moved on meanwhile
        return commands

    def _under_way(self, output: Output) -> Set[int]:
        """Partitions that tasks make, or will when they are given out."""
        runs = list(self._outputs.get(output, {}).values())
        if len(runs) == 1:
            return runs[0].need.work.keys()
        return {partition for run in runs for partition in run.need.work}

    def _not_under_way(self, output: Output, partitions: Iterable[int]) -> list[int]:
        taken = self._under_way(output)
        return [partition for partition in partitions if partition not in taken]

    # --- starting -----------------------------------------------------------------------------------------------------

    def _start(self, need: Need) -> list[Command]:
        need = self._without_made(need)
        if not need.work:
            return []
        if need.barrier:
            if self._barrier_waits() or len(need.work) > len(self.executors):
                return self._hold_barrier(need)
            places: dict[int, Rank | None] = dict(zip(need.work, self.executors, strict=False))
        else:
            places = {partition: self._place(partition, work) for partition, work in need.work.items()}
        if need.absent:
            return [command for shuffle in need.absent for command in self._exchange(need, shuffle, places)]
        need = need if need.barrier else _first_makers(need)
        copies = self._copies(need, places)
        return self._copy(copies) if copies else self._run(need, places)

    def _without_made(self, need: Need) -> Need:
        """Without the tasks that would compute a partition to be kept which another stage computes; when that is
        done, these can read it."""
        work = {partition: work for partition, work in need.work.items()
                if not any(block in self._making for block in work.makes)}
        if len(work) == len(need.work):
            return need
        if need.barrier:
            return replace(need, work={})
        reads = {block for touched in work.values() for block in touched.reads}
        absent = {shuffle: {part for part in parts if BlockId("in", shuffle, part) in reads}
                  for shuffle, parts in need.absent.items()}
        return replace(need, work=work, absent={shuffle: parts for shuffle, parts in absent.items() if parts})

    def _barrier_waits(self) -> bool:
        """A barrier stage starts when nothing else is under way and the group stands."""
        return self._regrouping or bool(self._exchanges) or any(run.attempts for run in self._runs.values())

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

    def _hold_barrier(self, need: Need) -> list[Command]:
        """A barrier stage waits until nothing else runs and the group stands; one that can never start all its tasks fails."""
        if len(need.work) <= len(self.executors):
            return []
        summary = (f"a barrier stage needs an executor for each of its {len(need.work)} tasks, but there are "
                   f"{len(self.executors)}. Run with -n {len(need.work) + 1}, or use fewer partitions.")
        failure = Failure(f"UsageError: {summary}", "", 0, "driver", need.goal.label, 0, None)
        return [command for job in self.jobs_wanting(need.goal.output) for command in self._end_job(job, failure)]

    def _place(self, partition: int, work: Work) -> Rank | None:
        """The executor for a task; None when any will do."""
        if not work.reads:
            return None
        held: dict[Rank, int] = {}
        for block in work.reads:
            for executor in self.have.holders(block):
                held[executor] = held.get(executor, 0) + 1
        if held:
            most = max(held.values())
            best = sorted(executor for executor, number in held.items() if number == most)
            return best[partition % len(best)]  # not always the first, or a cartesian product would crowd there
        return self.executors[partition % len(self.executors)]

    def _can_exchange(self) -> bool:
        """Not while the group is being formed; nor while tasks wait for each other at a barrier, as an executor would
        wait in the exchange for one that waits at the barrier for it."""
        return not self._regrouping and not any(run.need.barrier for run in self._runs.values())

    def _exchange(self, need: Need, shuffle: NodeId, places: dict[int, Rank | None]) -> list[Command]:
        """Bring the absent reduce partitions of ``shuffle`` to where the tasks that read them will run."""
        if not self._can_exchange() or any(exchange.plan.shuffle == shuffle for exchange in self._exchanges.values()):
            return []
        owners: dict[Rank, dict[int, None]] = {}
        for partition, work in need.work.items():
            for block in work.reads:
                if block.of == shuffle and block.kind == "in" and block.part in need.absent[shuffle]:
                    place = places[partition]
                    assert place is not None
                    owners.setdefault(place, {})[block.part] = None
        maps: dict[Rank, list[int]] = {}
        for index, holders in sorted(self.have.indexes("map", shuffle).items()):
            maps.setdefault(holders[0], []).append(index)
        return [self._start_exchange(
            shuffle, {rank: tuple(m) for rank, m in maps.items()}, {rank: tuple(r) for rank, r in owners.items()}, {})]

    def _copies(self, need: Need, places: dict[int, Rank | None]) -> dict[BlockId, set[Rank]]:
        """Blocks that tasks read but their executors do not hold."""
        wanted: dict[BlockId, set[Rank]] = {}
        for partition, work in need.work.items():
            place = places[partition]
            for block in work.reads:
                if place is not None and place not in self.have.holders(block):
                    wanted.setdefault(block, set()).add(place)
        return wanted

    def _copy(self, wanted: dict[BlockId, set[Rank]]) -> list[Command]:
        if not self._can_exchange() or any(exchange.plan.copies for exchange in self._exchanges.values()):
            return []  # one at a time: the next plan sees what this one brought
        copies: dict[Rank, list[tuple[BlockId, Rank]]] = {}
        for block, places in sorted(wanted.items()):
            copies.setdefault(self.have.holders(block)[0], []).extend((block, place) for place in sorted(places))
        return [self._start_exchange(None, {}, {}, {rank: tuple(c) for rank, c in copies.items()})]

    def _start_exchange(
        self,
        shuffle: NodeId | None,
        maps: dict[Rank, tuple[int, ...]],
        owners: dict[Rank, tuple[int, ...]],
        copies: dict[Rank, tuple[tuple[BlockId, Rank], ...]],
    ) -> Command:
        plan = StartExchange(next(self._exchange_ids), tuple(self.executors), shuffle, maps, owners, copies)
        self._exchanges[plan.exchange] = Exchange(plan, set(self.executors))
        return plan

    def _copy_kept(self) -> list[Command]:
        """Bring copies of what was persisted with a replica to other executors. Nobody waits for them. Each block is
        tried once after it was made and once after each loss, so that evictions start no endless copying."""
        if not self._uncopied or not self._can_exchange():
            return []
        if any(exchange.plan.copies for exchange in self._exchanges.values()):
            return []
        choice = Copies(self.executors, self.hosts)
        wanted: dict[BlockId, set[Rank]] = {}
        for block in self._uncopied:
            holders = self.have.holders(block)
            places = choice.places(block, holders, self.kept.get(block.of, 0)) if holders else []
            if places:
                wanted[block] = set(places)
        self._uncopied.clear()
        return self._copy(wanted) if wanted else []

    def _exchange_finished(self, event: ExchangeFinished) -> list[Command]:
        exchange = self._exchanges.get(event.exchange)
        if exchange is None:
            return []
        exchange.waiting.discard(event.executor)
        if exchange.waiting:
            return []
        del self._exchanges[event.exchange]
        unwanted: dict[Rank, list[BlockId]] = {}
        for block, executor, arrived in self._arrivals(exchange.plan):
            if block.of in exchange.forgotten or (block.kind == "rdd" and block.of not in self.kept):
                unwanted.setdefault(executor, []).append(block)
            elif arrived:
                self.have.add(block, executor)
        drops = [DropBlocks(executor, tuple(blocks)) for executor, blocks in unwanted.items()]
        return [*drops, *self._advance_all(), *self._copy_kept()]

    def _arrivals(self, plan: StartExchange) -> Iterator[tuple[BlockId, Rank, bool]]:
        """What the exchange should have brought to whom, and whether it did: a sender that lacks a block says
        so first."""
        for executor, partitions in plan.owners.items():
            for partition in partitions:
                assert plan.shuffle is not None
                yield BlockId("in", plan.shuffle, partition), executor, True
        for sender, copies in plan.copies.items():
            for block, executor in copies:
                yield block, executor, sender in self.have.holders(block)

    # --- running ------------------------------------------------------------------------------------------------------

    def _run(self, need: Need, places: dict[int, Rank | None]) -> list[Command]:
        stage = Stage(next(self._stage_ids), need.goal.label, need.goal.node.id, need.goal.output, need.pipes)
        run = Run(stage, need, deque(p for p in need.work if places[p] is None), len(need.work))
        if need.barrier:
            run.whole = dict(need.work)
        self._runs[stage.id] = run
        self._outputs.setdefault(stage.output, {})[stage.id] = run
        placed: dict[Rank, list[int]] = {}
        for partition, work in need.work.items():
            for block in work.makes:
                self._making[block] = stage.id
            place = places[partition]
            if place is not None:
                placed.setdefault(place, []).append(partition)
        commands: list[Command] = [self._send(run, executor, partitions) for executor, partitions in placed.items()]
        return commands + self._hand_out(run, self.executors)

    def _go_on(self, run: Run, *executors: Rank) -> list[Command]:
        """A task of the run is over on these executors: end the run, or give them more."""
        if run.done():
            self._drop_run(run)
            if len(self._jobs) > 1 and any(pipe.keep for pipe in run.stage.pipes.values()):
                for job in self._jobs.values():
                    job.stale = True  # it may find what it was about to compute
            return [CloseStage(run.stage.id), *self._advance_all(), *self._copy_kept()]
        return self._hand_out(run, executors)

    def _hand_out(self, run: Run, executors: Iterable[Rank]) -> list[Command]:
        """Free tasks for those that have none of the run's."""
        commands: list[Command] = []
        for executor in executors:
            if not run.free:
                break
            if executor not in run.load:
                share = run.share(len(self.executors))
                commands.append(self._send(run, executor, [run.free.popleft() for _ in range(share)]))
        return commands

    def _send(self, run: Run, executor: Rank, partitions: list[int]) -> Command:
        for partition in partitions:
            run.attempts[partition] = (*run.attempts.get(partition, ()), executor)
        run.load[executor] = run.load.get(executor, 0) + len(partitions)
        self._load[executor] += len(partitions)
        self._idle.pop(executor, None)
        tasks = tuple(Task(p, run.need.work[p].splits) for p in partitions)
        return StartTasks(executor, run.stage, run.need.nodes, tasks, run.tasks if run.need.barrier else 0)

    def _settle(self, run: Run, partition: int, executor: Rank) -> bool:
        """An attempt is over; is there another one under way?"""
        attempts = run.attempts.pop(partition)
        left = tuple(other for other in attempts if other != executor) if len(attempts) > 1 else ()
        if left:
            run.attempts[partition] = left
        run.load[executor] -= 1
        if not run.load[executor]:
            del run.load[executor]
        self._unload(executor, 1)
        return bool(left)

    def _unload(self, executor: Rank, tasks: int) -> None:
        if executor in self._load:
            self._load[executor] -= tasks
            if not self._load[executor]:
                self._idle[executor] = None

    def _let_go(self, run: Run, partition: int) -> None:
        """The task is not the run's any more."""
        for block in run.need.work.pop(partition).makes:
            self._making.pop(block, None)

    def _cancel(self, run: Run) -> list[Command]:
        commands: list[Command] = [
            CancelStage(executor, run.stage.id) for executor in run.load if executor in self._load]
        self._drop_run(run)
        drops = self._drop_of_barrier(run) if run.need.barrier else []
        return [*commands, CloseStage(run.stage.id), *drops]

    def _drop_run(self, run: Run) -> None:
        del self._runs[run.stage.id]
        of_output = self._outputs[run.stage.output]
        del of_output[run.stage.id]
        if not of_output:
            del self._outputs[run.stage.output]
        for executor, tasks in run.load.items():
            self._unload(executor, tasks)
        for partition in list(run.need.work):
            self._let_go(run, partition)


def _nobody_left(job: Job) -> JobEnded:
    summary = ("ClusterError: all executors are lost, so nothing can run any more. Start the program again; the lines "
               "above, and the logs of the hosts, say what became of them.")
    return JobEnded(job.id, Failure(summary, "", 0, "driver", job.label, 0, None))


def _first_makers(need: Need) -> Need:
    """Without the tasks that would compute a partition to be kept which an earlier task computes already; they
    come when it is there to be read. (Two partitions of a cartesian product, say, need the same one of a
    persisted parent.)"""
    made: set[BlockId] = set()
    work: dict[int, Work] = {}
    for partition, touched in need.work.items():
        if made.isdisjoint(touched.makes):
            made.update(touched.makes)
            work[partition] = touched
    return replace(need, work=work)
