"""The inputs and the kept partitions of a stage's tasks, as a function of the partition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mpirdd.protocol.ids import BlockId, NodeId
from mpirdd.protocol.stage import Pipe
from mpirdd.scheduler.lineage import Node, OneToOne
from mpirdd.scheduler.locations import BlockLocations


class TaskInputs(NamedTuple):
    """What one task reads, and the partitions that it keeps."""

    splits: tuple[tuple[NodeId, int], ...]
    """The splits that the task reads: (source, index)."""
    reads: tuple[BlockId, ...]
    """The ``in`` and ``rdd`` blocks that must be on the executor."""
    makes: tuple[BlockId, ...]
    """The ``rdd`` blocks that the task will compute and keep."""


class TaskRule:
    """The rule of one stage. It holds the kept partitions as they were when the stage was planned, so its answers do not change
    while the stage runs.

    Most stages are *aligned*: each task reads and keeps the same as the first task, but with its own partition. In other stages
    the pipes are walked for each task.

    Args:
        pipes: the stage's.
        nodes: the nodes of the pipes, by id; there may be others.
        target: the pipe of which a task computes a partition.
    """

    def __init__(
        self, pipes: Mapping[NodeId, Pipe], nodes: Mapping[NodeId, Node], target: NodeId, locations: BlockLocations
    ) -> None:
        self._pipes, self._target = pipes, target
        self._held: dict[NodeId, frozenset[int] | range] = {}
        """The existing kept partitions of each persisted node."""
        for node, pipe in pipes.items():
            if pipe.keep:
                held, size = locations.indexes("rdd", node), nodes[node].num_partitions
                self._held[node] = range(size) if len(held) == size else frozenset(held)
        kinds = {pipe.kind for pipe in pipes.values()}
        self._shuffled = "shuffle" in kinds
        self.reads = self._shuffled or any(self._held.values())
        """Tasks may read blocks. Otherwise any executor can run any task."""
        self.kept = {node for node, held in self._held.items() if not isinstance(held, range)}
        """The persisted nodes of which tasks may keep partitions."""
        straight = all(pipe.inputs is None or isinstance(pipe.inputs, OneToOne) for pipe in pipes.values())
        self.repeats = bool(self.kept) and not straight
        """Several tasks may compute the same kept partition."""
        self._sources = "source" in kinds
        aligned = straight and not any(isinstance(held, frozenset) and held for held in self._held.values())
        self._first = self._look(0) if aligned else None
        """The inputs and outputs of the task of partition 0, if the stage is aligned."""

    @property
    def one_block(self) -> tuple[str, NodeId] | None:
        """(kind, node) if each task reads exactly one block, that of its own partition; otherwise None."""
        if self._first is None or len(self._first.reads) != 1:
            return None
        return self._first.reads[0][:2]

    def absent(self, partitions: Sequence[int], locations: BlockLocations) -> dict[NodeId, set[int]]:
        """By shuffle, the reduce partitions that these tasks read and nobody holds."""
        found: dict[NodeId, set[int]] = {}
        if not self._shuffled:
            return found
        if self._first is not None:
            found = {node: set(partitions).difference(locations.indexes("in", node))
                     for kind, node, _ in self._first.reads if kind == "in"}
            return {node: parts for node, parts in found.items() if parts}
        for partition in partitions:
            for block in self._look(partition).reads:
                if block.kind == "in" and not locations.holders(block):
                    found.setdefault(block.of, set()).add(block.part)
        return found

    def inputs(self, partition: int) -> TaskInputs:
        """What the task of this partition reads and keeps."""
        if self._first is None:
            return self._look(partition)
        splits, reads, makes = self._first
        return TaskInputs(
            tuple([(source, partition) for source, _ in splits]) if splits else (),
            tuple([BlockId(kind, node, partition) for kind, node, _ in reads]) if reads else (),
            tuple([BlockId(kind, node, partition) for kind, node, _ in makes]) if makes else ())

    def splits(self, partitions: tuple[int, ...]) -> dict[NodeId, tuple[int, ...]]:
        """By source, the splits that these tasks read."""
        if self._first is not None:
            return {source: partitions for source, _ in self._first.splits}
        found: dict[NodeId, dict[int, None]] = {}
        for partition in partitions if self._sources else ():
            for source, index in self._look(partition).splits:
                found.setdefault(source, {})[index] = None
        return {source: tuple(indexes) for source, indexes in found.items()}

    def _look(self, partition: int) -> TaskInputs:
        splits: list[tuple[NodeId, int]] = []
        reads: list[BlockId] = []
        makes: dict[BlockId, None] = {}
        stack = [(self._target, partition)]
        while stack:
            node, index = stack.pop()
            pipe = self._pipes[node]
            if pipe.keep:
                block = BlockId("rdd", node, index)
                if index in self._held[node]:
                    reads.append(block)
                    continue
                if block in makes:
                    continue
                makes[block] = None
            if pipe.kind == "source":
                splits.append((pipe.head, index))
            elif pipe.kind == "shuffle":
                reads.append(BlockId("in", pipe.head, index))
            else:
                assert pipe.inputs is not None
                stack.extend((pipe.parents[parent], at) for parent, at in pipe.inputs.of(index))
        return TaskInputs(tuple(splits), tuple(reads), tuple(makes))
