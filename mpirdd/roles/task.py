"""Running one task: from the blocks and splits it reads to its records, and on to its output.

The narrow steps of a task are chained iterators (``map``, ``filter``, ``chain`` where Python has them in C), so
the only Python frames a record passes through are the user's own functions. Nothing recurses, however long the
lineage: what to evaluate is first listed with an explicit stack, and very long chains of iterators are cut by a
list.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mpirdd.storage.blocks import BlockStore
from mpirdd.storage.spilledlist import keep
from mpirdd.storage.workspace import Workspace
from mpirdd.words.ids import BlockId, NodeId
from mpirdd.words.stage import ClosureId, Level, Pipe, Stage

LONGEST_CHAIN = 100
"""Iterators that may feed each other without a list between them; each level takes C stack, and Python's limit
is 1,000 frames."""

_IN_MEMORY: Mapping[NodeId, Level] = {}

Closures = Mapping[ClosureId, Callable[..., Any]]


class BlocksMissing(Exception):
    """Blocks that the driver thought were here are not."""

    def __init__(self, blocks: tuple[BlockId, ...]) -> None:
        self.blocks = blocks
        super().__init__(f"missing blocks: {blocks}")


@dataclass(slots=True)
class Outcome:
    """What a task leaves behind."""

    result: Any = None
    """Of the job's action; None for map tasks."""
    made: list[BlockId] = field(default_factory=list)


@dataclass(slots=True)
class _Visit:
    """One partition of one pipe that the task evaluates."""

    pipe: Pipe
    partition: int
    kept: bool = False
    """A block of it is here, or will be when an earlier visit has been evaluated."""
    shared: bool = False
    """Its block is read by a later visit, so that it must be kept whatever the level."""
    inputs: list[_Visit] = field(default_factory=list)
    """The visits that it reads."""
    records: Any = None
    depth: int = 0
    """Iterators that feed each other to give the records."""

    def shorten(self, workspace: Workspace) -> None:
        """Cut a chain of iterators that has become too long."""
        if self.depth >= LONGEST_CHAIN:
            self.records, self.depth = iter(keep(self.records, workspace)), 0


def run_task(
    stage: Stage,
    partition: int,
    *,
    store: BlockStore,
    closures: Closures,
    splits: Mapping[tuple[NodeId, int], Any],
    workspace: Workspace,
    levels: Mapping[NodeId, Level] = _IN_MEMORY,
) -> Outcome:
    """Compute one partition of the stage's target and hand it to the stage's output.

    Raises:
        BlocksMissing: before any of the user's functions has run.
        Exception: whatever the user's functions raise.
    """
    outcome = Outcome()
    records = _records(
        stage, partition, store=store, closures=closures, splits=splits, workspace=workspace, levels=levels,
        made=outcome.made)
    output = closures[stage.output.closure()]
    if stage.output.kind == "map":
        block = BlockId("map", stage.output.of, partition)
        store.write_map(block, output(partition, records, workspace))
        outcome.made.append(block)
    else:
        outcome.result = output(partition, records)
    return outcome


def _records(
    stage: Stage,
    partition: int,
    *,
    store: BlockStore,
    closures: Closures,
    splits: Mapping[tuple[NodeId, int], Any],
    workspace: Workspace,
    levels: Mapping[NodeId, Level],
    made: list[BlockId],
) -> Any:
    visits = _visits(stage, partition, store, splits)
    for visit in visits:
        _evaluate(visit, store, closures, splits, workspace, levels, made)
    return visits[-1].records


def _evaluate(
    visit: _Visit,
    store: BlockStore,
    closures: Closures,
    splits: Mapping[tuple[NodeId, int], Any],
    workspace: Workspace,
    levels: Mapping[NodeId, Level],
    made: list[BlockId],
) -> None:
    """Set the visit's records; its inputs have theirs."""
    pipe, index = visit.pipe, visit.partition
    block = BlockId("rdd", pipe.node, index)
    if visit.kept:
        visit.records = store.records(block)
        return
    head = closures[ClosureId("step", pipe.head)]
    if pipe.kind == "source":
        visit.records = head(splits[pipe.head, index])
    elif pipe.kind == "shuffle":
        visit.records = head(store.gathered(BlockId("in", pipe.head, index)), workspace)
    else:
        for read in visit.inputs:
            read.shorten(workspace)
        visit.records = head(index, *[read.records for read in visit.inputs])
    visit.depth = 1 + max((read.depth for read in visit.inputs), default=0)
    for step in pipe.steps:
        visit.shorten(workspace)
        visit.records = closures[ClosureId("step", step)](index, visit.records)
        visit.depth += 1
    if pipe.keep:
        level = levels.get(pipe.node, Level())
        if visit.shared:
            level = level._replace(disk=True)
        visit.records, kept = store.keep(block, level, visit.records)
        if kept:
            made.append(block)
            visit.depth = 0


def _visits(
    stage: Stage, partition: int, store: BlockStore, splits: Mapping[tuple[NodeId, int], Any]
) -> list[_Visit]:
    """Everything to evaluate, each after what it reads; the wanted partition is last. A kept partition that several
    others read is computed once."""
    visits: list[_Visit] = []
    absent: list[BlockId] = []
    computed: dict[BlockId, _Visit] = {}
    complete = True
    stack = [(_Visit(stage.pipes[stage.target], partition), False)]
    while stack:
        visit, inputs_done = stack.pop()
        if inputs_done:
            visits.append(visit)
            continue
        pipe, index = visit.pipe, visit.partition
        if pipe.keep:
            block = BlockId("rdd", pipe.node, index)
            if block in store:
                store.pin(block)  # or what is evaluated before it might push it out
                visit.kept = True
            elif block in computed:
                computed[block].shared = visit.kept = True
            if visit.kept:
                visits.append(visit)
                continue
            computed[block] = visit
            absent.append(block)
        stack.append((visit, True))
        if pipe.kind == "source":
            complete = complete and (pipe.head, index) in splits  # not sent when the driver counts on a kept block
        elif pipe.kind == "shuffle":
            block = BlockId("in", pipe.head, index)
            if block not in store:
                complete = False
                absent.append(block)
        elif any(parent not in stage.pipes for parent in pipe.parents):
            complete = False
        else:
            assert pipe.inputs is not None
            visit.inputs = [_Visit(stage.pipes[pipe.parents[parent]], at) for parent, at in pipe.inputs.of(index)]
            stack.extend((read, False) for read in reversed(visit.inputs))
    if not complete:
        raise BlocksMissing(tuple(absent))
    return visits
