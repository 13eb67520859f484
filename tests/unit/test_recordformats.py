"""JSON, Avro, WARC and arrays against the libraries themselves, cut as finely as can be; and the rule for partitions."""

from __future__ import annotations

import gc
import gzip
import json
import os
import subprocess
import sys
from datetime import date, datetime, timedelta
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recordfiles import found, partitions, records

from mpirdd.formats.filesystems import NO_OPTIONS
from mpirdd.formats.inputfiles import InputFile
from mpirdd.formats.lineends import TextOptions
from mpirdd.formats.records.avro import Avro
from mpirdd.formats.records.csvtext import Csv
from mpirdd.formats.records.hdf5 import Hdf5, NetCdf
from mpirdd.formats.records.jsonlines import JsonDocuments, JsonLines, json_lines
from mpirdd.formats.records.npy import Npy, Raw, write_npy
from mpirdd.formats.records.pieces import plan, read_pieces
from mpirdd.formats.records.rows import row_class
from mpirdd.formats.records.warc import Warc
from mpirdd.formats.records.zarrays import Zarr
from mpirdd.formats.splits import FileSplit
from mpirdd.formats.text import read_lines
from mpirdd.protocol.errors import InputError, RecordError
from mpirdd.protocol.package import install_command

fastavro = pytest.importorskip("fastavro")
h5py = pytest.importorskip("h5py")

# --- partitions -------------------------------------------------------------------------------------------------------


def groups(sizes: list[int], least: int, *, given: bool) -> list[list[int]]:
    """The sizes of the pieces of each partition of JSON files."""
    files = [InputFile(f"/nowhere/{place}.json.gz", size) for place, size in enumerate(sizes)]  # not cut, not opened
    return [[piece.size for piece in group] for group in plan(JsonLines(), files, least, given=given)[1]]


def test_hundreds_of_small_files_are_a_few_partitions() -> None:
    assert len(groups([1000] * 400, 4, given=False)) == 13
    assert len(groups([1000] * 400, 100, given=True)) == 100
    assert [size for group in groups([5, 1 << 26, 7], 2, given=False) for size in group] == [5, 1 << 26, 7]
    assert groups([], 4, given=True) == []


def test_small_files_are_cut_only_if_the_call_asks_for_partitions(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("1\n" * 1000)
    assert len(plan(JsonLines(), found(path), 8, given=False)[1]) == 1
    assert len(plan(JsonLines(), found(path), 8, given=True)[1]) == 8


# --- JSON -------------------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3), max_leaves=6)


@settings(max_examples=40, deadline=None)
@given(st.lists(JSON, max_size=12), st.integers(1, 9))
def test_json_comes_back_however_it_is_cut(tmp_path_factory: Any, values: list[Any], least: int) -> None:
    path = tmp_path_factory.getbasetemp() / "x.json"
    path.write_bytes(b"".join(json_lines(values)))
    assert [json.loads(line) for line in path.read_text().split("\n") if line] == values
    assert records(JsonLines(), path, least=least) == values


def test_json_lines_may_be_empty_padded_marked_and_packed(tmp_path: Path) -> None:
    text = '\ufeff {"a": NaN} \r\n\r\n\t[1, 2]\n \n3'
    (tmp_path / "x.json").write_text(text)
    (tmp_path / "x.json.gz").write_bytes(gzip.compress(text.encode()))
    for name in ("x.json", "x.json.gz"):
        first, *rest = records(JsonLines(), tmp_path / name)
        assert rest == [[1, 2], 3] and first["a"] != first["a"]


@pytest.mark.parametrize("line", ['{"a": 1}{"b": 2}', "1,2", "[1", '{"a"', "{'a': 1}", "nope", '"\t"'])
def test_a_line_that_is_not_json_is_told_dropped_or_given(tmp_path: Path, line: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(f"1\n2\n{line}\n4\n")
    with pytest.raises(InputError, match="line 3 is not JSON") as error:
        records(JsonLines(), path)
    assert str(path) in str(error.value) and "DROPMALFORMED" in str(error.value)
    assert records(JsonLines(mode="DROPMALFORMED"), path) == [1, 2, 4]
    assert records(JsonLines(mode="PERMISSIVE"), path) == [1, 2, {"_corrupt_record": line}, 4]
    with pytest.raises(InputError, match="the line at byte 4 is not JSON"):
        records(JsonLines(), path, least=40)


def test_documents_give_their_elements(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[\n1,\n{"x": "ä"}\n]')
    (tmp_path / "b.json").write_bytes(b"\xef\xbb\xbf{}")
    (tmp_path / "c.json").write_text("")
    assert records(JsonDocuments(), *(tmp_path / f"{name}.json" for name in "abc")) == [1, {"x": "ä"}, {}]
    with pytest.raises(InputError, match="multiLine=True"):
        records(JsonLines(), tmp_path / "a.json")
    (tmp_path / "d.json").write_text("[1,")
    (tmp_path / "m.json").write_bytes("\ufeff[1, 2]".encode("utf-16-le"))
    assert records(JsonDocuments(TextOptions.of("utf-16-le", "strict", None)), tmp_path / "m.json") == [1, 2]
    with pytest.raises(InputError, match=r"d\.json is no JSON document.*DROPMALFORMED"):
        records(JsonDocuments(), tmp_path / "d.json")
    both = tmp_path / "d.json", tmp_path / "b.json"
    assert records(JsonDocuments(mode="DROPMALFORMED"), *both) == [{}]
    assert records(JsonDocuments(mode="PERMISSIVE"), *both) == [{"_corrupt_record": "[1,"}, {}]


def test_json_has_a_form_for_what_it_does_not_know() -> None:
    row = row_class(("a b", "n"))(date(2024, 1, 2), np.int32(3))
    lines = b"".join(json_lines([row, {"t": datetime(2024, 1, 2, 3), "d": Decimal("1.10"), "b": b"\0", "v": np.arange(2)}]))
    assert list(map(json.loads, lines.decode().splitlines())) == [
        {"a b": "2024-01-02", "n": 3}, {"t": "2024-01-02T03:00:00", "d": "1.10", "b": "AA==", "v": [0, 1]}]
    for wrong in ({1, 2}, {"f": len}, {(1, 2): 3}):
        with pytest.raises(RecordError, match="saveAsJsonFile"):
            list(json_lines([wrong]))


def test_rows_within_records_become_objects_of_json() -> None:
    row = row_class(("a", "b"))
    lines = b"".join(json_lines([{"x": row(1, (2, row(3, 4)))}, [row(5, None)], row(row(6, 7), [])]))
    assert list(map(json.loads, lines.splitlines())) == [
        {"x": {"a": 1, "b": [2, {"a": 3, "b": 4}]}}, [{"a": 5, "b": None}], {"a": {"a": 6, "b": 7}, "b": []}]
    with pytest.raises(RecordError, match="are all named 'a'"):
        list(json_lines([{"x": row_class(("a", "a"))(1, 2)}]))


def test_json_is_read_as_it_was_written_or_refused(tmp_path: Path) -> None:
    odd = ["\ud800", {"\udfff": ["é\ud800"]}, {1: "a", "2": "b"}, {None: 1, 1.5: [{True: 0}]}]
    (tmp_path / "x.json").write_bytes(b"".join(json_lines(odd)))
    assert records(JsonLines(), tmp_path / "x.json") == [*odd[:2], {"1": "a", "2": "b"}, {"null": 1, "1.5": [{"true": 0}]}]
    same_keys: list[Any] = [{1: "a", "1": "b"}, [{"x": {"null": 0, None: 1}}], {"t": (1, {"true": 1, True: 2})}]
    for wrong in same_keys:
        with pytest.raises(RecordError, match="are the same text"):
            list(json_lines([wrong]))
    with pytest.raises(RecordError, match=r"columns 0, 2 \(from 0\) are all named 'a', and an object holds one of them"):
        list(json_lines([row_class(("a", "b", "a"))(1, 2, 3)]))
    with pytest.raises(RecordError, match="pair of surrogates"):
        list(json_lines(["\ud83d\ude00"]))


def test_a_line_nested_too_deeply_is_one_wrong_line(tmp_path: Path) -> None:
    path, deep = tmp_path / "x.json", "[" * 200_000 + "]" * 200_000
    path.write_text(f"1\n{deep}\n3\n")
    with pytest.raises(InputError, match="line 2 is not JSON"):
        records(JsonLines(), path)
    assert records(JsonLines(mode="DROPMALFORMED"), path) == [1, 3]
    assert records(JsonLines(mode="PERMISSIVE"), path) == [1, {"_corrupt_record": deep}, 3]


# --- Avro, WARC -------------------------------------------------------------------------------------------------------

SCHEMA = {"type": "record", "name": "R", "fields": [
    {"name": "n", "type": ["null", "long"]}, {"name": "t", "type": "string"},
    {"name": "d", "type": {"type": "int", "logicalType": "date"}}]}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 60), st.integers(1, 12), st.sampled_from([1, 30, 100_000]), st.sampled_from(["null", "deflate"]))
def test_avro_comes_back_however_it_is_cut(tmp_path_factory: Any, count: int, least: int, interval: int, codec: str) -> None:
    path = tmp_path_factory.getbasetemp() / "x.avro"
    rows = [{"n": None if i % 3 else i, "t": "é" * (i % 7), "d": date(2024, 1, 1 + i % 28)} for i in range(count)]
    with open(path, "wb") as file:
        fastavro.writer(file, SCHEMA, rows, codec=codec, sync_interval=interval)
    assert records(Avro(), path, least=least) == rows
    assert records(Avro(("t", "n")), path, least=least) == [{"t": row["t"], "n": row["n"]} for row in rows]


def test_a_field_of_avro_may_be_of_a_type_that_another_field_names(tmp_path: Path) -> None:
    inner = {"type": "record", "name": "Q", "fields": [{"name": "i", "type": "int"}]}
    schema = {"type": "record", "name": "P", "fields": [{"name": "a", "type": inner}, {"name": "b", "type": "Q"}]}
    with open(tmp_path / "x.avro", "wb") as file:
        fastavro.writer(file, schema, [{"a": {"i": 1}, "b": {"i": 2}}] * 3)
    assert records(Avro(("b",)), tmp_path / "x.avro") == [{"b": {"i": 2}}] * 3
    assert records(Avro(("a",)), tmp_path / "x.avro") == [{"a": {"i": 1}}] * 3


def test_avro_that_is_wrong_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.avro"
    with open(path, "wb") as file:
        fastavro.writer(file, SCHEMA, [{"n": 1, "t": "x" * 50, "d": date(2024, 1, 1)}] * 100)
    with pytest.raises(InputError, match="has no column 'z'; its columns are 'n', 't', 'd'"):
        records(Avro(("z",)), path)
    data = path.read_bytes()
    for content in (b"", data[:-200], b"hello, world"):
        path.write_bytes(content)
        with pytest.raises(InputError, match="Avro"):
            records(Avro(), path)


def test_web_archives_give_pages(tmp_path: Path) -> None:
    pytest.importorskip("warcio")
    from warcio.statusandheaders import StatusAndHeaders
    from warcio.warcwriter import WARCWriter

    path = tmp_path / "x.warc.gz"
    with open(path, "wb") as file:
        writer = WARCWriter(file)
        writer.write_record(writer.create_warcinfo_record("x.warc.gz", {"software": "test"}))
        for place in range(3):
            headers = StatusAndHeaders("200 OK", [("Content-Type", "text/plain")], protocol="HTTP/1.1")
            writer.write_record(writer.create_warc_record(
                f"http://a.org/{place}", "response", payload=BytesIO(b"page %d" % place), http_headers=headers))
    pages = records(Warc(("response",)), path)
    assert [(page.uri, page.status, page.content) for page in pages] == [
        (f"http://a.org/{place}", 200, b"page %d" % place) for place in range(3)]
    assert pages[0].http_headers == {"Content-Type": "text/plain"} and pages[0].headers["WARC-Type"] == "response"
    assert [record.type for record in records(Warc(), path)] == ["warcinfo", *["response"] * 3]
    path = tmp_path / "x.warc"
    path.write_bytes(b"no archive at all\n" * 3)
    with pytest.raises(InputError, match="is not a WARC file"):
        records(Warc(), path)


@pytest.mark.parametrize("packed", [True, False])
def test_web_archives_that_are_cut_short_or_damaged_are_told(tmp_path: Path, packed: bool) -> None:
    pytest.importorskip("warcio")
    from warcio.statusandheaders import StatusAndHeaders
    from warcio.warcwriter import WARCWriter

    buffer = BytesIO()
    writer, ends = WARCWriter(buffer, gzip=packed), [0]
    for kind in ("resource", "response"):
        headers = StatusAndHeaders("200 OK", [("Transfer-Encoding", "chunked")], protocol="HTTP/1.1")
        payload = BytesIO(b"a\r\n0123456789\r\n0\r\n\r\n" if kind == "response" else np.random.default_rng(0).bytes(500))
        more = {"http_headers": headers} if kind == "response" else {}
        writer.write_record(writer.create_warc_record("http://a.org/", kind, payload=payload, **more))
        ends.append(buffer.tell())
    data, path = buffer.getvalue(), tmp_path / "x"
    path.write_bytes(data)
    assert [len(page.content) for page in records(Warc(), path)] == [500, 10]
    line_ends = 0 if packed else 4  # behind a record
    for size in range(1, len(data), 6):
        path.write_bytes(data[:size])
        if any(end - line_ends <= size <= end for end in ends):
            continue  # its records are whole
        for types in (None, ("response",)):
            with pytest.raises(InputError, match="damaged"):
                records(Warc(types), path)
    if packed:
        path.write_bytes(data[:300] + bytes(50) + data[350:])
        with pytest.raises(InputError, match="damaged"):
            records(Warc(), path)
    for empty in (b"", gzip.compress(b"")):
        path.write_bytes(empty)
        assert records(Warc(), path) == []


# --- arrays -----------------------------------------------------------------------------------------------------------

ARRAYS = [
    np.arange(1000), np.arange(1000, dtype=">f4"), np.linspace(0, 1, 999), np.arange(1200).reshape(300, 4),
    np.asfortranarray(np.arange(600.0).reshape(200, 3)), np.array(["a", "äö", ""] * 50), np.array([b"x", b""] * 20),
    np.array([("a", 1), ("b", 2)] * 30, dtype=[("name", "U3"), ("n", "i8")]), np.array([True, False] * 40),
    np.array(["2024-01-01", "NaT"] * 9, dtype="M8[D]"), np.zeros((0, 3)), np.zeros(0), np.array(5.5), np.zeros((7, 0)),
    np.arange(24).reshape(2, 3, 4).transpose(2, 1, 0), np.arange(6) * 1j,
]


def same(given_records: list[Any], array: Any) -> bool:
    expected = [array.item()] if not array.shape else list(array) if array.ndim > 1 else array.tolist()
    assert len(given_records) == len(expected)
    if array.ndim <= 1 and not array.dtype.names:
        assert {type(record) for record in given_records} <= {type(value) for value in expected}
    return all(np.array_equal(a, b) if array.ndim > 1 else a == b for a, b in zip(given_records, expected, strict=True))


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype.str}{array.shape}")
@pytest.mark.parametrize("least", [1, 7])
def test_arrays_come_back_from_each_kind_of_file(tmp_path: Path, array: Any, least: int) -> None:
    np.save(tmp_path / "x.npy", array)
    np.savez(tmp_path / "x.npz", array)
    (tmp_path / "x.npy.gz").write_bytes(gzip.compress((tmp_path / "x.npy").read_bytes()))
    for name in ("x.npy", "x.npz", "x.npy.gz"):
        assert same(records(Npy(), tmp_path / name, least=least), array), name
        blocks = records(Npy(batches=True), tmp_path / name, least=least)
        assert not array.shape or not len(array) or np.concatenate(blocks).tolist() == array.tolist()
    if array.dtype.kind in "iufbc":
        with h5py.File(tmp_path / "x.h5", "w") as file:
            chunks = tuple(max(1, size // 3) for size in array.shape) if array.size and array.shape else None
            file.create_dataset("group/x", data=array, chunks=chunks)
        assert same(records(Hdf5(), tmp_path / "x.h5", least=least), array)
        assert same(records(NetCdf(dataset="group/x"), tmp_path / "x.h5", least=least), array)
    if array.size and array.shape and array.flags.c_contiguous and not array.dtype.names:
        array.tofile(tmp_path / "x.raw")
        form = Raw(dtype=array.dtype.str, row_shape=array.shape[1:])
        assert same(records(form, tmp_path / "x.raw", least=least), array)
    if array.ndim == 1:
        dtype = array.dtype.descr if array.dtype.names else array.dtype.str
        (tmp_path / "y.npy").write_bytes(b"".join(write_npy(dtype, array.tolist())))
        assert np.array_equal(np.load(tmp_path / "y.npy").view("u1"), array.view("u1"))
        assert same(records(Npy(), tmp_path / "y.npy"), array)


def test_times_of_arrays_are_pythons_or_told(tmp_path: Path) -> None:
    path, moment = tmp_path / "x.npy", "2024-01-01T00:00:00.5"
    np.save(path, np.array([(moment, 1_500, 1), ("NaT", "NaT", 2)], [("t", "M8[ns]"), ("d", "m8[ns]"), ("n", "i4")]))
    assert records(Npy(), path) == [(datetime(2024, 1, 1, 0, 0, 0, 500_000), timedelta(microseconds=1), 1), (None, None, 2)]
    np.save(path, np.array([[moment]], "M8[ns]"))
    assert records(Npy(), path)[0].dtype == "M8[ns]"
    for far, kind in ((2**58, "M8[us]"), (10**7, "M8[D]"), (-(2**40), "M8[s]"), (20_000, "M8[Y]")):
        np.save(path, np.array([0, "NaT", far], kind))
        with pytest.raises(InputError, match=r"which go from year 1 to 9999, in the items 0 to 2; batches=True"):
            records(Npy(), path)
        assert [block.shape for block in records(Npy(batches=True), path)] == [(3,)]


def test_records_of_arrays_can_be_written_and_blocks_are_views(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((3, 2)))
    rows = records(Npy(), tmp_path / "x.npy")
    rows[0][0] = 5
    (block,) = records(Npy(batches=True), tmp_path / "x.npy")
    assert not block.flags.writeable and block[0, 0] == 0


def test_arrays_that_are_wrong_are_told(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.arange(1000.0))
    whole = path.read_bytes()
    for content, said in [(b"", "is empty"), (whole[:500], "cut short"), (b"hello, world", "is not a numpy file")]:
        path.write_bytes(content)
        with pytest.raises(InputError, match=said):
            records(Npy(), path)
    np.save(path, np.array([{}, None], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="holds pickled Python objects"):
        records(Npy(), path)
    np.savez(tmp_path / "x.npz", a=[1], b=[2])
    with pytest.raises(InputError, match=r"holds several arrays; key= names one of: a, b"):
        records(Npy(), tmp_path / "x.npz")
    assert records(Npy(key="b"), tmp_path / "x.npz") == [2]
    np.save(path, np.arange(3))
    np.save(tmp_path / "y.npy", np.zeros((3, 3)))
    with pytest.raises(InputError, match=r"y\.npy: items are of shape \(3,\)"):
        records(Npy(), path, tmp_path / "y.npy")
    (tmp_path / "raw").write_bytes(b"12345")
    with pytest.raises(InputError, match="no multiple of 4 bytes"):
        records(Raw(dtype="<i4"), tmp_path / "raw")
    assert records(Raw(dtype="<i4", offset=1), tmp_path / "raw") == [int.from_bytes(b"2345", "little")]


@pytest.mark.parametrize("values", [[1, "x"], [[1], [1, 2]], [{}], [None], [1.5, object()]])
def test_records_that_make_no_array_are_refused(values: list[Any]) -> None:
    for dtype in (None, "f8"):
        with pytest.raises(RecordError, match="saveAsNumpyFile"):
            list(write_npy(dtype, values))


@pytest.mark.parametrize("dtype, values, lost", [
    ("i4", [1, 1.7], "1.7"), ("u1", [np.int64(300)], "300"), ("u1", [1, np.int64(-1)], "-1"), ("U2", ["abcdef"], "'abcdef'"),
    (None, ["a", 1], "1"), (None, [2**63, -1], "9223372036854775808"), (None, [b"a\0"], r"b'a\\x00'"),
    ("f4", [1e300], "1e"), ("f4", [2**24 + 1], "16777217"), ("i4", [np.array([1.5, 2.0])], "1.5"), ("f8", [1.0, None], "None"),
    ("S1", [b"ab"], "b'ab'"), ([("a", "<i4"), ("b", "S1")], [(1, b"x"), (1.5, b"y")], "1.5"),
    ("u8", [np.array([-1])], "-1"), ("f4", [np.array([1e300])], "inf"), ("i8", [np.array([float("nan")])], "nan"),
    ("M8[s]", [datetime(2024, 1, 1, 0, 0, 0, 5)], "5"),
])
def test_numbers_and_text_that_an_array_would_change_are_refused(dtype: Any, values: list[Any], lost: str) -> None:
    with pytest.raises(RecordError, match=lost):
        list(write_npy(dtype, values))


@pytest.mark.parametrize("first, then", [(2**62 + 1, 0.5), (1, "x")])
def test_blocks_of_several_types_are_joined_only_if_they_keep_their_values(first: Any, then: Any) -> None:
    with pytest.raises(RecordError, match="of several types"):
        list(write_npy(None, [first] * (16 << 10) + [then]))
    assert list(write_npy(None, [1] * (16 << 10) + [0.5, float("nan")]))


@pytest.mark.parametrize("dtype, values", [
    ("f4", [0.1, float("nan"), float("inf"), np.float64(0.1)]), (None, [1, 2.5, True]), ("i4", [1.0, np.int8(3)]),
    ("f4", [np.array([0.1, float("nan")]), [1, 2]]), ("S3", ["abc", b"x"]), ("U5", ["abc", 1]), (None, [np.array("x")]),
    ([("a", "<i4"), ("b", "U3")], [(1, "x")]), ("M8[us]", [datetime(2024, 1, 1, 0, 0, 0, 5)]), ("M8[ns]", [np.datetime64("NaT")]),
    (None, [np.datetime64("2024-01-01T00:00:00.123456789")]), ("c8", [1j, 0.1]), (None, [2**63]), ("V2", [b"ab"]),
])
def test_arrays_that_hold_their_records_are_written(dtype: Any, values: list[Any]) -> None:
    assert list(write_npy(dtype, values))


def test_hdf5_text_names_and_errors(tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["names"] = ["Ada", "Älan"]
        file.create_dataset("run/x", data=np.arange(100), chunks=(7,), compression="gzip")
        file["both"] = np.array([(1, 2.5)], dtype=[("my n", "i4"), ("x", "f8")])
    assert records(Hdf5(dataset="names"), path) == ["Ada", "Älan"]
    assert records(Hdf5(dataset="/run/x"), path, least=50) == list(range(100))
    assert all(len(part) % 7 in (0, 2) for part in partitions(Hdf5(dataset="run/x"), path, least=50))
    (row,) = records(Hdf5(dataset="both"), path)
    assert row == (1, 2.5) and row._columns == ("my n", "x")
    for dataset, said in [(None, "holds several datasets"), ("run/y", "has no dataset run/y"), ("run", "has no dataset run")]:
        with pytest.raises(InputError, match=f"{said}; name one of: both, names, run/x"):
            records(Hdf5(dataset=dataset), path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match="is not an HDF5 file, or it is damaged or cut short"):
        records(Hdf5(), path)
    with h5py.File(path, "w") as file:
        file["fixed"] = np.array(["Älan".encode(), b"Ada"])  # HDF5 calls it ASCII
        file["none"] = h5py.Empty("f4")
    assert records(Hdf5(dataset="fixed"), path) == ["Älan", "Ada"]
    with pytest.raises(InputError, match="the dataset /none has no data"):
        records(Hdf5(dataset="none"), path)


def test_classic_netcdf_by_records_and_as_a_whole(tmp_path: Path) -> None:
    scipy_io = pytest.importorskip("scipy.io")
    path = tmp_path / "x.nc"
    with scipy_io.netcdf_file(path, "w") as file:
        file.title = "a title"
        file.createDimension("time", None)
        file.createDimension("x", 3)
        variables = [("t", "f4", ("time", "x")), ("n", "i2", ("time",)), ("grid", "f8", ("x",))]
        for name, kind, dimensions in variables:
            file.createVariable(name, kind, dimensions).units = "K"
        file.variables["t"][:] = np.arange(30).reshape(10, 3)
        file.variables["n"][:] = np.arange(10)
        file.variables["grid"][:] = [0.5, 1.5, 2.5]
    assert np.array_equal(records(NetCdf(dataset="t"), path, least=4), np.arange(30).reshape(10, 3))
    assert records(NetCdf(dataset="n"), path, least=4) == list(range(10))
    assert records(NetCdf(dataset="grid"), path) == [0.5, 1.5, 2.5]
    with pytest.raises(InputError, match="has no variable u; name one of: grid, t, n"):
        records(NetCdf(dataset="u"), path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(InputError, match="ends within its data"):
        records(NetCdf(dataset="t"), path)


def test_zarr_arrays_and_groups_by_chunks(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr")
    array = zarr.open(str(tmp_path / "a"), mode="w", shape=(100, 3), chunks=(7, 2), dtype="f4")
    array[:] = np.arange(300).reshape(100, 3)
    form: Any = Zarr()
    form, pieces = plan(form, [form.sized(str(tmp_path / "a"), NO_OPTIONS)], 5, given=True)
    starts = [piece.start for group in pieces for piece in group]
    assert len(pieces) >= 5 and all(start % 7 == 0 for start in starts)
    rows = [row for group in pieces for piece in group for run in form.read(piece) for row in run]
    assert np.array_equal(rows, array[:])
    group = zarr.open_group(str(tmp_path / "g"), mode="w")
    for name in ("x", "below/y"):
        made = group.create_array(name, shape=(2,), chunks=(1,), dtype="i8") if hasattr(group, "create_array") else (
            group.create_dataset(name, shape=(2,), chunks=(1,), dtype="i8"))
        made[:] = [1, 2]
    with pytest.raises(InputError, match="is a group of several arrays; name one of: below/y, x"):
        Zarr().sized(str(tmp_path / "g"), NO_OPTIONS)
    assert Zarr(array="below/y").sized(str(tmp_path / "g"), NO_OPTIONS).size == 16
    with pytest.raises(InputError, match="is not a Zarr array or group"):
        Zarr().sized(str(tmp_path), NO_OPTIONS)


# --- libraries --------------------------------------------------------------------------------------------------------


def test_a_reader_that_is_left_closes_its_file_at_once(tmp_path: Path) -> None:
    """Not when the garbage is collected, which an executor puts off: each would hold a file, or a connection and a thread."""
    path = tmp_path / "x"
    path.write_bytes(b'{"a": 1}\n' * 100_000)
    (tmp_path / "x.npy").write_bytes(b"".join(write_npy("i8", range(100_000))))

    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    def first_of_each(form: Any, name: str) -> int:
        form, groups = plan(form, found(tmp_path / name), 4, given=True)
        readers = [read_pieces(form, group) for group in groups]
        assert all(next(reader) for reader in readers[1:])
        return open_files()

    gc.disable()
    try:
        before = open_files()
        for form, name in ((JsonLines(), "x"), (Csv(header=False), "x"), (Npy(), "x.npy")):
            assert first_of_each(form, name) > before
            if name == "x.npy" and sys.version_info < (3, 11):  # its contextlib leaves a cycle of frames, which hold the map
                gc.collect()
            assert open_files() == before
        for use_unicode in (True, False):
            lines = read_lines(FileSplit(str(path), 0, 10_000), use_unicode=use_unicode)
            assert next(lines) and open_files() == before + 1
            del lines
            assert open_files() == before
    finally:
        gc.enable()


def test_a_missing_library_is_told_with_the_command_that_installs_it() -> None:
    program = (
        "import sys; sys.modules['fastavro'] = None\n"
        "from mpirdd.formats.records.library import library\n"
        "library('fastavro', 'an Avro file')\n")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "an Avro file needs the package fastavro" in done.stderr
    assert f"{install_command('formats')}, on every host" in done.stderr


def test_the_context_starts_without_any_format() -> None:
    program = (
        "import sys, mpirdd.api.context, mpirdd.ops.operators\n"
        "print([name for name in sys.modules if 'formats.records' in name or name in ('pyarrow', 'h5py', 'zarr', 'csv')])\n")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_missing_file_is_told_by_the_call() -> None:
    with pytest.raises(InputError, match="/nowhere/x is not there"):
        plan(Npy(), [InputFile("/nowhere/x", 5)], 1, given=True)
