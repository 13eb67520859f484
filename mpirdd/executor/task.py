"""Runs one task: from the blocks and splits that it reads to its records, and on to its output.

The narrow steps of a task are chained iterators (``map``, ``filter``, ``chain`` where Python has them in C), so a record passes
through no Python frames but those of the user's functions. Nothing recurses, however long the lineage: an explicit stack first
lists the nodes to evaluate, and lists cut very long chains of iterators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mpirdd.protocol.ids import BlockId, NodeId
from mpirdd.protocol.stage import ClosureId, Level, Pipe, Stage
from mpirdd.store.blocks import BlockStore
from mpirdd.store.spilled_list import keep
from mpirdd.store.task_memory import TaskMemory

LONGEST_CHAIN = 100
"""Iterators that may feed each other without a list in between. Each level takes C stack, and Python's limit is 1,000 frames."""

_SIZED = (list, tuple, range)
"""Results of a source that have a length."""
_IN_MEMORY: Mapping[NodeId, Level] = {}

ClosureTable = Mapping[ClosureId, Callable[..., Any]]


class BlocksMissing(Exception):
    """Blocks that the driver believed to be here are missing."""

    def __init__(self, blocks: tuple[BlockId, ...]) -> None:
        self.blocks = blocks
        super().__init__(f"missing blocks: {blocks}")


@dataclass(slots=True)
class Outcome:
    """The results of a task."""

    result: Any = None
    """The result of the job's action; None for map tasks."""
    made: list[BlockId] = field(default_factory=list)


@dataclass(slots=True)
class _Visit:
    """One partition of one pipe, as a part of the task."""

    pipe: Pipe
    partition: int
    kept: bool = False
    """Its block is here, or will be when an earlier visit has been evaluated."""
    shared: bool = False
    """A later visit reads its block, so the block stays, whatever its level."""
    inputs: list[_Visit] = field(default_factory=list)
    """The visits whose records it reads."""
    records: Any = None
    depth: int = 0
    """The number of chained iterators behind the records."""

    def shorten(self, memory: TaskMemory) -> None:
        """Put a list, in memory or on disk, into a chain of iterators that is too long."""
        if self.depth >= LONGEST_CHAIN:
            self.records, self.depth = iter(keep(self.records, memory)), 0


def run_task(
    stage: Stage,
    partition: int,
    *,
    store: BlockStore,
    closures: ClosureTable,
    splits: Mapping[tuple[NodeId, int], Any],
    memory: TaskMemory,
    levels: Mapping[NodeId, Level] = _IN_MEMORY,
    profiled: bool = False,
) -> Outcome:
    """Compute one partition of the stage's target, and hand it to the stage's output.

    Args:
        profiled: if the output has a method ``whole_task``, as profilers do, let it run the task.

    Raises:
        BlocksMissing: before any of the user's functions has run.
        Exception: whatever the user's functions raise.
    """
    output = closures[stage.output.closure()]
    whole_task = getattr(output, "whole_task", None) if profiled else None
    if whole_task is not None:
        outcome: Outcome = whole_task(lambda: run_task(
            stage, partition, store=store, closures=closures, splits=splits, memory=memory, levels=levels))
        return outcome
    evaluation = _Evaluation(stage, store, closures, splits, memory, levels)
    records = evaluation.records(partition)
    if stage.output.kind == "map":
        block = BlockId("map", stage.output.of, partition)
        memory.costs.note("shuffle_written_bytes", store.shuffles.write_map(block, output(partition, records, memory)))
        return Outcome(None, [*evaluation.made, block])
    result = output(partition, records)
    return Outcome(result, evaluation.made)


@dataclass(slots=True)
class _Evaluation:
    """The tools of one task, and its results on the way."""

    stage: Stage
    store: BlockStore
    closures: ClosureTable
    splits: Mapping[tuple[NodeId, int], Any]
    memory: TaskMemory
    levels: Mapping[NodeId, Level]
    made: list[BlockId] = field(default_factory=list)
    """Partitions kept on the way."""

    def records(self, partition: int) -> Any:
        """The records of one partition of the stage's target."""
        visits = self._visits(partition)
        for visit in visits:
            self._evaluate(visit)
        return visits[-1].records

    def _visits(self, partition: int) -> list[_Visit]:
        """All that is to be evaluated, each visit after its inputs; the wanted partition comes last. A kept partition that
        several visits read is computed once."""
        visits: list[_Visit] = []
        absent: list[BlockId] = []
        computed: dict[BlockId, _Visit] = {}
        complete = True
        stack = [(_Visit(self.stage.pipes[self.stage.target], partition), False)]
        while stack:
            visit, inputs_done = stack.pop()
            if inputs_done:
                visits.append(visit)
                continue
            pipe, index = visit.pipe, visit.partition
            if pipe.keep:
                block = BlockId("rdd", pipe.node, index)
                if block in self.store:
                    self.store.kept.pin(block)  # or earlier evaluations might evict it
                    visit.kept = True
                elif block in computed:
                    computed[block].shared = visit.kept = True
                if visit.kept:
                    visits.append(visit)
                    continue
                computed[block] = visit
                absent.append(block)
            stack.append((visit, True))
            if pipe.kind == "source":  # the driver sends no split if it counts on a kept block
                complete = complete and (pipe.head, index) in self.splits
            elif pipe.kind == "shuffle":
                block = BlockId("in", pipe.head, index)
                if block not in self.store:
                    complete = False
                    absent.append(block)
            else:
                assert pipe.inputs is not None
                reads = [(self.stage.pipes.get(pipe.parents[parent]), at) for parent, at in pipe.inputs.of(index)]
                visit.inputs = [_Visit(parent, at) for parent, at in reads if parent is not None]
                complete = complete and len(visit.inputs) == len(reads)
                stack.extend((read, False) for read in reversed(visit.inputs))
        if not complete:
            raise BlocksMissing(tuple(absent))
        return visits

    def _evaluate(self, visit: _Visit) -> None:
        """Set the visit's records. Its inputs have been evaluated."""
        pipe, index = visit.pipe, visit.partition
        block = BlockId("rdd", pipe.node, index)
        if visit.kept:
            visit.records = self.store.kept.records(block)
            for name, count in self.store.kept.counts(block):
                self.memory.costs.note(name, count)
            return
        self._read(visit)
        for step in pipe.steps:
            visit.shorten(self.memory)
            visit.records = self.closures[ClosureId("step", step)](index, visit.records)
            visit.depth += 1
        if pipe.keep:
            level = self.levels.get(pipe.node, Level())
            if visit.shared:
                level = level._replace(disk=True)
            visit.records, kept = self.store.kept.keep(block, level, visit.records, self.memory)
            if kept:
                self.made.append(block)
                visit.depth = 0

    def _read(self, visit: _Visit) -> None:
        """The records of the pipe's head: from a source, from a shuffle, or from the visit's inputs."""
        pipe, index = visit.pipe, visit.partition
        head = self.closures[ClosureId("step", pipe.head)]
        if pipe.kind == "source":
            visit.records = head(self.splits[pipe.head, index])
            if visit.records.__class__ in _SIZED and visit.records:
                self.memory.costs.note("input_records", len(visit.records))
        elif pipe.kind == "shuffle":
            buckets = self.store.shuffles.reduce_input(BlockId("in", pipe.head, index))
            self.memory.costs.note("shuffle_read_bytes", buckets.nbytes)
            visit.records = head(buckets, self.memory)
        else:
            for read in visit.inputs:
                read.shorten(self.memory)
            visit.records = head(index, *[read.records for read in visit.inputs])
        visit.depth = 1 + max(read.depth for read in visit.inputs) if visit.inputs else 1
