"""Operations that bring two or more RDDs together by key or by value: cogroups, joins, intersection,
subtraction.

Records first *meet*: those with equal keys move to the same partition. An RDD that is already
partitioned as wanted does not move. The default number of partitions is the ``parallelism`` setting
if there is one, else that of the RDDs if they are all partitioned alike, else the sum of theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from mpirdd.api.base import hash_partitioner
from mpirdd.api.pairs import Pairs
from mpirdd.api.results import ResultIterable
from mpirdd.ops import operators as steps
from mpirdd.ops.combine import Combiner
from mpirdd.ops.join import select
from mpirdd.ops.skewed_keys import Values
from mpirdd.protocol.errors import InvalidType

if TYPE_CHECKING:
    from typing_extensions import Self


class Joins(Pairs):
    def cogroup(self, other: Self, numPartitions: int | None = None) -> Self:
        """(key, (its values here, its values in ``other``)). Shuffles whichever side is not partitioned
        alike.

        >>> x, y = sc.parallelize([("a", 1), ("b", 4)]), sc.parallelize([("a", 2)])
        >>> [(k, tuple(map(list, v))) for k, v in sorted(x.cogroup(y).collect())]
        [('a', ([1], [2])), ('b', ([4], []))]
        """
        return self._cogroup("cogroup", [other], numPartitions).mapValues(_iterables)

    def groupWith(self, other: Self, *others: Self) -> Self:
        """``cogroup`` of any number of RDDs: (key, (its values here, its values in the next, ...)). Shuffles
        likewise.

        >>> x, y, z = sc.parallelize([("a", 1)]), sc.parallelize([("a", 2), ("b", 3)]), sc.parallelize([("b", 4)])
        >>> [(k, tuple(map(list, v))) for k, v in sorted(x.groupWith(y, z).collect())]
        [('a', ([1], [2], [])), ('b', ([], [3], [4]))]
        """
        return self._cogroup("groupWith", [other, *others], None).mapValues(_iterables)

    def join(self, other: Self, numPartitions: int | None = None) -> Self:
        """(key, (value here, value in other)) for every combination. Shuffles whichever side is not
        partitioned alike.

        >>> x, y = sc.parallelize([("a", 1), ("b", 4)]), sc.parallelize([("a", 2), ("a", 3)])
        >>> sorted(x.join(y).collect())
        [('a', (1, 2)), ('a', (1, 3))]
        """
        return self._join("join", other, numPartitions)

    def leftOuterJoin(self, other: Self, numPartitions: int | None = None) -> Self:
        """``join`` with all pairs of this RDD: (key, (value here, None)) where ``other`` has no such key.

        >>> x, y = sc.parallelize([("a", 1), ("b", 4)]), sc.parallelize([("a", 2)])
        >>> sorted(x.leftOuterJoin(y).collect())
        [('a', (1, 2)), ('b', (4, None))]
        """
        return self._join("leftOuterJoin", other, numPartitions, all_of_left=True)

    def rightOuterJoin(self, other: Self, numPartitions: int | None = None) -> Self:
        """``join`` with all pairs of ``other``: (key, (None, value there)) where this RDD has no such key.

        >>> x, y = sc.parallelize([("a", 1), ("b", 4)]), sc.parallelize([("a", 2)])
        >>> sorted(y.rightOuterJoin(x).collect())
        [('a', (2, 1)), ('b', (None, 4))]
        """
        return self._join("rightOuterJoin", other, numPartitions, all_of_right=True)

    def fullOuterJoin(self, other: Self, numPartitions: int | None = None) -> Self:
        """``join`` with all pairs of both, and None for the side that has no such key.

        >>> x, y = sc.parallelize([("a", 1), ("b", 4)]), sc.parallelize([("a", 2), ("c", 8)])
        >>> sorted(x.fullOuterJoin(y).collect())
        [('a', (1, 2)), ('b', (4, None)), ('c', (None, 8))]
        """
        return self._join("fullOuterJoin", other, numPartitions, all_of_left=True, all_of_right=True)

    def subtractByKey(self, other: Self, numPartitions: int | None = None) -> Self:
        """The pairs whose key is not in ``other``. Shuffles whichever side is not partitioned alike.

        >>> x, y = sc.parallelize([("a", 1), ("b", 4), ("b", 5)]), sc.parallelize([("a", 3), ("c", None)])
        >>> sorted(x.subtractByKey(y).collect())
        [('b', 4), ('b', 5)]
        """
        return self._meet("subtractByKey", [other], numPartitions, partial(_select, False, "subtractByKey"))

    def subtract(self, other: Self, numPartitions: int | None = None) -> Self:
        """The records that are not in ``other``, as often as they occur. Records must be hashable.
        Shuffles.

        >>> x, y = sc.parallelize([1, 2, 2, 3]), sc.parallelize([3, 4])
        >>> sorted(x.subtract(y).collect())
        [1, 2, 2]
        """
        mine, theirs = self._with_as_keys("subtract", other)
        return mine._meet("subtract", [theirs], numPartitions, partial(_select, False, "subtract")).keys()

    def intersection(self, other: Self) -> Self:
        """The values that are in both, each once. Values must be hashable. Shuffles.

        >>> x, y = sc.parallelize([1, 10, 2, 3, 3]), sc.parallelize([1, 6, 2, 3, 7])
        >>> sorted(x.intersection(y).collect())
        [1, 2, 3]
        """
        mine, theirs = self._with_as_keys("intersection", other)
        once = Combiner(None, steps.keep_first, steps.keep_first, "intersection")
        return mine._meet("intersection", [theirs], None, partial(_select, True, "intersection"), once).keys()

    def _join(
        self, operation: str, other: Self, num_partitions: int | None, all_of_left: bool = False, all_of_right: bool = False
    ) -> Self:
        join = partial(steps.join_parts, operation, all_of_left, all_of_right)
        return self._meet(operation, [other], num_partitions, join)

    def _cogroup(self, operation: str, others: Sequence[Self], num_partitions: int | None) -> Self:
        return self._meet(operation, others, num_partitions, partial(steps.cogroup_parts, operation))

    def _meet(
        self, operation: str, others: Sequence[Self], num_partitions: int | None, step: Any, combiner: Combiner | None = None
    ) -> Self:
        """``step`` on the RDDs' records of each partition; a combiner first combines the values of
        each key."""
        _check_rdds(operation, others)
        default, shared = self._node.num_partitions, self.partitioner
        for other in others:
            if shared is None or other.partitioner != shared:
                default, shared = default + other._node.num_partitions, None
        count = self._partitions(num_partitions, default)
        known = [rdd.partitioner for rdd in (self, *others)
                 if rdd.partitioner is not None and rdd.partitioner.num_partitions == count]
        partitioner = known[0] if known else hash_partitioner(count, None)
        combiner = combiner or Combiner(None, steps.keep_first, steps.keep_first, operation, apart=True)
        return self._shuffle(operation, partitioner, combiner, partitioner=partitioner, others=others, finish=step)

    def _with_as_keys(self, operation: str, other: Self) -> tuple[Self, Self]:
        """This RDD and the other, with each record as the key of a pair."""
        _check_rdds(operation, [other])
        mine, theirs = (rdd._narrow(operation, steps.keys_alone) for rdd in (self, other))
        return mine, theirs


def _check_rdds(operation: str, others: Iterable[Any]) -> None:
    for other in others:
        if not isinstance(other, Joins):
            raise InvalidType(f"{operation} needs another RDD, not {other!r}")


# --- on the executors -------------------------------------------------------------------------------------------------

Groups = tuple[Values, ...]


def _iterables(groups: Groups) -> tuple[ResultIterable, ...]:
    return tuple(map(ResultIterable, groups))


def _select(wanted: bool, operation: str, partition: int, records: Iterable[Any], others: Iterable[Any]) -> Iterator[Any]:
    return select(wanted, operation, records, others, steps.task_memory())
