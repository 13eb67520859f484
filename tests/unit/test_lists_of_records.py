"""Sums and extremes of records in lists, which are taken list by list, against those of one long list."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import chain
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpirdd.ops.extremes import largest_record, smallest_record, sum_records
from mpirdd.ops.operators import concatenate
from mpirdd.store.chunks import Chunks

NUMBERS = st.integers() | st.floats() | st.fractions()
LISTS = st.lists(st.lists(NUMBERS, max_size=6), max_size=5)
QUICK = settings(deadline=None, max_examples=100)


def found(compute: Any) -> str:
    """What it gives, or raises: two nan look the same."""
    try:
        return repr(compute())
    except (ArithmeticError, ValueError) as error:
        return repr(error)


@QUICK
@given(LISTS)
def test_lists_give_what_one_list_gives_whatever_the_order_of_nan(lists: list[list[Any]]) -> None:
    everything = list(chain.from_iterable(lists))
    for make in (lambda: Chunks(lists), lambda: concatenate(0, *lists),
                 lambda: concatenate(0, Chunks(lists[:1]), Chunks(lists[1:]))):
        assert found(lambda make=make: sum_records(0, make())) == found(lambda: sum(everything))
        for step, plain in ((largest_record, max), (smallest_record, min)):
            expected = found(lambda plain=plain: [plain(everything)] if everything else [])
            assert found(lambda make=make, step=step: step(None, 0, make())) == expected


def test_the_first_of_equal_records_is_the_extreme() -> None:
    lists = [[1, Fraction(2)], [2.0, 2], [True]]
    assert repr(largest_record(None, 0, Chunks(lists))) == "[Fraction(2, 1)]"
    assert repr(smallest_record(None, 0, Chunks(lists))) == "[1]"


def test_a_nan_in_front_of_a_list_hides_no_larger_record() -> None:
    assert largest_record(None, 0, Chunks([[3], [math.nan, 5]])) == [5]


@pytest.mark.parametrize("step", [sum_records, lambda _, records: largest_record(None, 0, records)])
def test_lists_that_are_iterators_are_taken_once(step: Any) -> None:
    assert step(0, Chunks(iter([iter([1, 2]), [3], iter([4])]))) in (10, [4])
