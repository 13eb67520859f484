"""What a driver has been told by executors; holds every command of the scheduler against that.

The scheduler sends a task only to an executor that holds its input, recomputes nothing that exists,
runs no task twice at a time, makes complete exchanges, and sends nothing to the lost.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from mpirdd.protocol.errors import Failure
from mpirdd.protocol.ids import BlockId, JobId, NodeId, Rank, StageId
from mpirdd.protocol.stage import Output, Stage
from mpirdd.scheduler.events import (
    BlocksGone,
    CloseStage,
    Command,
    DataDropped,
    DropBlocks,
    Event,
    ExchangeFinished,
    ExecutorLost,
    JobEnded,
    JobSubmitted,
    JobWithdrawn,
    NewEpoch,
    NodeKept,
    NodeReleased,
    NodesForgotten,
    Recovering,
    RootsChanged,
    SpareGone,
    SpareJoins,
    SpareStarted,
    StartExchange,
    StartTasks,
    StopTask,
    TaskFailed,
    TaskFinished,
    TaskSlow,
)
from mpirdd.scheduler.lineage import Node, Shuffled, walk

FAILURE = Failure("ValueError", "", 1, "host", "stage", 0, None)
WAITS_FOR_EVER = Failure("UsageError: waits at a barrier", "", 1, "host", "stage", 0, None)
"""As the driver has it, of a task that waits at a barrier for one that has ended."""


@dataclass
class Touched:
    lacking: list[BlockId]
    """Blocks without which the task cannot run; empty when it can."""
    kept: list[BlockId]
    """Persisted partitions that it computes."""
    read: list[BlockId]
    """``in`` blocks that it merges."""


def touch(
    stage: Stage, partition: int, splits: Mapping[NodeId, Container[int]], held: Container[BlockId]
) -> Touched:
    """What a task does on an executor that holds these blocks."""
    kept: dict[BlockId, None] = {}
    absent: list[BlockId] = []
    read: list[BlockId] = []
    complete = True
    stack = [(stage.target, partition)]
    while stack:
        node, index = stack.pop()
        pipe = stage.pipes[node]
        if pipe.keep:
            block = BlockId("rdd", node, index)
            if block in held or block in kept:
                continue
            kept[block] = None
        if pipe.kind == "source":
            complete = complete and index in splits.get(pipe.head, ())
        elif pipe.kind == "shuffle":
            (read if BlockId("in", pipe.head, index) in held else absent).append(BlockId("in", pipe.head, index))
        elif any(parent not in stage.pipes for parent in pipe.parents):
            complete = False
        else:
            assert pipe.inputs is not None
            stack.extend((pipe.parents[parent], at) for parent, at in pipe.inputs.of(index))
    return Touched([] if complete and not absent else [*kept, *absent], list(kept), read)


class Account:
    """``note`` each event, ``check`` each command."""

    def __init__(self, executors: Iterable[Rank], *, speculation: bool = False) -> None:
        self.executors = set(executors)
        """Not known to be lost."""
        self.spares: set[Rank] = set()
        """Those that have started, wait, and are not known to be lost."""
        self.joined: list[SpareJoins] = []
        self.nodes: dict[NodeId, Node] = {}
        self.targets: dict[JobId, Node] = {}
        self.wanted: dict[JobId, set[int]] = {}
        self.results: dict[JobId, Counter[int]] = {}
        """How often each partition of a job arrived."""
        self.ended: dict[JobId, Failure | None] = {}
        self.holders: dict[BlockId, set[Rank]] = {}
        self.late: set[BlockId] = set()
        """Made by tasks of stages that had been given up: others may be making them anew
        already."""
        self.starts: Counter[tuple[Output, int]] = Counter()
        """How often each task was started."""
        self.slow: list[TaskSlow] = []
        self.recovering: list[Recovering] = []
        self.broken = False
        """The group is, and those that live have not been told of the next one."""
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
        elif isinstance(event, JobWithdrawn):
            self.ended[event.job] = FAILURE
        elif isinstance(event, NodesForgotten):
            for node in event.nodes:
                self._forget(node)
        elif isinstance(event, DataDropped):
            for node in event.shuffles:
                self._drop_shuffle(node)
        elif isinstance(event, NodeKept | NodeReleased | RootsChanged):
            pass
        elif isinstance(event, SpareStarted):
            self.spares.add(event.executor)
        elif event.executor in self.spares:
            assert isinstance(event, ExecutorLost), f"a spare that waits says {event}"
            self.spares.remove(event.executor)
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
            if output.kind == "result" and event.stage not in self._closed:
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
        self.broken = True
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

    def _forget(self, node: NodeId) -> None:
        del self.nodes[node]
        for block in [block for block in self.holders if block.of == node]:
            del self.holders[block]

    def _make_void(self, shuffle: NodeId) -> None:
        self._void.update(id for id, (plan, _) in self._exchanges.items() if plan.shuffle == shuffle)

    def _drop_shuffle(self, node: NodeId) -> None:
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
        if isinstance(command, SpareJoins):
            self.spares.remove(command.executor)
            self.executors.add(command.executor)
            self.joined.append(command)
            self._exchanges.clear()
            self.broken = True
            return
        rank = getattr(command, "executor", None)
        assert rank is None or rank in self.executors, f"a command to the lost executor {rank}"
        if isinstance(command, StartTasks):
            self._check_tasks(command)
        elif isinstance(command, StartExchange):
            self._check_exchange(command)
            self._exchanges[command.exchange] = command, set(command.executors)
        elif isinstance(command, DropBlocks):
            self._remove(command.blocks, command.executor)
        elif isinstance(command, StopTask):
            self._over(command.stage, command.partition, command.executor)
        elif isinstance(command, CloseStage):
            self._closed.add(command.stage)
            for stage, partition in [key for key in self._attempts if key[0] == command.stage]:
                for attempt in list(self._attempts[stage, partition]):
                    self._over(stage, partition, attempt)
        elif isinstance(command, NewEpoch):
            assert set(command.executors) == self.executors and command.epoch > self.epoch
            self.epoch, self.broken = command.epoch, False
        elif isinstance(command, Recovering):
            assert command.blocks == self.gone and command.tasks == self.tasks_there
            assert command.left == len(self.executors) and command.spares == len(self.spares)
            self.recovering.append(command)
        elif isinstance(command, SpareGone):
            assert command.left == len(self.spares)
        elif isinstance(command, TaskSlow):
            self.slow.append(command)
        elif isinstance(command, JobEnded):
            assert command.job not in self.ended, f"job {command.job} ended twice"
            self.ended[command.job] = command.failure
            assert command.failure or set(self.results[command.job]) == self.wanted[command.job]

    def _check_tasks(self, command: StartTasks) -> None:
        stage = command.stage.id
        self._outputs[stage] = output = command.stage.output
        if command.barrier and stage not in self._barriers:
            self._barriers.add(stage)
            if output.kind == "result":
                self.results[output.of].clear()  # the driver takes those of one attempt only
        here = _HeldBy(self.holders, command.executor)
        for partition in command.partitions:
            touched = touch(command.stage, partition, command.splits, here)
            assert not touched.lacking, f"sent to executor {command.executor}, which lacks {touched.lacking}"
            if output.kind == "map":
                self._check_new(BlockId("map", output.of, partition))
            else:
                assert output.of not in self.ended
                assert command.barrier or not self.results[output.of][partition]
            for block in touched.kept:
                self._check_new(block)
            ranks = self._attempts.setdefault((stage, partition), set())
            assert command.executor not in ranks
            ranks.add(command.executor)
            self._under_way[output, partition] += 1
            self.starts[output, partition] += 1
            most = 2 if self._speculation and not command.barrier else 1
            assert self._under_way[output, partition] <= most, "runs already"

    def _check_new(self, block: BlockId) -> None:
        assert block in self.late or not self.holders.get(block), f"{block} exists already"

    def _check_exchange(self, plan: StartExchange) -> None:
        assert set(plan.executors) == self.executors
        assert not self.broken, "there is no group"
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
