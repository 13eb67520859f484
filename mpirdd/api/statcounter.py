"""Count, mean, variance, smallest and largest of values, in one pass and mergeable across partitions.

Welford's method adds values, and that of Chan, Golub and LeVeque (1979) merges counters; neither
subtracts large sums from each other. Both work in PySpark's order, so the figures are equal to the
last bit. Values may be numbers, or numpy arrays of one shape, with figures item by item.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from mpirdd.api.html import card
from mpirdd.protocol.errors import InvalidType

_NUMBERS = (float, int)


class StatCounter:
    """Figures of the values seen so far.

    Args:
        values: to begin with.

    Attributes:
        n, mu, m2: the number of values, their mean, and the sum of their squared distances from it.
        maxValue, minValue: the largest and the smallest.

    >>> StatCounter([1, 2, 3, 4])
    (count: 4, mean: 2.5, stdev: 1.118033988749895, max: 4.0, min: 1.0)
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        self.n = 0
        self.mu: Any = 0.0
        self.m2: Any = 0.0
        self.maxValue: Any = -math.inf
        self.minValue: Any = math.inf
        if values is not None:
            self._merge_all(values)

    def merge(self, value: Any) -> StatCounter:
        """Add a value; returns self.

        >>> StatCounter([1]).merge(3).mean()
        2.0
        """
        self._merge_all((value,))
        return self

    def mergeStats(self, other: StatCounter) -> StatCounter:
        """Add the values that another counter has seen; returns self. The other one may be this one.

        Raises:
            TypeError: ``other`` is no StatCounter.

        >>> StatCounter([1, 2]).mergeStats(StatCounter([3])).count()
        3
        """
        if not isinstance(other, StatCounter):
            raise InvalidType(f"only a StatCounter can be merged into a StatCounter, not {type(other).__name__}")
        if other.n == 0:
            return self
        mine, theirs = self.n, other.n
        if mine == 0:
            self.mu, self.m2 = other.mu, other.m2
        else:
            delta = other.mu - self.mu
            m2 = self.m2 + (other.m2 + delta * delta * mine * theirs / (mine + theirs))
            if theirs * 10 < mine:
                mu = self.mu + delta * theirs / (mine + theirs)
            elif mine * 10 < theirs:
                mu = other.mu - delta * mine / (mine + theirs)
            else:
                mu = (self.mu * mine + other.mu * theirs) / (mine + theirs)
            self.mu, self.m2 = mu, m2
        self.n = mine + theirs
        self.maxValue = _larger(self.maxValue, other.maxValue)
        self.minValue = _smaller(self.minValue, other.minValue)
        return self

    def copy(self) -> StatCounter:
        """A counter of its own with the same figures."""
        return deepcopy(self)

    def count(self) -> int:
        """How many values."""
        return self.n

    def mean(self) -> Any:
        """Their mean; 0.0 if there is none."""
        return self.mu

    def sum(self) -> Any:
        """Their sum, as count times mean."""
        return self.n * self.mu

    def min(self) -> Any:
        """The smallest; inf if there is none, nan if one is nan."""
        return self.minValue

    def max(self) -> Any:
        """The largest; -inf if there is none, nan if one is nan."""
        return self.maxValue

    def variance(self) -> Any:
        """Variance of the values as a population; nan if there is none."""
        return self.m2 / self.n if self.n else math.nan

    def sampleVariance(self) -> Any:
        """Variance of the population of which the values are a sample (n - 1); nan below two values."""
        return self.m2 / (self.n - 1) if self.n > 1 else math.nan

    def stdev(self) -> Any:
        """Square root of ``variance()``."""
        return _root(self.variance())

    def sampleStdev(self) -> Any:
        """Square root of ``sampleVariance()``."""
        return _root(self.sampleVariance())

    def asDict(self, sample: bool = False) -> dict[str, Any]:
        """All figures by name. As in PySpark, ``sample`` means the reverse of its name: False gives the
        sample's variance (n - 1), True the population's.

        >>> StatCounter([1, 2, 3, 4]).asDict()["variance"]
        1.6666666666666667
        """
        return {
            "count": self.count(),
            "mean": self.mean(),
            "sum": self.sum(),
            "min": self.min(),
            "max": self.max(),
            "stdev": self.stdev() if sample else self.sampleStdev(),
            "variance": self.variance() if sample else self.sampleVariance(),
        }

    def _repr_html_(self) -> str:
        return card("Figures", [
            ("count", self.count()), ("mean", self.mean()), ("stdev", self.stdev()), ("min", self.min()), ("max", self.max())])

    def __repr__(self) -> str:
        return (f"(count: {self.count()}, mean: {self.mean()}, stdev: {self.stdev()}, "
                f"max: {self.max()}, min: {self.min()})")

    def _merge_all(self, values: Iterable[Any]) -> None:
        count, mean, squares = self.n, self.mu, self.m2
        largest, smallest = self.maxValue, self.minValue
        numbers = _NUMBERS if type(largest) is float else ()  # an array otherwise
        high, low = largest, smallest  # as the values came: to compare an int with a float takes 40 ns more
        for value in values:
            count += 1
            delta = value - mean
            mean = mean + delta / count  # not +=, which would change an array that somebody else may hold
            squares = squares + delta * (value - mean)
            if type(value) in numbers and low <= value <= high:
                continue  # the common case
            largest, smallest = _larger(largest, value), _smaller(smallest, value)
            numbers = _NUMBERS if type(largest) is float else ()
            if numbers:
                high, low = value if value > high else high, value if value < low else low
        self.n, self.mu, self.m2 = count, mean, squares
        self.maxValue, self.minValue = largest, smallest


def _larger(one: Any, other: Any) -> Any:
    if isinstance(one, _NUMBERS) and isinstance(other, _NUMBERS):
        return float(one if one >= other or one != one else other)
    import numpy

    return numpy.maximum(one, other)


def _smaller(one: Any, other: Any) -> Any:
    if isinstance(one, _NUMBERS) and isinstance(other, _NUMBERS):
        return float(one if one <= other or one != one else other)
    import numpy

    return numpy.minimum(one, other)


def _root(value: Any) -> Any:
    if isinstance(value, _NUMBERS):
        return math.sqrt(value)
    import numpy

    return numpy.sqrt(value)
