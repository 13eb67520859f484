"""The RDD: transformations of records of any kind. The other families are mixins.

A transformation runs nothing: it makes a handle on a new lineage node. Actions run jobs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import GenericAlias
from typing import Any

from mpirdd.api.approximate import Approximate
from mpirdd.api.barrier import RDDBarrier
from mpirdd.api.base import check_function, hash_partitioner, whole_number
from mpirdd.api.callsite import label
from mpirdd.api.debugging import Debugging
from mpirdd.api.numbers import Numbers
from mpirdd.api.ordering import Ordering
from mpirdd.api.persistence import Persistence
from mpirdd.api.recordsinks import RecordSinks
from mpirdd.api.sampling import Sampling
from mpirdd.api.trees import Trees
from mpirdd.api.unsupported import refuses
from mpirdd.api.zipping import Zipping
from mpirdd.ops import operators as steps
from mpirdd.ops.combine import Combiner
from mpirdd.ops.partitioners import RoundRobin
from mpirdd.protocol.errors import InvalidType, InvalidValue
from mpirdd.scheduler.lineage import Concatenated, Grouped, OneToOne


@refuses("RDD")
class RDD(Trees, Numbers, Approximate, Ordering, Zipping, Sampling, Persistence, RecordSinks, Debugging):
    """A resilient distributed dataset: records in partitions, spread over the executors, recomputed
    when lost.

    Made by a Context (``parallelize``, ``textFile``, ...) or from other RDDs, never directly.
    """

    def __class_getitem__(cls, kind: Any) -> GenericAlias:
        """``RDD[int]``, for annotations: names the type of the records; nothing checks it."""
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
        """The records of the iterables that ``f`` returns, chained.

        >>> sc.parallelize(["to be", "or not"]).flatMap(str.split).collect()
        ['to', 'be', 'or', 'not']
        """
        check_function(f, "flatMap")
        return self._narrow("flatMap", partial(steps.flat_map, label("flatMap"), f), partitioner=self._if(preservesPartitioning))

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
        """``f(iterator over a partition) -> iterable``, once a partition: for work with a set-up,
        and for numpy.

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
        """``mapPartitionsWithIndex`` under its old name; gives a warning."""
        warnings.warn(
            "mapPartitionsWithSplit is deprecated; use mapPartitionsWithIndex", FutureWarning, stacklevel=2
        )
        return self.mapPartitionsWithIndex(f, preservesPartitioning)

    def pipe(self, command: str, env: Mapping[str, str] | None = None, checkCode: bool = False) -> RDD:
        """The output lines of an external command, which gets ``str(record)`` as lines. Starts it
        once a partition.

        Args:
            command: split into words as a shell does, but run without one; for a shell write
                ``sh -c '...'``.
            env: the command's whole environment. None is an empty one, as in PySpark, which finds
                commands in /bin and /usr/bin only; ``dict(os.environ)`` passes the program's on.
            checkCode: fail the job if the command exits with a code other than 0. The command's
                stderr goes to the rank's.

        >>> sc.parallelize(["1", "2", "", "3"]).pipe("cat").collect()
        ['1', '2', '', '3']
        """
        if not isinstance(command, str):
            raise InvalidType(f"pipe needs a command line as a str, not {command!r}")
        if not command.strip():
            raise InvalidValue("pipe needs a command, and this one is empty")
        try:
            import shlex

            shlex.split(command)
        except ValueError as error:
            raise InvalidValue(f"pipe cannot split the command {command!r} into words: {error}") from error
        for name, value in (env or {}).items():
            if not isinstance(name, str) or not isinstance(value, str):
                raise InvalidType(f"pipe: names and values of the environment are text; {name!r} is {value!r}")
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
        """All records of both, duplicates too. Puts partitions side by side, or together where both
        are partitioned alike.

        >>> rdd = sc.parallelize([1, 1, 2])
        >>> rdd.union(rdd).collect()
        [1, 1, 2, 1, 1, 2]
        """
        if not isinstance(other, RDD):
            raise InvalidType(f"union needs another RDD, not {other!r}")
        return self._united([other])

    def __add__(self, other: RDD) -> RDD:
        """``union``.

        >>> (sc.parallelize([1]) + sc.parallelize([2])).collect()
        [1, 2]
        """
        if not isinstance(other, RDD):
            raise TypeError(f"an RDD can be added to an RDD, not to {type(other).__name__}")
        return self.union(other)

    def distinct(self, numPartitions: int | None = None) -> RDD:
        """Each value once; values must be hashable. Shuffles.

        >>> sorted(sc.parallelize([1, 1, 2, 3]).distinct().collect())
        [1, 2, 3]
        """
        splitter = hash_partitioner(self._partitions(numPartitions), None)
        combiner = Combiner(None, steps.keep_first, steps.keep_first, "distinct", keys_only=True)
        return self._shuffle("distinct", splitter, combiner, partitioner=None)

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

    def barrier(self) -> RDDBarrier[RDD]:
        """Let the next step run as a barrier stage: all its tasks start together, each on an executor of its own.

        >>> sc.parallelize([1, 2], 1).barrier().mapPartitions(lambda records: [sum(records)]).collect()
        [3]
        """
        return RDDBarrier(self)

    def coalesce(self, numPartitions: int, shuffle: bool = False) -> RDD:
        """Fewer partitions, by putting neighbours together. ``shuffle=True`` shuffles, and allows
        any number of partitions.

        >>> sc.parallelize([1, 2, 3, 4, 5], 3).coalesce(1).glom().collect()
        [[1, 2, 3, 4, 5]]
        """
        wanted, have = whole_number(numPartitions, "numPartitions", least=1), self._node.num_partitions
        if shuffle:
            return self._shuffle("repartition", RoundRobin(wanted), partitioner=None)
        count = min(wanted, have)
        groups = tuple(tuple(range(i * have // count, (i + 1) * have // count)) for i in range(count))
        return self._narrow("coalesce", steps.concatenate, inputs=Grouped(groups), num_partitions=count)

    def _united(self, others: Sequence[RDD]) -> RDD:
        partitioner = self.partitioner
        if partitioner is not None and all(other.partitioner == partitioner for other in others):
            return self._narrow("union", steps.concatenate, others=others, inputs=OneToOne(1 + len(others)),
                                partitioner=partitioner)
        counts = tuple(rdd.getNumPartitions() for rdd in (self, *others))
        return self._narrow("union", steps.concatenate, others=others, inputs=Concatenated(counts),
                            num_partitions=sum(counts))

    def _if(self, preserves: bool) -> Any:
        return self.partitioner if preserves else None
