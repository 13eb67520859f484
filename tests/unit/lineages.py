"""Lineages for tests that only look at them and never call the functions of their nodes."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from mpirdd.protocol.ids import NodeId
from mpirdd.scheduler.lineage import Concatenated, Crossed, Grouped, Narrow, Node, OneToOne, Shuffled, Source


class Lineage:
    """Makes nodes, with ids from 1 on."""

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
