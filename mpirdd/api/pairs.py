"""Operations on RDDs of (key, value) pairs.

A shuffle's default number of partitions is the ``parallelism`` setting if there is one, else that
of the RDD. If the RDD is already partitioned as asked, nothing moves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from mpirdd.api.base import Handle, check_function, hash_partitioner
from mpirdd.api.callsite import label
from mpirdd.api.results import ResultIterable
from mpirdd.ops import items
from mpirdd.ops import operators as steps
from mpirdd.ops.combine import Combiner, aggregated_pairs, merge
from mpirdd.ops.current_task import STOPPED
from mpirdd.ops.group import group_pairs
from mpirdd.protocol.errors import RecordError, TaskError

if TYPE_CHECKING:
    from typing_extensions import Self

class _NoPairs(TaskError, ValueError, TypeError):
    """PySpark raises a ValueError or a TypeError on the driver, as the record is."""


PartitionFunction = Callable[[Any], int]


class Pairs(Handle):
    """Needs pairs; when the job runs, a RecordError names a record that is none."""

    def keys(self) -> Self:
        """The first item of each pair.

        >>> sc.parallelize([(1, 2), (3, 4)]).keys().collect()
        [1, 3]
        """
        return self._narrow("keys", partial(items.pick, 0, "keys"))

    def values(self) -> Self:
        """The second item of each pair.

        >>> sc.parallelize([(1, 2), (3, 4)]).values().collect()
        [2, 4]
        """
        return self._narrow("values", partial(items.pick, 1, "values"))

    def mapValues(self, f: Callable[[Any], Any]) -> Self:
        """``f`` on each value; keys and partitioner stay.

        >>> sc.parallelize([("a", [1, 2]), ("b", [3])]).mapValues(len).collect()
        [('a', 2), ('b', 1)]
        """
        check_function(f, "mapValues")
        return self._narrow("mapValues", partial(steps.map_values, f), partitioner=self.partitioner)

    def flatMapValues(self, f: Callable[[Any], Iterable[Any]]) -> Self:
        """A pair for each item of ``f(value)``; keys and partitioner stay.

        >>> sc.parallelize([("a", ["x", "y"]), ("b", ["z"])]).flatMapValues(lambda x: x).collect()
        [('a', 'x'), ('a', 'y'), ('b', 'z')]
        """
        check_function(f, "flatMapValues")
        step = partial(steps.flat_map_values, label("flatMapValues"), f)
        return self._narrow("flatMapValues", step, partitioner=self.partitioner)

    def partitionBy(self, numPartitions: int | None, partitionFunc: PartitionFunction | None = None) -> Self:
        """Pairs moved to partition ``partitionFunc(key) % numPartitions``. Shuffles, unless the RDD
        is partitioned so already.

        >>> pairs = sc.parallelize([1, 2, 3, 4]).map(lambda x: (x, x)).partitionBy(2)
        >>> [sorted(part) for part in pairs.glom().collect()]
        [[(2, 2), (4, 4)], [(1, 1), (3, 3)]]
        """
        partitioner = hash_partitioner(self._partitions(numPartitions), partitionFunc)
        return self._shuffle("partitionBy", partitioner, partitioner=partitioner)

    def combineByKey(
        self,
        createCombiner: Callable[[Any], Any],
        mergeValue: Callable[[Any, Any], Any],
        mergeCombiners: Callable[[Any, Any], Any],
        numPartitions: int | None = None,
        partitionFunc: PartitionFunction | None = None,
    ) -> Self:
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
    ) -> Self:
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
    ) -> Self:
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
    ) -> Self:
        """The values of each key folded by ``func``, from a copy of ``zeroValue`` in each partition. Shuffles.

        >>> from operator import add
        >>> sorted(sc.parallelize([("a", 1), ("b", 1), ("a", 1)]).foldByKey(0, add).collect())
        [('a', 2), ('b', 1)]
        """
        check_function(func, "foldByKey")
        create = partial(steps.start_from, zeroValue, func)
        return self._combine(Combiner(create, func, func, "foldByKey"), numPartitions, partitionFunc)

    def groupByKey(self, numPartitions: int | None = None, partitionFunc: PartitionFunction | None = None) -> Self:
        """(key, its values), where the values have a length and allow any number of iterations.
        Shuffles all values. The values of one key may exceed memory: each iteration then reads them
        from disk. To sum or count, ``reduceByKey`` moves much less.

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
        try:
            return merge(combiner, chain.from_iterable(part.items() for part in parts))
        except StopIteration as error:
            raise RuntimeError(STOPPED) from error

    def countByKey(self) -> dict[Any, int]:
        """key -> number of pairs, at the driver.

        >>> sorted(sc.parallelize([("a", 1), ("b", 1), ("a", 1)]).countByKey().items())
        [('a', 2), ('b', 1)]
        """
        counts: dict[Any, int] = defaultdict(int)
        for part in self._run("countByKey", partial(items.count_keys, "countByKey")):
            for key, count in part.items():
                counts[key] += count
        return counts

    def collectAsMap(self) -> dict[Any, Any]:
        """The pairs as a dict at the driver; of equal keys the last wins.

        Raises:
            ValueError, TypeError: a record is not a pair, or a key cannot be hashed.

        >>> sc.parallelize([(1, 2), (3, 4)]).collectAsMap()
        {1: 2, 3: 4}
        """
        try:
            parts = self._run("collectAsMap", steps.last_by_key)
        except TaskError as error:
            if isinstance(error.__cause__, RecordError):
                raise _NoPairs(error.failure) from error.__cause__
            raise
        return {key: value for part in parts for key, value in part.items()}

    def lookup(self, key: Any) -> list[Any]:
        """The values of a key. Runs one partition only if the partitioner is known, else all.

        >>> sc.parallelize([(1, 2), (3, 4), (1, 5)], 2).lookup(1)
        [2, 5]
        """
        partitions = None
        if self.partitioner is not None and self.partitioner.num_partitions:
            partitions = [self.partitioner(key)]
        return [value for part in self._run("lookup", partial(items.values_of, key), partitions) for value in part]

    def _group(self, operation: str, num_partitions: int | None, function: PartitionFunction | None) -> Self:
        combiner = Combiner(steps.new_list, steps.append, steps.extend, operation, groups=True)
        return self._combine(combiner, num_partitions, function).mapValues(ResultIterable)

    def _combine(
        self, combiner: Combiner, num_partitions: int | None, function: PartitionFunction | None
    ) -> Self:
        partitioner = hash_partitioner(self._partitions(num_partitions), function)
        if partitioner == self.partitioner:
            step = partial(_combine_here, combiner)
            return self._narrow(combiner.operation, step, partitioner=partitioner, ends_wide=True)
        return self._shuffle(combiner.operation, partitioner, combiner, partitioner=partitioner)


def _combine_here(combiner: Combiner, partition: int, records: Iterable[Any]) -> Iterable[Any]:
    if combiner.groups:
        return group_pairs(combiner.operation, iter(records), steps.task_memory())
    return aggregated_pairs(combiner, iter(records), steps.task_memory())
