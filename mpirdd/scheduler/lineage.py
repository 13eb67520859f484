"""Lineage: how each RDD is made from others, as frozen values that never leave the driver.

There are three kinds of node. A ``Source`` makes partitions from splits (slices of a list, byte ranges of files). A ``Narrow``
node makes each partition from a few known partitions of its parents. A ``Shuffled`` node needs all partitions of its parent, and
so divides the job into stages. Every operation of the RDD class is a combination of these.

Nodes are compared by identity, know no Context, and hold their parents. When no handle and no other node refers to a node,
executors can drop its data.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Protocol

from mpirdd.protocol.ids import NodeId
from mpirdd.protocol.stage import Inputs

Records = Iterable[Any]
Step = Callable[..., Records]
"""``step(partition, *parents' records) -> records``: the function of a narrow node; runs on executors."""
Reader = Callable[[Any], Records]
"""``reader(split) -> records``: the function of a source; runs on executors."""


class Partitioning(Protocol):
    """What lineage needs to know about a partitioner: equal ones put equal keys into the same partition."""

    @property
    def num_partitions(self) -> int: ...


@dataclass(frozen=True, eq=False)
class Node:
    """The fields of all nodes."""

    id: NodeId
    label: str
    """For messages: the operation and the line of the program, ``map at job.py:12``."""
    num_partitions: int
    partitioner: Partitioning | None
    """The partitioner of the keys, if it is known."""

    @property
    def parents(self) -> tuple[Node, ...]:
        return ()


@dataclass(frozen=True, eq=False)
class Source(Node):
    """Partitions read from outside; partition ``i`` is ``reader(splits[i])``."""

    reader: Reader
    splits: Sequence[Any]
    hosts: Sequence[Sequence[str]] = ()
    """The hosts that hold the data of each split, the best one first, if known; named as executors name their hosts."""


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
    """The same records as its one parent, which can be replaced: here checkpoints cut the lineage.

    Lineage changes nowhere else. ``parent`` holds one node; replacing it releases the old ancestors, for all nodes made from this
    one.
    """

    parent: list[Node] = field(default_factory=list)

    @property
    def parents(self) -> tuple[Node, ...]:
        return tuple(self.parent)


@dataclass(frozen=True, eq=False)
class Shuffled(Node):
    """Partition ``i`` is ``read(buckets)``, with the buckets that ``write`` wrote for ``i`` in every partition of the parent.

    ``write(source partition, records, memory) -> packs``, an iterable: each pack has one encoded bucket for each reduce partition
    that gets something. A pack is stored before the next is asked for, so a generator that flushes its records never needs
    memory for all packs.

    ``read(encoded buckets, memory) -> records``: the buckets come one by one, in the order of their source partitions and then
    of their packs, and may be read from disk as they come.
    """

    from_node: Node
    write: Callable[[int, Records, Any], Iterable[Mapping[int, Any]]]
    read: Callable[[Iterable[Any], Any], Records]

    @property
    def parents(self) -> tuple[Node, ...]:
        return (self.from_node,)


@dataclass(frozen=True, slots=True)
class OneToOne:
    """Partition i from partition i of each of ``parents`` parents (map, zip, join of co-partitioned RDDs)."""

    parents: int = 1

    def of(self, partition: int) -> tuple[tuple[int, int], ...]:
        return tuple((parent, partition) for parent in range(self.parents))


ONE_TO_ONE = OneToOne()


@dataclass(frozen=True, slots=True)
class Concatenated:
    """The parents' partitions one after another (union); ``counts`` are their numbers of partitions.

    The step of a node with these inputs passes the records of one parent partition on unchanged.
    """

    counts: tuple[int, ...]
    ends: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """The end of each parent's partitions."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "ends", tuple(accumulate(self.counts)))

    def of(self, partition: int) -> tuple[tuple[int, int], ...]:
        parent = bisect_right(self.ends, partition)
        if parent == len(self.ends):
            raise IndexError(partition)
        return ((parent, partition - self.ends[parent] + self.counts[parent]),)


@dataclass(frozen=True, slots=True)
class Grouped:
    """Each partition from several partitions of one parent (coalesce), or a choice of the parent's partitions."""

    groups: tuple[tuple[int, ...], ...]

    def of(self, partition: int) -> tuple[tuple[int, int], ...]:
        return tuple((0, member) for member in self.groups[partition])


@dataclass(frozen=True, slots=True)
class Crossed:
    """Every partition of the first parent with every partition of the second (cartesian)."""

    second: int
    """The number of partitions of the second parent."""

    def of(self, partition: int) -> tuple[tuple[int, int], ...]:
        return ((0, partition // self.second), (1, partition % self.second))


def walk(target: Node, stop: Callable[[Node], bool] = lambda node: False) -> Iterator[Node]:
    """``target`` and its ancestors, each once, children before parents' parents; without the ancestors of nodes for which
    ``stop`` is true.

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
