"""Operations that bring two or more RDDs together by key or by value: cogroups, joins, intersection,
subtraction.

All of them first *meet*: records with equal keys are moved to the same partition. An RDD that is partitioned
as wanted already does not move. The number of partitions is, where not given: the ``parallelism`` setting if
there is one, else that of the RDDs if they are all partitioned alike, else the sum of theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from mpirdd.decisions.lineage import OneToOne
from mpirdd.decisions.partitioners import Partitioner
from mpirdd.storage.combine import Combiner
from mpirdd.storage.grouping import Values
from mpirdd.storage.joining import select
from mpirdd.user import steps
from mpirdd.user.base import Handle, hash_partitioner
from mpirdd.user.results import ResultIterable
from mpirdd.words.errors import InvalidType

if TYPE_CHECKING:
    from mpirdd.user.rdd import RDD


class Joins(Handle):
    def cogroup(self, other: Joins, numPartitions: int | None = None) -> RDD:
        """(key, (its values here, its values in ``other``)). Shuffles whichever side is not partitioned
        alike.

        >>> x, y = sc.parallelize([("a", 1), ("b", 4)]), sc.parallelize([("a", 2)])
        >>> [(k, tuple(map(list, v))) for k, v in sorted(x.cogroup(y).collect())]
        [('a', ([1], [2])), ('b', ([4], []))]
        """
        return self._cogroup("cogroup", [other], numPartitions).mapValues(_iterables)

    def groupWith(self, other: Joins, *others: Joins) -> RDD:
        """``cogroup`` of any number of RDDs: (key, (its values here, its values in the next, ...)). Shuffles
        likewise.

        >>> x, y, z = sc.parallelize([("a", 1)]), sc.parallelize([("a", 2), ("b", 3)]), sc.parallelize([("b", 4)])
        >>> [(k, tuple(map(list, v))) for k, v in sorted(x.groupWith(y, z).collect())]
        [('a', ([1], [2], [])), ('b', ([], [3], [4]))]
        """
        return self._cogroup("groupWith", [other, *others], None).mapValues(_iterables)

    def join(self, other: Joins, numPartitions: int | None = None) -> RDD:
        """(key, (value here, value in other)) for every combination. Shuffles whichever side is not
        partitioned alike.

        >>> x, y = sc.parallelize([("a", 1), ("b", 4)]), sc.parallelize([("a", 2), ("a", 3)])
        >>> sorted(x.join(y).collect())
        [('a', (1, 2)), ('a', (1, 3))]
        """
        return self._join("join", other, numPartitions)

    def leftOuterJoin(self, other: Joins, numPartitions: int | None = None) -> RDD:
        """``join`` with all pairs of this RDD: (key, (value here, None)) where ``other`` has no such key.

        >>> x, y = sc.parallelize([("a", 1), ("b", 4)]), sc.parallelize([("a", 2)])
        >>> sorted(x.leftOuterJoin(y).collect())
        [('a', (1, 2)), ('b', (4, None))]
        """
        return self._join("leftOuterJoin", other, numPartitions, all_of_left=True)

    def rightOuterJoin(self, other: Joins, numPartitions: int | None = None) -> RDD:
        """``join`` with all pairs of ``other``: (key, (None, value there)) where this RDD has no such key.

        >>> x, y = sc.parallelize([("a", 1), ("b", 4)]), sc.parallelize([("a", 2)])
        >>> sorted(y.rightOuterJoin(x).collect())
        [('a', (2, 1)), ('b', (None, 4))]
        """
        return self._join("rightOuterJoin", other, numPartitions, all_of_right=True)

    def fullOuterJoin(self, other: Joins, numPartitions: int | None = None) -> RDD:
        """``join`` with all pairs of both, and None for the side that has no such key.

        >>> x, y = sc.parallelize([("a", 1), ("b", 4)]), sc.parallelize([("a", 2), ("c", 8)])
        >>> sorted(x.fullOuterJoin(y).collect())
        [('a', (1, 2)), ('b', (4, None)), ('c', (None, 8))]
        """
        return self._join("fullOuterJoin", other, numPartitions, all_of_left=True, all_of_right=True)

    def subtractByKey(self, other: Joins, numPartitions: int | None = None) -> RDD:
        """The pairs whose key is not in ``other``. Shuffles whichever side is not partitioned alike.

        >>> x, y = sc.parallelize([("a", 1), ("b", 4), ("b", 5)]), sc.parallelize([("a", 3), ("c", None)])
        >>> sorted(x.subtractByKey(y).collect())
        [('b', 4), ('b', 5)]
        """
        return self._meet("subtractByKey", [other], numPartitions, partial(_select, False, "subtractByKey"))._written()

    def subtract(self, other: Joins, numPartitions: int | None = None) -> RDD:
        """The records that are not in ``other``; those that occur several times stay so. Records must be
        hashable. Shuffles.

        >>> x, y = sc.parallelize([1, 2, 2, 3]), sc.parallelize([3, 4])
        >>> sorted(x.subtract(y).collect())
        [1, 2, 2]
        """
        both = self._as_keys("subtract", [self, other])
        return both[0]._meet("subtract", both[1:], numPartitions, partial(_select, False, "subtract"))._written().keys()

    def intersection(self, other: Joins) -> RDD:
        """The values that are in both, each once. Values must be hashable. Shuffles.

        >>> x, y = sc.parallelize([1, 10, 2, 3, 3]), sc.parallelize([1, 6, 2, 3, 7])
        >>> sorted(x.intersection(y).collect())
        [1, 2, 3]
        """
        both = self._as_keys("intersection", [self, other])
        once = Combiner(None, steps.keep_first, steps.keep_first, "intersection")
        return both[0]._meet("intersection", both[1:], None, partial(_select, True, "intersection"), once)._written().keys()

    def _join(
        self, operation: str, other: Joins, num_partitions: int | None, all_of_left: bool = False, all_of_right: bool = False
    ) -> RDD:
        join = partial(steps.join_parts, operation, all_of_left, all_of_right)
        return self._meet(operation, [other], num_partitions, join)._written()

    def _cogroup(self, operation: str, others: Sequence[Joins], num_partitions: int | None) -> RDD:
        return self._meet(operation, others, num_partitions, partial(steps.cogroup_parts, operation))._written()

    def _meet(
        self, operation: str, others: Sequence[Joins], num_partitions: int | None, step: Any, combiner: Combiner | None = None
    ) -> RDD:
        """``step`` on what all the RDDs have of a partition; the values of a key combined beforehand if there
        is a combiner."""
        _check_rdds(operation, others)
        default, shared = self._node.num_partitions, self.partitioner
        for other in others:
            if shared is None or other.partitioner != shared:
                default, shared = default + other._node.num_partitions, None
        count = self._partitions(num_partitions, default)
        known = [rdd.partitioner for rdd in (self, *others)
                 if rdd.partitioner is not None and rdd.partitioner.num_partitions == count]
        partitioner = known[0] if known else hash_partitioner(count, None)
        first, *rest = [rdd._moved_to(operation, partitioner, combiner) for rdd in (self, *others)]
        return first._narrow(
            operation, step, others=rest, inputs=OneToOne(1 + len(rest)), num_partitions=count, partitioner=partitioner,
        )

    def _moved_to(self, operation: str, partitioner: Partitioner, combiner: Combiner | None = None) -> RDD:
        if partitioner == self.partitioner:
            return self._same()
        return self._shuffle(operation, partitioner, combiner, partitioner=partitioner)

    @staticmethod
    def _as_keys(operation: str, rdds: Sequence[Joins]) -> list[RDD]:
        _check_rdds(operation, rdds)
        return [rdd._narrow(operation, partial(steps.map_records, steps.distinct_pair)) for rdd in rdds]


def _check_rdds(operation: str, others: Iterable[Any]) -> None:
    for other in others:
        if not isinstance(other, Joins):
            raise InvalidType(f"{operation} needs another RDD, not {other!r}")


# --- on the executors -------------------------------------------------------------------------------------------------

Groups = tuple[Values, ...]


def _iterables(groups: Groups) -> tuple[ResultIterable, ...]:
    return tuple(map(ResultIterable, groups))


def _select(wanted: bool, operation: str, partition: int, records: Iterable[Any], others: Iterable[Any]) -> Iterator[Any]:
    return select(wanted, operation, records, others, steps.workspace())
