"""The planner, from lineage to stages: what must run, given the existing data.

``missing(target, locations, kept)`` is the heart of the engine. The same function plans a first run (nothing exists) and a
recovery (survivors hold some blocks). A *stage* computes partitions of one node without talking to other ranks; shuffles
separate stages. Within a stage the nodes are flattened to *pipes*, runs of one-to-one steps, so neither planning, nor pickling,
nor executing a long lineage recurses.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence

from mpirdd.protocol.ids import NodeId
from mpirdd.protocol.stage import Output, Pipe
from mpirdd.scheduler.barriers import computed, pipes_with_a_barrier
from mpirdd.scheduler.lineage import ONE_TO_ONE, Concatenated, Narrow, Node, Shuffled, Source, walk
from mpirdd.scheduler.locations import BlockLocations
from mpirdd.scheduler.partition_set import NO_PARTITIONS, PartitionSet
from mpirdd.scheduler.stage_plan import StagePlan, Target, Tasks
from mpirdd.scheduler.task_rule import TaskRule


def _nothing(output: Output) -> PartitionSet:
    return NO_PARTITIONS


def missing(
    target: Target,
    locations: BlockLocations,
    kept: Container[NodeId],
    under_way: Callable[[Output], PartitionSet] = _nothing,
) -> list[StagePlan]:
    """Plan the stages that must run for ``target``, the last stage first; none if the target wants no partition.

    Args:
        kept: the persisted nodes.
        under_way: gives the partitions of an output that tasks compute already; they are left out.

    Cost: the nodes between the target and the existing data, plus the tasks to run.
    """
    plans: list[StagePlan] = []
    planned: set[NodeId] = set()
    targets = [target]
    while targets:
        plan = plan_stage(targets.pop(), locations, kept)
        if not plan.tasks:
            continue
        plans.append(plan)
        for shuffle_id, unwritten in plan.unwritten.items():
            shuffle = plan.nodes[shuffle_id]
            assert isinstance(shuffle, Shuffled)
            if shuffle_id not in planned:
                planned.add(shuffle_id)
                output = Output("map", shuffle_id)
                left = under_way(output).others(unwritten)
                targets.append(Target(shuffle.from_node, left, output, shuffle.label))
    return plans


def unwritten_maps(shuffle: NodeId, maps: int, locations: BlockLocations) -> Sequence[int]:
    """The shuffle's map outputs, of ``maps`` in all, that do not exist."""
    written = locations.indexes("map", shuffle)
    if not written:
        return range(maps)
    return () if len(written) == maps else [index for index in range(maps) if index not in written]


def plan_stage(target: Target, locations: BlockLocations, kept: Container[NodeId]) -> StagePlan:
    """Plan the target's own stage, without the stages before it."""
    pipes, nodes = _flatten(target.node, locations, kept)
    rule = TaskRule(pipes, nodes, target.node.id, locations)
    plan = StagePlan(target, pipes, nodes, Tasks(target.partitions, rule), rule.absent(target.partitions, locations))
    barriers = pipes_with_a_barrier(pipes, nodes)
    plan.barrier = bool(barriers) and any(
        not barriers.isdisjoint(computed(pipes, target.node.id, partition, locations)) for partition in plan.tasks)
    for shuffle_id in plan.absent:
        shuffle = nodes[shuffle_id]
        assert isinstance(shuffle, Shuffled)
        unwritten = unwritten_maps(shuffle_id, shuffle.from_node.num_partitions, locations)
        if unwritten:
            plan.unwritten[shuffle_id] = unwritten
    return plan


def _flatten(
    target: Node, locations: BlockLocations, kept: Container[NodeId]
) -> tuple[dict[NodeId, Pipe], dict[NodeId, Node]]:
    """The pipes that lead to ``target``, back to sources, shuffles, and persisted nodes of which all partitions exist."""
    pipes: dict[NodeId, Pipe] = {}
    nodes: dict[NodeId, Node] = {}
    stack = [target]
    while stack:
        node = stack.pop()
        if node.id not in pipes:
            pipe, parents, members = _pipe(node, kept)
            pipes[node.id] = pipe
            nodes.update((member.id, member) for member in members)
            if not (pipe.keep and len(locations.indexes("rdd", node.id)) == node.num_partitions):
                stack.extend(parents)
    return pipes, nodes


def _pipe(last: Node, kept: Container[NodeId]) -> tuple[Pipe, tuple[Node, ...], list[Node]]:
    """The pipe that ends in ``last``, the nodes that it reads, and the nodes in it."""
    members = [last]
    while _continues(members[-1], kept):
        members.append(members[-1].parents[0])
    head = members[-1]
    steps = tuple(node.id for node in reversed(members[:-1]))
    keep = last.id in kept
    if isinstance(head, Source):
        return Pipe(last.id, "source", head.id, steps, None, (), keep), (), members
    if isinstance(head, Shuffled):
        return Pipe(last.id, "shuffle", head.id, steps, None, (), keep), (), members
    assert isinstance(head, Narrow)
    inputs, parents = head.inputs, head.parents
    if isinstance(inputs, Concatenated):
        parents = _united(head, kept)
        inputs = Concatenated(tuple(parent.num_partitions for parent in parents))
    ids = tuple(parent.id for parent in parents)
    return Pipe(last.id, "narrow", head.id, steps, inputs, ids, keep), parents, members


def _united(union: Narrow, kept: Container[NodeId]) -> tuple[Node, ...]:
    """The inputs of a union of unions, in order, without the unions in between, which only pass records on.

    So a task of ``u = u.union(more)`` in a loop of n turns visits one node, not n.
    """
    found: list[Node] = []
    stack = [*reversed(union.parents)]
    while stack:
        node = stack.pop()
        if not node.num_partitions:
            continue
        if isinstance(node, Narrow) and isinstance(node.inputs, Concatenated) and node.id not in kept:
            stack.extend(reversed(node.parents))
        else:
            found.append(node)
    return tuple(found)


def _continues(node: Node, kept: Container[NodeId]) -> bool:
    """Does the node's only parent belong to the same pipe?"""
    return isinstance(node, Narrow) and node.inputs == ONE_TO_ONE and node.parents[0].id not in kept


def needed(roots: Iterable[Node], locations: BlockLocations) -> tuple[set[NodeId], set[NodeId]]:
    """The nodes that jobs over all of ``roots`` would visit.

    Returns:
        The nodes with partitions to compute, and the nodes of which all partitions are kept, from which the jobs would start.
        Ancestors of the latter are not needed unless kept partitions are lost.
    """
    unfinished: set[NodeId] = set()
    whole: set[NodeId] = set()
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node.id in unfinished or node.id in whole:
            continue
        if node.num_partitions and len(locations.indexes("rdd", node.id)) == node.num_partitions:
            whole.add(node.id)
        else:
            unfinished.add(node.id)
            stack.extend(node.parents)
    return unfinished, whole


def shuffles_of(target: Node) -> set[NodeId]:
    """Every shuffle in the lineage of a node."""
    return {node.id for node in walk(target) if isinstance(node, Shuffled)}
