"""Lineage: how each RDD is made from others, as frozen values that never leave the driver.

A node is one of three things. A ``Source`` makes partitions out of splits (slices of a list, byte
ranges of files). A ``Narrow`` node makes each partition from a few known partitions of its parents.
A ``Shuffled`` node needs all partitions of its parent, and so cuts the job into stages. Every
operation of the RDD class is a combination of these.

Nodes are compared by identity, know no Context, and hold their parents; when no handle and no other
node refers to one any more, what executors keep for it can go.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Protocol

from mpirdd.protocol.ids import NodeId
from mpirdd.protocol.stage import Inputs

Records = Iterable[Any]
Step = Callable[..., Records]
"""``step(partition, *parents' records) -> records``: what a narrow node does; runs on executors."""
Reader = Callable[[Any], Records]
"""``reader(split) -> records``: what a source does; runs on executors."""


class Partitioning(Protocol):
    """What lineage needs to know of a partitioner: equal ones put equal keys into the same
    partition."""

    @property
    def num_partitions(self) -> int: ...


@dataclass(frozen=True, eq=False)
class Node:
    """What all nodes have."""

    id: NodeId
    label: str
    """For people: the operation and the line of the program, ``map at job.py:12``."""
    num_partitions: int
    partitioner: Partitioning | None
    """How keys are spread over the partitions, where that is known."""

    @property
    def parents(self) -> tuple[Node, ...]:
        return ()


@dataclass(frozen=True, eq=False)
class Source(Node):
    """Partitions read from outside; partition ``i`` is ``reader(splits[i])``."""

    reader: Reader
    splits: Sequence[Any]
    hosts: Sequence[Sequence[str]] = ()
    """Where the data of each split lie, the best host first, where that is known; names as executors' hosts have them."""


@dataclass(frozen=True, eq=False)
class Narrow(Node):
    """Partition ``i`` is ``step(i, *[parent partitions that inputs.of(i) names])``."""

    from_nodes: tuple[Node, ...]
    inputs: Inputs
    step: Step
    barrier: bool = False
    """All tasks of the stage must run at the same time, each on an executor of its own."""

    @property
    def parents(self) -> tuple[Node, ...]:
        return self.from_nodes


@dataclass(frozen=True, eq=False)
class Cut(Narrow):
    """The same records as its one parent, which can be replaced: where checkpoints cut the lineage.

    The only place where lineage changes: ``parent`` holds one node, and whoever puts another one
    there lets go of the old ancestors, for all that was made from this node.
    """

    parent: list[Node] = field(default_factory=list)

    @property
    def parents(self) -> tuple[Node, ...]:
        return tuple(self.parent)


@dataclass(frozen=True, eq=False)
class Shuffled(Node):
    """Partition ``i`` is ``read(buckets)``, the buckets that ``write`` wrote for ``i`` in every
    partition of the parent.

    ``write(source partition, records, memory) -> packs``, an iterable: each pack holds one encoded
    bucket for each reduce partition (None where it has nothing for it). A pack is stored before the
    next is asked for, so a generator that flushes what it holds never needs memory for all of them.

    ``read(encoded buckets, memory) -> records``: the buckets come one by one, in the order of their
    source partitions and then of their packs, and may be read from disk as they come.
    """

    from_node: Node
    write: Callable[[int, Records, Any], Iterable[Sequence[Any]]]
    read: Callable[[Iterable[Any], Any], Records]

    @property
    def parents(self) -> tuple[Node, ...]:
        return (self.from_node,)


@dataclass(frozen=True, slots=True)
class OneToOne:
    """Partition i from partition i of each of ``parents`` parents (map, zip, join of co-partitioned
    RDDs)."""

    parents: int = 1

    def of(self, partition: int) -> tuple[tuple[int, int], ...]:
        return tuple((parent, partition) for parent in range(self.parents))


ONE_TO_ONE = OneToOne()


@dataclass(frozen=True, slots=True)
class Concatenated:
    """The parents' partitions side by side (union); ``counts`` are their numbers of partitions.

    The step of a node with these inputs passes the records of the one parent on as they are.
    """

    counts: tuple[int, ...]
    ends: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """Where each parent's partitions end."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "ends", tuple(accumulate(self.counts)))

    def of(self, partition: int) -> tuple[tuple[int, int], ...]:
        parent = bisect_right(self.ends, partition)
        if parent == len(self.ends):
            raise IndexError(partition)
        return ((parent, partition - self.ends[parent] + self.counts[parent]),)


@dataclass(frozen=True, slots=True)
class Grouped:
    """Several partitions of one parent each (coalesce), or a choice of them."""

    groups: tuple[tuple[int, ...], ...]

    def of(self, partition: int) -> tuple[tuple[int, int], ...]:
        return tuple((0, member) for member in self.groups[partition])


@dataclass(frozen=True, slots=True)
class Crossed:
    """Every partition of the first parent with every one of the second (cartesian)."""

    second: int
    """Partitions of the second parent."""

    def of(self, partition: int) -> tuple[tuple[int, int], ...]:
        return ((0, partition // self.second), (1, partition % self.second))


def walk(target: Node, stop: Callable[[Node], bool] = lambda node: False) -> Iterator[Node]:
    """``target`` and its ancestors, each once, children before parents' parents; not beyond nodes
    where ``stop`` holds.

    An explicit stack: iterative programs build chains far longer than Python's recursion limit.
    """
    seen = {target.id}
    stack = [target]
    while stack:
        node = stack.pop()
        yield node
        if not stop(node):
            for parent in reversed(node.parents):
                if parent.id not in seen:
                    seen.add(parent.id)
                    stack.append(parent)
