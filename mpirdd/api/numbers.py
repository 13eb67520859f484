"""Statistics of RDDs of numbers. All are actions; each partition's part is computed on its executor."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import partial, reduce
from itertools import pairwise
from typing import Any

from mpirdd.api.base import Handle
from mpirdd.api.statcounter import StatCounter
from mpirdd.protocol.errors import InvalidType, InvalidValue


class BoundedFloat(float):
    """An estimate, with an interval around it.

    Attributes:
        low, high: the bounds of the interval.
        confidence: the probability that it holds the true value, 0 to 1.

    >>> BoundedFloat(100.0, 0.95, 95.0, 105.0).high
    105.0
    """

    confidence: float
    low: float
    high: float

    def __new__(cls, mean: float, confidence: float, low: float, high: float) -> BoundedFloat:
        made = super().__new__(cls, mean)
        made.confidence, made.low, made.high = confidence, low, high
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (float(self), self.confidence, self.low, self.high)


class Numbers(Handle):
    def stats(self) -> StatCounter:
        """Count, mean, variance, smallest and largest, in one pass. An action.

        >>> sc.parallelize([1.0, 2.0, 3.0, 4.0], 2).stats()
        (count: 4, mean: 2.5, stdev: 1.118033988749895, max: 4.0, min: 1.0)
        """
        return self._stats("stats")

    def mean(self) -> Any:
        """The mean; 0.0 if there is no record. An action.

        >>> sc.parallelize([1, 2, 3]).mean()
        2.0
        """
        return self._stats("mean", _count_and_mean).mean()

    def variance(self) -> Any:
        """The variance of the records as a population; nan if there is none. An action.

        >>> sc.parallelize([1, 2, 3]).variance()
        0.6666666666666666
        """
        return self._stats("variance").variance()

    def stdev(self) -> Any:
        """The standard deviation of the records as a population; nan if there is none. An action.

        >>> round(sc.parallelize([1, 2, 3]).stdev(), 12)
        0.816496580928
        """
        return self._stats("stdev").stdev()

    def sampleVariance(self) -> Any:
        """The variance of the population of which the records are a sample (n - 1); nan below two records. An
        action.

        >>> sc.parallelize([1, 2, 3]).sampleVariance()
        1.0
        """
        return self._stats("sampleVariance").sampleVariance()

    def sampleStdev(self) -> Any:
        """The standard deviation of the population of which the records are a sample (n - 1); nan below two
        records. An action.

        >>> sc.parallelize([1, 2, 3]).sampleStdev()
        1.0
        """
        return self._stats("sampleStdev").sampleStdev()

    def histogram(self, buckets: int | Sequence[Any]) -> tuple[Sequence[Any], list[int]]:
        """(bounds of the buckets, number of records in each). An action; two of them if ``buckets``
        is a number.

        Args:
            buckets: a number of buckets of equal width between the smallest and the largest record;
                or their bounds, in rising order: [1, 10, 20] means 1 <= x < 10 and 10 <= x <= 20,
                since the last bucket has both its bounds. Bounds may be of any type with an order,
                such as str. Records outside them, None and nan do not count.

        If all records are equal, there is one bucket, whatever ``buckets`` asks for.

        Raises:
            ValueError: a number below 1; with a number, no record or an infinite one; bounds that
                are fewer than two, not rising, None or nan.
            TypeError: ``buckets`` is neither an int nor a list or tuple; or it asks for more than
                one bucket of records that are no numbers.

        >>> rdd = sc.parallelize(range(51), 3)
        >>> rdd.histogram(2), rdd.histogram([0, 5, 25, 50])
        (([0, 25, 50], [25, 26]), ([0, 5, 25, 50], [5, 20, 26]))
        >>> sc.parallelize(["ab", "ac", "b", "bd", "ef"]).histogram(("a", "b", "c"))
        (('a', 'b', 'c'), [2, 2])
        """
        if isinstance(buckets, int):
            bounds: Sequence[Any] = self._equal_buckets(buckets)
        elif isinstance(buckets, list | tuple):
            bounds = _checked(buckets)
        else:
            raise InvalidType(f"buckets must be a number or a list or tuple of bounds, not {type(buckets).__name__}")
        parts = self._run("histogram", partial(_count_in_buckets, list(bounds)))
        return bounds, [sum(counts) for counts in zip([0] * (len(bounds) - 1), *parts, strict=True)]

    def _equal_buckets(self, count: int) -> list[Any]:
        if count < 1:
            raise InvalidValue(f"the number of buckets must be 1 or more, not {count}")
        ends = [end for part in self._run("histogram", _ends) for end in part]
        if not ends:
            raise ValueError("cannot make buckets for an empty RDD")
        smallest, largest = min(ends), max(ends)
        if smallest == largest or count == 1:
            return [smallest, largest]
        try:
            width = (largest - smallest) / count
        except TypeError:
            raise InvalidType(f"cannot make buckets for records of type {type(smallest).__name__}; give their bounds") from None
        if math.isinf(width):
            raise InvalidValue("cannot make buckets between infinite numbers; give their bounds")
        if int(width) * count == largest - smallest:
            width = int(width)  # whole numbers stay whole
        return [*(i * width + smallest for i in range(count)), largest]

    def _stats(self, operation: str, counter: Callable[[int, Iterable[Any]], StatCounter] | None = None) -> StatCounter:
        return reduce(StatCounter.mergeStats, self._run(operation, counter or _counter), StatCounter())


def _checked(bounds: list[Any] | tuple[Any, ...]) -> list[Any] | tuple[Any, ...]:
    if len(bounds) < 2:
        raise InvalidValue("buckets need two bounds or more")
    if any(bound is None or bound != bound for bound in bounds):
        raise InvalidValue("bounds of buckets must not be None or nan")
    if not all(lower < upper for lower, upper in pairwise(bounds)):
        raise InvalidValue(f"bounds of buckets must rise from each to the next, not {bounds!r}")
    return bounds


# --- on the executors -------------------------------------------------------------------------------------------------


def _counter(partition: int, records: Iterable[Any]) -> StatCounter:
    return StatCounter(records)


def _count_and_mean(partition: int, records: Iterable[Any]) -> StatCounter:
    """A counter without the other figures: the same count and mean, to the last bit, in less than half the time."""
    count, mean = 0, 0.0
    for record in records:
        count += 1
        mean = mean + (record - mean) / count  # not +=, which would change an array that somebody else may hold
    counter = StatCounter()
    counter.n, counter.mu = count, mean
    return counter


def _ends(partition: int, records: Iterable[Any]) -> list[Any]:
    """The smallest and the largest record, without None and nan; nothing if there is none."""
    smallest = largest = None
    for record in records:
        if record is None or record != record:
            continue
        if smallest is None:
            smallest = largest = record
        elif record < smallest:
            smallest = record
        elif record > largest:
            largest = record
    return [] if smallest is None else [smallest, largest]


def _count_in_buckets(bounds: list[Any], partition: int, records: Iterable[Any]) -> list[int]:
    # Searching takes no longer than dividing by a common width would, and cannot round a record into the wrong bucket.
    smallest, largest = bounds[0], bounds[-1]
    counts = [0] * len(bounds)
    for record in records:
        if record is None or record != record or record < smallest or record > largest:
            continue
        counts[bisect_right(bounds, record) - 1] += 1
    equal_to_largest = counts.pop()
    counts[-1] += equal_to_largest
    return counts
