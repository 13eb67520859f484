"""The RDD: transformations that take records as they come. The other families are mixins.

A transformation runs nothing: it makes a handle on a new lineage node. See ``actions`` for what runs jobs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from types import GenericAlias
from typing import Any

from mpirdd.decisions.lineage import Grouped
from mpirdd.storage.combine import Combiner
from mpirdd.user import steps
from mpirdd.user.actions import Actions
from mpirdd.user.approximate import Approximate
from mpirdd.user.barrier import RDDBarrier
from mpirdd.user.base import check_function
from mpirdd.user.debugging import Debugging
from mpirdd.user.joins import Joins
from mpirdd.user.numbers import Numbers
from mpirdd.user.ordering import Ordering
from mpirdd.user.pairs import Pairs
from mpirdd.user.persistence import Persistence
from mpirdd.user.sampling import Sampling
from mpirdd.user.sinks import Sinks
from mpirdd.user.trees import Trees
from mpirdd.user.unsupported import Unsupported
from mpirdd.user.zipping import Zipping
from mpirdd.words.errors import InvalidType


class RDD(
    Actions, Trees, Numbers, Approximate, Pairs, Joins, Ordering, Zipping, Sampling, Persistence, Sinks, Debugging, Unsupported
):
    """A resilient distributed dataset: records in partitions, spread over the executors, made again when lost.

    Made by a Context (``parallelize``, ``textFile``, ...) or from other RDDs, never directly.
    """

    def __class_getitem__(cls, kind: Any) -> GenericAlias:
        """``RDD[int]``, for annotations: says what the records are; nothing checks it."""
        return GenericAlias(cls, kind)

    def map(self, f: Callable[[Any], Any], preservesPartitioning: bool = False) -> RDD:
        """``f`` on each record.

        Args:
            preservesPartitioning: promise that ``f`` changes no key, so that the partitioner stays.

        >>> sc.parallelize(["b", "a", "c"]).map(lambda x: (x, 1)).collect()
        [('b', 1), ('a', 1), ('c', 1)]
        """
        check_function(f, "map")
        return self._narrow("map", partial(steps.map_records, f), partitioner=self._if(preservesPartitioning))

    def flatMap(self, f: Callable[[Any], Iterable[Any]], preservesPartitioning: bool = False) -> RDD:
        """The records of the iterables that ``f`` gives, chained.

        >>> sc.parallelize(["to be", "or not"]).flatMap(str.split).collect()
        ['to', 'be', 'or', 'not']
        """
        check_function(f, "flatMap")
        return self._narrow("flatMap", partial(steps.flat_map, f), partitioner=self._if(preservesPartitioning))

    def filter(self, f: Callable[[Any], Any]) -> RDD:
        """The records for which ``f`` is true; the partitioner stays.

        >>> sc.parallelize([1, 2, 3, 4]).filter(lambda x: x % 2 == 0).collect()
        [2, 4]
        """
        check_function(f, "filter")
        return self._narrow("filter", partial(steps.filter_records, f), partitioner=self.partitioner)

    def mapPartitions(
        self, f: Callable[[Iterator[Any]], Iterable[Any]], preservesPartitioning: bool = False
    ) -> RDD:
        """``f(iterator over a partition) -> iterable``, once a partition: for work that is set up once, and for numpy.

        >>> sc.parallelize([1, 2, 3, 4], 2).mapPartitions(lambda records: [sum(records)]).collect()
        [3, 7]
        """
        check_function(f, "mapPartitions")
        step = partial(steps.map_partition, f)
        return self._narrow("mapPartitions", step, partitioner=self._if(preservesPartitioning))

    def mapPartitionsWithIndex(
        self, f: Callable[[int, Iterator[Any]], Iterable[Any]], preservesPartitioning: bool = False
    ) -> RDD:
        """``f(partition's index, iterator over it) -> iterable``.

        >>> sc.parallelize("abcd", 2).mapPartitionsWithIndex(lambda i, records: [(i, list(records))]).collect()
        [(0, ['a', 'b']), (1, ['c', 'd'])]
        """
        check_function(f, "mapPartitionsWithIndex")
        step = partial(steps.map_partition_with_index, f)
        return self._narrow("mapPartitionsWithIndex", step, partitioner=self._if(preservesPartitioning))

    def mapPartitionsWithSplit(
        self, f: Callable[[int, Iterator[Any]], Iterable[Any]], preservesPartitioning: bool = False
    ) -> RDD:
        """``mapPartitionsWithIndex`` under its old name; warns of it."""
        warnings.warn(
            "mapPartitionsWithSplit is deprecated; use mapPartitionsWithIndex", FutureWarning, stacklevel=2
        )
        return self.mapPartitionsWithIndex(f, preservesPartitioning)

    def pipe(self, command: str, env: Mapping[str, str] | None = None, checkCode: bool = False) -> RDD:
        """The lines that an external command writes, which gets ``str(record)`` as lines; it is started once a
        partition.

        Args:
            command: split into words as a shell does, but run without one: ``sh -c '...'`` brings one in.
            env: all the environment that the command has. None is an empty one, as in PySpark, in which commands are
                found in /bin and /usr/bin only; ``dict(os.environ)`` hands on the program's.
            checkCode: fail the job if the command ends with another exit code than 0.

        What the command writes to its stderr comes out on that of the rank.

        >>> sc.parallelize(["1", "2", "", "3"]).pipe("cat").collect()
        ['1', '2', '', '3']
        """
        if not isinstance(command, str):
            raise InvalidType(f"pipe needs a command line as a str, not {command!r}")
        return self._narrow("pipe", partial(steps.pipe_records, command, dict(env or {}), checkCode))

    def glom(self) -> RDD:
        """Each partition as one list.

        >>> sc.parallelize([1, 2, 3, 4], 2).glom().collect()
        [[1, 2], [3, 4]]
        """
        return self._narrow("glom", steps.as_list)

    def keyBy(self, f: Callable[[Any], Any]) -> RDD:
        """(f(record), record).

        >>> sc.parallelize([1, 2]).keyBy(lambda x: x * x).collect()
        [(1, 1), (4, 2)]
        """
        check_function(f, "keyBy")
        return self._narrow("keyBy", partial(steps.key_by, f))

    def union(self, other: RDD) -> RDD:
        """All records of both, duplicates too. Partitions are put side by side, or together where both are
        partitioned alike.

        >>> rdd = sc.parallelize([1, 1, 2])
        >>> rdd.union(rdd).collect()
        [1, 1, 2, 1, 1, 2]
        """
        if not isinstance(other, RDD):
            raise InvalidType(f"union needs another RDD, not {other!r}")
        return self._context.union([self, other])

    def __add__(self, other: RDD) -> RDD:
        """``union``.

        >>> (sc.parallelize([1]) + sc.parallelize([2])).collect()
        [1, 2]
        """
        if not isinstance(other, RDD):
            raise TypeError(f"an RDD can be added to an RDD, not to {type(other).__name__}")
        return self.union(other)

    def distinct(self, numPartitions: int | None = None) -> RDD:
        """One of each value; values must be hashable. Shuffles.

        >>> sorted(sc.parallelize([1, 1, 2, 3]).distinct().collect())
        [1, 2, 3]
        """
        pairs = self._narrow("distinct", partial(steps.map_records, steps.distinct_pair))
        combiner = Combiner(None, steps.keep_first, steps.keep_first, "distinct")
        return pairs._combine(combiner, numPartitions, None).keys()

    def groupBy(
        self, f: Callable[[Any], Any], numPartitions: int | None = None,
        partitionFunc: Callable[[Any], int] | None = None,
    ) -> RDD:
        """(f(record), the records with it). Shuffles.

        >>> groups = sc.parallelize([1, 1, 2, 3, 5, 8]).groupBy(lambda x: x % 2).collect()
        >>> sorted((key, sorted(values)) for key, values in groups)
        [(0, [2, 8]), (1, [1, 1, 3, 5])]
        """
        return self.keyBy(f)._group("groupBy", numPartitions, partitionFunc)

    def repartition(self, numPartitions: int) -> RDD:
        """Exactly so many partitions, evenly filled. Shuffles everything.

        >>> sc.parallelize(range(10), 2).repartition(4).getNumPartitions()
        4
        """
        return self.coalesce(numPartitions, shuffle=True)

    def barrier(self) -> RDDBarrier:
        """Let the next step run as a barrier stage: all its tasks start together, each on an executor of its own.

        >>> sc.parallelize([1, 2], 1).barrier().mapPartitions(lambda records: [sum(records)]).collect()
        [3]
        """
        return RDDBarrier(self)

    def coalesce(self, numPartitions: int, shuffle: bool = False) -> RDD:
        """Fewer partitions, by putting neighbours together; no shuffle unless asked for, and then any number of
        partitions.

        >>> sc.parallelize([1, 2, 3, 4, 5], 3).coalesce(1).glom().collect()
        [[1, 2, 3, 4, 5]]
        """
        self._partitions(numPartitions)
        if shuffle:
            return self._shuffle("repartition", RoundRobin(numPartitions), None, partitioner=None)._written()
        have = self._node.num_partitions
        count = min(numPartitions, have)
        groups = tuple(tuple(range(i * have // count, (i + 1) * have // count)) for i in range(count))
        return self._narrow("coalesce", steps.concatenate, inputs=Grouped(groups), num_partitions=count)

    def _if(self, preserves: bool) -> Any:
        return self.partitioner if preserves else None


class RoundRobin:
    """Deals records out in turn. Where a map partition begins depends on its index, so that many small ones
    spread too."""

    def __init__(self, num_partitions: int) -> None:
        self.num_partitions = num_partitions

    def split(self, records: Iterable[Any], source: int, first: int = 0) -> list[list[Any]]:
        everything, count = records if isinstance(records, list) else list(records), self.num_partitions
        return [everything[(place - source - first) % count :: count] for place in range(count)]
