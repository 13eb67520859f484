"""The scheduler: a value machine. ``handle(event) -> commands``; the driver loop alone acts on the commands.

It keeps the account of what executors hold (``Have``), which stages run where, and which exchanges are under
way. Each time a stage or an exchange ends (or something is lost) it plans again with ``missing`` and starts
what has become possible.

Placement is a pure function of what exists. A task that reads blocks goes to the executor that holds most of
them; one that reads a shuffle which nobody holds yet goes to its partition's place among the living executors,
so that RDDs with equal partitioners meet without moving; a task that only reads splits is free, and free tasks
are handed out as executors ask for more (guided self-scheduling: a share of what is left, so that many small
tasks cost few messages and few large ones still balance).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count

from mpirdd.decisions.events import (
    BlocksGone,
    CancelStage,
    CloseStage,
    Command,
    DropBlocks,
    Event,
    ExchangeFinished,
    JobEnded,
    JobSubmitted,
    StartExchange,
    StartTasks,
    Task,
    TaskFailed,
    TaskFinished,
)
from mpirdd.decisions.lineage import Node
from mpirdd.decisions.plan import Goal, Have, Need, Work, missing, shuffles_of
from mpirdd.words.errors import Failure
from mpirdd.words.ids import BlockId, JobId, NodeId, Rank, StageId
from mpirdd.words.stage import Output, Stage

_LEAST_S = 0.005
"""Free tasks are given out in portions that take at least this long: a round trip costs some 0.2 ms on a busy
machine."""

# --- state ------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Job:
    id: JobId
    node: Node
    label: str
    undone: dict[int, None]
    """Partitions still wanted, in order."""
    shuffles: set[NodeId]


@dataclass(slots=True)
class _Run:
    """A stage with tasks under way."""

    stage: Stage
    need: Need
    free: deque[int]
    running: dict[int, Rank] = field(default_factory=dict)
    load: dict[Rank, int] = field(default_factory=dict)
    """Tasks under way at each executor."""
    seconds: float = 0.0
    """How long the finished tasks ran, in all."""

    def share(self, executors: int) -> int:
        """How many free tasks to give out at once: half of an even share of what is left, for balance, or as many as
        take ``_LEAST_S``, for few messages."""
        finished = len(self.need.work) - len(self.running) - len(self.free)
        even = -(-len(self.free) // executors)
        quick = int(_LEAST_S * finished / self.seconds) if self.seconds else 0
        return max(1, even // 2, min(quick, even))

    def done(self) -> bool:
        return not self.running and not self.free


@dataclass(slots=True)
class _Exchange:
    plan: StartExchange
    waiting: set[Rank]
    forgotten: set[NodeId] = field(default_factory=set)
    """Nodes whose blocks were dropped meanwhile: what arrives of them may be incomplete, or wanted by nobody."""


class Scheduler:
    """One for each driver. ``kept`` and ``have`` may be read by the driver; only events change what is running."""

    def __init__(self, executors: Iterable[Rank]) -> None:
        self.executors: list[Rank] = sorted(executors)
        self.have = Have()
        self.kept: set[NodeId] = set()
        self._jobs: dict[JobId, _Job] = {}
        self._runs: dict[StageId, _Run] = {}
        self._outputs: dict[Output, StageId] = {}
        self._exchanges: dict[int, _Exchange] = {}
        self._making: dict[BlockId, StageId] = {}
        self._stage_ids = count(1)
        self._exchange_ids = count(1)

    def handle(self, event: Event) -> list[Command]:
        if isinstance(event, TaskFinished):
            return self._task_finished(event)
        if isinstance(event, JobSubmitted):
            return self._job_submitted(event)
        if isinstance(event, ExchangeFinished):
            return self._exchange_finished(event)
        if isinstance(event, BlocksGone):
            return self._blocks_gone(event)
        if isinstance(event, TaskFailed):
            return self._task_failed(event)
        return self._end_job(event.job, None)[1:]

    def output_of(self, stage: StageId) -> Output | None:
        """Where the records of a stage under way go; None if nobody waits for it any more."""
        run = self._runs.get(stage)
        return run.stage.output if run else None

    def tasks_of(self, stage: StageId) -> int:
        """The number of tasks of a stage under way; 0 if it is not."""
        run = self._runs.get(stage)
        return len(run.need.work) if run else 0

    def load(self) -> dict[Rank, int]:
        """Tasks under way at each executor."""
        return {rank: sum(run.load.get(rank, 0) for run in self._runs.values()) for rank in self.executors}

    def jobs_wanting(self, output: Output) -> list[JobId]:
        """The jobs that a stage with this output runs for, oldest first."""
        return [job.id for job in self._jobs.values() if self._wants(job, output)]

    def progress(self, job: JobId) -> dict[StageId, tuple[str, int, int]]:
        """Stages of the job under way: label, tasks done, tasks in all; none when it has ended."""
        return {
            run.stage.id: (run.stage.label, len(run.need.work) - len(run.running) - len(run.free), len(run.need.work))
            for run in self._runs.values()
            if job in self._jobs and self._wants(self._jobs[job], run.stage.output)
        }

    def forget(self, node: NodeId) -> None:
        """Executors are told to drop everything of the node: nobody refers to it any more."""
        self.kept.discard(node)
        self.have.forget(node)
        self._forget_arrivals(node)

    def forget_shuffle(self, node: NodeId) -> None:
        """Executors are told to drop the shuffle's map outputs and what was exchanged of them."""
        self.have.forget_shuffle(node)
        self._forget_arrivals(node)

    def _forget_arrivals(self, node: NodeId) -> None:
        for exchange in self._exchanges.values():
            exchange.forgotten.add(node)

    # --- events -------------------------------------------------------------------------------------------------------

    def _job_submitted(self, event: JobSubmitted) -> list[Command]:
        job = _Job(event.job, event.node, event.label, dict.fromkeys(event.partitions), shuffles_of(event.node))
        self._jobs[event.job] = job
        return self._advance(job)

    def _task_finished(self, event: TaskFinished) -> list[Command]:
        run = self._settle(event.stage, event.partition)
        unwanted = []
        for block in event.made:
            if self._is_wanted(block, run) or event.executor in self.have.holders(block):
                self.have.add(block, event.executor)
            else:
                unwanted.append(block)
        commands: list[Command] = [DropBlocks(event.executor, tuple(unwanted))] if unwanted else []
        if run is None:
            return commands
        run.seconds += event.seconds
        output = run.stage.output
        if output.kind == "result":
            self._jobs[output.of].undone.pop(event.partition, None)
        return commands + self._go_on(run, event.executor)

    def _is_wanted(self, block: BlockId, run: _Run | None) -> bool:
        """False for what a late task of a job that ended made, unless others make the same now: the executor may run
        their task as well before it hears of a drop, and a drop would then take what the account says is there."""
        if block.kind == "rdd":
            return block.of in self.kept
        return run is not None or Output("map", block.of) in self._outputs

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
        return [*(DropBlocks(executor, tuple(blocks)) for executor, blocks in unwanted.items()), *self._advance_all()]

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

    def _blocks_gone(self, event: BlocksGone) -> list[Command]:
        for block in event.blocks:
            self.have.discard(block, event.executor)
            if block.kind == "map":
                self._forget_arrivals(block.of)  # an exchange that lacks a map output is void
        if event.stage is None:
            return []
        run = None
        for partition in event.partitions:
            run = self._settle(event.stage, partition) or run
        return self._go_on(run, event.executor) if run is not None else []

    def _task_failed(self, event: TaskFailed) -> list[Command]:
        run = self._settle(event.stage, event.partition)
        if run is None:
            return []
        commands: list[Command] = []
        for job in list(self._jobs.values()):
            if self._wants(job, run.stage.output):
                commands += self._end_job(job.id, event.failure)
        return commands

    # --- planning -----------------------------------------------------------------------------------------------------

    def _advance_all(self) -> list[Command]:
        return [command for job in list(self._jobs.values()) for command in self._advance(job)]

    def _advance(self, job: _Job) -> list[Command]:
        """Start whatever can start for the job, or end it."""
        if job.id not in self._jobs:
            return []  # ended by what was started for another job
        if not job.undone:
            return self._end_job(job.id, None)
        goal = Goal(job.node, list(job.undone), Output("result", job.id), job.label)
        commands: list[Command] = []
        for need in missing(goal, self.have, self.kept):
            if not need.blocked and need.goal.output not in self._outputs:
                commands += self._start(need)
        return commands

    def _start(self, need: Need) -> list[Command]:
        if any(block in self._making for work in need.work.values() for block in work.makes):
            return []  # another stage computes a partition to be kept; when it is done, this one can read it
        if need.barrier:
            if len(need.work) > len(self.executors) or any(run.running for run in self._runs.values()):
                return self._hold_barrier(need)
            places: dict[int, Rank | None] = dict(zip(need.work, self.executors, strict=False))
        else:
            places = {partition: self._place(partition, work) for partition, work in need.work.items()}
        if need.absent:
            return [command for shuffle in need.absent for command in self._exchange(need, shuffle, places)]
        need = need if need.barrier else _first_makers(need)
        copies = self._copies(need, places)
        return self._copy(copies) if copies else self._run(need, places)

    def _hold_barrier(self, need: Need) -> list[Command]:
        """A barrier stage waits until nothing else runs; one that can never start all its tasks fails."""
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

    def _exchange(self, need: Need, shuffle: NodeId, places: dict[int, Rank | None]) -> list[Command]:
        """Bring the absent reduce partitions of ``shuffle`` to where the tasks that read them will run."""
        if any(exchange.plan.shuffle == shuffle for exchange in self._exchanges.values()):
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
        if any(exchange.plan.copies for exchange in self._exchanges.values()):
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
        self._exchanges[plan.exchange] = _Exchange(plan, set(self.executors))
        return plan

    # --- running ------------------------------------------------------------------------------------------------------

    def _run(self, need: Need, places: dict[int, Rank | None]) -> list[Command]:
        stage = Stage(next(self._stage_ids), need.goal.label, need.goal.node.id, need.goal.output, need.pipes)
        run = _Run(stage, need, deque(p for p in need.work if places[p] is None), load=dict.fromkeys(self.executors, 0))
        self._runs[stage.id] = run
        self._outputs[stage.output] = stage.id
        for work in need.work.values():
            for block in work.makes:
                self._making[block] = stage.id
        placed: dict[Rank, list[int]] = {}
        for partition in need.work:
            place = places[partition]
            if place is not None:
                placed.setdefault(place, []).append(partition)
        commands: list[Command] = [self._send(run, executor, partitions) for executor, partitions in placed.items()]
        for executor in self.executors:
            if run.free and not run.load[executor]:
                commands += self._hand_out(run, executor)
        return commands

    def _go_on(self, run: _Run, executor: Rank) -> list[Command]:
        """A task of the run is over on the executor: end the run, or give the executor more."""
        if run.done():
            return self._run_done(run)
        if run.free and not run.load[executor]:
            return self._hand_out(run, executor)
        return []

    def _hand_out(self, run: _Run, executor: Rank) -> list[Command]:
        share = run.share(len(self.executors))
        return [self._send(run, executor, [run.free.popleft() for _ in range(share)])]

    def _send(self, run: _Run, executor: Rank, partitions: list[int]) -> Command:
        for partition in partitions:
            run.running[partition] = executor
        run.load[executor] += len(partitions)
        tasks = tuple(Task(p, tuple(run.need.work[p].splits)) for p in partitions)
        return StartTasks(executor, run.stage, run.need.nodes, tasks, len(run.need.work) if run.need.barrier else 0)

    def _settle(self, stage: StageId, partition: int) -> _Run | None:
        """The task is no longer under way; its run, or None if nobody waits for it."""
        run = self._runs.get(stage)
        if run is None or partition not in run.running:
            return None
        run.load[run.running.pop(partition)] -= 1
        return run

    def _run_done(self, run: _Run) -> list[Command]:
        self._drop_run(run)
        return [CloseStage(run.stage.id), *self._advance_all()]

    def _drop_run(self, run: _Run) -> None:
        del self._runs[run.stage.id]
        del self._outputs[run.stage.output]
        for work in run.need.work.values():
            for block in work.makes:
                self._making.pop(block, None)

    def _wants(self, job: _Job, output: Output) -> bool:
        return output.of == job.id if output.kind == "result" else output.of in job.shuffles

    def _end_job(self, job_id: JobId, failure: Failure | None) -> list[Command]:
        """End the job, and cancel what runs for no other; then let others go on that waited for it."""
        self._jobs.pop(job_id, None)
        commands: list[Command] = [JobEnded(job_id, failure)]
        orphans = [run for run in self._runs.values()
                   if not any(self._wants(job, run.stage.output) for job in self._jobs.values())]
        for run in orphans:
            commands += [CancelStage(executor, run.stage.id) for executor, load in run.load.items() if load]
            commands.append(CloseStage(run.stage.id))
            self._drop_run(run)
        return commands + (self._advance_all() if orphans else [])


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
