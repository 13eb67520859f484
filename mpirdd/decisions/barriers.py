"""Which tasks of a stage come to a barrier, and what would keep some of them away from it.

The tasks of a barrier stage wait for each other and see each other's messages, so they run all or none. A task that finds
its partition, or one on the way to it, computed already does not call the function of the barrier step: the others would
wait for it for ever. So what exists of a part of a barrier stage is dropped before it starts, and all of it runs
together, as Spark runs it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from mpirdd.decisions.lineage import Narrow, Node
from mpirdd.words.ids import BlockId, NodeId
from mpirdd.words.stage import Pipe

if TYPE_CHECKING:
    from mpirdd.decisions.plan import Have, Need


def pipes_with_a_barrier(pipes: Mapping[NodeId, Pipe], nodes: Mapping[NodeId, Node]) -> set[NodeId]:
    return {pipe.node for pipe in pipes.values()
            if any(isinstance(node, Narrow) and node.barrier for node in (nodes[id] for id in (pipe.head, *pipe.steps)))}


def computed(pipes: Mapping[NodeId, Pipe], target: NodeId, partition: int, have: Have) -> set[NodeId]:
    """The pipes of which the task computes a partition, where it does not read one that exists."""
    found: set[NodeId] = set()
    seen = {(target, partition)}
    stack = [(target, partition)]
    while stack:
        node, index = stack.pop()
        pipe = pipes[node]
        if pipe.keep and have.holders(BlockId("rdd", node, index)):
            continue
        found.add(node)
        if pipe.inputs is not None:
            parents = {(pipe.parents[parent], at) for parent, at in pipe.inputs.of(index)} - seen
            seen |= parents
            stack.extend(parents)
    return found


def in_the_way(need: Need, have: Have) -> set[BlockId]:
    """Kept partitions that some tasks of a barrier stage would read where others compute theirs, with a barrier before."""
    target = need.goal.node.id
    some = set().union(*(computed(need.pipes, target, partition, have) for partition in need.work))
    behind = _behind(need.pipes, pipes_with_a_barrier(need.pipes, need.nodes))
    return {block for work in need.work.values() for block in work.reads
            if block.kind == "rdd" and block.of in some and block.of in behind}


def _behind(pipes: Mapping[NodeId, Pipe], barriers: Iterable[NodeId]) -> set[NodeId]:
    """The pipes with a barrier, and all that read them."""
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
