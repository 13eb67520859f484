"""Total orders: sortBy and sortByKey.

A sort samples the keys in a first job, cuts their range into pieces of about equal size, moves each
record to its piece, and sorts within. The sampling job runs when an action first needs the sorted
data, not when the program calls ``sortBy``. The sort spreads a key that would fill a piece of its
own over several, in the order of its records. So the sort stays stable, and no rank gets all of the
key.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from mpirdd.api.base import Step, check_function, hash_partitioner
from mpirdd.api.callsite import label
from mpirdd.api.joins import Joins
from mpirdd.api.snapshots import Captured
from mpirdd.ops import operators as steps
from mpirdd.ops.range_bounds import range_bounds
from mpirdd.ops.range_partitioner import RangePartitioner
from mpirdd.scheduler.lineage import Grouped, Narrow, Node, Shuffled

if TYPE_CHECKING:
    from typing_extensions import Self

_SAMPLE_PER_PARTITION = 60
"""Keys to sample for each target partition: pieces then differ by about a factor 2 at the very most (Spark
takes 20, times 3)."""
_MOST_SAMPLES = 1_000_000


class Ordering(Joins):
    def sortBy(
        self, keyfunc: Callable[[Any], Any], ascending: bool = True, numPartitions: int | None = None
    ) -> Self:
        """All records in the order of ``keyfunc(record)``; equal ones keep their order. Shuffles;
        reads its input twice (cache it if it is costly to make), and calls ``keyfunc`` on each
        record once before it moves and once after.

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
    ) -> Self:
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
    ) -> Self:
        """Pairs moved to partition ``partitionFunc(key) % numPartitions``, each partition in the
        order of ``keyfunc(key)``; equal ones keep their order. Shuffles, unless the RDD is
        partitioned so already.

        >>> pairs = sc.parallelize([(0, 5), (3, 8), (2, 6), (0, 8), (3, 8), (1, 3)])
        >>> pairs.repartitionAndSortWithinPartitions(2, lambda x: x % 2, True).glom().collect()
        [[(0, 5), (0, 8), (2, 6)], [(1, 3), (3, 8), (3, 8)]]
        """
        check_function(keyfunc, "repartitionAndSortWithinPartitions")
        key: Callable[[Any], Any] = partial(steps.key_of, keyfunc)
        if keyfunc is steps.identity and hash_partitioner(self._partitions(numPartitions), partitionFunc) != self.partitioner:
            key = itemgetter(0)  # what has moved by key is known to be pairs
        by_key = partial(steps.sort_records, key, not ascending)
        return self._moved_by_key("repartitionAndSortWithinPartitions", numPartitions, partitionFunc, by_key)

    def _moved_by_key(
        self, operation: str, num_partitions: int | None, function: Callable[[Any], int] | None, finish: Step
    ) -> Self:
        partitioner = hash_partitioner(self._partitions(num_partitions), function)
        return self._shuffle(operation, partitioner, partitioner=partitioner, finish=finish)

    def _sort(
        self, operation: str, keyfunc: Callable[[Any], Any], ascending: bool, num_partitions: int | None, *, of_pairs: bool
    ) -> Self:
        """``keyfunc`` gets the keys of pairs, or whole records."""
        count = self._partitions(num_partitions)
        if count == 0:
            return self
        keyfunc = keyfunc if keyfunc is steps.identity else Captured(keyfunc, label(operation))
        key = partial(steps.key_of, keyfunc) if of_pairs else keyfunc
        if count == 1:
            by_key = partial(steps.sort_records, key, not ascending)
            return self._narrow_to_one(operation)._narrow(operation, by_key, ends_wide=True)
        unbounded = RangePartitioner(count, (), ascending, None if keyfunc is steps.identity else keyfunc, of_pairs)
        by_key = partial(steps.sort_records, unbounded.key, not ascending)
        provisional = self._shuffle(operation, unbounded, partitioner=None, finish=by_key)
        return self._later(provisional, partial(self._sampled, provisional._node, unbounded, key))

    def _sampled(self, provisional: Node, unbounded: RangePartitioner, key: Callable[[Any], Any]) -> Node:
        """Run the sampling job; the node of the sort with bounds. ``key`` is ``unbounded.key``, and looks at the record first."""
        wanted = min(_MOST_SAMPLES, _SAMPLE_PER_PARTITION * unbounded.num_partitions)
        size = -(-wanted // max(1, self._node.num_partitions))
        samples = self._engine.run(
            self._node, partial(steps.sample_sort_keys, key, size), f"sample for {provisional.label}")
        bounds = range_bounds(samples, unbounded.num_partitions, ascending=unbounded.ascending)
        bounded = replace(unbounded, bounds=bounds, counts=tuple(count for count, _ in samples))
        (shuffled,) = provisional.parents
        assert isinstance(provisional, Narrow) and isinstance(shuffled, Shuffled)
        write = self._writer(bounded, None)
        moved = self._engine.add(lambda id: replace(shuffled, id=id, write=write))
        made = self._engine.add(lambda id: replace(provisional, id=id, from_nodes=(moved,)))
        self._engine.disk_mode.write(made)
        return made

    def _narrow_to_one(self, operation: str) -> Self:
        everything = Grouped((tuple(range(self._node.num_partitions)),))
        return self._narrow(operation, steps.concatenate, inputs=everything, num_partitions=1)
