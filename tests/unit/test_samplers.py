"""The samplers of one partition: right distributions, and generators of their own."""

from __future__ import annotations

import math
from collections import Counter
from itertools import chain, pairwise

import pytest

from mpirdd.api import sampling

N = 40_000


def near(value: float, expected: float, deviation: float) -> bool:
    """Within 4 standard deviations. Chance would miss that once in 16,000 times, but the seeds are
    fixed."""
    return abs(value - expected) <= 4 * deviation


@pytest.mark.parametrize("fraction", [0.0, 0.001, 0.1, 0.5, 0.999, 1.0, 3.0])
def test_sizes_without_replacement_are_binomial(fraction: float) -> None:
    sizes = [len(list(sampling._take(seed, fraction, 0, range(1000)))) for seed in range(200)]
    chance = min(fraction, 1.0)
    variance = 1000 * chance * (1 - chance)
    assert near(sum(sizes) / 200, 1000 * chance, math.sqrt(variance / 200))
    if 0 < chance < 1:
        spread = sum((size - 1000 * chance) ** 2 for size in sizes) / 200
        assert near(spread, variance, variance * math.sqrt(2 / 200) + 0.3)


def test_every_record_has_the_same_chance_and_comes_at_most_once() -> None:
    taken = Counter(chain.from_iterable(sampling._take(seed, 0.3, 2, range(50)) for seed in range(2000)))
    expected, deviation = 600.0, math.sqrt(2000 * 0.3 * 0.7)
    assert all(near(taken[record], expected, deviation) for record in range(50))
    sample = list(sampling._take(1, 0.3, 0, range(1000)))
    assert sample == sorted(set(sample))


def test_records_are_taken_independently() -> None:
    pairs = Counter()
    for seed in range(500):
        chosen = set(sampling._take(seed, 0.5, 0, range(20)))
        pairs.update((i in chosen, i + 1 in chosen) for i in range(0, 20, 2))
    assert all(near(pairs[pair], 1250, math.sqrt(5000 * 0.25 * 0.75)) for pair in pairs)
    assert len(pairs) == 4


@pytest.mark.parametrize("mean", [0.0, 0.1, 1.0, 4.0, 19.9, 20.0, 60.0])
def test_counts_with_replacement_are_poisson(mean: float) -> None:
    count = 5000
    times = Counter(sampling._take_often(3, mean, 1, range(count)))
    drawn = [times[record] for record in range(count)]
    assert near(sum(drawn) / count, mean, math.sqrt(mean / count))
    variance = sum((draw - mean) ** 2 for draw in drawn) / count
    assert near(variance, mean, math.sqrt((mean + 2 * mean * mean) / count))
    none = count * math.exp(-mean)
    assert near(drawn.count(0), none, math.sqrt(none) + 1)


def test_bands_of_a_split_have_no_record_in_common_and_make_up_the_whole() -> None:
    bounds = [0.0, 0.1, 0.1, 0.55, 1.0]
    parts = [list(sampling._take_between(9, lower, upper, 4, range(N))) for lower, upper in pairwise(bounds)]
    assert sorted(chain.from_iterable(parts)) == list(range(N))
    shares = [0.1, 0.0, 0.45, 0.45]
    assert all(near(len(part), N * share, math.sqrt(N * share * (1 - share)))
               for part, share in zip(parts, shares, strict=True))


def test_sampling_by_key_keeps_each_keys_own_fraction() -> None:
    records = [("abc"[i % 3], i) for i in range(N)]
    fractions = {"a": 0.1, "b": 0.7, "c": 0.0}
    for with_replacement in (False, True):
        taken = Counter(key for key, _ in sampling._take_by_key(8, with_replacement, fractions, 0, records))
        assert all(near(taken[key], N / 3 * share, math.sqrt(N / 3 * share)) for key, share in fractions.items())


def test_partitions_and_seeds_have_generators_of_their_own() -> None:
    samples = [tuple(sampling._take(seed, 0.5, partition, range(64))) for seed in (0, 8, 16) for partition in range(8)]
    assert len(set(samples)) == len(samples)
    assert samples[0] == tuple(sampling._take(0, 0.5, 0, range(64)))


@pytest.mark.parametrize(("num", "total", "with_replacement"), [(1, 10, False), (5, 1000, False), (900, 1000, False),
                                                                (1, 10, True), (30, 20, True), (500, 1000, True)])
def test_the_first_sample_is_nearly_always_large_enough(num: int, total: int, with_replacement: bool) -> None:
    fraction = sampling._enough(num, total, with_replacement)
    take = sampling._take_often if with_replacement else sampling._take
    sizes = [len(list(take(seed, fraction, 0, range(total)))) for seed in range(100)]
    assert min(sizes) >= num
