"""Operations on RDDs of (key, value) pairs.

A shuffle's number of partitions is, where not given: the ``parallelism`` setting if there is one, else that of
the RDD. Where the RDD is already partitioned as asked, nothing moves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from mpirdd.storage.combine import Combiner, aggregated_pairs, merge
from mpirdd.storage.grouping import group_pairs
from mpirdd.user import steps
from mpirdd.user.base import Handle, check_function, hash_partitioner
from mpirdd.user.results import ResultIterable

if TYPE_CHECKING:
    from mpirdd.user.rdd import RDD

PartitionFunction = Callable[[Any], int]


class Pairs(Handle):
    """Needs records that are pairs; a RecordError says which record is not, when the job runs."""

    def keys(self) -> RDD:
        """The first item of each pair.

        >>> sc.parallelize([(1, 2), (3, 4)]).keys().collect()
        [1, 3]
        """
        return self._narrow("keys", partial(steps.pick, 0, "keys"))

    def values(self) -> RDD:
        """The second item of each pair.

        >>> sc.parallelize([(1, 2), (3, 4)]).values().collect()
        [2, 4]
        """
        return self._narrow("values", partial(steps.pick, 1, "values"))

    def mapValues(self, f: Callable[[Any], Any]) -> RDD:
        """``f`` on each value; keys and partitioner stay.

        >>> sc.parallelize([("a", [1, 2]), ("b", [3])]).mapValues(len).collect()
        [('a', 2), ('b', 1)]
        """
        check_function(f, "mapValues")
        return self._narrow("mapValues", partial(steps.map_values, f), partitioner=self.partitioner)

    def flatMapValues(self, f: Callable[[Any], Iterable[Any]]) -> RDD:
        """A pair for each item of ``f(value)``; keys and partitioner stay.

        >>> sc.parallelize([("a", ["x", "y"]), ("b", ["z"])]).flatMapValues(lambda x: x).collect()
        [('a', 'x'), ('a', 'y'), ('b', 'z')]
        """
        check_function(f, "flatMapValues")
        return self._narrow("flatMapValues", partial(steps.flat_map_values, f), partitioner=self.partitioner)

    def partitionBy(self, numPartitions: int | None, partitionFunc: PartitionFunction | None = None) -> RDD:
        """Pairs moved to partition ``partitionFunc(key) % numPartitions``. Shuffles, unless they are there already.

        >>> pairs = sc.parallelize([1, 2, 3, 4]).map(lambda x: (x, x)).partitionBy(2)
        >>> [sorted(part) for part in pairs.glom().collect()]
        [[(2, 2), (4, 4)], [(1, 1), (3, 3)]]
        """
        partitioner = hash_partitioner(self._partitions(numPartitions), partitionFunc)
        if partitioner == self.partitioner:
            return self._same()
        return self._shuffle("partitionBy", partitioner, None, partitioner=partitioner)._written()

    def combineByKey(
        self,
        createCombiner: Callable[[Any], Any],
        mergeValue: Callable[[Any, Any], Any],
        mergeCombiners: Callable[[Any, Any], Any],
        numPartitions: int | None = None,
        partitionFunc: PartitionFunction | None = None,
    ) -> RDD:
        """The values of each key combined. Shuffles, after combining within partitions.

        Args:
            createCombiner: a key's first value -> combiner.
            mergeValue: (combiner, value) -> combiner.
            mergeCombiners: (combiner, combiner) -> combiner.

        >>> pairs = sc.parallelize([("a", 1), ("b", 1), ("a", 2)])
        >>> sorted(pairs.combineByKey(lambda v: [v], lambda c, v: c + [v], lambda c, d: c + d).collect())
        [('a', [1, 2]), ('b', [1])]
        """
        for function in (createCombiner, mergeValue, mergeCombiners):
            check_function(function, "combineByKey")
        combiner = Combiner(createCombiner, mergeValue, mergeCombiners, "combineByKey")
        return self._combine(combiner, numPartitions, partitionFunc)

    def reduceByKey(
        self, func: Callable[[Any, Any], Any], numPartitions: int | None = None,
        partitionFunc: PartitionFunction | None = None,
    ) -> RDD:
        """The values of each key combined by ``func``, which must be associative. Shuffles, after combining
        within partitions.

        >>> from operator import add
        >>> sorted(sc.parallelize([("a", 1), ("b", 1), ("a", 1)]).reduceByKey(add).collect())
        [('a', 2), ('b', 1)]
        """
        check_function(func, "reduceByKey")
        return self._combine(Combiner(None, func, func, "reduceByKey"), numPartitions, partitionFunc)

    def aggregateByKey(
        self,
        zeroValue: Any,
        seqFunc: Callable[[Any, Any], Any],
        combFunc: Callable[[Any, Any], Any],
        numPartitions: int | None = None,
        partitionFunc: PartitionFunction | None = None,
    ) -> RDD:
        """Like ``combineByKey``, each key's combiner starting from a copy of ``zeroValue``. Shuffles.

        >>> pairs = sc.parallelize([("a", 1), ("b", 1), ("a", 2)])
        >>> sorted(pairs.aggregateByKey(0, lambda a, v: a + v, lambda a, b: a + b).collect())
        [('a', 3), ('b', 1)]
        """
        check_function(seqFunc, "aggregateByKey")
        check_function(combFunc, "aggregateByKey")
        create = partial(steps.start_from, zeroValue, seqFunc)
        return self._combine(Combiner(create, seqFunc, combFunc, "aggregateByKey"), numPartitions, partitionFunc)

    def foldByKey(
        self, zeroValue: Any, func: Callable[[Any, Any], Any], numPartitions: int | None = None,
        partitionFunc: PartitionFunction | None = None,
    ) -> RDD:
        """The values of each key folded by ``func``, from a copy of ``zeroValue`` in each partition. Shuffles.

        >>> from operator import add
        >>> sorted(sc.parallelize([("a", 1), ("b", 1), ("a", 1)]).foldByKey(0, add).collect())
        [('a', 2), ('b', 1)]
        """
        check_function(func, "foldByKey")
        create = partial(steps.start_from, zeroValue, func)
        return self._combine(Combiner(create, func, func, "foldByKey"), numPartitions, partitionFunc)

    def groupByKey(self, numPartitions: int | None = None, partitionFunc: PartitionFunction | None = None) -> RDD:
        """(key, its values), where the values have a length and can be iterated again and again. Shuffles all values.

        The values of one key may be more than memory holds: they are then read from disk as they are iterated.
        To sum or count, ``reduceByKey`` moves much less.

        >>> pairs = sc.parallelize([("a", 1), ("b", 1), ("a", 1)])
        >>> sorted(pairs.groupByKey().mapValues(len).collect())
        [('a', 2), ('b', 1)]
        """
        return self._group("groupByKey", numPartitions, partitionFunc)

    def reduceByKeyLocally(self, func: Callable[[Any, Any], Any]) -> dict[Any, Any]:
        """The values of each key combined by ``func``, as a dict at the driver. An action; no shuffle.

        >>> from operator import add
        >>> sorted(sc.parallelize([("a", 1), ("b", 1), ("a", 1)]).reduceByKeyLocally(add).items())
        [('a', 2), ('b', 1)]
        """
        check_function(func, "reduceByKeyLocally")
        combiner = Combiner(None, func, func, "reduceByKeyLocally")
        parts = self._run("reduceByKeyLocally", partial(steps.combine_records, combiner))
        return merge(combiner, chain.from_iterable(part.items() for part in parts))

    def countByKey(self) -> dict[Any, int]:
        """key -> number of pairs, at the driver.

        >>> sorted(sc.parallelize([("a", 1), ("b", 1), ("a", 1)]).countByKey().items())
        [('a', 2), ('b', 1)]
        """
        counts: dict[Any, int] = defaultdict(int)
        keys = self._narrow("countByKey", partial(steps.pick, 0, "countByKey"))
        for part in keys._run("countByKey", partial(steps.count_each, "countByKey")):
            for key, count in part.items():
                counts[key] += count
        return counts

    def collectAsMap(self) -> dict[Any, Any]:
        """The pairs as a dict at the driver; of equal keys the last wins.

        >>> sc.parallelize([(1, 2), (3, 4)]).collectAsMap()
        {1: 2, 3: 4}
        """
        return {key: value for part in self._run("collectAsMap", steps.last_by_key) for key, value in part.items()}

    def lookup(self, key: Any) -> list[Any]:
        """The values of a key. Runs one partition only if the partitioner is known, else all.

        >>> sc.parallelize([(1, 2), (3, 4), (1, 5)], 2).lookup(1)
        [2, 5]
        """
        checked = self._narrow("lookup", partial(steps.check_pairs, "lookup"))
        partitions = None if self.partitioner is None else [self.partitioner(key)]
        return [value for part in checked._run("lookup", partial(steps.values_of, key), partitions) for value in part]

    def _group(self, operation: str, num_partitions: int | None, function: PartitionFunction | None) -> RDD:
        combiner = Combiner(steps.new_list, steps.append, steps.extend, operation, groups=True)
        return self._combine(combiner, num_partitions, function).mapValues(ResultIterable)

    def _combine(
        self, combiner: Combiner, num_partitions: int | None, function: PartitionFunction | None
    ) -> RDD:
        partitioner = hash_partitioner(self._partitions(num_partitions), function)
        if partitioner == self.partitioner:
            return self._narrow(combiner.operation, partial(_combine_here, combiner), partitioner=partitioner)._written()
        return self._shuffle(combiner.operation, partitioner, combiner, partitioner=partitioner)._written()


def _combine_here(combiner: Combiner, partition: int, records: Iterable[Any]) -> Iterable[Any]:
    if combiner.groups:
        return group_pairs(combiner.operation, iter(records), steps.workspace())
    return aggregated_pairs(combiner, iter(records), steps.workspace())
