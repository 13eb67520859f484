"""Random samples: with and without replacement, by key, of a given size, and splits.

Each partition has a generator of its own, seeded with ``seed ^ partition``; so a sample depends on
the seed and on the partitions of the records, and not on executors or repetitions. Seeds, draws and
their order are PySpark's, so a program gets the same records as there.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import accumulate, chain, pairwise, repeat
from typing import TYPE_CHECKING, Any

from mpirdd.api.base import Handle
from mpirdd.ops import operators as steps
from mpirdd.protocol.errors import InvalidValue
from mpirdd.protocol.pairs import pair

if TYPE_CHECKING:
    from random import Random

    from typing_extensions import Self

_LARGEST_SAMPLE = sys.maxsize - int(10 * math.sqrt(sys.maxsize))


class Sampling(Handle):
    def sample(self, withReplacement: bool, fraction: float, seed: int | None = None) -> Self:
        """A random part of the records; the partitioner stays. No shuffle.

        Args:
            withReplacement: the sample may take a record several times; the number follows a
                Poisson distribution.
            fraction: the probability of taking each record; with replacement, the mean number of
                times. 0 or more. The sample's size is near ``fraction`` times that of the RDD, not
                equal to it.
            seed: the same seed gives the same sample; None chooses one now.

        Raises:
            ValueError: the fraction is negative.

        >>> rdd = sc.parallelize(range(100), 4)
        >>> 6 <= rdd.sample(False, 0.1, 81).count() <= 14
        True
        """
        if not fraction >= 0:
            raise InvalidValue(f"the fraction must be 0 or more, not {fraction!r}")
        take = _take_often if withReplacement else _take
        step = partial(take, _seed(seed), float(fraction))
        return self._narrow("sample", step, partitioner=self.partitioner)

    def randomSplit(self, weights: Sequence[float], seed: int | None = None) -> list[Self]:
        """Disjoint random parts that make up the whole; partitioners stay. No shuffle.

        Each part reads the RDD anew: cache it if it is costly to make.

        Args:
            weights: the parts' sizes will be near these proportions; they need not add up to 1.
            seed: the same seed gives the same parts; None chooses one now.

        Raises:
            ValueError: a weight is negative, or their sum is 0.

        >>> small, large = sc.parallelize(range(500), 2).randomSplit([2, 3], 17)
        >>> len(small.collect() + large.collect()), 150 < small.count() < 250
        (500, True)
        """
        if not all(weight >= 0 for weight in weights):
            raise InvalidValue(f"weights must be 0 or more, not {list(weights)}")
        total = float(sum(weights))
        if not total > 0:
            raise InvalidValue("the sum of the weights must be more than 0")
        from random import randint

        chosen = randint(0, 2**32 - 1) if seed is None else seed
        bounds = accumulate((weight / total for weight in weights), initial=0.0)
        return [
            self._narrow("randomSplit", partial(_take_between, chosen, lower, upper), partitioner=self.partitioner)
            for lower, upper in pairwise(bounds)
        ]

    def takeSample(self, withReplacement: bool, num: int, seed: int | None = None) -> list[Any]:
        """Exactly ``num`` random records in random order, at the driver; without replacement, all
        of them if there are fewer.

        An action: counts the records, then samples a little more than needed, then (rarely) again.

        Args:
            seed: the same seed gives the same sample; None gives a different one each time.

        Raises:
            ValueError: ``num`` is negative, or too large for a list.

        >>> rdd = sc.parallelize(range(10), 2)
        >>> len(rdd.takeSample(True, 20, 1)), len(rdd.takeSample(False, 5, 2)), len(rdd.takeSample(False, 15, 3))
        (20, 5, 10)
        """
        if num < 0:
            raise ValueError(f"Sample size cannot be negative: {num}")
        if num > _LARGEST_SAMPLE:
            raise ValueError(f"Sample size cannot be greater than {_LARGEST_SAMPLE}: {num}")
        if num == 0:
            return []
        total = sum(self._run("takeSample", steps.count_records))
        if total == 0:
            return []
        from random import Random

        random = Random(seed)
        if num >= total and not withReplacement:
            taken = _collect(self)
        else:
            fraction = _enough(num, total, withReplacement)
            taken = _collect(self.sample(withReplacement, fraction, seed))
            while len(taken) < num:  # happens less than once in 10,000 times
                taken = _collect(self.sample(withReplacement, fraction, random.randint(0, sys.maxsize)))
        random.shuffle(taken)
        return taken[:num]

    def sampleByKey(
        self, withReplacement: bool, fractions: Mapping[Any, float], seed: int | None = None
    ) -> Self:
        """A random part of the pairs, each key's with a fraction of its own; the partitioner stays. No
        shuffle.

        Args:
            withReplacement, seed: as in ``sample``.
            fractions: key -> the probability of taking each of its pairs; with replacement, the
                mean number of times. Must have all keys; otherwise the job fails with a KeyError.

        Raises:
            ValueError: a fraction is negative.

        >>> pairs = sc.parallelize("ab").cartesian(sc.parallelize(range(1000)))
        >>> sample = pairs.sampleByKey(False, {"a": 0.2, "b": 0.1}, 2).groupByKey().mapValues(len).collectAsMap()
        >>> 150 < sample["a"] < 250, 50 < sample["b"] < 150
        (True, True)
        """
        for key, fraction in fractions.items():
            if not fraction >= 0:
                raise InvalidValue(f"fractions must be 0 or more; that of the key {key!r} is {fraction!r}")
        step = partial(_take_by_key, _seed(seed), withReplacement, dict(fractions))
        return self._narrow("sampleByKey", step, partitioner=self.partitioner)


def _seed(given: int | None) -> int:
    from random import randint

    return randint(0, sys.maxsize) if given is None else given


def _collect(rdd: Handle) -> list[Any]:
    return list(chain.from_iterable(rdd._run("takeSample", steps.collect_records)))


def _enough(num: int, total: int, with_replacement: bool) -> float:
    """A fraction at which a sample of ``total`` records has ``num`` or more, in 9,999 of 10,000 cases.

    With replacement the size is Poisson distributed: so many standard deviations more than ``num``. Without,
    it is binomial, and this solves Chernoff's bound for the fraction.
    """
    fraction = num / total
    if with_replacement:
        return fraction + (9 if num < 12 else 5) * math.sqrt(fraction / total)
    margin = -math.log(0.00005) / total
    return min(1.0, fraction + margin + math.sqrt(margin * margin + 2 * margin * fraction))


# --- on the executors -------------------------------------------------------------------------------------------------


def _generator(seed: int, partition: int) -> Random:
    from random import Random

    random = Random(seed ^ partition)
    for _ in range(10):
        random.randint(0, 1)  # only so that the draws after it are PySpark's
    return random


def _take(seed: int, fraction: float, partition: int, records: Iterable[Any]) -> Iterator[Any]:
    draw = _generator(seed, partition).random
    return (record for record in records if draw() < fraction)  # 40 ns a record; compress() and map() take 70


def _take_between(seed: int, lower: float, upper: float, partition: int, records: Iterable[Any]) -> Iterator[Any]:
    random = _generator(seed, partition).random
    return (record for record in records if lower <= random() < upper)


def _take_often(seed: int, mean: float, partition: int, records: Iterable[Any]) -> Iterator[Any]:
    random = _generator(seed, partition)
    return chain.from_iterable(repeat(record, _poisson(random, mean)) for record in records)


def _take_by_key(
    seed: int, with_replacement: bool, fractions: dict[Any, float], partition: int, records: Iterable[Any]
) -> Iterator[Any]:
    random = _generator(seed, partition)
    draw: Callable[[float], int] = partial(_poisson, random) if with_replacement else (lambda f: random.random() < f)
    for record in records:
        key, _ = pair(record, "sampleByKey")
        if key not in fractions:
            raise KeyError(f"sampleByKey has no fraction for the key {key!r}")
        yield from repeat(record, draw(fractions[key]))


def _poisson(random: Random, mean: float) -> int:
    """How many events of a Poisson process with this mean happen in unit time: count them one by one (Knuth,
    TAOCP 3.4.1).

    Waiting times are exponential; for small means their product form saves the logarithms.
    """
    count = 0
    if mean < 20.0:
        limit, product = math.exp(-mean), random.random()
        while product > limit:
            count += 1
            product *= random.random()
    else:
        time = random.expovariate(mean)
        while time < 1.0:
            count += 1
            time += random.expovariate(mean)
    return count
