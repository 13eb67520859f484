"""StatCounter against the statistics module."""

from __future__ import annotations

import math
import pickle
import statistics
from fractions import Fraction
from functools import reduce

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpirdd.api.statcounter import StatCounter

NUMBERS = st.lists(st.integers(-1000, 1000) | st.floats(-1e6, 1e6), min_size=2, max_size=60)


@given(NUMBERS)
def test_figures_are_those_of_the_statistics_module(values: list[float]) -> None:
    counter = StatCounter(values)
    assert (counter.count(), counter.min(), counter.max()) == (len(values), min(values), max(values))
    assert counter.mean() == pytest.approx(statistics.fmean(values), abs=1e-6)
    assert counter.sum() == pytest.approx(math.fsum(values), abs=1e-4)
    exact = [Fraction(value) for value in values]
    assert counter.variance() == pytest.approx(float(statistics.pvariance(exact)), rel=1e-9, abs=1e-6)
    assert counter.sampleVariance() == pytest.approx(float(statistics.variance(exact)), rel=1e-9, abs=1e-6)
    assert counter.stdev() == math.sqrt(counter.variance())
    assert counter.sampleStdev() == math.sqrt(counter.sampleVariance())


@given(st.lists(NUMBERS | st.just([]), max_size=6))
def test_merged_counters_agree_with_one_over_all(parts: list[list[float]]) -> None:
    merged = reduce(StatCounter.mergeStats, map(StatCounter, parts), StatCounter())
    whole = StatCounter(value for part in parts for value in part)
    assert (merged.count(), merged.min(), merged.max()) == (whole.count(), whole.min(), whole.max())
    assert merged.mean() == pytest.approx(whole.mean(), abs=1e-6)
    assert merged.variance() == pytest.approx(whole.variance(), rel=1e-6, abs=1e-3, nan_ok=True)


@pytest.mark.parametrize("sizes", [(1, 100), (100, 1), (50, 50)])
def test_merging_counters_of_very_different_sizes(sizes: tuple[int, int]) -> None:
    values = [float(i * i % 97) for i in range(sum(sizes))]
    merged = StatCounter(values[: sizes[0]]).mergeStats(StatCounter(values[sizes[0] :]))
    assert merged.mean() == pytest.approx(statistics.fmean(values))
    assert merged.variance() == pytest.approx(statistics.pvariance(values))


def test_variance_keeps_its_digits_far_from_zero() -> None:
    assert StatCounter([1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16]).sampleVariance() == 30.0


def test_merge_gives_the_counter_back_and_adds_to_it() -> None:
    counter = StatCounter([1, 2])
    assert counter.merge(6) is counter
    assert (counter.count(), counter.mean(), counter.max()) == (3, 3.0, 6)
    assert counter.mergeStats(StatCounter()) is counter
    assert counter.count() == 3


def test_a_counter_can_be_merged_into_itself() -> None:
    counter = StatCounter([1, 2, 6])
    counter.mergeStats(counter)
    twice = StatCounter([1, 2, 6, 1, 2, 6])
    assert (counter.count(), counter.mean()) == (6, 3.0)
    assert counter.variance() == pytest.approx(twice.variance())


def test_a_copy_is_independent() -> None:
    counter = StatCounter([1, 2])
    copied = counter.copy()
    copied.merge(100)
    assert (counter.max(), copied.max()) == (2, 100)


def test_only_counters_can_be_merged() -> None:
    with pytest.raises(TypeError, match="StatCounter"):
        StatCounter().mergeStats([1])  # type: ignore[arg-type]


def test_empty_and_single_counters() -> None:
    none, one = StatCounter(), StatCounter([5])
    assert (none.count(), none.mean(), none.sum(), none.min(), none.max()) == (0, 0.0, 0.0, math.inf, -math.inf)
    assert all(math.isnan(f()) for f in (none.variance, none.stdev, none.sampleVariance, none.sampleStdev))
    assert (one.variance(), one.stdev()) == (0.0, 0.0)
    assert math.isnan(one.sampleVariance())
    assert math.isnan(one.sampleStdev())


def test_nan_makes_all_figures_nan_wherever_it_comes() -> None:
    for values in ([math.nan, 1.0], [1.0, math.nan, 2.0], [2.0, math.nan]):
        counter = StatCounter(values)
        assert all(math.isnan(f()) for f in (counter.mean, counter.min, counter.max, counter.variance))


def test_figures_of_arrays_are_taken_item_by_item() -> None:
    arrays = [np.array([1.0, 20.0]), np.array([2.0, 10.0]), np.array([6.0, 30.0])]
    counter = StatCounter(arrays[:1]).mergeStats(StatCounter(arrays[1:]))
    assert counter.mean().tolist() == [3.0, 20.0]
    assert counter.max().tolist() == [6.0, 30.0]
    assert counter.min().tolist() == [1.0, 10.0]
    assert counter.stdev().tolist() == pytest.approx(np.std(arrays, axis=0).tolist())
    assert arrays[0].tolist() == [1.0, 20.0]  # not added to


def test_numpy_scalars_and_bools_count_as_numbers() -> None:
    counter = StatCounter([np.int64(3), np.float32(1.5), True, 2])
    assert (counter.count(), counter.mean(), counter.max(), counter.min()) == (4, 1.875, 3, 1)


def test_the_sample_flag_of_as_dict_is_pysparks_reversed_one() -> None:
    counter = StatCounter([1.0, 2.0, 3.0, 4.0])
    expected = {"count": 4, "mean": 2.5, "sum": 10.0, "min": 1.0, "max": 4.0,
                "stdev": 1.2909944487358056, "variance": 1.6666666666666667}
    assert counter.asDict() == counter.asDict(sample=False) == expected
    assert counter.asDict(sample=True) == {**expected, "stdev": 1.118033988749895, "variance": 1.25}


def test_text_and_pickle() -> None:
    counter = StatCounter([1, 2, 3])
    assert str(counter) == repr(counter) == "(count: 3, mean: 2.0, stdev: 0.816496580927726, max: 3.0, min: 1.0)"
    assert repr(pickle.loads(pickle.dumps(counter))) == repr(counter)
