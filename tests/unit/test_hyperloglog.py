"""HyperLogLog: estimates within the stated error, whatever the type, the order and the cut of the values."""

from __future__ import annotations

import math
import random

import pytest

from mpirdd.ops.hyperloglog import estimate, merge, precision_for, sketch
from mpirdd.protocol.errors import RecordError


def distinct(values: object, precision: int) -> float:
    return estimate(sketch(values, precision), precision)  # type: ignore[arg-type]


@pytest.mark.parametrize(("relative_sd", "precision"), [(0.05, 9), (0.01, 14), (0.9, 4), (2.0, 4), (0.000017, 32)])
def test_precision_is_the_least_that_keeps_the_error(relative_sd: float, precision: int) -> None:
    assert precision_for(relative_sd) == precision
    if 4 < precision < 32:
        assert 1.04 / math.sqrt(2**precision) <= relative_sd < 1.04 / math.sqrt(2 ** (precision - 1))


@pytest.mark.parametrize("count", [10, 300, 1000, 1500, 5000, 40_000])
def test_error_is_within_the_stated_one_in_all_ranges(count: int) -> None:
    """Of 40 trials, the root mean square error is at most 1.4 times the stated one, and the mean is near the truth."""
    precision, trials = 9, 40
    stated = 1.04 / math.sqrt(2**precision)
    errors = [distinct(range(trial * 10**7, trial * 10**7 + count), precision) / count - 1 for trial in range(trials)]
    assert math.sqrt(sum(error * error for error in errors) / trials) < 1.4 * stated
    assert abs(sum(errors) / trials) < 4 * stated / math.sqrt(trials)
    assert max(map(abs, errors)) < 4 * stated


@pytest.mark.parametrize("make", [
    str, float, lambda i: i / 7, lambda i: -i, lambda i: (i % 100, str(i)), lambda i: str(i).encode(), lambda i: i << 40,
    lambda i: (i // 100, i % 100), lambda i: frozenset([i]),
])
def test_values_of_all_kinds(make: object) -> None:
    assert distinct((make(i) for i in range(5000)), 12) == pytest.approx(5000, rel=4 * 1.04 / 64)  # type: ignore[operator]


def test_a_large_precision_counts_small_numbers_exactly() -> None:
    for count in (0, 1, 2, 17, 1000):
        assert round(distinct(range(count), 32)) == count
        assert round(distinct(list(range(count)) * 3, 20)) == pytest.approx(count, abs=2)


def test_equal_values_of_different_types_are_one() -> None:
    assert round(distinct([1, 1.0, True, None, None, "1"], 14)) == 3


def test_order_repetition_and_cut_make_no_difference() -> None:
    values = [i % 3000 for i in range(9000)]
    shuffled = values[:]
    random.Random(1).shuffle(shuffled)
    whole = sketch(values, 10)
    parts = merge([sketch(shuffled[i::5], 10) for i in range(5)])
    assert whole.tolist() == parts.tolist() == sketch(range(3000), 10).tolist()


def test_a_sketch_has_at_most_a_code_for_each_register() -> None:
    assert len(sketch(range(100_000), 8)) == 256
    assert len(sketch(range(100), 30)) == 100
    assert merge([]).tolist() == sketch([], 8).tolist() == []


def test_values_without_a_stable_hash_are_refused() -> None:
    with pytest.raises(RecordError, match="tuple"):
        sketch([[1, 2]], 9)
