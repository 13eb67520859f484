"""Operations that pair records by their place: zip, indexes, cartesian product."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import accumulate, chain, count, repeat
from typing import TYPE_CHECKING, Any

from mpirdd.api.base import Handle
from mpirdd.ops import operators as steps
from mpirdd.ops.join import combinations
from mpirdd.protocol.errors import InvalidType, InvalidValue
from mpirdd.protocol.pairs import NOTHING
from mpirdd.scheduler.lineage import Crossed, Narrow, Node, OneToOne
from mpirdd.store.chunks import Chunks, Noted, fill, noted
from mpirdd.store.spilled_list import SpilledList, keep

if TYPE_CHECKING:
    from typing_extensions import Self


class Zipping(Handle):
    def zip(self, other: Self) -> Self:
        """(record here, record in ``other`` at the same place). No shuffle.

        Both need the same number of partitions and of records in each; an RDD and its ``map`` have
        them.

        Raises:
            ValueError: the numbers of partitions differ; from the job, those of the records in a partition.

        >>> x, y = sc.parallelize(range(3), 2), sc.parallelize("abc", 2)
        >>> x.zip(y).collect()
        [(0, 'a'), (1, 'b'), (2, 'c')]
        """
        _check_rdd("zip", other)
        if self._node.num_partitions != other._node.num_partitions:
            raise InvalidValue(
                f"zip needs RDDs with the same number of partitions; these have {self._node.num_partitions} and "
                f"{other._node.num_partitions}"
            )
        return self._narrow("zip", _zip, others=[other], inputs=OneToOne(2))

    def zipWithIndex(self) -> Self:
        """(record, its place in the whole RDD, from 0). No shuffle. With more than one partition, a
        job of its own counts the records before the last partition, when an action first needs the
        indexes.

        >>> sc.parallelize(["a", "b", "c", "d"], 3).zipWithIndex().collect()
        [('a', 0), ('b', 1), ('c', 2), ('d', 3)]
        """
        if self._node.num_partitions <= 1:
            return self._narrow("zipWithIndex", partial(_number_from, [0]))
        provisional = self._narrow("zipWithIndex", partial(_number_from, []))
        return self._later(provisional, partial(self._counted, provisional._node))

    def zipWithUniqueId(self) -> Self:
        """(record, a number that no other record has): k, k + n, k + 2n, ... in partition k of n. No shuffle,
        and no job.

        >>> sc.parallelize(["a", "b", "c", "d", "e"], 3).zipWithUniqueId().collect()
        [('a', 0), ('b', 1), ('c', 4), ('d', 2), ('e', 5)]
        """
        return self._narrow("zipWithUniqueId", partial(_number, self._node.num_partitions))

    def cartesian(self, other: Self) -> Self:
        """(record here, record in ``other``) for every combination; n * m partitions. No shuffle.

        Tasks read each partition once for every partition of the other side: cache RDDs that are
        costly to make. A task holds one partition of ``other`` in memory, or on disk if it is too
        large; it then reads that for each part of its own partition that fits into memory.

        >>> rdd = sc.parallelize([1, 2])
        >>> sorted(rdd.cartesian(rdd).collect())
        [(1, 1), (1, 2), (2, 1), (2, 2)]
        """
        _check_rdd("cartesian", other)
        mine, theirs = self._node.num_partitions, other._node.num_partitions
        return self._narrow("cartesian", _cross, others=[other], inputs=Crossed(theirs), num_partitions=mine * theirs)

    def _counted(self, provisional: Node) -> Node:
        """Run the counting job of ``zipWithIndex``; the node that knows where the numbers of each partition begin."""
        assert isinstance(provisional, Narrow)
        all_but_last = range(self._node.num_partitions - 1)
        counts = self._run("count for zipWithIndex", steps.count_records, all_but_last)
        step = partial(_number_from, list(accumulate(counts, initial=0)))
        return self._engine.add(lambda id: replace(provisional, id=id, step=step))


def _check_rdd(operation: str, other: Any) -> None:
    if not isinstance(other, Zipping):
        raise InvalidType(f"{operation} needs another RDD, not {other!r}")


# --- on the executors -------------------------------------------------------------------------------------------------


def _zip(partition: int, left: Iterable[Any], right: Iterable[Any]) -> Iterator[Any]:
    """In C to the end of the shorter one, where a look tells whether the other has ended, too: a generator over ``zip`` with
    ``strict`` takes a third more."""
    mine, theirs = left.noted() if isinstance(left, Chunks) else noted(left), iter(right)
    return chain(zip(mine, theirs, strict=False), _both_over(partition, mine, theirs))


def _both_over(partition: int, mine: Noted, theirs: Iterator[Any]) -> Iterator[Any]:
    if not mine.over or next(theirs, NOTHING) is not NOTHING:
        raise InvalidValue(f"zip needs the same number of records in each partition; in partition {partition} it differs")
    yield from ()


def _number_from(starts: list[int], partition: int, records: Iterable[Any]) -> Iterator[Any]:
    return zip(records, count(starts[partition]))


def _number(step: int, partition: int, records: Iterable[Any]) -> Iterator[Any]:
    return zip(records, count(partition, step))


def _cross(partition: int, left: Iterable[Any], right: Iterable[Any]) -> Iterator[Any]:
    again = keep(right, steps.task_memory())
    if isinstance(again, SpilledList):
        blocks = fill(left, steps.task_memory())
        return chain.from_iterable(combinations(block, again) for block, _, _ in blocks)
    return chain.from_iterable(zip(repeat(record), again) for record in left)
