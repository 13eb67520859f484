"""Actions: the operations that run a job and bring a result to the driver."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from functools import partial
from operator import index
from typing import Any

from mpirdd.api.base import Handle, check_function, merged
from mpirdd.api.callsite import label
from mpirdd.ops import extremes, items
from mpirdd.ops import operators as steps
from mpirdd.protocol.errors import InvalidType, InvalidValue


class Actions(Handle):
    """Each runs one job, or a few; none changes the RDD."""

    def collect(self) -> list[Any]:
        """All records, in the order of the partitions. They must fit in the driver's memory.

        >>> sc.parallelize([1, 2, 3]).map(lambda x: x * x).collect()
        [1, 4, 9]
        """
        return [record for part in self._run("collect", steps.collect_records) for record in part]

    def toLocalIterator(self, prefetchPartitions: bool = False) -> Iterator[Any]:
        """An iterator over all records in the order of the partitions. A job of its own computes
        each partition when the iterator gets to it.

        So the driver needs memory for one partition only. Cache the RDD if its partitions read the same costly data.

        Args:
            prefetchPartitions: compute the next partition while the program uses the records of
                one; needs memory for two.

        >>> list(sc.parallelize(range(6), 3).toLocalIterator())
        [0, 1, 2, 3, 4, 5]
        """
        self._engine.check_usable()
        self._engine.capture(self._node)
        fetch = partial(self._engine.run, self._node, steps.collect_records, label("toLocalIterator"))
        if prefetchPartitions:
            return _prefetched(fetch, self.getNumPartitions(), self._engine.requests.inheritance())
        return (record for partition in range(self.getNumPartitions()) for record in fetch([partition])[0])

    def collectWithJobGroup(self, groupId: str, description: str, interruptOnCancel: bool = False) -> list[Any]:
        """``collect``, in a job group. An action. Deprecated: use ``setJobGroup``, in an ``InheritableThread``.

        >>> import warnings
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     sc.parallelize([1, 2]).collectWithJobGroup("a group", "described")
        [1, 2]
        """
        warnings.warn("collectWithJobGroup is deprecated: use setJobGroup and collect", FutureWarning, stacklevel=2)
        names = ("spark.jobGroup.id", "spark.job.description")
        properties = self._engine.requests.properties
        before = dict(properties)
        properties.update(zip(names, (groupId, description), strict=True))
        try:
            return self.collect()
        finally:
            properties.clear()
            properties.update(before)

    def count(self) -> int:
        """The number of records.

        >>> sc.parallelize("abc").count()
        3
        """
        return sum(self._run("count", steps.count_records))

    def take(self, num: int) -> list[Any]:
        """The first ``num`` records; none if it is 0 or less. Computes one partition first, then more by a growing factor,
        until it has enough.

        >>> sc.parallelize(range(100), 10).take(3)
        [0, 1, 2]
        """
        num = _count(num, "take")
        taken: list[Any] = []
        tried, trying, total = 0, 1, self.getNumPartitions()
        while len(taken) < num and tried < total:
            partitions = range(tried, min(tried + trying, total))
            for part in self._run("take", partial(steps.take_records, num - len(taken)), partitions):
                taken += part[: num - len(taken)]
            tried += len(partitions)
            trying *= 4
        return taken

    def first(self) -> Any:
        """The first record.

        Raises:
            ValueError: there is none.

        >>> sc.parallelize([2, 3, 4]).first()
        2
        """
        for record in self.take(1):
            return record
        raise ValueError("RDD is empty")

    def isEmpty(self) -> bool:
        """True if there is no record; computes as few partitions as ``take(1)``.

        >>> sc.parallelize([]).isEmpty()
        True
        """
        return not self.take(1)

    def reduce(self, f: Callable[[Any, Any], Any]) -> Any:
        """All records combined by ``f``, which must be associative and commutative.

        Raises:
            ValueError: there is no record.

        >>> from operator import add
        >>> sc.parallelize([1, 2, 3, 4, 5]).reduce(add)
        15
        """
        check_function(f, "reduce")
        return merged(f, self._found("reduce", partial(steps.reduce_records, f)))

    def _found(self, operation: str, action: Callable[..., list[Any]]) -> list[Any]:
        """What ``action`` gives for the partitions that have records. ValueError when none has."""
        found = [value for part in self._run(operation, action) for value in part]
        if not found:
            raise ValueError(f"Can not {operation}() empty RDD")
        return found

    def fold(self, zeroValue: Any, op: Callable[[Any, Any], Any]) -> Any:
        """Like ``reduce``, from a zero value, once a partition and once at the driver.

        >>> from operator import add
        >>> sc.parallelize([1, 2, 3, 4, 5]).fold(0, add)
        15
        """
        return self.aggregate(zeroValue, op, op, _operation="fold")

    def aggregate(
        self,
        zeroValue: Any,
        seqOp: Callable[[Any, Any], Any],
        combOp: Callable[[Any, Any], Any],
        *,
        _operation: str = "aggregate",
    ) -> Any:
        """``seqOp(result, record)`` within partitions, ``combOp(result, result)`` across them, each from a copy
        of the zero.

        >>> sc.parallelize([1, 2, 3, 4]).aggregate((0, 0), lambda a, x: (a[0] + x, a[1] + 1),
        ...                                        lambda a, b: (a[0] + b[0], a[1] + b[1]))
        (10, 4)
        """
        check_function(seqOp, _operation)
        check_function(combOp, _operation)
        return merged(combOp, self._run(_operation, partial(steps.fold_records, zeroValue, seqOp)), deepcopy(zeroValue))

    def foreach(self, f: Callable[[Any], Any]) -> None:
        """Run ``f`` on each record, on the executors, for its effects.

        >>> sc.parallelize([1, 2, 3]).foreach(lambda x: None)
        """
        check_function(f, "foreach")
        self._run("foreach", partial(steps.run_for_each, f))

    def foreachPartition(self, f: Callable[[Iterable[Any]], Any]) -> None:
        """Run ``f`` on an iterator over each partition, on the executors, for its effects.

        >>> sc.parallelize([1, 2, 3], 2).foreachPartition(lambda records: None)
        """
        check_function(f, "foreachPartition")
        self._run("foreachPartition", partial(steps.run_for_partition, f))

    def top(self, num: int, key: Callable[[Any], Any] | None = None) -> list[Any]:
        """The ``num`` largest records, largest first.

        >>> sc.parallelize([10, 4, 2, 12, 3]).top(2)
        [12, 10]
        """
        num = _count(num, "top")
        parts = self._run("top", partial(steps.largest, num, key))
        import heapq

        return heapq.nlargest(num, (record for part in parts for record in part), key)

    def takeOrdered(self, num: int, key: Callable[[Any], Any] | None = None) -> list[Any]:
        """The ``num`` smallest records, smallest first. Raises ValueError if ``num`` is negative.

        >>> sc.parallelize([10, 1, 2, 9, 3]).takeOrdered(3)
        [1, 2, 3]
        """
        num = _count(num, "takeOrdered")
        if num < 0:
            raise InvalidValue(f"takeOrdered needs a number of records, 0 or more, not {num}")
        parts = self._run("takeOrdered", partial(steps.smallest, num, key))
        import heapq

        return heapq.nsmallest(num, (record for part in parts for record in part), key)

    def sum(self) -> Any:
        """The sum of the records; 0 if there is none.

        >>> sc.parallelize([1.0, 2.0, 3.0]).sum()
        6.0
        """
        return sum(self._run("sum", extremes.sum_records))

    def max(self, key: Callable[[Any], Any] | None = None) -> Any:
        """The largest record. Raises ValueError if there is none.

        >>> sc.parallelize([1.0, 5.0, 43.0, 10.0]).max()
        43.0
        """
        return max(self._found("max", partial(extremes.largest_record, key)), key=key)

    def min(self, key: Callable[[Any], Any] | None = None) -> Any:
        """The smallest record. Raises ValueError if there is none.

        >>> sc.parallelize([2.0, 5.0, 43.0, 10.0]).min()
        2.0
        """
        return min(self._found("min", partial(extremes.smallest_record, key)), key=key)

    def countByValue(self) -> dict[Any, int]:
        """value -> number of its occurrences.

        >>> sorted(sc.parallelize([1, 2, 1, 2, 2], 2).countByValue().items())
        [(1, 2), (2, 3)]
        """
        counts: dict[Any, int] = defaultdict(int)
        for part in self._run("countByValue", partial(items.count_each, "countByValue")):
            for value, count in part.items():
                counts[value] += count
        return counts


def _count(num: Any, operation: str) -> int:
    try:
        return index(num)
    except TypeError:
        raise InvalidType(f"{operation} needs a number of records, not {num!r}") from None


def _prefetched(fetch: Callable[[list[int]], list[Any]], count: int, prepare: Callable[[], None]) -> Iterator[Any]:
    """The records of all partitions; ``fetch`` runs one partition ahead, in a thread that begins with ``prepare``."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1, "mpirdd prefetch", prepare) as thread:
        ahead = [thread.submit(fetch, [partition]) for partition in range(min(1, count))]
        for partition in range(count):
            (records,) = ahead.pop().result()
            if partition + 1 < count:
                ahead.append(thread.submit(fetch, [partition + 1]))
            yield from records
