"""Arrow's columns as Python values.

Values have the types that Python programs use: int, float, bool, str, bytes, ``datetime.date``, ``datetime``, ``time``,
``timedelta``, ``Decimal``; None for null; a list for a list, a dict for a struct, a list of pairs for a map. Nanoseconds
are cut to microseconds, as in Spark, since ``datetime`` has no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mpirdd.formats.records.library import library

_TEXTS = frozenset({"string", "large_string", "string_view"})


def rows_of(batch: Any, make: Callable[[Iterable[Any]], Any]) -> Iterator[Any]:
    """The rows of a record batch, each made by ``make`` of a tuple of its values.

    One by one, so that those that nobody keeps never make Python's garbage collector look at all of them.
    """
    if not batch.num_columns:
        return (make(()) for _ in range(batch.num_rows))
    return map(make, zip(*[values_of(column) for column in batch.columns], strict=True))


def values_of(array: Any) -> list[Any]:
    """The values of an Arrow array.

    By numpy where that gives the same: 10 to 60 ns a value, where ``to_pylist`` takes 150 to 400.

    Raises:
        OverflowError: a date or time is beyond the years 1 to 9999, which Python's have.
    """
    arrow = library("pyarrow", "this file")
    types = arrow.types
    plain = plain_type(array.type)
    if plain != array.type:
        array = array.cast(plain, safe=False)
    if types.is_integer(plain) or types.is_floating(plain):
        return _numbers(array)
    is_time = types.is_date32(plain) or (types.is_timestamp(plain) and plain.tz is None)
    if is_time:  # numpy would give ints for those beyond
        library("pyarrow.compute", "this file").min_max(array).as_py()
    if (
        is_time or types.is_boolean(plain) or types.is_string(plain) or types.is_large_string(plain)
        or types.is_binary(plain) or types.is_large_binary(plain)
    ):
        values: list[Any] = array.to_numpy(zero_copy_only=False).tolist()
        return values
    listed: list[Any] = array.to_pylist()
    return listed


def _numbers(array: Any) -> list[Any]:
    if not array.null_count:
        values: list[Any] = array.to_numpy().tolist()
        return values
    # numpy has no null: NaN would stand for it, and numbers would become floats.
    values = array.fill_null(0).to_numpy().tolist()
    for place in array.is_null().to_numpy(zero_copy_only=False).nonzero()[0].tolist():
        values[place] = None
    return values


def cast_exactly(array: Any, kind: Any, *, may_round: bool = False) -> Any:
    """The array, of another type.

    Args:
        may_round: floats may become floats of fewer bits.

    Raises:
        ArrowInvalid: a value would be another one; or would have a time zone that it does not have, or lose it.
        ArrowNotImplementedError: there is no such conversion.
    """
    arrow = library("pyarrow", "this file")
    types = arrow.types
    if array.type == kind:
        return array
    if types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if types.is_timestamp(array.type) and types.is_timestamp(kind) and (array.type.tz is None) is not (kind.tz is None):
        raise arrow.ArrowInvalid("times with a time zone and times without one are not the same")
    made = array.cast(kind)
    if str(array.type) in _TEXTS or types.is_integer(kind) or types.is_nested(kind):
        return made  # Arrow looks itself whether it may read a text as this, or would cut a number
    if not (may_round and types.is_floating(array.type) and types.is_floating(kind)) and not _are_same(array, made):
        raise arrow.ArrowInvalid(f"a value of {array.type} would be another one as {kind}")
    return made


def _are_same(array: Any, made: Any) -> bool:
    arrow, compute = library("pyarrow", "this file"), library("pyarrow.compute", "this file")
    try:
        back = (made.dictionary_decode() if arrow.types.is_dictionary(made.type) else made).cast(array.type)
        if arrow.types.is_floating(array.type):
            return bool(compute.all(compute.or_(compute.equal(array, back), compute.is_nan(array)), min_count=0).as_py())
    except arrow.ArrowNotImplementedError:  # there is no way back, or no comparison of floats of 16 bits
        return True
    except arrow.ArrowInvalid:  # infinite as a float, say
        return False
    return bool(array.equals(back))


def plain_type(kind: Any) -> Any:
    """The Arrow type to convert ``kind`` to before it becomes Python values."""
    arrow = library("pyarrow", "this file")
    types = arrow.types
    if types.is_timestamp(kind) and kind.unit == "ns":
        return arrow.timestamp("us", kind.tz)
    if types.is_duration(kind) and kind.unit == "ns":
        return arrow.duration("us")
    if types.is_time64(kind) and kind.unit == "ns":
        return arrow.time64("us")
    if types.is_date64(kind):
        return arrow.date32()
    if types.is_dictionary(kind):
        return plain_type(kind.value_type)
    if types.is_struct(kind):
        return arrow.struct([kind.field(i).with_type(plain_type(kind.field(i).type)) for i in range(kind.num_fields)])
    if types.is_map(kind):
        return arrow.map_(plain_type(kind.key_type), plain_type(kind.item_type))
    if types.is_list(kind):
        return arrow.list_(kind.value_field.with_type(plain_type(kind.value_type)))
    if types.is_fixed_size_list(kind):
        return arrow.list_(kind.value_field.with_type(plain_type(kind.value_type)), kind.list_size)
    if types.is_large_list(kind):
        return arrow.large_list(kind.value_field.with_type(plain_type(kind.value_type)))
    return kind
