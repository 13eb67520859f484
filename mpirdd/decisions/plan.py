"""From lineage to stages: what must run, given what exists.

``missing(goal, have, kept)`` is the heart of the engine, and the same function plans a first run (nothing exists)
and a recovery (survivors hold some of it). A *stage* computes partitions of one node without talking to other
ranks; shuffles separate stages. Within a stage the nodes are flattened to *pipes*, runs of one-to-one steps,
so that neither planning, nor pickling, nor executing a long lineage recurses.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, field, replace

from mpirdd.decisions.barriers import computed, pipes_with_a_barrier
from mpirdd.decisions.lineage import ONE_TO_ONE, Narrow, Node, Shuffled, Source, walk
from mpirdd.words.ids import BlockId, NodeId, Rank
from mpirdd.words.stage import Output, Pipe


@dataclass(slots=True)
class Work:
    """What one task touches, besides the functions of its stage. Tuples, as those that are empty cost nothing."""

    splits: tuple[tuple[NodeId, int], ...]
    """Splits of sources that it reads: (source, index)."""
    reads: tuple[BlockId, ...]
    """``in`` and ``rdd`` blocks that must be on the executor."""
    makes: tuple[BlockId, ...]
    """``rdd`` blocks that it will compute and keep."""


@dataclass(slots=True)
class Goal:
    """Partitions of a node that somebody wants, and what for."""

    node: Node
    partitions: Iterable[int]
    output: Output
    label: str


@dataclass(slots=True)
class Need:
    """A stage that has work left: its tasks, and what must exist before they can run."""

    goal: Goal
    pipes: dict[NodeId, Pipe]
    nodes: dict[NodeId, Node]
    work: dict[int, Work]
    """By partition of the goal's node."""
    absent: dict[NodeId, set[int]]
    """Reduce partitions that no executor holds yet, by shuffle: an exchange must bring them."""
    unwritten: dict[NodeId, list[int]] = field(default_factory=dict)
    """Map outputs for ``absent`` that do not exist yet, by shuffle: other needs come first."""
    barrier: bool = False
    """Tasks wait for each other at a barrier: all must run at once, each on an executor of its own."""

    def without(self, making: Container[BlockId]) -> Need:
        """Without the tasks that would compute a partition to be kept which another stage computes; when that is
        done, these can read it."""
        work = {partition: work for partition, work in self.work.items()
                if not any(block in making for block in work.makes)}
        if len(work) == len(self.work):
            return self
        if self.barrier:
            return replace(self, work={})
        reads = {block for touched in work.values() for block in touched.reads}
        absent = {shuffle: {part for part in parts if BlockId("in", shuffle, part) in reads}
                  for shuffle, parts in self.absent.items()}
        return replace(self, work=work, absent={shuffle: parts for shuffle, parts in absent.items() if parts})

    def of_first_makers(self) -> Need:
        """Without the tasks that would compute a partition to be kept which an earlier task computes already; they
        come when it is there to be read. (Two partitions of a cartesian product, say, need the same one of a
        persisted parent.)"""
        made: set[BlockId] = set()
        work: dict[int, Work] = {}
        for partition, touched in self.work.items():
            if made.isdisjoint(touched.makes):
                made.update(touched.makes)
                work[partition] = touched
        return replace(self, work=work)


class Have:
    """Which executors hold which blocks. The driver's account; executors are the truth and correct it."""

    def __init__(self) -> None:
        self._holders: dict[tuple[str, NodeId], dict[int, list[Rank]]] = {}

    def add(self, block: BlockId, executor: Rank) -> None:
        holders = self._holders.setdefault((block.kind, block.of), {}).setdefault(block.part, [])
        if executor not in holders:
            holders.append(executor)

    def discard(self, block: BlockId, executor: Rank) -> None:
        of_node = self._holders.get((block.kind, block.of), {})
        holders = of_node.get(block.part, [])
        if executor in holders:
            holders.remove(executor)
            if not holders:
                del of_node[block.part]

    def forget(self, node: NodeId) -> None:
        """Nobody needs the blocks of this node any more."""
        for kind in ("rdd", "map", "in"):
            self._holders.pop((kind, node), None)

    def forget_shuffle(self, node: NodeId) -> None:
        for kind in ("map", "in"):
            self._holders.pop((kind, node), None)

    def forget_kept(self, node: NodeId) -> None:
        self._holders.pop(("rdd", node), None)

    def lose(self, executor: Rank) -> tuple[list[BlockId], list[BlockId]]:
        """The executor is gone, and all its blocks with it: those that nobody holds any more, and those of which
        others have a copy. Cost: all that is in the account."""
        gone: list[BlockId] = []
        copied: list[BlockId] = []
        for (kind, node), of_node in self._holders.items():
            for index in [index for index, holders in of_node.items() if executor in holders]:
                of_node[index].remove(executor)
                block = BlockId(kind, node, index)  # type: ignore[arg-type]
                if of_node[index]:
                    copied.append(block)
                else:
                    del of_node[index]
                    gone.append(block)
        return gone, copied

    def holders(self, block: BlockId) -> list[Rank]:
        """Executors that hold the block, in the order in which they got it."""
        return self._holders.get((block.kind, block.of), {}).get(block.part, [])

    def nodes(self, kind: str) -> set[NodeId]:
        """Nodes of which something of the kind exists."""
        return {node for (of_kind, node), of_node in self._holders.items() if of_kind == kind and of_node}

    def indexes(self, kind: str, node: NodeId) -> dict[int, list[Rank]]:
        """Everything that exists of one kind for one node: index -> holders."""
        return self._holders.get((kind, node), {})


def _nothing(output: Output) -> Container[int]:
    return ()


def missing(
    goal: Goal, have: Have, kept: Container[NodeId], under_way: Callable[[Output], Container[int]] = _nothing
) -> list[Need]:
    """The stages that must run for ``goal``, last first; empty when the goal wants no partition.

    ``kept`` holds the persisted nodes, ``under_way`` names partitions of an output that tasks compute already and that
    are left out. Cost: the nodes between the goal and what exists, plus the tasks to run.
    """
    needs: list[Need] = []
    planned: set[NodeId] = set()
    goals = [goal]
    while goals:
        need = need_of(goals.pop(), have, kept)
        if not need.work:
            continue
        needs.append(need)
        for shuffle_id, unwritten in need.unwritten.items():
            shuffle = need.nodes[shuffle_id]
            assert isinstance(shuffle, Shuffled)
            if shuffle_id not in planned:
                planned.add(shuffle_id)
                output = Output("map", shuffle_id)
                left = [index for index in unwritten if index not in under_way(output)]
                goals.append(Goal(shuffle.from_node, left, output, shuffle.label))
    return needs


def unwritten_maps(shuffle: NodeId, maps: int, have: Have) -> list[int]:
    """Which of its ``maps`` map outputs a shuffle lacks."""
    written = have.indexes("map", shuffle)
    return [] if len(written) == maps else [index for index in range(maps) if index not in written]


def need_of(goal: Goal, have: Have, kept: Container[NodeId]) -> Need:
    """What the goal's own stage needs, without what must run before it."""
    pipes, nodes = _flatten(goal.node, have, kept)
    need = Need(goal, pipes, nodes, {}, {})
    for partition in goal.partitions:
        work = need.work[partition] = _work(pipes, goal.node.id, partition, have)
        for block in work.reads:
            if block.kind == "in" and not have.holders(block):
                need.absent.setdefault(block.of, set()).add(block.part)
    barriers = pipes_with_a_barrier(pipes, nodes)
    need.barrier = bool(barriers) and any(
        not barriers.isdisjoint(computed(pipes, goal.node.id, partition, have)) for partition in need.work)
    for shuffle_id in need.absent:
        shuffle = nodes[shuffle_id]
        assert isinstance(shuffle, Shuffled)
        unwritten = unwritten_maps(shuffle_id, shuffle.from_node.num_partitions, have)
        if unwritten:
            need.unwritten[shuffle_id] = unwritten
    return need


def _flatten(target: Node, have: Have, kept: Container[NodeId]) -> tuple[dict[NodeId, Pipe], dict[NodeId, Node]]:
    """The pipes that lead to ``target``, back to sources, shuffles, and persisted nodes that are all there."""
    pipes: dict[NodeId, Pipe] = {}
    nodes: dict[NodeId, Node] = {}
    stack = [target]
    while stack:
        node = stack.pop()
        if node.id not in pipes:
            pipe, parents, run = _pipe(node, kept)
            pipes[node.id] = pipe
            nodes.update((member.id, member) for member in run)
            if not (pipe.keep and len(have.indexes("rdd", node.id)) == node.num_partitions):
                stack.extend(parents)
    return pipes, nodes


def _pipe(last: Node, kept: Container[NodeId]) -> tuple[Pipe, tuple[Node, ...], list[Node]]:
    """The pipe that ends in ``last``, the nodes it reads, and the nodes in it."""
    run = [last]
    while _continues(run[-1], kept):
        run.append(run[-1].parents[0])
    head = run[-1]
    steps = tuple(node.id for node in reversed(run[:-1]))
    keep = last.id in kept
    if isinstance(head, Source):
        return Pipe(last.id, "source", head.id, steps, None, (), keep), (), run
    if isinstance(head, Shuffled):
        return Pipe(last.id, "shuffle", head.id, steps, None, (), keep), (), run
    assert isinstance(head, Narrow)
    parents = tuple(parent.id for parent in head.parents)
    return Pipe(last.id, "narrow", head.id, steps, head.inputs, parents, keep), head.parents, run


def _continues(node: Node, kept: Container[NodeId]) -> bool:
    """True when the node's only parent belongs into the same pipe."""
    return isinstance(node, Narrow) and node.inputs == ONE_TO_ONE and node.parents[0].id not in kept


def _work(pipes: dict[NodeId, Pipe], target: NodeId, partition: int, have: Have) -> Work:
    """What the task for ``partition`` of ``target`` reads and keeps."""
    splits: list[tuple[NodeId, int]] = []
    reads: list[BlockId] = []
    makes: dict[BlockId, None] = {}
    stack = [(target, partition)]
    while stack:
        node, index = stack.pop()
        pipe = pipes[node]
        if pipe.keep:
            block = BlockId("rdd", node, index)
            if have.holders(block):
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
    return Work(tuple(splits), tuple(reads), tuple(makes))


def needed(roots: Iterable[Node], have: Have) -> tuple[set[NodeId], set[NodeId]]:
    """What jobs over all of ``roots`` would look at: nodes that have partitions to be made, and nodes that are all kept, from
    where they would start. What lies behind those is not needed, unless they are lost."""
    unfinished: set[NodeId] = set()
    whole: set[NodeId] = set()
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node.id in unfinished or node.id in whole:
            continue
        if node.num_partitions and len(have.indexes("rdd", node.id)) == node.num_partitions:
            whole.add(node.id)
        else:
            unfinished.add(node.id)
            stack.extend(node.parents)
    return unfinished, whole


def shuffles_of(goal_node: Node) -> set[NodeId]:
    """Every shuffle in the lineage of a node."""
    return {node.id for node in walk(goal_node) if isinstance(node, Shuffled)}
