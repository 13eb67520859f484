"""A cluster of simulated executors around the real scheduler, for thousands of seeded schedules without MPI.

An executor behaves as the real one: messages reach it in order, it takes part in exchanges before it runs
tasks, an exchange begins when all have come to it, and what it tells the driver arrives in order, some time
later. Who does something next is random. Data is only the ids of blocks, and for ``in`` blocks the map outputs
that came together in them.

A task of a barrier stage comes to the barrier where it computes the barrier's step, and not where it finds what that made.

An executor may die at any moment, with messages on their way in both directions. The driver hears of it some time
later; until then an exchange with the dead stands still, though some may have got all of theirs. Told to regroup,
executors leave their exchanges, and the driver says ``Regrouped`` when all living ones are there.

``Account`` knows what the driver has been told, and holds every command against it: a task is sent only where
all that it reads lies, nothing that exists is made again, no task runs twice at a time, an exchange is complete,
nothing goes to the lost. When nothing moves any more, every job must have ended.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field
from random import Random

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
from mpirdd.decisions.lineage import (
    Concatenated,
    Crossed,
    Grouped,
    Narrow,
    Node,
    OneToOne,
    Shuffled,
    Source,
    walk,
)
from mpirdd.decisions.scheduler import Scheduler
from mpirdd.words.errors import Failure
from mpirdd.words.ids import BlockId, JobId, NodeId, Rank, StageId
from mpirdd.words.stage import Output, Stage

FAILURE = Failure("ValueError", "", 1, "host", "stage", 0, None)
WAITS_FOR_EVER = Failure("UsageError: waits at a barrier", "", 1, "host", "stage", 0, None)
"""As the driver has it, of a task that waits at a barrier for one that has ended."""


@dataclass(frozen=True)
class DropNode:
    """What the driver tells all executors when it forgets a node, or only what was shuffled for it."""

    node: NodeId
    kinds: tuple[str, ...] = ("rdd", "map", "in")


@dataclass(frozen=True)
class InGroup:
    """An executor has come to the group of an epoch. To the driver alone, which tells the scheduler when all have."""

    executor: Rank
    epoch: int


Message = StartTasks | StartExchange | CancelStage | CancelTask | CloseStage | DropBlocks | DropNode | Regroup


@dataclass(frozen=True)
class Chaos:
    """What goes wrong."""

    failing: float = 0.0
    """Probability that a task fails."""
    vanishing: float = 0.0
    """Probability, at each step, that a block is gone; its executor says so when somebody wants it."""
    dying: float = 0.0
    """Probability, at each step, that an executor dies."""
    survivors: int = 0
    """So many executors never die."""
    dawdling: float = 0.0
    """Probability that a task takes long, and its executor says so."""


# --- what a task touches ----------------------------------------------------------------------------------------------


@dataclass
class Touched:
    lacking: list[BlockId]
    """Blocks without which the task cannot run; empty when it can."""
    kept: list[BlockId]
    """Persisted partitions that it computes."""
    read: list[BlockId]
    """``in`` blocks that it merges."""


def touch(stage: Stage, task: Task, held: Container[BlockId]) -> Touched:
    """What a task does on an executor that holds these blocks."""
    kept: dict[BlockId, None] = {}
    absent: list[BlockId] = []
    read: list[BlockId] = []
    complete, splits = True, set(task.splits)
    stack = [(stage.target, task.partition)]
    while stack:
        node, index = stack.pop()
        pipe = stage.pipes[node]
        if pipe.keep:
            block = BlockId("rdd", node, index)
            if block in held or block in kept:
                continue
            kept[block] = None
        if pipe.kind == "source":
            complete = complete and (pipe.head, index) in splits
        elif pipe.kind == "shuffle":
            (read if BlockId("in", pipe.head, index) in held else absent).append(BlockId("in", pipe.head, index))
        elif any(parent not in stage.pipes for parent in pipe.parents):
            complete = False
        else:
            assert pipe.inputs is not None
            stack.extend((pipe.parents[parent], at) for parent, at in pipe.inputs.of(index))
    return Touched([] if complete and not absent else [*kept, *absent], list(kept), read)


# --- the account ------------------------------------------------------------------------------------------------------


class Account:
    """What the driver has been told; checks its commands against that."""

    def __init__(self, executors: Iterable[Rank], *, speculation: bool = False) -> None:
        self.executors = set(executors)
        """Not known to be lost."""
        self.nodes: dict[NodeId, Node] = {}
        self.targets: dict[JobId, Node] = {}
        self.wanted: dict[JobId, set[int]] = {}
        self.results: dict[JobId, Counter[int]] = {}
        """How often each partition of a job arrived."""
        self.ended: dict[JobId, Failure | None] = {}
        self.holders: dict[BlockId, set[Rank]] = {}
        self.late: set[BlockId] = set()
        """Made by tasks of stages that had been given up: others may be making them anew already."""
        self.starts: Counter[tuple[Output, int]] = Counter()
        """How often each task was started."""
        self.slow: list[TaskSlow] = []
        self.recovering: list[Recovering] = []
        self.regrouping = False
        self.epoch = 0
        self._speculation = speculation
        self._outputs: dict[StageId, Output] = {}
        self._barriers: set[StageId] = set()
        self._attempts: dict[tuple[StageId, int], set[Rank]] = {}
        self._under_way: Counter[tuple[Output, int]] = Counter()
        self._closed: set[StageId] = set()
        self._void: set[int] = set()
        self._exchanges: dict[int, tuple[StartExchange, set[Rank]]] = {}

    def note(self, event: Event) -> None:
        if isinstance(event, JobSubmitted):
            self.nodes.update((node.id, node) for node in walk(event.node))
            self.targets[event.job] = event.node
            self.wanted[event.job], self.results[event.job] = set(event.partitions), Counter()
        elif isinstance(event, JobCancelled):
            self.ended[event.job] = FAILURE
        elif isinstance(event, Regrouped):
            self.regrouping = self.regrouping and event.epoch != self.epoch
        elif event.executor in self.executors:
            self._note_from_executor(event)

    def _note_from_executor(self, event: Event) -> None:
        if isinstance(event, TaskFinished):
            output = self._outputs[event.stage]
            if event.stage in self._closed:
                self.late.update(event.made)
            for rank in list(self._attempts.get((event.stage, event.partition), ())):
                self._over(event.stage, event.partition, rank)
            if event.stage not in self._closed or event.stage not in self._barriers:
                for block in event.made:
                    self._add(block, event.executor)
            if output.kind == "result":
                self.results[output.of][event.partition] += 1
        elif isinstance(event, TaskFailed):
            self._over(event.stage, event.partition, event.executor)
        elif isinstance(event, BlocksGone):
            self._remove(event.blocks, event.executor)
            for block in event.blocks:
                if block.kind == "map":
                    self._make_void(block.of)
            for partition in event.partitions:
                self._over(event.stage or 0, partition, event.executor)
        elif isinstance(event, ExchangeFinished):
            self._note_exchange(event)
        elif isinstance(event, ExecutorLost):
            self._note_loss(event.executor)

    def _note_loss(self, lost: Rank) -> None:
        self.executors.discard(lost)
        self._exchanges.clear()
        self.regrouping = True
        self.gone = Counter(block.kind for block, ranks in self.holders.items() if ranks == {lost})
        for ranks in self.holders.values():
            ranks.discard(lost)
        self.tasks_there = sum(lost in ranks for ranks in self._attempts.values())
        for stage, partition in [key for key, ranks in self._attempts.items() if lost in ranks]:
            self._over(stage, partition, lost)

    def _over(self, stage: StageId, partition: int, rank: Rank) -> None:
        """An attempt is."""
        ranks = self._attempts.get((stage, partition), set())
        if rank in ranks:
            ranks.remove(rank)
            self._under_way[self._outputs[stage], partition] -= 1
            if not ranks:
                del self._attempts[stage, partition]

    def _note_exchange(self, event: ExchangeFinished) -> None:
        if event.exchange not in self._exchanges:
            return  # an executor was lost meanwhile
        plan, waiting = self._exchanges[event.exchange]
        waiting.discard(event.executor)
        if waiting:
            return
        del self._exchanges[event.exchange]
        for rank, parts in plan.owners.items():
            for part in parts:
                if event.exchange not in self._void:
                    self._add(BlockId("in", plan.shuffle or 0, part), rank)
        for sender, copies in plan.copies.items():
            for block, rank in copies:
                if sender in self.holders.get(block, ()):  # else it has said that it could not give it
                    self._add(block, rank)

    def forget(self, node: NodeId) -> None:
        del self.nodes[node]
        for block in [block for block in self.holders if block.of == node]:
            del self.holders[block]

    def _make_void(self, shuffle: NodeId) -> None:
        self._void.update(id for id, (plan, _) in self._exchanges.items() if plan.shuffle == shuffle)

    def drop_shuffle(self, node: NodeId) -> None:
        self._make_void(node)
        for block in [block for block in self.holders if block.of == node and block.kind != "rdd"]:
            del self.holders[block]
            self.late.add(block)

    def _add(self, block: BlockId, rank: Rank) -> None:
        if block.of in self.nodes:
            self.holders.setdefault(block, set()).add(rank)

    def _remove(self, blocks: Iterable[BlockId], rank: Rank) -> None:
        for block in blocks:
            self.holders.get(block, set()).discard(rank)

    def check(self, command: Command) -> None:
        rank = getattr(command, "executor", None)
        assert rank is None or rank in self.executors, f"a command to the lost executor {rank}"
        if isinstance(command, StartTasks):
            self._check_tasks(command)
        elif isinstance(command, StartExchange):
            self._check_exchange(command)
            self._exchanges[command.exchange] = command, set(command.executors)
        elif isinstance(command, DropBlocks):
            self._remove(command.blocks, command.executor)
        elif isinstance(command, CancelTask):
            self._over(command.stage, command.partition, command.executor)
        elif isinstance(command, CloseStage):
            self._closed.add(command.stage)
            for stage, partition in [key for key in self._attempts if key[0] == command.stage]:
                for attempt in list(self._attempts[stage, partition]):
                    self._over(stage, partition, attempt)
        elif isinstance(command, Regroup):
            assert set(command.executors) == self.executors and command.epoch > self.epoch
            self.epoch = command.epoch
        elif isinstance(command, Recovering):
            assert command.blocks == self.gone and command.tasks == self.tasks_there
            self.recovering.append(command)
        elif isinstance(command, TaskSlow):
            self.slow.append(command)
        elif isinstance(command, JobEnded):
            assert command.job not in self.ended, f"job {command.job} ended twice"
            self.ended[command.job] = command.failure
            assert command.failure or set(self.results[command.job]) == self.wanted[command.job]

    def _check_tasks(self, command: StartTasks) -> None:
        stage = command.stage.id
        self._outputs[stage] = output = command.stage.output
        if command.barrier:
            self._barriers.add(stage)
        here = _HeldBy(self.holders, command.executor)
        for task in command.tasks:
            touched = touch(command.stage, task, here)
            assert not touched.lacking, f"sent to executor {command.executor}, which lacks {touched.lacking}"
            if output.kind == "map":
                self._check_new(BlockId("map", output.of, task.partition))
            else:
                assert output.of not in self.ended
                assert command.barrier or not self.results[output.of][task.partition]
            for block in touched.kept:
                self._check_new(block)
            ranks = self._attempts.setdefault((stage, task.partition), set())
            assert command.executor not in ranks
            ranks.add(command.executor)
            self._under_way[output, task.partition] += 1
            self.starts[output, task.partition] += 1
            most = 2 if self._speculation and not command.barrier else 1
            assert self._under_way[output, task.partition] <= most, "runs already"

    def _check_new(self, block: BlockId) -> None:
        assert block in self.late or not self.holders.get(block), f"{block} exists already"

    def _check_exchange(self, plan: StartExchange) -> None:
        assert set(plan.executors) == self.executors
        assert not self.regrouping, "there is no group"
        assert not any(stage in self._barriers for stage, _ in self._attempts), "some wait at a barrier"
        if plan.shuffle is not None:
            shuffle = self.nodes[plan.shuffle]
            assert isinstance(shuffle, Shuffled)
            given = [index for maps in plan.maps.values() for index in maps]
            assert sorted(given) == list(range(shuffle.from_node.num_partitions)), "incomplete or doubled"
            for rank, maps in plan.maps.items():
                for index in maps:
                    assert rank in self.holders[BlockId("map", plan.shuffle, index)], "not where the scheduler thinks"
            for parts in plan.owners.values():
                assert not any(self.holders.get(BlockId("in", plan.shuffle, part)) for part in parts), "exchanged already"
        for rank, copies in plan.copies.items():
            for block, to in copies:
                assert rank in self.holders[block] and to not in self.holders[block], "a copy for nothing"


class _HeldBy:
    """The blocks of one executor, as a container."""

    def __init__(self, holders: dict[BlockId, set[Rank]], rank: Rank) -> None:
        self._holders, self._rank = holders, rank

    def __contains__(self, block: object) -> bool:
        return self._rank in self._holders.get(block, ())  # type: ignore[call-overload]


# --- the cluster ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Queued:
    stage: Stage
    task: Task
    barrier: int


@dataclass
class Executor:
    rank: Rank
    inbox: deque[Message] = field(default_factory=deque)
    tasks: deque[Queued] = field(default_factory=deque)
    slow: Queued | None = None
    """What it has been running for long."""
    at_barrier: Queued | None = None
    exchanges: deque[StartExchange] = field(default_factory=deque)
    joined: bool = False
    """Is in the first of its exchanges, and has given what it gives."""
    outbox: deque[Event | InGroup] = field(default_factory=deque)
    blocks: dict[BlockId, frozenset[int]] = field(default_factory=dict)
    """What it holds; for ``in`` blocks, with the map outputs that came together in it."""
    dead: bool = False


@dataclass
class Meeting:
    """An exchange under way."""

    joined: int = 0
    left: int = 0
    void: bool = False
    """A map output was not there."""
    maps: set[int] = field(default_factory=set)
    """The map outputs that were given."""
    copies: dict[tuple[BlockId, Rank], frozenset[int]] = field(default_factory=dict)
    """What was really given, and to whom."""


class Simulator:
    """``submit``, ``cancel`` and ``forget`` as a program would; ``step`` or ``run``; then look at the account."""

    def __init__(
        self, executors: int, random: Random, chaos: Chaos | None = None, *, task_retries: int = 0, speculation: bool = False
    ) -> None:
        ranks = range(1, executors + 1)
        self.scheduler = Scheduler(ranks, task_retries=task_retries, speculation=speculation)
        self.executors = {rank: Executor(rank) for rank in ranks}
        self.account = Account(self.executors, speculation=speculation)
        self.made: Counter[BlockId] = Counter()
        """How often each block was computed."""
        self.lost: Counter[BlockId] = Counter()
        """How often an executor died that held it."""
        self.exchanges = 0
        self.events = 0
        self.chaos = chaos or Chaos()
        self._random = random
        self._restless = _Bag()
        self._meetings: dict[int, Meeting] = {}
        self._barriers: dict[StageId, set[int]] = {}
        self._incomplete: set[StageId] = set()
        """Barrier stages of which a task has ended without coming to the barrier, as it found its partition."""
        self._groups: dict[int, tuple[Regroup, set[Rank]]] = {}

    # --- the program ----------------------------------------------------------------------------------------------

    def submit(self, job: JobId, node: Node, partitions: Iterable[int] | None = None) -> None:
        wanted = range(node.num_partitions) if partitions is None else partitions
        self._tell(JobSubmitted(job, node, list(wanted), f"job {job}"))

    def cancel(self, job: JobId) -> None:
        if job not in self.account.ended:
            self._tell(JobCancelled(job))

    def forget(self, node: NodeId) -> None:
        """No handle refers to the node, and no job needs it."""
        self.scheduler.forget(node)
        self.account.forget(node)
        for rank in self.account.executors:
            self._send(rank, DropNode(node))

    def drop_shuffle(self, node: NodeId) -> None:
        """Free what a shuffle holds; who needs it makes it again."""
        self.scheduler.forget_shuffle(node)
        self.account.drop_shuffle(node)
        for rank in self.account.executors:
            self._send(rank, DropNode(node, ("map", "in")))

    def living(self) -> list[Executor]:
        return [executor for executor in self.executors.values() if not executor.dead]

    def kill(self, rank: Rank) -> None:
        """The driver hears of it later."""
        executor = self.executors[rank]
        executor.dead = True
        self.lost.update(executor.blocks.keys())
        for _ in range(self._random.randint(0, len(executor.outbox))):
            executor.outbox.pop()  # what it had not sent yet
        self._restless.add(rank)

    def lose(self, *ranks: Rank) -> None:
        """The executors die, and the driver hears of it at once."""
        for rank in ranks:
            self.kill(rank)
        for rank in ranks:
            self._detect(self.executors[rank])
            self._look_at(self.executors[rank])

    def run(self, steps: int = 100_000) -> None:
        """Until nothing moves any more; then every job has ended."""
        for _ in range(steps):
            if not self.step():
                waiting = set(self.account.wanted) - set(self.account.ended)
                assert not waiting, f"jobs {waiting} wait for ever"
                return
        raise AssertionError(f"still busy after {steps} steps")

    def step(self) -> bool:
        """Somebody does something; False when there is nothing to do."""
        if not self._restless:
            return False
        executor = self.executors[self._restless.choose(self._random)]
        chaos = self.chaos
        if chaos.vanishing and self._random.random() < chaos.vanishing:
            self._vanish(executor)
        if chaos.dying and self._random.random() < chaos.dying:
            living = self.living()
            if len(living) > chaos.survivors:
                self.kill(self._random.choice(living).rank)
        possible = self._possible(executor)
        if possible:
            self._random.choice(possible)(executor)
        self._look_at(executor)
        return True

    # --- executors ------------------------------------------------------------------------------------------------

    def _possible(self, executor: Executor) -> list[Callable[[Executor], None]]:
        actions: list[Callable[[Executor], None]] = []
        if executor.outbox:
            actions.append(self._report)  # what a dead one had sent may come before or after the news of its death
        if executor.dead:
            return [*actions, self._detect] if executor.rank in self.account.executors else actions
        if executor.inbox:
            actions.append(self._read)
        if executor.slow is not None:
            actions += [self._dawdle, self._finish_slow]
        elif executor.at_barrier is not None:
            if len(self._barriers[executor.at_barrier.stage.id]) == executor.at_barrier.barrier:
                actions.append(self._pass_barrier)
            elif executor.at_barrier.stage.id in self._incomplete:
                actions.append(self._wait_for_ever)
        elif executor.exchanges:
            plan = executor.exchanges[0]
            if not executor.joined:
                actions.append(self._join)
            elif self._meetings[plan.exchange].joined == len(plan.executors) and (
                not any(self.executors[rank].dead for rank in plan.executors)
                or (executor.rank + plan.exchange) % 2  # it had got everything before the other died
            ):
                actions.append(self._leave)
        elif executor.tasks:
            actions.append(self._work)
        return actions

    def _report(self, executor: Executor) -> None:
        message = executor.outbox.popleft()
        if not isinstance(message, InGroup):
            self._tell(message)
            return
        regroup, there = self._groups[message.epoch]
        there.add(message.executor)
        if there == set(regroup.executors):
            self._tell(Regrouped(message.epoch))

    def _detect(self, executor: Executor) -> None:
        self._tell(ExecutorLost(executor.rank))

    def _read(self, executor: Executor) -> None:
        message = executor.inbox.popleft()
        if isinstance(message, StartTasks):
            executor.tasks.extend(Queued(message.stage, task, message.barrier) for task in message.tasks)
        elif isinstance(message, StartExchange):
            executor.exchanges.append(message)
        elif isinstance(message, DropBlocks):
            for block in message.blocks:
                executor.blocks.pop(block, None)
        elif isinstance(message, DropNode):
            for block in [block for block in executor.blocks if block.of == message.node and block.kind in message.kinds]:
                del executor.blocks[block]
        elif isinstance(message, CancelStage):
            self._give_up(executor, lambda queued: queued.stage.id == message.stage)
        elif isinstance(message, CancelTask):
            self._give_up(executor, lambda queued: (queued.stage.id, queued.task.partition) == (message.stage, message.partition))
        elif isinstance(message, Regroup):
            executor.exchanges.clear()
            executor.joined = False
            executor.outbox.append(InGroup(executor.rank, message.epoch))
        else:
            left = [*executor.tasks, *(running for running in (executor.slow, executor.at_barrier) if running)]
            assert all(queued.stage.id != message.stage for queued in left), "a closed stage has tasks left"

    def _give_up(self, executor: Executor, unwanted: Callable[[Queued], bool]) -> None:
        executor.tasks = deque(queued for queued in executor.tasks if not unwanted(queued))
        if executor.slow is not None and unwanted(executor.slow):
            executor.slow = None
        if executor.at_barrier is not None and unwanted(executor.at_barrier):
            executor.at_barrier = None

    def _join(self, executor: Executor) -> None:
        plan = executor.exchanges[0]
        maps = [BlockId("map", plan.shuffle or 0, index) for index in plan.maps.get(executor.rank, ())]
        copies = plan.copies.get(executor.rank, ())
        gone = tuple(block for block in [*maps, *(block for block, _ in copies)] if block not in executor.blocks)
        if gone:
            executor.outbox.append(BlocksGone(executor.rank, gone))
        meeting = self._meetings.setdefault(plan.exchange, Meeting())
        meeting.void = meeting.void or any(block in gone for block in maps)
        meeting.maps.update(block.part for block in maps)
        meeting.copies.update((copy, executor.blocks[copy[0]]) for copy in copies if copy[0] not in gone)
        executor.joined = True
        meeting.joined += 1
        if meeting.joined == len(plan.executors):
            for rank in plan.executors:
                self._restless.add(rank)

    def _leave(self, executor: Executor) -> None:
        plan = executor.exchanges.popleft()
        executor.joined = False
        meeting = self._meetings[plan.exchange]
        if not meeting.void:
            for part in plan.owners.get(executor.rank, ()):
                executor.blocks[BlockId("in", plan.shuffle or 0, part)] = frozenset(meeting.maps)
        for (block, to), value in meeting.copies.items():
            if to == executor.rank:
                executor.blocks[block] = value
        executor.outbox.append(ExchangeFinished(executor.rank, plan.exchange))
        meeting.left += 1
        if meeting.left == len(plan.executors):
            del self._meetings[plan.exchange]

    def _work(self, executor: Executor) -> None:
        queued = executor.tasks.popleft()
        stage, task = queued.stage, queued.task
        touched = touch(stage, task, executor.blocks)
        if touched.lacking:
            executor.outbox.append(BlocksGone(executor.rank, tuple(touched.lacking), stage.id, (task.partition,)))
        elif self._random.random() < self.chaos.failing:
            executor.outbox.append(TaskFailed(executor.rank, stage.id, task.partition, FAILURE))
        elif queued.barrier and not self._computes_barrier(stage, task, executor.blocks):
            self._finish(executor, queued)
            self._incomplete.add(stage.id)
            for rank in self.executors:
                self._restless.add(rank)
        elif queued.barrier:
            executor.at_barrier = queued
            self._barriers.setdefault(stage.id, set()).add(task.partition)
            for rank in self.executors:
                self._restless.add(rank)
        elif self.chaos.dawdling and self._random.random() < self.chaos.dawdling:
            executor.slow = queued
        else:
            self._finish(executor, queued)

    def _computes_barrier(self, stage: Stage, task: Task, held: Container[BlockId]) -> bool:
        stack = [(stage.target, task.partition)]
        while stack:
            node, index = stack.pop()
            pipe = stage.pipes[node]
            if pipe.keep and BlockId("rdd", node, index) in held:
                continue
            if any(getattr(self.account.nodes.get(member), "barrier", False) for member in (pipe.head, *pipe.steps)):
                return True
            if pipe.inputs is not None:
                stack.extend((pipe.parents[parent], at) for parent, at in pipe.inputs.of(index))
        return False

    def _dawdle(self, executor: Executor) -> None:
        assert executor.slow is not None
        executor.outbox.append(TaskRunning(
            executor.rank, executor.slow.stage.id, executor.slow.task.partition, self._random.choice([0.5, 50.0])))

    def _finish_slow(self, executor: Executor) -> None:
        assert executor.slow is not None
        self._finish(executor, executor.slow)
        executor.slow = None

    def _pass_barrier(self, executor: Executor) -> None:
        assert executor.at_barrier is not None
        self._finish(executor, executor.at_barrier)
        executor.at_barrier = None

    def _wait_for_ever(self, executor: Executor) -> None:
        assert executor.at_barrier is not None
        stage, task = executor.at_barrier.stage, executor.at_barrier.task
        executor.outbox.append(TaskFailed(executor.rank, stage.id, task.partition, WAITS_FOR_EVER))
        executor.at_barrier = None

    def _finish(self, executor: Executor, queued: Queued) -> None:
        stage, task = queued.stage, queued.task
        touched = touch(stage, task, executor.blocks)
        if touched.lacking:  # vanished while it ran
            executor.outbox.append(BlocksGone(executor.rank, tuple(touched.lacking), stage.id, (task.partition,)))
            return
        for block in touched.read:
            shuffle = self.account.nodes.get(block.of)
            assert not isinstance(shuffle, Shuffled) or executor.blocks[block] == frozenset(
                range(shuffle.from_node.num_partitions)), f"{block} is incomplete"
        made = [*touched.kept]
        if stage.output.kind == "map":
            made.append(BlockId("map", stage.output.of, task.partition))
        executor.blocks.update((block, frozenset()) for block in made)
        self.made.update(made)
        seconds = self._random.expovariate(1000)
        executor.outbox.append(TaskFinished(executor.rank, stage.id, task.partition, tuple(made), seconds))

    def _vanish(self, executor: Executor) -> None:
        if executor.blocks:
            del executor.blocks[self._random.choice(sorted(executor.blocks))]

    def _look_at(self, executor: Executor) -> None:
        if self._possible(executor):
            self._restless.add(executor.rank)
        else:
            self._restless.discard(executor.rank)

    # --- the driver -----------------------------------------------------------------------------------------------

    def _tell(self, event: Event) -> None:
        self.events += 1
        self.account.note(event)
        for command in self.scheduler.handle(event):
            self.account.check(command)
            if isinstance(command, StartExchange):
                self.exchanges += 1
                for rank in command.executors:
                    self._send(rank, command)
            elif isinstance(command, Regroup):
                self._groups[command.epoch] = command, set()
                for rank in command.executors:
                    self._send(rank, command)
            elif isinstance(command, CloseStage):
                for rank in self.account.executors:
                    self._send(rank, command)
            elif not isinstance(command, JobEnded | Recovering | TaskSlow):
                self._send(command.executor, command)

    def _send(self, rank: Rank, message: Message) -> None:
        self.executors[rank].inbox.append(message)
        self._restless.add(rank)


class _Bag:
    """A set from which a random member can be drawn in constant time."""

    def __init__(self) -> None:
        self._members: list[Rank] = []
        self._places: dict[Rank, int] = {}

    def __len__(self) -> int:
        return len(self._members)

    def choose(self, random: Random) -> Rank:
        return self._members[int(random.random() * len(self._members))]

    def add(self, member: Rank) -> None:
        if member not in self._places:
            self._places[member] = len(self._members)
            self._members.append(member)

    def discard(self, member: Rank) -> None:
        place = self._places.pop(member, None)
        if place is not None:
            last = self._members.pop()
            if last != member:
                self._members[place] = last
                self._places[last] = place


# --- lineages ---------------------------------------------------------------------------------------------------------


class Lineage:
    """Makes nodes. Their functions are never called here."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def source(self, partitions: int) -> Node:
        return self._add(lambda id: Source(id, f"source {id}", partitions, None, iter, range(partitions)))

    def map(self, parent: Node) -> Node:
        return self._narrow(parent.num_partitions, (parent,), OneToOne())

    def zip(self, *parents: Node) -> Node:
        return self._narrow(parents[0].num_partitions, parents, OneToOne(len(parents)))

    def union(self, *parents: Node) -> Node:
        counts = tuple(parent.num_partitions for parent in parents)
        return self._narrow(sum(counts), parents, Concatenated(counts))

    def coalesce(self, parent: Node, partitions: int) -> Node:
        have = parent.num_partitions
        groups = tuple(tuple(range(i * have // partitions, (i + 1) * have // partitions)) for i in range(partitions))
        return self._narrow(partitions, (parent,), Grouped(groups))

    def cartesian(self, first: Node, second: Node) -> Node:
        return self._narrow(
            first.num_partitions * second.num_partitions, (first, second), Crossed(second.num_partitions))

    def shuffle(self, parent: Node, partitions: int) -> Node:
        return self._add(lambda id: Shuffled(id, f"shuffle {id}", partitions, None, parent, list, iter))  # type: ignore[arg-type]

    def barrier(self, parent: Node) -> Node:
        return self._add(lambda id: Narrow(
            id, f"barrier {id}", parent.num_partitions, None, (parent,), OneToOne(), zip, barrier=True))

    def _narrow(self, partitions: int, parents: tuple[Node, ...], inputs: OneToOne | Concatenated | Grouped | Crossed) -> Node:
        return self._add(lambda id: Narrow(id, f"narrow {id}", partitions, None, parents, inputs, zip))

    def _add(self, make: Callable[[NodeId], Node]) -> Node:
        node = make(len(self.nodes) + 1)
        self.nodes.append(node)
        return node


def random_lineage(random: Random, size: int, *, most_partitions: int = 6, barriers: float = 0.0) -> list[Node]:
    """About ``size`` nodes, each made from earlier ones; ``barriers`` is the share of barrier stages among the maps."""
    lineage = Lineage()
    for _ in range(random.randint(1, 2)):
        lineage.source(random.randint(1, most_partitions))
    while len(lineage.nodes) < size:
        parent, other = random.choice(lineage.nodes), random.choice(lineage.nodes)
        parts = random.randint(1, most_partitions)
        kind = random.choice(["map", "map", "shuffle", "shuffle", "join", "union", "coalesce", "cartesian", "zip"])
        if kind == "map":
            lineage.barrier(parent) if barriers and random.random() < barriers else lineage.map(parent)
        elif kind == "shuffle":
            lineage.shuffle(parent, parts)
        elif kind == "join":
            lineage.zip(lineage.shuffle(parent, parts), lineage.shuffle(other, parts))
        elif kind == "union" and parent.num_partitions + other.num_partitions <= 3 * most_partitions:
            lineage.union(parent, other)
        elif kind == "coalesce":
            lineage.coalesce(parent, random.randint(1, parent.num_partitions))
        elif kind == "cartesian" and parent.num_partitions * other.num_partitions <= 3 * most_partitions:
            lineage.cartesian(parent, other)
        elif kind == "zip" and parent.num_partitions == other.num_partitions:
            lineage.zip(parent, other)
    return lineage.nodes


# --- for tests ---------------------------------------------------------------------------------------------------------


def play(
    seed: int,
    chaos: Chaos,
    *,
    cancelling: bool = False,
    executors: tuple[int, int] = (1, 5),
    copies: int = 1,
    task_retries: int = 0,
    speculation: bool = False,
    barriers: float = 0.0,
) -> Simulator:
    """A program: a few jobs over a random lineage, some one after the other and some at once.

    Raises:
        AssertionError: a check failed; names the seed.
    """
    random = Random(seed)
    nodes = random_lineage(random, random.randint(2, 14), barriers=barriers)
    simulator = Simulator(
        random.randint(*executors), random, chaos, task_retries=task_retries, speculation=speculation)
    simulator.scheduler.hosts = {rank: f"host {rank % 3}" for rank in simulator.executors}
    simulator.scheduler.kept.update((node.id, random.randint(1, copies)) for node in nodes if random.random() < 0.25)
    try:
        for job in range(1, random.randint(2, 5)):
            node = random.choice(nodes[-6:])
            parts = range(node.num_partitions)
            some = parts if random.random() < 0.6 else random.sample(parts, random.randint(0, len(parts)))
            simulator.submit(job, node, some)
            for _ in range(random.choice([0, 5, 50, 500])):
                simulator.step()
            if cancelling and random.random() < 0.4:
                simulator.cancel(random.randint(1, job))
        simulator.run()
    except Exception as error:
        raise AssertionError(f"seed {seed}: {error}") from error
    return simulator


def finished(command: StartTasks) -> list[TaskFinished]:
    """The tasks of a command as they report."""
    output = command.stage.output
    return [
        TaskFinished(command.executor, command.stage.id, task.partition,
                     (BlockId("map", output.of, task.partition),) if output.kind == "map" else (), 0.001)
        for task in command.tasks
    ]
