"""A cluster of simulated executors around the real scheduler, for thousands of seeded schedules
without MPI.

An executor behaves like the real one: messages reach it in order, it takes part in exchanges before
it runs tasks, an exchange begins when all have come to it, and its messages reach the driver in
order, some time later. The next actor is random. Data is only the ids of blocks, and for ``in``
blocks the map outputs that came together in them.

An executor may die at any moment, with messages on their way in both directions. The driver hears
of it some time later; until then an exchange with the dead stands still, though some members may
have received all of their data. ``Regroup`` makes executors leave their exchanges; exchanges of the
next epoch wait for members that have not read of it yet.

An ``Account`` checks every command. When nothing moves any more, every job must have ended.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass, field
from random import Random

from account import FAILURE, WAITS_FOR_EVER, Account, touch
from lineages import Lineage, random_lineage

from mpirdd.protocol.ids import BlockId, JobId, NodeId, Rank, StageId
from mpirdd.protocol.stage import Stage
from mpirdd.scheduler.events import (
    BlocksGone,
    CloseStage,
    Command,
    DataDropped,
    DropBlocks,
    DropNodes,
    Event,
    ExchangeFinished,
    ExecutorJoined,
    ExecutorLost,
    JobEnded,
    JobSubmitted,
    JobWithdrawn,
    NewEpoch,
    NodeKept,
    NodesForgotten,
    Recovering,
    SpareGone,
    SpareJoins,
    SpareStarted,
    StartExchange,
    StartTasks,
    StopStage,
    StopTask,
    TaskFailed,
    TaskFinished,
    TaskRunning,
    TaskSlow,
)
from mpirdd.scheduler.lineage import Node, Shuffled
from mpirdd.scheduler.scheduler import Scheduler

Message = StartTasks | StartExchange | StopStage | StopTask | CloseStage | DropBlocks | DropNodes | NewEpoch


@dataclass(frozen=True)
class Chaos:
    """What goes wrong."""

    failing: float = 0.0
    """Probability that a task fails."""
    vanishing: float = 0.0
    """Probability, at each step, that a block is gone; its executor says so when somebody wants
    it."""
    dying: float = 0.0
    """Probability, at each step, that an executor dies."""
    survivors: int = 0
    """So many executors never die."""
    dawdling: float = 0.0
    """Probability that a task takes long, and its executor says so."""
    sparing: float = 0.0
    """Probability, at each step, that a spare starts that has not started yet."""


@dataclass(frozen=True)
class Queued:
    stage: Stage
    partition: int
    splits: Mapping[NodeId, tuple[int, ...]]
    barrier: tuple[Rank, ...]


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
    outbox: deque[Event] = field(default_factory=deque)
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
    """``submit``, ``cancel`` and ``forget`` as a program would; ``step`` or ``run``; then look at
    the account."""

    def __init__(
        self, executors: int, random: Random, chaos: Chaos | None = None, *, task_retries: int = 0, speculation: bool = False,
        spares: int = 0,
    ) -> None:
        ranks = range(1, executors + 1)
        self.scheduler = Scheduler(ranks, task_retries=task_retries, speculation=speculation)
        self.executors = {rank: Executor(rank) for rank in ranks}
        self.first = tuple(ranks)
        """The executors to begin with."""
        self.account = Account(self.executors, speculation=speculation)
        self.unstarted = list(range(executors + 1, executors + spares + 1))
        self.made: Counter[BlockId] = Counter()
        """How often each block was computed."""
        self.lost: Counter[BlockId] = Counter()
        """How often an executor died that held it."""
        self.exchanges = 0
        self.recorded: list[tuple[Event, list[Command]]] = []
        """The events so far, and what the scheduler answered."""
        self.chaos = chaos or Chaos()
        self._random = random
        self._restless = _Bag()
        self._meetings: dict[int, Meeting] = {}
        self._barriers: dict[StageId, set[int]] = {}
        self._incomplete: set[StageId] = set()
        """Barrier stages of which a task has ended without coming to the barrier, as it found its
        partition."""

    # --- the program ------------------------------------------------------------------------------

    def submit(self, job: JobId, node: Node, partitions: Iterable[int] | None = None) -> None:
        wanted = range(node.num_partitions) if partitions is None else partitions
        self.tell(JobSubmitted(job, node, list(wanted), f"job {job}"))

    def cancel(self, job: JobId) -> None:
        if job not in self.account.ended:
            self.tell(JobWithdrawn(job))

    def forget(self, node: NodeId) -> None:
        """No handle refers to the node, and no job needs it."""
        self.tell(NodesForgotten((node,)))

    def drop_shuffle(self, node: NodeId) -> None:
        """Free what a shuffle holds; who needs it makes it again."""
        self.tell(DataDropped(shuffles=(node,)))

    def keep(self, *nodes: Node, copies: int = 1) -> None:
        """Persist the nodes."""
        for node in nodes:
            self.tell(NodeKept(node.id, copies))

    def place_on(self, hosts: Mapping[Rank, str]) -> None:
        """Say which hosts the executors are on."""
        for rank, host in hosts.items():
            self.tell(ExecutorJoined(rank, host))

    def start_spare(self, host: str) -> Rank:
        """The next of the spares starts."""
        rank = self.unstarted.pop(0)
        self.executors[rank] = Executor(rank)
        self.tell(SpareStarted(rank, host))
        return rank

    def holders(self, block: BlockId) -> tuple[Rank, ...]:
        """Who holds the block, as the scheduler has it."""
        return self.scheduler._state.locations.holders(block)

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
        if self.unstarted and self._random.random() < chaos.sparing:
            self.start_spare(f"host {self._random.randint(0, 2)}")
        possible = self._possible(executor)
        if possible:
            self._random.choice(possible)(executor)
        self._look_at(executor)
        return True

    # --- executors --------------------------------------------------------------------------------

    def _possible(self, executor: Executor) -> list[Callable[[Executor], None]]:
        actions: list[Callable[[Executor], None]] = []
        if executor.outbox:
            actions.append(self._report)  # what a dead one had sent may come before or after the news of its death
        if executor.dead:
            return [*actions, self._detect] if executor.rank in self.account.executors | self.account.spares else actions
        if executor.inbox:
            actions.append(self._read)
        if executor.slow is not None:
            actions += [self._dawdle, self._finish_slow]
        elif executor.at_barrier is not None:
            if len(self._barriers[executor.at_barrier.stage.id]) == len(executor.at_barrier.barrier):
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
        self.tell(executor.outbox.popleft())

    def _detect(self, executor: Executor) -> None:
        self.tell(ExecutorLost(executor.rank))

    def _read(self, executor: Executor) -> None:
        message = executor.inbox.popleft()
        if isinstance(message, StartTasks):
            executor.tasks.extend(Queued(message.stage, partition, message.splits, message.barrier)
                                  for partition in message.partitions)
        elif isinstance(message, StartExchange):
            executor.exchanges.append(message)
        elif isinstance(message, DropBlocks):
            for block in message.blocks:
                executor.blocks.pop(block, None)
        elif isinstance(message, DropNodes):
            for block in list(executor.blocks):
                kinds = message.kept if block.kind == "rdd" else message.shuffles
                if block.of in message.nodes or block.of in kinds:
                    del executor.blocks[block]
        elif isinstance(message, StopStage):
            self._give_up(executor, lambda queued: queued.stage.id == message.stage)
        elif isinstance(message, StopTask):
            self._give_up(executor, lambda queued: (queued.stage.id, queued.partition) == (message.stage, message.partition))
        elif isinstance(message, NewEpoch):
            executor.exchanges.clear()
            executor.joined = False
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
        stage, partition = queued.stage, queued.partition
        touched = touch(stage, partition, queued.splits, executor.blocks)
        if touched.lacking:
            executor.outbox.append(BlocksGone(executor.rank, tuple(touched.lacking), stage.id, (partition,)))
        elif self._random.random() < self.chaos.failing:
            executor.outbox.append(TaskFailed(executor.rank, stage.id, partition, FAILURE))
        elif queued.barrier and not self._computes_barrier(stage, partition, executor.blocks):
            self._finish(executor, queued)
            self._incomplete.add(stage.id)
            for rank in self.executors:
                self._restless.add(rank)
        elif queued.barrier:
            executor.at_barrier = queued
            self._barriers.setdefault(stage.id, set()).add(partition)
            for rank in self.executors:
                self._restless.add(rank)
        elif self.chaos.dawdling and self._random.random() < self.chaos.dawdling:
            executor.slow = queued
        else:
            self._finish(executor, queued)

    def _computes_barrier(self, stage: Stage, partition: int, held: Container[BlockId]) -> bool:
        stack = [(stage.target, partition)]
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
            executor.rank, executor.slow.stage.id, executor.slow.partition, self._random.choice([0.5, 50.0])))

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
        stage, partition = executor.at_barrier.stage, executor.at_barrier.partition
        executor.outbox.append(TaskFailed(executor.rank, stage.id, partition, WAITS_FOR_EVER))
        executor.at_barrier = None

    def _finish(self, executor: Executor, queued: Queued) -> None:
        stage, partition = queued.stage, queued.partition
        touched = touch(stage, partition, queued.splits, executor.blocks)
        if touched.lacking:  # vanished while it ran
            executor.outbox.append(BlocksGone(executor.rank, tuple(touched.lacking), stage.id, (partition,)))
            return
        for block in touched.read:
            shuffle = self.account.nodes.get(block.of)
            assert not isinstance(shuffle, Shuffled) or executor.blocks[block] == frozenset(
                range(shuffle.from_node.num_partitions)), f"{block} is incomplete"
        made = [*touched.kept]
        if stage.output.kind == "map":
            made.append(BlockId("map", stage.output.of, partition))
        executor.blocks.update((block, frozenset()) for block in made)
        self.made.update(made)
        seconds = self._random.expovariate(1000)
        executor.outbox.append(TaskFinished(executor.rank, stage.id, partition, tuple(made), seconds))

    def _vanish(self, executor: Executor) -> None:
        if executor.blocks:
            del executor.blocks[self._random.choice(sorted(executor.blocks))]

    def _look_at(self, executor: Executor) -> None:
        if self._possible(executor):
            self._restless.add(executor.rank)
        else:
            self._restless.discard(executor.rank)

    # --- the driver -------------------------------------------------------------------------------

    def tell(self, event: Event) -> None:
        self.account.note(event)
        commands = self.scheduler.handle(event)
        self.recorded.append((event, commands))
        for command in commands:
            self.account.check(command)
            if isinstance(command, StartExchange | NewEpoch | DropNodes):
                self.exchanges += isinstance(command, StartExchange)
                for rank in command.executors:
                    self._send(rank, command)
            elif isinstance(command, CloseStage):
                for rank in self.account.executors:
                    self._send(rank, command)
            elif not isinstance(command, JobEnded | Recovering | TaskSlow | SpareJoins | SpareGone):
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


# --- for tests ------------------------------------------------------------------------------------


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
    spares: tuple[int, int] = (0, 0),
) -> Simulator:
    """A program: a few jobs over a random lineage, some one after the other and some at once.

    Raises:
        AssertionError: a check failed; names the seed.
    """
    random = Random(seed)
    nodes = random_lineage(random, random.randint(2, 14), barriers=barriers)
    simulator = Simulator(
        random.randint(*executors), random, chaos, task_retries=task_retries, speculation=speculation,
        spares=random.randint(*spares) if spares[1] else 0)
    simulator.place_on({rank: f"host {rank % 3}" for rank in simulator.executors})
    for node in nodes:
        if random.random() < 0.25:
            simulator.keep(node, copies=random.randint(1, copies))
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


def cluster(executors: int, *, task_retries: int = 0, speculation: bool = False) -> tuple[Simulator, Lineage]:
    return Simulator(executors, Random(0), task_retries=task_retries, speculation=speculation), Lineage()


def done(simulator: Simulator, job: int, node: Node, partitions: list[int] | None = None) -> None:
    simulator.submit(job, node, partitions)
    simulator.run()
    assert simulator.account.ended[job] is None


def finished(command: StartTasks) -> list[TaskFinished]:
    """The tasks of a command as they report."""
    output = command.stage.output
    return [
        TaskFinished(command.executor, command.stage.id, partition,
                     (BlockId("map", output.of, partition),) if output.kind == "map" else (), 0.001)
        for partition in command.partitions
    ]


def made_again(simulator: Simulator) -> set[BlockId]:
    assert max(simulator.made.values()) <= 2
    return {block for block, count in simulator.made.items() if count == 2}


def exchanged(simulator: Simulator) -> list[StartExchange]:
    """The exchanges from now on, as they are started."""
    plans: list[StartExchange] = []
    check = simulator.account.check

    def note(command: Command) -> None:
        if isinstance(command, StartExchange):
            plans.append(command)
        check(command)

    simulator.account.check = note  # type: ignore[method-assign]
    return plans
