"""Conditions on columns, as ``filters=`` gives them: the rows to read of files that pyarrow reads."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from math import ceil, floor, isinf, isnan
from numbers import Integral
from typing import Any

from mpirdd.formats.records.columns import values_of
from mpirdd.formats.records.exact import all_kept, kept
from mpirdd.formats.records.library import library
from mpirdd.protocol.errors import InvalidType, InvalidValue
from mpirdd.protocol.shown import short_repr

Condition = tuple[str, str, Any]
"""(column, operator, value)."""
COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq, "==": operator.eq, "!=": operator.ne,
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}
SETS = ("in", "not in")
_BEYOND = 1 << 64
"""No column holds such a whole number."""
Conditions = tuple[tuple[Condition, ...], ...]
"""One of these must hold, that is all of its conditions; none: all rows."""


def conditions(filters: Any) -> Conditions:
    """What a user gives as ``filters``, checked: a list of conditions that all hold, or a list of such lists, of which
    one holds.

    Raises:
        InvalidType, InvalidValue: it is something else.
    """
    if filters is None:
        return ()
    if not isinstance(filters, list | tuple):
        raise InvalidType(f"filters must be a list of (column, operator, value), not {short_repr(filters)}")
    given = list(filters)
    either = given if given and all(isinstance(each, list) for each in given) else [given]
    return tuple(tuple(map(_condition, each)) for each in either if each)


def _condition(given: Any) -> Condition:
    if not isinstance(given, tuple | list) or len(given) != 3 or not isinstance(given[0], str):
        raise InvalidType(f"a filter is (column, operator, value), such as ('age', '>=', 18), not {short_repr(given)}")
    name, how, value = given
    if how not in COMPARE and how not in SETS:
        raise InvalidValue(f"unknown operator {how!r} in a filter; known are {', '.join((*COMPARE, *SETS))}")
    if how in SETS:
        if isinstance(value, str | bytes) or not isinstance(value, Iterable):
            raise InvalidType(f"a filter with {how!r} needs a list of values, not {short_repr(value)}")
        value = tuple(value)
    return name, how, value


def columns_in(filters: Conditions) -> tuple[str, ...]:
    """The columns that the conditions name."""
    return tuple(dict.fromkeys(name for each in filters for name, _, _ in each))


def chosen_rows(batch: Any, filters: Conditions) -> Any:
    """The rows of a record batch that meet the conditions."""
    if not filters:
        return batch
    compute, mask = library("pyarrow.compute", "a filter"), None
    for each in filters:
        all_of = None
        for condition in each:
            one = _holds(compute, batch, condition)
            all_of = one if all_of is None else compute.and_kleene(all_of, one)
        mask = all_of if mask is None else compute.or_kleene(mask, all_of)
    return batch.filter(mask)


def check_comparable(field: Any, filters: Conditions) -> None:
    """
    Raises:
        InvalidValue: the values of this column do not compare with those of a condition.
    """
    arrow, compute = library("pyarrow", "a filter"), library("pyarrow.compute", "a filter")
    empty = arrow.RecordBatch.from_arrays([arrow.array([], field.type)], [field.name])
    for condition in (each for some in filters for each in some if each[0] == field.name):
        try:
            _holds(compute, empty, condition)
        except (arrow.ArrowException, TypeError, ValueError, OverflowError) as error:
            raise InvalidValue(
                f"the filter {condition!r} does not compare: column {field.name!r} is {field.type}, and the value is "
                f"{type(condition[2]).__name__} ({error})"
            ) from error


def _holds(compute: Any, batch: Any, condition: Condition) -> Any:
    """True, false or null for each row."""
    arrow = library("pyarrow", "a filter")
    name, how, value = condition
    column = batch.column(name)
    if arrow.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if how in SETS:
        among = arrow.array(value, column.type)
        if not all_kept(value, among):  # 2.5 is no int64, and arrow.array makes 2 of it
            among = among.filter(arrow.array([kept(*each, column.type) for each in zip(value, values_of(among), strict=True)]))
        found = compute.is_in(column, value_set=among)
        return found if how == "in" else compute.and_kleene(compute.invert(found), column.is_valid())
    if arrow.types.is_integer(column.type) and isinstance(value, Integral | float) and not isinstance(value, bool):
        how, whole = _in_whole_numbers(how, value)
        try:
            value = arrow.scalar(whole, column.type)
        except (OverflowError, arrow.ArrowInvalid):  # every value is less, or more
            return compute.and_(column.is_valid(), how in (("<", "<=", "!=") if whole > 0 else (">", ">=", "!=")))
    function = {"=": "equal", "==": "equal", "!=": "not_equal", "<": "less", "<=": "less_equal", ">": "greater",
                ">=": "greater_equal"}[how]
    return getattr(compute, function)(column, value)


def _in_whole_numbers(how: str, value: Any) -> tuple[str, int]:
    """The same condition on whole numbers. (With a float Arrow compares only those up to 2**53, and fails at larger ones.)"""
    if isinstance(value, Integral) or value.is_integer():
        return how, int(value)
    if isnan(value):
        return ("!=" if how == "!=" else "="), _BEYOND
    if isinf(value) or how in ("=", "==", "!="):
        return how, _BEYOND if value > 0 else -_BEYOND
    return ("<=", floor(value)) if how in ("<", "<=") else (">=", ceil(value))
