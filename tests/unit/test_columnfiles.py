"""Parquet, ORC and Arrow files against pyarrow itself: values, cuts, columns, filters, errors; and writing Parquet."""

from __future__ import annotations

import pickle
import re
from collections import namedtuple
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from math import isnan
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recordfiles import partitions, records

from mpirdd.formats.records import tables
from mpirdd.formats.records.arrowipc import ArrowIpc
from mpirdd.formats.records.columns import values_of
from mpirdd.formats.records.csvtext import Dialect
from mpirdd.formats.records.csvwriter import csv_text
from mpirdd.formats.records.filters import conditions
from mpirdd.formats.records.orc import Orc
from mpirdd.formats.records.parquet import Parquet, write_parquet
from mpirdd.formats.records.rows import Row, row_class
from mpirdd.protocol.errors import InputError, InvalidType, InvalidValue, RecordError, UsageError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")
orc = pytest.importorskip("pyarrow.orc")

UTC = timezone.utc
VALUES: dict[str, tuple[Any, list[Any]]] = {
    "int8": (pa.int8(), [1, -128, None]),
    "big": (pa.uint64(), [2**64 - 1, 0, None]),
    "long": (pa.int64(), [2**62 + 1, -(2**63), None]),
    "float": (pa.float64(), [1.5, None, float("inf")]),
    "single": (pa.float32(), [0.5, -1.0, None]),
    "flag": (pa.bool_(), [True, None, False]),
    "text": (pa.string(), ["", "é\0\n", None]),
    "bytes": (pa.binary(), [b"", b"\xff\0", None]),
    "fixed": (pa.binary(2), [b"ab", None, b"\0\0"]),
    "day": (pa.date32(), [date(1, 1, 1), date(9999, 12, 31), None]),
    "milliday": (pa.date64(), [date(1970, 1, 1), None, date(2024, 2, 29)]),
    "micro": (pa.timestamp("us"), [datetime(1815, 12, 10, 1, 2, 3, 4), None, datetime(2024, 1, 1)]),
    "zoned": (pa.timestamp("us", "UTC"), [datetime(2024, 1, 1, tzinfo=UTC), None, datetime(1960, 1, 1, tzinfo=UTC)]),
    "clock": (pa.time64("us"), [time(1, 2, 3, 4), None, time(0)]),
    "span": (pa.duration("us"), [timedelta(days=-1, microseconds=5), None, timedelta(0)]),
    "money": (pa.decimal128(38, 2), [Decimal("12345678901234567890.12"), None, Decimal("-0.01")]),
    "list": (pa.list_(pa.int32()), [[1, None], [], None]),
    "struct": (pa.struct([("x", pa.int8()), ("y z", pa.string())]), [{"x": 1, "y z": None}, None, {"x": None, "y z": "é"}]),
    "map": (pa.map_(pa.string(), pa.int64()), [[("a", 1)], None, []]),
    "code": (pa.dictionary(pa.int8(), pa.string()), ["a", None, "b"]),
    "deep": (pa.list_(pa.struct([("t", pa.timestamp("us"))])), [[{"t": datetime(2024, 1, 1)}], [], None]),
}
TABLE = pa.table({name: pa.array(values, kind) for name, (kind, values) in VALUES.items()})


def test_every_type_of_value_comes_back_as_pythons(tmp_path: Path) -> None:
    pq.write_table(TABLE, tmp_path / "x.parquet", store_schema=True)
    rows = records(Parquet(), tmp_path / "x.parquet")
    assert rows == list(zip(*(values for _, values in VALUES.values()), strict=True))
    for name, (_, values) in VALUES.items():
        assert [type(getattr(row, name)) for row in rows] == list(map(type, values)), name
    with pa.ipc.new_file(tmp_path / "x.arrow", TABLE.schema) as writer:
        writer.write_table(TABLE)
    assert records(ArrowIpc(), tmp_path / "x.arrow") == rows


def test_nanoseconds_are_cut_to_microseconds_at_any_depth() -> None:
    kind = pa.list_(pa.struct([("t", pa.timestamp("ns"))]))
    nano = pa.array([1_700_000_000_123_456_789], pa.timestamp("ns"))
    assert values_of(nano) == [datetime(2023, 11, 14, 22, 13, 20, 123456)]
    deep = pa.array([[{"t": 1_700_000_000_123_456_789}]], kind)
    assert values_of(deep) == [[{"t": datetime(2023, 11, 14, 22, 13, 20, 123456)}]]
    assert values_of(pa.array([[1_001, None]], pa.list_(pa.timestamp("ns"), 2))) == [[datetime(1970, 1, 1, 0, 0, 0, 1), None]]
    assert values_of(pa.array([1_001], pa.time64("ns"))) == [time(0, 0, 0, 1)]
    assert isnan(values_of(pa.array([float("nan"), None]))[0])
    assert values_of(pa.array([float("nan"), None]))[1] is None


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.none() | st.integers(-5, 5), st.none() | st.text(max_size=3)), max_size=40),
       st.integers(1, 7), st.integers(1, 9), st.sampled_from(["parquet", "orc", "arrow"]))
def test_rows_come_once_and_in_order_however_the_file_is_cut(
    tmp_path_factory: Any, rows: list[tuple[Any, Any]], group: int, least: int, kind: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"rows.{kind}"
    table = pa.table({"a": pa.array([a for a, _ in rows], pa.int64()), "b": pa.array([b for _, b in rows], pa.string())})
    form: Any = Parquet()
    if kind == "parquet":
        pq.write_table(table, path, row_group_size=group)
    elif kind == "orc":
        orc.write_table(table, path, stripe_size=1, batch_size=group)
        form = Orc()
    else:
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table, group)
        form = ArrowIpc()
    parts = partitions(form, path, least=least)
    assert [row for part in parts for row in part] == rows
    assert kind == "orc" or not rows or all(parts)


@pytest.mark.parametrize("form", [Parquet, Orc, ArrowIpc])
def test_columns_come_in_the_order_asked_for(tmp_path: Path, form: Any) -> None:
    table = pa.table({"a.b": [1], "a": [2], "class": [3], "my col": [4]})
    path = written(tmp_path, form, table)
    rows = records(form(columns=("my col", "a.b", "class")), path)
    assert rows == [(4, 1, 3)] and rows[0]._columns == ("my col", "a.b", "class")
    assert records(form(columns=()), path) == [()]
    with pytest.raises(InputError, match=r"has no column 'b'; its columns are 'a\.b', 'a', 'class', 'my col'"):
        records(form(columns=("b",)), path)
    (batch,) = records(form(columns=("class",), batches=True), path)
    assert batch.to_pydict() == {"class": [3]}


@pytest.mark.parametrize("form", [Parquet, Orc, ArrowIpc])
def test_files_without_rows_give_none(tmp_path: Path, form: Any) -> None:
    path = written(tmp_path, form, pa.table({"a": pa.array([], pa.int64())}))
    assert records(form(), path, least=3) == [] and records(form(batches=True), path) == []


@pytest.mark.parametrize("form", [Parquet, Orc, ArrowIpc])
def test_files_that_are_cut_short_empty_or_of_another_kind_are_told(tmp_path: Path, form: Any) -> None:
    path = written(tmp_path, form, pa.table({"a": list(range(1000))}))
    data = path.read_bytes()
    for content, said in [(b"", "is empty"), (data[: len(data) // 2], "damaged or cut short"), (b"hello, world" * 9, "is not")]:
        path.write_bytes(content)
        with pytest.raises(InputError, match=said) as error:
            records(form(), path)
        assert str(path) in str(error.value)


def written(folder: Path, form: Any, table: Any, name: str = "x") -> Path:
    path = folder / name
    if form is Parquet:
        pq.write_table(table, path)
    elif form is Orc:
        orc.write_table(table, path)
    else:
        with pa.ipc.new_file(path, table.schema) as writer:
            writer.write_table(table)
    return path


def test_columns_of_the_same_name_are_read_by_place(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"])
    with pa.ipc.new_file(tmp_path / "x", table.schema) as writer:
        writer.write_table(table)
    pq.write_table(table, tmp_path / "y")
    for form, name in ((ArrowIpc, "x"), (Parquet, "y")):
        assert records(form(), tmp_path / name) == [(1, 2)]
        (row,) = records(form(), tmp_path / name)
        assert row._columns == ("a", "a")
        with pytest.raises(InvalidValue, match=r"columns 0, 1 \(from 0\) are all named 'a'"):
            row._asdict()
        with pytest.raises(InputError, match="has 2 columns of the name 'a'"):
            records(form(columns=("a",)), tmp_path / name)


def test_the_first_files_columns_count(tmp_path: Path) -> None:
    a = written(tmp_path, Parquet, pa.table({"x": pa.array([1], pa.int64()), "y": ["p"]}), "a")
    b = written(tmp_path, Parquet, pa.table({"z": [0.5], "y": ["q"], "x": pa.array([2], pa.int8())}), "b")
    assert records(Parquet(), a, b) == [(1, "p"), (2, "q")]
    schema = pa.schema([("x", pa.int64()), ("y", pa.string())])
    assert {batch.schema for batch in records(Parquet(batches=True), a, b)} == {schema}
    c = written(tmp_path, Parquet, pa.table({"x": [1]}), "c")
    with pytest.raises(InputError, match=r"c has no column 'y' .which .*a has."):
        records(Parquet(), a, c)
    d = written(tmp_path, Parquet, pa.table({"x": ["one"], "y": ["q"]}), "d")
    with pytest.raises(InputError, match=r"d: column 'x' is string, but int64 in .*a"):
        records(Parquet(), a, d)


@pytest.mark.parametrize(("first", "then"), [
    (pa.array([0.5], pa.float32()), pa.array([0.1])), (pa.array([0.5]), pa.array([Decimal("12345678901234567890.12")])),
    (pa.array([datetime(2024, 1, 1)]), pa.array([datetime(2024, 1, 1)], pa.timestamp("us", "Europe/Berlin"))),
    (pa.array([datetime(2024, 1, 1)], pa.timestamp("us", "UTC")), pa.array([datetime(2024, 1, 1)])),
    (pa.array([date(2024, 1, 1)]), pa.array([datetime(2024, 1, 1, 5)])), (pa.array([True]), pa.array([7])),
    (pa.array([1], pa.int8()), pa.array([300])), (pa.array([0.5], pa.float32()), pa.array([1e300])),
])
def test_a_value_that_the_first_files_type_would_change_is_refused(tmp_path: Path, first: Any, then: Any) -> None:
    a = written(tmp_path, Parquet, pa.table({"x": first}), "a")
    b = written(tmp_path, Parquet, pa.table({"x": then}), "b")
    with pytest.raises(InputError, match=rf"b: column 'x' is {re.escape(str(then.type))}, but .*does not convert"):
        records(Parquet(), a, b)


@pytest.mark.parametrize(("first", "then", "values"), [
    (pa.array([0.5], pa.float32()), pa.array([0.25, float("nan"), None]), [0.25, None, None]),
    (pa.array([0.5]), pa.array([Decimal("0.10"), None]), [0.1, None]), (pa.array([1.5]), pa.array([2, None]), [2.0, None]),
    (pa.array(["a"]), pa.array(["b", None, "b"]).dictionary_encode(), ["b", None, "b"]),
    (pa.array([0.5], pa.float32()), pa.array([np.float16(0.25), None]), [0.25, None]),
    (pa.array([1], pa.uint64()), pa.array([Decimal("2.0")], pa.decimal128(5, 1)), [2]),
    (pa.array(["a"]), pa.array([b"b"]), ["b"]), (pa.array(["a"], pa.large_string()), pa.array(["b"]), ["b"]),
    (pa.array([date(2024, 1, 1)]), pa.array([datetime(2024, 1, 2)]), [date(2024, 1, 2)]),
    (pa.array([datetime(2024, 1, 1)], pa.timestamp("us", "UTC")), pa.array([datetime(2024, 1, 1)], pa.timestamp("ns", "UTC")),
     [datetime(2024, 1, 1, tzinfo=UTC)]),
    (pa.array([[1]], pa.list_(pa.int64())), pa.array([[2]], pa.list_(pa.int8())), [[2]]), (pa.array([1]), pa.array(["07"]), [7]),
])
def test_values_that_stay_the_same_take_the_first_files_type(tmp_path: Path, first: Any, then: Any, values: list[Any]) -> None:
    a = written(tmp_path, ArrowIpc, pa.table({"x": first}), "a")
    b = written(tmp_path, ArrowIpc, pa.table({"x": then}), "b")
    assert [None if row.x != row.x else row.x for row in records(ArrowIpc(), a, b)[1:]] == values


@pytest.mark.parametrize("array", [
    pa.array([0, 2**58, None], pa.timestamp("us")), pa.array([10**7], pa.date32()), pa.array([2**58], pa.timestamp("us", "UTC")),
    pa.array([[-(2**60)]], pa.list_(pa.timestamp("us"))),
])
def test_times_beyond_pythons_years_are_told_not_given_as_numbers(tmp_path: Path, array: Any) -> None:
    path = written(tmp_path, Parquet, pa.table({"x": array, "y": [1] * len(array)}))
    with pytest.raises(InputError, match=r"which go from year 1 to 9999 .*batches=True gives record batches"):
        records(Parquet(), path)
    (batch,) = records(Parquet(batches=True), path)
    assert batch.column("x").equals(array)
    assert len(records(Parquet(columns=("y",), filters=conditions([("y", "=", 1)])), path)) == len(array)
    if not pa.types.is_list(array.type) and array.type.id == pa.timestamp("us").id and array.type.tz is None:
        later = Parquet(batches=True, filters=conditions([("x", ">", datetime(2024, 1, 1))]))
        assert [batch.num_rows for batch in records(later, path)] == [1]


def test_filters_choose_rows_and_pass_over_row_groups(tmp_path: Path) -> None:
    table = pa.table({"n": list(range(100)), "t": [None if i % 10 == 0 else str(i % 3) for i in range(100)]})
    path = tmp_path / "x.parquet"
    pq.write_table(table, path, row_group_size=10)
    for filters, keep in [
        ([("n", ">=", 95)], lambda n, t: n >= 95),
        ([("n", "<", 5), ("t", "=", "1")], lambda n, t: n < 5 and t == "1"),
        ([[("n", "==", 3)], [("n", "in", [7, 200]), ("t", "!=", "x")]], lambda n, t: n == 3 or (n == 7 and t is not None)),
        ([("t", "not in", ["0", "1"])], lambda n, t: t is not None and t not in ("0", "1")),
        ([("n", ">", 1000)], lambda n, t: False),
    ]:
        expected = [(n, t) for n, t in zip(*table.to_pydict().values(), strict=True) if keep(n, t)]
        form = Parquet(filters=conditions(filters))
        assert records(form, path, least=4) == expected, filters
        assert records(Parquet(("t",), filters=conditions(filters)), path) == [(t,) for _, t in expected]
    data = bytearray(path.read_bytes())
    data[4:40] = bytes(36)  # the first row group's data: not read
    path.write_bytes(data)
    assert len(records(Parquet(filters=conditions([("n", ">=", 95)])), path)) == 5


@pytest.mark.parametrize("form", [Parquet, Orc, ArrowIpc])
def test_every_format_takes_the_same_filters(tmp_path: Path, form: Any) -> None:
    path = written(tmp_path, form, pa.table({"n": [1, None, 3, 4], "t": ["a", "b", "c", None]}))
    for filters, expected in [
        ([("n", ">", 1)], [(3, "c"), (4, None)]), ([("n", ">", 9)], []), ([("t", "in", ["b", None])], [(None, "b"), (4, None)]),
        ([[("n", "=", 1)], [("t", "!=", "a"), ("n", "<=", 3)]], [(1, "a"), (3, "c")]),
    ]:
        made = conditions(filters)
        assert records(form(filters=made), path, least=3) == expected
        assert records(form(columns=("t",), filters=made), path) == [(t,) for _, t in expected]
        assert records(form(columns=(), filters=made), path) == [()] * len(expected)
        assert sum(batch.num_rows for batch in records(form(batches=True, filters=made), path)) == len(expected)
    with pytest.raises(InvalidValue, match="does not compare"):
        records(form(filters=conditions([("n", "=", "x")])), path)
    with pytest.raises(InputError, match="has no column 'x'"):
        records(form(filters=conditions([("x", "=", 1)])), path)


def test_no_row_that_meets_a_filter_is_lost_to_statistics_or_other_types(tmp_path: Path) -> None:
    huge = 2**63 + 5
    table = pa.table({
        "d": pa.array([Decimal("0.10"), Decimal("0.10")], pa.decimal128(10, 2)),
        "t": pa.array([1, 1001], pa.timestamp("ns")),  # no whole microseconds
        "u": pa.array([1, huge], pa.uint64()), "i": pa.array([2**53 + 1, -5], pa.int64()), "b": pa.array([200, None], pa.uint8()),
    })
    path = written(tmp_path, Parquet, table)
    for condition, count in [
        (("d", "=", 0.1), 2), (("d", ">=", 0.1), 2), (("d", "in", [Decimal("0.1")]), 2), (("d", "<", 0.1), 0),
        (("t", ">", datetime(1969, 1, 1)), 2), (("t", "<", datetime(1969, 1, 1)), 0),
        (("u", ">", 5), 1), (("u", "=", huge), 1), (("u", ">", -1), 2), (("u", "<", -1), 0), (("u", "!=", 2**70), 2),
        (("i", "=", float(2**53)), 0), (("i", "<", 2.5), 1), (("i", ">=", -5.5), 2), (("i", "=", 2.5), 0), (("i", "!=", 2.5), 2),
        (("i", "<", float("inf")), 2), (("i", ">", float("inf")), 0), (("i", "<", float("nan")), 0),
        (("i", "=", np.int64(-5)), 1), (("b", "<", 300), 1), (("b", ">", 300), 0), (("b", "=", 200), 1),
    ]:
        assert len(records(Parquet(filters=conditions([condition])), path)) == count, condition


def test_filters_on_codes_nulls_and_numbers_of_another_type(tmp_path: Path) -> None:
    table = pa.table({"c": pa.array(["x", None, "y", "x"]).dictionary_encode(), "n": [1, 2, None, 4]})
    path = written(tmp_path, Parquet, table)
    for condition, expected in [
        (("c", "in", ["x"]), [1, 4]), (("c", "not in", ["x"]), [None]), (("c", "=", "y"), [None]),
        (("c", "in", ["y", None]), [2, None]),
        (("n", "in", [2.5, 4.0]), [4]), (("n", "not in", [1]), [2, 4]), (("n", "in", [None]), [None]),
    ]:
        assert records(Parquet(("n",), filters=conditions([condition])), path) == [(n,) for n in expected], condition


def test_a_column_that_only_a_folders_name_has_is_told_with_the_way_to_it(tmp_path: Path) -> None:
    (tmp_path / "y=2019").mkdir()
    path = written(tmp_path / "y=2019", Parquet, pa.table({"a": [1]}))
    with pytest.raises(InputError, match=r"has no column 'y'.*the y=... of its folder is a column where path is a folder above"):
        records(Parquet(("y",)), path)


def test_a_filter_that_does_not_compare_is_told_by_the_call(tmp_path: Path) -> None:
    path = written(tmp_path, Parquet, pa.table({"a": [1], "b": ["x"]}))
    for condition in (("a", "<", "x"), ("b", "=", 1), ("a", "in", ["x"])):
        with pytest.raises(InvalidValue, match=r"does not compare: column '[ab]' is"):
            records(Parquet(filters=conditions([condition])), path)


@pytest.mark.parametrize("filters", [5, [("a", "~", 1)], [("a", "in", "text")], [("a",)], ["a > 1"], [[("a", 1, 2)]]])
def test_filters_that_are_none_are_refused(filters: Any) -> None:
    with pytest.raises((InvalidType, InvalidValue)):
        conditions(filters)


def test_a_stream_of_batches_is_read_too(tmp_path: Path) -> None:
    table = pa.table({"a": list(range(10))})
    with pa.ipc.new_stream(tmp_path / "x", table.schema) as writer:
        writer.write_table(table, 3)
    assert records(ArrowIpc(), tmp_path / "x", least=4) == [(i,) for i in range(10)]


def test_rows_travel_by_any_pickler() -> None:
    row = row_class(("a", "my col", "a"))(1, 2, 3)
    for pickler in (pickle, cloudpickle):
        back = pickle.loads(pickler.dumps([row, row]))[1]
        assert back == row == (1, 2, 3) and isinstance(back, Row) and type(back) is type(row)
        assert back._columns == ("a", "my col", "a") and back.a == 1


def test_names_that_unicode_writes_in_two_ways_are_attributes() -> None:
    row = row_class(("\N{MICRO SIGN}", "ﬁ", "日本"))(1, 2, 3)
    assert (row.µ, row.ﬁ, row.日本) == (1, 2, 3) and row.fi == 2
    assert [getattr(row, name) for name in row._columns] == [1, 2, 3] and row._columns[0] == "\N{MICRO SIGN}"
    both = row_class(("\N{MICRO SIGN}", "\N{GREEK SMALL LETTER MU}"))(1, 2)
    assert [getattr(both, name) for name in both._columns] == [1, 2] and len(both._asdict()) == 2


def test_columns_named_like_places_are_attributes_by_their_names() -> None:
    row = row_class(("_1", "_2"))("first", "second")  # as Spark names the items of tuples
    assert (row._1, row._2) == ("first", "second")
    assert row_class(("class", "_0"))(1, 2)._0 == 2


def test_every_name_is_an_attribute_that_can_be_one() -> None:
    row = row_class(("my col", "class", "_id", "_fields", "count"))(1, 2, 3, 4, 5)
    assert [getattr(row, name) for name in ("my col", "class", "_id", "count")] == [1, 2, 3, 5] and row._0 == 1
    assert row._fields == ("_0", "_1", "_2", "_3", "count") and row._asdict()["_fields"] == 4
    assert repr(row) == "Row(my col=1, class=2, _id=3, _fields=4, count=5)"
    with pytest.raises(AttributeError):
        row.other = 1  # type: ignore[attr-defined]


# --- write ------------------------------------------------------------------------------------------------------------


def save(path: Path, rows: list[Any], schema: bytes | None = None, group: int = 1000) -> None:
    data = schema if schema is not None else tables.inferred_schema("saveAsParquetFile", rows)
    path.write_bytes(b"".join(write_parquet(data, "snappy", group, rows)))


def test_what_is_written_is_what_arrow_reads(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    schema = tables.schema_from(TABLE.schema)
    rows = [dict(zip(VALUES, values, strict=True)) for values in zip(*(values for _, values in VALUES.values()), strict=True)]
    save(path, rows, schema)
    assert pq.read_table(path).to_pylist() == TABLE.to_pylist()
    many = [(i, str(i)) for i in range(5000)]
    save(path, many, tables.schema_from({"n": int, "t": "string"}), group=700)
    assert pq.ParquetFile(path).metadata.num_row_groups == 8
    assert records(Parquet(), path, least=5) == many
    save(path, records(Parquet(batches=True), path))
    assert records(Parquet(), path) == many
    save(path, [{"a": 1}, {"b": None, "a": None}, {"b": [{"c": b"x"}]}])
    assert records(Parquet(), path) == [(1, None), (None, None), (None, [{"c": b"x"}])]


@pytest.mark.parametrize(
    "rows, said",
    [
        ([{"a": 1}, {"a": "x"}], "no type holds all values of column 'a'"),
        ([{"a": 2**70}], "no type holds all values of column 'a'"),
        ([{"a": None}], "is None in the first 1 records"),
        ([(1, 2)], "a record must be a dict"),
        ([5], "a record must be a dict"),
        ([{1: 2}], "a record must be a dict with text for keys"),
        ([row_class(("a", "a"))(1, 2)], "two columns of the same name"),
        ([{"a": 1, "b": row_class(("x", "y"))(1, 2)}], "column 'b' holds rows or named tuples"),
        ([{"b": None}, {"b": [{"c": row_class(("x",))(1)}]}], "column 'b' holds rows or named tuples"),
    ],
)
def test_records_without_a_schema_are_refused(rows: list[Any], said: str) -> None:
    with pytest.raises((RecordError, UsageError), match=said):
        tables.inferred_schema("saveAsParquetFile", rows)


@pytest.mark.parametrize(
    "rows, said",
    [
        ([{"a": 1}, {"a": "x"}], "column 'a' is int64, and 'x' .str. does not fit"),
        ([{"a": 2**70}], "column 'a' is int64"),
        ([{"b": 1}], "has the key 'b', which is no column"),
        ([(1, 2)], "does not fit the 1 columns a"),
        ([7], "does not fit the 1 columns a"),
    ],
)
def test_records_that_do_not_fit_are_shown(rows: list[Any], said: str) -> None:
    with pytest.raises(RecordError, match=said):
        list(write_parquet(tables.schema_from({"a": "int64"}), "none", 10, rows))


@pytest.mark.parametrize("first, later", [
    (1, 2.5), (1, Decimal("1.9")), (1, np.float64(1.5)), ({"x": 1}, {"x": 2.5}), ([1], [1.5]), ({"x": 1}, {"x": 1, "y": 2}),
    ([{"x": 1}], [{"x": 1, "y": 2}]), (date(2024, 1, 1), datetime(2024, 1, 1, 5)), ([1], np.array([1.5])),
    (datetime(2024, 1, 1), datetime(2024, 1, 1, tzinfo=UTC)), (datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 1)),
])
def test_a_later_value_that_would_become_another_is_refused(first: Any, later: Any) -> None:
    schema = tables.inferred_schema("saveAsParquetFile", [{"a": first}])
    with pytest.raises(RecordError, match=r"column 'a' is .* does not fit: it would become"):
        list(write_parquet(schema, "none", 10, [{"a": first}, {"a": None}, {"a": later}]))


@pytest.mark.parametrize("kind, value", [
    ("int64", 1.5), (pa.timestamp("s"), datetime(2024, 1, 1, 0, 0, 0, 5)), ("float32", 1e300), ("float16", 1e300),
    (pa.time32("s"), time(1, 2, 3, 4)), (pa.duration("s"), timedelta(microseconds=5)), ("date32", datetime(2024, 1, 1, 5)),
    (pa.map_(pa.string(), pa.int64()), [("k", 1.5)]), (pa.dictionary(pa.int8(), pa.int64()), 1.5),
])
def test_a_value_that_the_given_type_would_change_is_refused(kind: Any, value: Any) -> None:
    with pytest.raises(RecordError, match="column 'a' is"):
        list(write_parquet(tables.schema_from({"a": kind}), "none", 10, [{"a": value}]))


@pytest.mark.parametrize("values", [
    [date(2024, 1, 1), datetime(2024, 1, 1, 5)], [datetime(2024, 1, 1), datetime(2024, 1, 1, tzinfo=UTC)]])
def test_the_first_records_are_of_one_type_that_keeps_them(values: list[Any]) -> None:
    with pytest.raises(RecordError, match=r"no type holds all values of column 'a'.*would be another value"):
        tables.inferred_schema("saveAsParquetFile", [{"a": value} for value in values])


def test_values_that_only_look_different_are_written(tmp_path: Path) -> None:
    zone = timezone(timedelta(hours=3))
    for kind, values, back in [
        ("float32", [0.5, float("inf"), np.float32(0.25), None], None), ("int64", [1.0, np.int8(3)], [1, 3]),
        (pa.struct([("x", pa.int8()), ("y", pa.string())]), [{"x": 1}, {}], [{"x": 1, "y": None}, {"x": None, "y": None}]),
        (pa.list_(pa.float64()), [np.array([1.5]), np.array([2]), (1, 2)], [[1.5], [2.0], [1.0, 2.0]]),
        (pa.map_(pa.string(), pa.int64()), [{"k": 1}, [("l", 2)]], [[("k", 1)], [("l", 2)]]), ("string", [b"x"], ["x"]),
        (pa.decimal128(5, 2), [Decimal("1.5"), 2], None), (pa.timestamp("us", "UTC"), [datetime(2024, 1, 1, tzinfo=zone)], None),
        (pa.timestamp("ns"), [np.datetime64("2024-01-01T00:00:00.000001789")], [datetime(2024, 1, 1, 0, 0, 0, 1)]),
    ]:
        save(tmp_path / "x", [{"a": value} for value in values], tables.schema_from({"a": kind}))
        assert [row.a for row in records(Parquet(), tmp_path / "x")] == (values if back is None else back), kind
    save(tmp_path / "x", [{"a": 0.1}, {"a": float("nan")}], tables.schema_from({"a": "float32"}))  # rounded


def test_rows_and_named_tuples_are_written_by_their_names() -> None:
    first, other = row_class(("a", "b")), namedtuple("other", ["b", "a"])  # type: ignore[name-match]
    rows = [first(1, 2), other(2, 1), row_class(("b",))(2), (1, 2), {"b": 2}]
    schema = tables.inferred_schema("saveAsParquetFile", rows[:3])
    (table,) = tables.batches_from("saveAsParquetFile", rows, pa.ipc.read_schema(pa.py_buffer(schema)), 100)
    assert table.to_pydict() == {"a": [1, 1, None, 1, None], "b": [2] * 5}
    text = b"".join(csv_text(Dialect(), True, ("b", "a"), [first(1, 2), other(2, 1), (2, 1)]))
    assert text == b"b,a\n2,1\n2,1\n2,1\n"
    renamed = tables.batches_from("saveAsParquetFile", [first(1, 2)], pa.schema([("x", pa.int8()), ("y", pa.int8())]), 100)
    assert next(renamed).to_pylist() == [{"x": 1, "y": 2}]  # as they know none of the names
    for save_them in (
        lambda row: list(tables.batches_from("save", [row], pa.schema([("a", pa.int8()), ("b", pa.int8())]), 100)),
        lambda row: list(csv_text(Dialect(), True, ("a", "b"), [row])),
    ):
        for strange in (("a", "c"), ("a", "b", "b")):
            with pytest.raises(RecordError, match="where 'a', 'b' are written"):
                save_them(row_class(strange)(*strange))


def test_record_batches_are_written_one_by_one_and_whole() -> None:
    taken = 0

    def batches() -> Iterator[Any]:
        nonlocal taken
        for number in range(5000):
            taken += 1
            yield pa.record_batch({"a": [number]})

    schema = pa.schema([("a", pa.int64())])
    made = tables.batches_from("save", batches(), schema, 100_000)
    assert next(made).to_pylist() == [{"a": 0}] and taken == 1
    more = pa.record_batch({"a": [1], "b": [2]})
    for wrong, said in [(more, "it has the column 'b', too"), (pa.record_batch({"b": [1]}), "b"),
                        (pa.record_batch({"a": [1.5]}), "does not fit"), (5, "records are record batches")]:
        with pytest.raises(RecordError, match=said):
            list(tables.batches_from("save", [pa.record_batch({"a": [1]}), wrong], schema, 100))
    aware = pa.record_batch({"a": pa.array([datetime(2024, 1, 1)], pa.timestamp("us", "UTC"))})
    with pytest.raises(RecordError, match="times with a time zone and times without one"):
        list(tables.batches_from("save", [aware], pa.schema([("a", pa.timestamp("us"))]), 100))
    (rounded,) = tables.batches_from("save", [pa.table({"a": [0.1]})], pa.schema([("a", pa.float32())]), 100)
    assert rounded.schema.types == [pa.float32()]


def test_schemas_that_are_none_are_refused() -> None:
    for given_schema in ({"a": "number"}, {"a": dict}, 5, ["a"]):
        with pytest.raises(UsageError, match="schema"):
            tables.schema_from(given_schema)
