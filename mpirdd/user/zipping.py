"""Operations that pair records by their place: zip, indexes, cartesian product."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import accumulate, chain, count, repeat
from typing import TYPE_CHECKING, Any

from mpirdd.decisions.lineage import Crossed, OneToOne
from mpirdd.storage.gauge import fill
from mpirdd.storage.joining import combinations
from mpirdd.storage.spilledlist import SpilledList, keep
from mpirdd.user import steps
from mpirdd.user.base import Handle
from mpirdd.words.errors import InvalidType, InvalidValue

if TYPE_CHECKING:
    from mpirdd.user.rdd import RDD


class Zipping(Handle):
    def zip(self, other: Zipping) -> RDD:
        """(record here, record in ``other`` at the same place). No shuffle.

        Both need the same number of partitions and of records in each, which they have if one was made from
        the other by ``map``.

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

    def zipWithIndex(self) -> RDD:
        """(record, its place in the whole RDD, from 0). No shuffle; with more than one partition, the records
        before the last partition are counted by a job of its own, when an action first needs the indexes.

        >>> sc.parallelize(["a", "b", "c", "d"], 3).zipWithIndex().collect()
        [('a', 0), ('b', 1), ('c', 2), ('d', 3)]
        """
        starts = Starts()
        indexed = self._narrow("zipWithIndex", starts)
        if self._node.num_partitions > 1:
            self._context._before_first_use(indexed._node, partial(_count, self, starts))
        return indexed

    def zipWithUniqueId(self) -> RDD:
        """(record, a number that no other record has): k, k + n, k + 2n, ... in partition k of n. No shuffle,
        and no job.

        >>> sc.parallelize(["a", "b", "c", "d", "e"], 3).zipWithUniqueId().collect()
        [('a', 0), ('b', 1), ('c', 4), ('d', 2), ('e', 5)]
        """
        return self._narrow("zipWithUniqueId", partial(_number, self._node.num_partitions))

    def cartesian(self, other: Zipping) -> RDD:
        """(record here, record in ``other``) for every combination; n * m partitions. No shuffle.

        Each partition is read once for every partition of the other side: cache what is costly to make. A
        task holds one partition of ``other`` in memory, or on disk if it is too large; it then reads that for each part of
        its own partition that fits into memory.

        >>> rdd = sc.parallelize([1, 2])
        >>> sorted(rdd.cartesian(rdd).collect())
        [(1, 1), (1, 2), (2, 1), (2, 2)]
        """
        _check_rdd("cartesian", other)
        mine, theirs = self._node.num_partitions, other._node.num_partitions
        return self._narrow("cartesian", _cross, others=[other], inputs=Crossed(theirs), num_partitions=mine * theirs)


class Starts:
    """The step of zipWithIndex. Its offsets are known only once the records have been counted."""

    def __init__(self) -> None:
        self.offsets = [0]

    def __call__(self, partition: int, records: Iterable[Any]) -> Iterator[Any]:
        return zip(records, count(self.offsets[partition]))


def _count(parent: Handle, starts: Starts) -> None:
    """Run the counting job and set the offsets."""
    all_but_last = range(parent._node.num_partitions - 1)
    starts.offsets = list(accumulate(parent._run("count for zipWithIndex", steps.count_records, all_but_last), initial=0))


def _check_rdd(operation: str, other: Any) -> None:
    if not isinstance(other, Zipping):
        raise InvalidType(f"{operation} needs another RDD, not {other!r}")


# --- on the executors -------------------------------------------------------------------------------------------------


def _zip(partition: int, left: Iterable[Any], right: Iterable[Any]) -> Iterator[Any]:
    try:
        yield from zip(left, right, strict=True)
    except ValueError as error:
        if not str(error).startswith("zip() argument"):
            raise
        raise InvalidValue(
            f"zip needs the same number of records in each partition; in partition {partition} it differs"
        ) from None


def _number(step: int, partition: int, records: Iterable[Any]) -> Iterator[Any]:
    return zip(records, count(partition, step))


def _cross(partition: int, left: Iterable[Any], right: Iterable[Any]) -> Iterator[Any]:
    again = keep(right, steps.workspace())
    if isinstance(again, SpilledList):
        blocks = fill(iter(left), steps.workspace())
        return chain.from_iterable(combinations(block, again) for block, _, _ in blocks)
    return chain.from_iterable(zip(repeat(record), again) for record in left)
