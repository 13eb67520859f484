"""The arithmetic of approximate actions is right."""

from __future__ import annotations

import math
import pickle
import random

import pytest

from mpirdd.api.approximate import _estimate, student_quantile
from mpirdd.api.numbers import BoundedFloat
from mpirdd.api.statcounter import StatCounter

TABLE = {  # two-sided quantiles of Student's distribution, from printed tables
    (0.90, 1): 6.314, (0.95, 1): 12.706, (0.99, 1): 63.657, (0.95, 2): 4.303, (0.90, 5): 2.015, (0.95, 10): 2.228,
    (0.99, 10): 3.169, (0.95, 30): 2.042, (0.50, 4): 0.741, (0.95, 100): 1.984, (0.95, 1000): 1.962,
}


@pytest.mark.parametrize(("confidence", "freedom"), TABLE)
def test_quantiles_of_students_distribution(confidence: float, freedom: int) -> None:
    assert student_quantile(confidence, freedom) == pytest.approx(TABLE[confidence, freedom], rel=2e-3)


def test_quantiles_at_the_ends() -> None:
    assert student_quantile(1.0, 3) == math.inf
    assert student_quantile(0.0, 3) == pytest.approx(0, abs=1e-3)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    source, hits, trials = random.Random(5), 0, 1000
    for _ in range(trials):
        made = _estimate(StatCounter(source.gauss(10, 3) for _ in range(8)), 1, 1.0, 0.9)
        hits += made.low <= 10 <= made.high
        assert made.low < made < made.high
    assert abs(hits / trials - 0.9) < 4 * math.sqrt(0.9 * 0.1 / trials)


def test_too_little_data_has_no_bounds() -> None:
    none, one = _estimate(StatCounter(), 5, 1.0, 0.9), _estimate(StatCounter([3]), 5, 1.0, 0.9)
    assert (none, none.confidence, none.low, none.high) == (0.0, 0.0, -math.inf, math.inf)
    assert (one, one.confidence, one.low, one.high) == (15.0, 0.9, -math.inf, math.inf)


def test_a_bounded_float_is_a_float_and_pickles() -> None:
    made = pickle.loads(pickle.dumps(BoundedFloat(100.0, 0.95, 95.0, 105.0)))
    assert (made + 1, repr(made), made.confidence, made.low, made.high) == (101.0, "100.0", 0.95, 95.0, 105.0)
