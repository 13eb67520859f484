"""What messages say of records that are no pairs, and of values at all."""

from __future__ import annotations

from collections.abc import Callable
from operator import add
from typing import Any

import pytest

from mpirdd.ops import operators
from mpirdd.ops.combine import Combiner, combine
from mpirdd.ops.partitioners import FunctionPartitioner, HashPartitioner
from mpirdd.ops.range_bounds import Bound
from mpirdd.ops.range_partitioner import RangePartitioner
from mpirdd.protocol.errors import InternalError, RecordError
from mpirdd.protocol.pairs import NOTHING, blame, check_pair, pair
from mpirdd.protocol.shown import short_repr, shown

SUM = Combiner(None, add, add, "this operation")

WAYS: dict[str, Callable[[Any], Any]] = {
    "check_pair": check_pair,
    "pair": lambda record: pair(record, "this operation"),
    "blame": lambda record: blame(record, "this operation", TypeError()),
    "combine": lambda record: combine(SUM, [record]),
    "mapValues": lambda record: list(operators.map_values(abs, 0, [record])),
    "HashPartitioner": lambda record: HashPartitioner(2).split([record], 0),
    "FunctionPartitioner": lambda record: FunctionPartitioner(2, hash).split([record], 0),
    "RangePartitioner": lambda record: RangePartitioner(2, (Bound(1),)).split([record], 0),
}


@pytest.mark.parametrize("record", [7, None, "word", (1,), (1, 2, 3), {1, 2, 3}], ids=repr)
def test_every_way_says_the_same_of_a_record_that_is_no_pair(record: Any) -> None:
    said = set()
    for name, way in WAYS.items():
        with pytest.raises(RecordError) as caught:
            way(record)
        said.add(str(caught.value).removeprefix(f"{name} ").removeprefix("this operation "))
    (message,) = said
    assert message.startswith(f"needs (key, value) pairs; got {record!r} ({type(record).__name__}).")


@pytest.mark.parametrize("record", ["ab", b"ab", {1: 2, 3: 4}, {1, 2}], ids=repr)
def test_what_only_unpacks_into_two_is_no_pair(record: Any) -> None:
    with pytest.raises(RecordError, match="needs"):
        check_pair(record)


@pytest.mark.parametrize("record", [(1, 2), [1, 2], NOTHING])
def test_a_pair_and_the_record_before_the_first_pass(record: Any) -> None:
    check_pair(record)


def test_values_are_shown_short_and_with_their_type() -> None:
    assert shown(5) == "5 (int)"
    assert shown("x" * 1_000_000).startswith("'xxx")
    for huge in ("x" * 1_000_000, list(range(1_000_000)), {place: place for place in range(1_000)}, b"y" * 10_000):
        assert len(short_repr(huge)) <= 80


def test_a_value_whose_repr_fails_is_shown_all_the_same() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise ValueError("mine")

    assert "Broken" in shown(Broken())


def test_an_operator_outside_a_task_gets_no_memory_without_bound() -> None:
    with pytest.raises(InternalError, match="outside a task"):
        operators.task_memory()
