"""Actions that answer approximately: within a time, or from a sketch.

Those with a timeout run an ordinary job, whose tasks report their parts through an accumulator as
they finish. If the job ends in time the answer is exact. Else mpirdd cancels it, and takes the
reported parts as a random sample of the whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial, reduce
from threading import Event, Thread
from typing import Any
from uuid import uuid4

from mpirdd.api.accumulators import Accumulator, AccumulatorParam
from mpirdd.api.base import Handle
from mpirdd.api.numbers import BoundedFloat
from mpirdd.api.statcounter import StatCounter
from mpirdd.ops import extremes, hyperloglog
from mpirdd.ops import operators as steps
from mpirdd.protocol.errors import InvalidValue, JobCancelled

_AGAIN_S = 0.05
"""Seconds between attempts to cancel the job: the first may come before the job has begun."""
_MANY = 100
"""From so many values on, the normal distribution stands in for Student's."""


class Approximate(Handle):
    def countApprox(self, timeout: int, confidence: float = 0.95) -> int:
        """The number of records, exact or estimated within the time. An action.

        Args:
            timeout: milliseconds. A job that ends in time gives the exact number. Else mpirdd
                cancels it, and estimates from the finished partitions (0 if none finished). In a
                world of one rank nothing can interrupt the running task, and the call waits for it.
            confidence: of the interval, which ``sumApprox`` gives and this does not.

        >>> sc.parallelize(range(1000), 10).countApprox(60000, 1.0)
        1000
        """
        return int(self._total("countApprox", steps.count_records, timeout, confidence))

    def sumApprox(self, timeout: int, confidence: float = 0.95) -> BoundedFloat:
        """The sum of the records, exact or estimated within the time, with an interval. An action.

        Args:
            timeout: milliseconds, as in ``countApprox``. The interval of an exact sum is the sum, at
                confidence 1; that of no partition at all is infinite, at confidence 0.
            confidence: the probability that the interval holds the sum, if partitions are alike.

        Raises:
            ValueError: the confidence does not lie between 0 and 1.

        >>> total = sc.parallelize(range(1000), 10).sumApprox(60000)
        >>> total, total.low, total.high
        (499500.0, 499500.0, 499500.0)
        """
        return self._total("sumApprox", extremes.sum_records, timeout, confidence)

    def meanApprox(self, timeout: int, confidence: float = 0.95) -> BoundedFloat:
        """The mean of the records, exact or estimated within the time, with an interval; 0.0 if
        there is none. An action.

        Args:
            timeout, confidence: as in ``sumApprox``.

        >>> mean = sc.parallelize(range(1000), 10).meanApprox(60000)
        >>> mean, mean.confidence
        (499.5, 1.0)
        """
        _check_confidence(confidence)
        parts = self._in_time("meanApprox", _counter, timeout)
        seen = reduce(StatCounter.mergeStats, (counter for _, counter in sorted(parts.items())), StatCounter())
        if len(parts) == self._node.num_partitions:
            return BoundedFloat(seen.mean(), 1.0, seen.mean(), seen.mean())
        return _estimate(seen, 1, 1.0, confidence)

    def countApproxDistinct(self, relativeSD: float = 0.05) -> int:
        """About how many different records there are: HyperLogLog. An action that moves a few bytes where
        ``distinct().count()`` shuffles.

        Args:
            relativeSD: standard deviation of the answer, relative to it: two answers of three are nearer.
                Each partition's sketch has up to (1.04 / relativeSD) ** 2 registers of 8 bytes, and no more
                than it has different records.

        Raises:
            ValueError: ``relativeSD`` is below 0.000017.

        >>> 900 < sc.parallelize(range(1000), 4).countApproxDistinct() < 1100
        True
        >>> 18 < sc.parallelize([i % 20 for i in range(1000)]).countApproxDistinct(0.01) < 22
        True
        """
        if not relativeSD >= 0.000017:
            raise InvalidValue(f"relativeSD must be 0.000017 or more, not {relativeSD!r}")
        precision = hyperloglog.precision_for(relativeSD)
        parts = self._run("countApproxDistinct", partial(_sketch, precision))
        return round(hyperloglog.estimate(hyperloglog.merge(parts), precision))

    def _total(
        self, operation: str, action: Callable[..., Any], timeout: float, confidence: float
    ) -> BoundedFloat:
        """The sum of ``action``'s results over all partitions."""
        _check_confidence(confidence)
        parts = self._in_time(operation, action, timeout)
        count = self._node.num_partitions
        if len(parts) == count:
            total = float(sum(parts.values()))
            return BoundedFloat(total, 1.0, total, total)
        # A sample without replacement of a known number of partitions, whose variance is that much smaller.
        return _estimate(StatCounter(parts.values()), count, math.sqrt(1 - len(parts) / count), confidence)

    def _in_time(self, operation: str, action: Callable[..., Any], timeout_ms: float) -> dict[int, Any]:
        """partition -> ``action(partition, records)``, for the partitions that finish in time."""
        engine = self._engine
        done = engine.accumulators.make(engine.new_id(), {}, _Union())
        tag = f"{operation} {uuid4().hex}"
        ended, expired = Event(), Event()

        def cancel_when_over() -> None:
            if not ended.wait(max(timeout_ms, 0) / 1000):
                expired.set()
                while not ended.is_set():
                    engine.driver.cancel(lambda request: tag in request.tags)
                    ended.wait(_AGAIN_S)

        engine.requests.tags.add(tag)
        Thread(target=cancel_when_over, name="mpirdd timeout", daemon=True).start()
        try:
            self._run(operation, partial(_report, action, done))
        except JobCancelled:
            if not expired.is_set():
                raise  # somebody else's doing
        finally:
            ended.set()
            engine.requests.tags.discard(tag)
        parts: dict[int, Any] = done.value
        return parts


class _Union(AccumulatorParam):
    """Dicts, added by putting them together."""

    def zero(self, value: dict[int, Any]) -> dict[int, Any]:
        return {}

    def addInPlace(self, value1: dict[int, Any], value2: dict[int, Any]) -> dict[int, Any]:
        value1.update(value2)
        return value1


def _check_confidence(confidence: float) -> None:
    if not 0 <= confidence <= 1:
        raise InvalidValue(f"confidence must lie between 0 and 1, not {confidence!r}")


def _estimate(seen: StatCounter, times: int, narrower: float, confidence: float) -> BoundedFloat:
    """``times`` the mean of the sampled population; ``narrower`` corrects the standard error."""
    count = seen.count()
    if count == 0:
        return BoundedFloat(0.0, 0.0, -math.inf, math.inf)
    middle = times * seen.mean()
    if count == 1:
        return BoundedFloat(middle, confidence, -math.inf, math.inf)
    reach = student_quantile(confidence, count - 1) * times * narrower * seen.sampleStdev() / math.sqrt(count)
    return BoundedFloat(middle, confidence, middle - reach, middle + reach)


def student_quantile(confidence: float, freedom: int) -> float:
    """How far from 0, on both sides, one must go to have ``confidence`` of Student's distribution. To four
    digits.

    With ``t = sqrt(freedom) * tan(angle)`` the density becomes ``cos(angle) ** (freedom - 1)``, up to a
    factor, between 0 and a right
    angle: few steps of the midpoint rule are enough.
    """
    if confidence >= 1.0:
        return math.inf
    if freedom > _MANY:
        from statistics import NormalDist

        return NormalDist().inv_cdf((1 + confidence) / 2)
    number = 2_000
    width = math.pi / 2 / number
    density = [math.cos((i + 0.5) * width) ** (freedom - 1) for i in range(number)]
    wanted = confidence * math.fsum(density)
    for i, piece in enumerate(density):
        if wanted <= piece:
            return math.sqrt(freedom) * math.tan((i + wanted / piece) * width)
        wanted -= piece
    return math.inf


# --- on the executors -------------------------------------------------------------------------------------------------


def _report(action: Callable[..., Any], done: Accumulator, partition: int, records: Iterable[Any]) -> None:
    done.add({partition: action(partition, records)})


def _counter(partition: int, records: Iterable[Any]) -> StatCounter:
    return StatCounter(records)


def _sketch(precision: int, partition: int, records: Iterable[Any]) -> Any:
    return hyperloglog.sketch(records, precision)
