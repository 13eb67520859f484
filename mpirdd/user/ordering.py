"""Total orders: sortBy and sortByKey.

A sort samples the keys in a first job, cuts their range into pieces of about equal size, moves each record to
its piece, and sorts within. The sample is taken when an action first needs the sorted data, not when ``sortBy``
is called. A key so common that it would fill a piece of its own is dealt out over several, in the order of its
records, so the sort stays stable and no rank gets all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from mpirdd.decisions.lineage import Grouped
from mpirdd.decisions.partitioners import RangePartitioner, range_bounds
from mpirdd.user import steps
from mpirdd.user.base import Handle, check_function, hash_partitioner

if TYPE_CHECKING:
    from mpirdd.user.rdd import RDD

_SAMPLE_PER_PARTITION = 60
"""Keys to sample for each target partition: pieces then differ by about a factor 2 at the very most (Spark
takes 20, times 3)."""
_MOST_SAMPLES = 1_000_000


class Ordering(Handle):
    def sortBy(
        self, keyfunc: Callable[[Any], Any], ascending: bool = True, numPartitions: int | None = None
    ) -> RDD:
        """All records in the order of ``keyfunc(record)``; equal ones keep their order. Shuffles; reads its input twice
        (cache it if it is costly to make), and asks for a record's key once before it moves and once after.

        >>> sc.parallelize([("b", 1), ("a", 3), ("c", 2)]).sortBy(lambda x: x[1]).collect()
        [('b', 1), ('c', 2), ('a', 3)]
        """
        check_function(keyfunc, "sortBy")
        return self._sort("sortBy", keyfunc, bool(ascending), numPartitions, of_pairs=False)

    def sortByKey(
        self,
        ascending: bool | None = True,
        numPartitions: int | None = None,
        keyfunc: Callable[[Any], Any] = steps.identity,
    ) -> RDD:
        """All pairs in the order of ``keyfunc(key)``; equal ones keep their order. Shuffles; reads its input twice.

        >>> sc.parallelize([("a", 1), ("b", 2), ("1", 3)]).sortByKey().first()
        ('1', 3)
        """
        check_function(keyfunc, "sortByKey")
        return self._sort("sortByKey", keyfunc, bool(ascending), numPartitions, of_pairs=True)

    def repartitionAndSortWithinPartitions(
        self,
        numPartitions: int | None = None,
        partitionFunc: Callable[[Any], int] | None = None,
        ascending: bool = True,
        keyfunc: Callable[[Any], Any] = steps.identity,
    ) -> RDD:
        """Pairs moved to partition ``partitionFunc(key) % numPartitions``, each partition in the order of
        ``keyfunc(key)``; equal ones keep their order. Shuffles, unless they are partitioned so already.

        >>> pairs = sc.parallelize([(0, 5), (3, 8), (2, 6), (0, 8), (3, 8), (1, 3)])
        >>> pairs.repartitionAndSortWithinPartitions(2, lambda x: x % 2, True).glom().collect()
        [[(0, 5), (0, 8), (2, 6)], [(1, 3), (3, 8), (3, 8)]]
        """
        check_function(keyfunc, "repartitionAndSortWithinPartitions")
        return self._moved_and_sorted(numPartitions, partitionFunc, ascending, keyfunc)._written()

    def _moved_and_sorted(
        self, num_partitions: int | None, function: Callable[[Any], int] | None, ascending: bool = True,
        keyfunc: Callable[[Any], Any] = steps.identity, *, operation: str = "repartitionAndSortWithinPartitions",
    ) -> RDD:
        partitioner = hash_partitioner(self._partitions(num_partitions), function)
        moved = self._same()._moved_to(operation, partitioner)
        by_key = partial(steps.sort_records, partial(steps.key_of, keyfunc), not ascending)
        return moved._narrow(operation, by_key, partitioner=partitioner)

    def _sort(
        self, operation: str, keyfunc: Callable[[Any], Any], ascending: bool, num_partitions: int | None, *, of_pairs: bool
    ) -> RDD:
        """``keyfunc`` is given the keys of pairs, or whole records."""
        count = self._partitions(num_partitions)
        key = partial(steps.key_of, keyfunc) if of_pairs else keyfunc
        if count == 1:
            return self._narrow_to_one(operation)._narrow(operation, partial(steps.sort_records, key, not ascending))._written()
        splitter = SampledRange(count, None if keyfunc is steps.identity else keyfunc, ascending, of_pairs)
        moved = self._shuffle(operation, splitter, None, partitioner=None)
        self._context._before_first_use(moved._node, partial(splitter.sample, self._same(), key))
        return moved._narrow(operation, partial(steps.sort_records, splitter.key, not ascending))._written()

    def _narrow_to_one(self, operation: str) -> RDD:
        everything = Grouped((tuple(range(self._node.num_partitions)),))
        return self._narrow(operation, steps.concatenate, inputs=everything, num_partitions=1)


class SampledRange:
    """A range partitioner whose bounds are known only once the data has been sampled."""

    def __init__(
        self, num_partitions: int, keyfunc: Callable[[Any], Any] | None, ascending: bool, of_pairs: bool
    ) -> None:
        self.num_partitions = num_partitions
        self._range = RangePartitioner(num_partitions, (), ascending, keyfunc, of_pairs)

    @property
    def key(self) -> Callable[[Any], Any]:
        """Record, which has been found to be a pair where it must -> what to sort by."""
        return self._range.key

    def split(self, records: Iterable[Any], source: int, first: int = 0) -> list[list[Any]]:
        return self._range.split(records, source, first)

    def sample(self, parent: Handle, key: Callable[[Any], Any]) -> None:
        """Run the sampling job and set the bounds; ``key`` is as ``self.key``, and looks at the record first."""
        wanted = min(_MOST_SAMPLES, _SAMPLE_PER_PARTITION * self.num_partitions)
        size = -(-wanted // max(1, parent._node.num_partitions))
        samples = parent._run("sample for sortByKey", partial(steps.sample_sort_keys, key, size))
        bounds = range_bounds(samples, self.num_partitions, ascending=self._range.ascending)
        self._range = replace(self._range, bounds=bounds, counts=tuple(count for count, _ in samples))
