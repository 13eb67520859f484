"""Barrier stages: which of their tasks come to a barrier, and which existing partitions would keep some of them away from it.

The tasks of a barrier stage wait for each other and see each other's messages, so all of them run, or none. A task that finds
its partition computed already, or one on the way to it, never calls the function of the barrier step, and the others would wait
for it for ever. So before a barrier stage starts, the scheduler drops those parts of it that exist, and all of its tasks run
together, as in Spark.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mpirdd.protocol.ids import BlockId, NodeId
from mpirdd.protocol.stage import Pipe
from mpirdd.scheduler.lineage import Narrow, Node
from mpirdd.scheduler.locations import BlockLocations
from mpirdd.scheduler.stage_plan import StagePlan


def pipes_with_a_barrier(pipes: Mapping[NodeId, Pipe], nodes: Mapping[NodeId, Node]) -> set[NodeId]:
    return {pipe.node for pipe in pipes.values()
            if any(isinstance(node, Narrow) and node.barrier for node in (nodes[id] for id in (pipe.head, *pipe.steps)))}


def computed(
    pipes: Mapping[NodeId, Pipe], target: NodeId, partition: int, locations: BlockLocations
) -> set[NodeId]:
    """The pipes that the task runs itself, instead of reading a kept partition."""
    found: set[NodeId] = set()
    seen = {(target, partition)}
    stack = [(target, partition)]
    while stack:
        node, index = stack.pop()
        pipe = pipes[node]
        if pipe.keep and locations.holders(BlockId("rdd", node, index)):
            continue
        found.add(node)
        if pipe.inputs is not None:
            parents = {(pipe.parents[parent], at) for parent, at in pipe.inputs.of(index)} - seen
            seen |= parents
            stack.extend(parents)
    return found


def in_the_way(plan: StagePlan, locations: BlockLocations) -> set[BlockId]:
    """The kept partitions behind a barrier that some tasks of a barrier stage would read, while other tasks compute theirs."""
    target = plan.target.node.id
    some = set().union(*(computed(plan.pipes, target, partition, locations) for partition in plan.tasks))
    behind = _behind(plan.pipes, pipes_with_a_barrier(plan.pipes, plan.nodes))
    return {block for inputs in plan.tasks.values() for block in inputs.reads
            if block.kind == "rdd" and block.of in some and block.of in behind}


def _behind(pipes: Mapping[NodeId, Pipe], barriers: Iterable[NodeId]) -> set[NodeId]:
    """The pipes with a barrier, and all pipes that read them, directly or not."""
    readers: dict[NodeId, list[NodeId]] = {}
    for pipe in pipes.values():
        for parent in pipe.parents:
            readers.setdefault(parent, []).append(pipe.node)
    found: set[NodeId] = set()
    stack = list(barriers)
    while stack:
        node = stack.pop()
        if node not in found:
            found.add(node)
            stack.extend(readers.get(node, ()))
    return found
