"""SequenceFiles and the Writables in them: what we write we read again, byte for byte as Java
writes it, or refuse.

Hadoop 3.5 wrote the bytes given here in hexadecimal.
"""

from __future__ import annotations

import bz2
import gzip
import random
import struct
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpirdd.formats import picklefile
from mpirdd.formats.inputfiles import InputFile
from mpirdd.formats.picklefile import read_pickles, write_pickles
from mpirdd.formats.sequencefile import (
    SYNC_BYTES,
    ReadOptions,
    SequenceFormat,
    plan_splits,
    read_records,
    reader,
    write_records,
    writer,
)
from mpirdd.formats.sequencefile.header import CODEC_CLASSES
from mpirdd.formats.splits import FileSplit
from mpirdd.formats.writables import PACKAGE, class_of, read_vint, vint, writable
from mpirdd.protocol.errors import InputError, RecordError, UsageError

DEFAULT = "org.apache.hadoop.io.compress.DefaultCodec"
FORMATS = [("plain", None), *((layout, codec) for layout in ("record", "block") for codec in CODEC_CLASSES)]


def form(key: str, value: str, layout: Any = "plain", codec: str | None = None) -> SequenceFormat:
    return SequenceFormat(writable(key), writable(value), layout, codec)


def save(path: Path, records: list[Any], written: SequenceFormat) -> Path:
    path.write_bytes(b"".join(write_records(records, written)))
    return path


def whole(path: Path) -> FileSplit:
    return FileSplit(str(path), 0, path.stat().st_size)


def load(path: Path, **wanted: Any) -> list[Any]:
    return list(read_records(whole(path), ReadOptions(**wanted)))


def cut(path: Path, cuts: list[int]) -> list[FileSplit]:
    borders = [0, *cuts, path.stat().st_size]
    return [FileSplit(str(path), start, end - start) for start, end in pairwise(borders)]


# Lengths


@given(st.integers(-(2**63), 2**63 - 1))
def test_a_variable_length_integer_is_read_as_it_was_written(value: int) -> None:
    data = vint(value)
    assert read_vint(b"x" + data + b"y", 1) == (value, 1 + len(data))


@pytest.mark.parametrize(
    ("value", "data"),
    [(0, "00"), (127, "7f"), (-112, "90"), (128, "8f80"), (206, "8fce"), (314, "8e013a"), (-113, "8770"), (-257, "860100")],
)
def test_variable_length_integers_are_hadoops(value: int, data: str) -> None:
    assert vint(value).hex() == data


# Values


SCALARS = {
    "BooleanWritable": st.booleans(),
    "IntWritable": st.integers(-(2**31), 2**31 - 1),
    "LongWritable": st.integers(-(2**63), 2**63 - 1),
    "FloatWritable": st.floats(width=32, allow_nan=False),
    "DoubleWritable": st.floats(allow_nan=False),
    "Text": st.text(st.characters(exclude_categories=["Cs"])) | st.text("é", min_size=60, max_size=200),
    "BytesWritable": st.binary().map(bytearray),
    "NullWritable": st.none(),
}
KEYS = st.booleans() | SCALARS["LongWritable"] | SCALARS["DoubleWritable"] | SCALARS["Text"] | st.none()
VALUES = st.recursive(KEYS | SCALARS["BytesWritable"], lambda inner: st.dictionaries(KEYS, inner, max_size=4))


@pytest.mark.parametrize("name", SCALARS)
@given(data=st.data())
def test_a_value_of_each_class_comes_back(name: str, data: st.DataObject) -> None:
    kind = writable(name)
    values = data.draw(st.lists(SCALARS[name], max_size=5))
    assert kind.decode_all([kind.encode(value) for value in values]) == values
    for value in values:
        encoded = kind.encode(value)
        assert kind.read(b"x" + encoded + b"y", 1) == (value, 1 + len(encoded))


@given(st.dictionaries(KEYS, VALUES, max_size=4))
def test_nested_dicts_come_back(value: dict[Any, Any]) -> None:
    for name in ("MapWritable", "SortedMapWritable"):
        assert writable(name).decode_all([writable(name).encode(value)]) == [value]


@given(st.sampled_from(sorted(SCALARS)), st.data())
def test_tuples_come_back_nested_too(name: str, data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.lists(SCALARS[name], max_size=4).map(tuple), max_size=4).map(tuple))
    for kind in (writable(f"ArrayWritable<ArrayWritable<{name}>>"), writable(f"TwoDArrayWritable<{name}>")):
        assert kind.decode_all([kind.encode(rows)]) == [rows]


def test_a_map_is_written_as_java_writes_it() -> None:
    value = {"a": 1, "b": 2.5, "c": None, "d": {"x": b"q"}, "e": True, "f": 2**40}
    assert writable("MapWritable").encode(value).hex() == (
        "010100236f72672e6170616368652e6861646f6f702e696f2e446f75626c655772697461626c65000000068c016185000000018c0162"
        "0140040000000000008c0163898c01648700000000018c01788300000001718c016582018c0166860000010000000000"
    )


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (None, "NullWritable"), (True, "BooleanWritable"), (1, "IntWritable"), (-(2**31), "IntWritable"),
        (2**31, "LongWritable"), (0.5, "DoubleWritable"), ("", "Text"), (b"", "BytesWritable"), (bytearray(), "BytesWritable"),
        ({}, "MapWritable"), ((), "ArrayWritable"), ((1, 2), f"ArrayWritable<{PACKAGE}IntWritable>"),
        ((1, 2**40), f"ArrayWritable<{PACKAGE}LongWritable>"),
        (((1, 2), (), (2**40,)), f"ArrayWritable<{PACKAGE}ArrayWritable<{PACKAGE}LongWritable>>"),
        (((), ()), f"ArrayWritable<{PACKAGE}ArrayWritable>"),
    ],
)
def test_the_class_of_a_value_is_pysparks(value: Any, name: str) -> None:
    assert class_of(value) == PACKAGE + name


@pytest.mark.parametrize("value", [2**63, [1], {1}, 1j, object(), (1, "a"), ([1],), ((1,), ("a",)), (1, (1,))])
def test_a_value_that_no_writable_stands_for_is_refused(value: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        class_of(value)


def test_a_tuple_within_a_dict_is_refused_as_nobody_could_read_it() -> None:
    with pytest.raises(TypeError, match="never be read back"):
        writable("MapWritable").encode({"a": (1, 2)})


def test_numbers_that_do_not_fit_are_refused() -> None:
    for name, value in (("IntWritable", 2**31), ("IntWritable", True), ("LongWritable", 2**63), ("FloatWritable", 1e300),
                        ("DoubleWritable", 1), ("BooleanWritable", 1), ("Text", b"x"), ("Text", "\ud800")):
        with pytest.raises((TypeError, ValueError)):
            writable(name).encode(value)


@pytest.mark.parametrize(
    "name", ["com.example.Text", "VIntWritable", "Text<IntWritable>", "ArrayWritable<Text", "ArrayWritable<No>", ""]
)
def test_an_unknown_class_is_named_with_the_known_ones(name: str) -> None:
    with pytest.raises(UsageError, match=r"cannot read or write the class .*IntWritable"):
        writable(name)


# Files


@pytest.mark.parametrize(("layout", "codec"), FORMATS)
@pytest.mark.parametrize("count", [0, 1, 7, 3000])
def test_records_come_back_in_order(tmp_path: Path, layout: str, codec: str | None, count: int) -> None:
    records = [(i - 5, f"value {i}" * (i % 7)) for i in range(count)]
    path = save(tmp_path / "file", records, form("LongWritable", "Text", layout, codec))
    assert load(path) == records


@pytest.mark.parametrize(("layout", "codec"), FORMATS)
def test_records_without_any_bytes_come_back(tmp_path: Path, layout: str, codec: str | None) -> None:
    path = save(tmp_path / "file", [(None, None)] * 5, form("NullWritable", "NullWritable", layout, codec))
    assert load(path) == [(None, None)] * 5


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, 700_000), max_size=6).map(sorted), layout_codec=st.sampled_from(FORMATS), data=st.data())
def test_wherever_a_file_is_cut_its_splits_give_every_record_once(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], layout_codec: tuple[str, str | None], data: st.DataObject
) -> None:
    path = large_file(tmp_path_factory, *layout_codec)
    size = path.stat().st_size
    near = data.draw(st.lists(st.sampled_from(sync_points(path) or [0]), max_size=2))
    cuts = sorted({cut % (size + 1) for cut in (*cuts, *(at + data.draw(st.integers(-2, 20)) for at in near))})
    parts = [list(read_records(split)) for split in cut(path, cuts)]
    assert [record for part in parts for record in part] == large_records()


def large_records() -> list[tuple[int, bytearray]]:
    source = random.Random(1)
    return [(i, bytearray(source.randbytes(source.choice([0, 10, 1000, 30_000])))) for i in range(300)]


_LARGE: dict[tuple[str, str | None], Path] = {}


def large_file(factory: pytest.TempPathFactory, layout: str, codec: str | None) -> Path:
    if (layout, codec) not in _LARGE:
        written = form("IntWritable", "BytesWritable", layout, codec)
        _LARGE[layout, codec] = save(factory.mktemp("large") / "file", large_records(), written)
    return _LARGE[layout, codec]


def sync_points(path: Path) -> list[int]:
    data = path.read_bytes()
    sync = data[data.index(b"\xff\xff\xff\xff") + 4 :][:16]
    found, at = [], -1
    while (at := data.find(b"\xff\xff\xff\xff" + sync, at + 1)) >= 0:
        found.append(at)
    return found


def test_a_sync_point_comes_every_hundred_kilobytes(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = large_file(tmp_path_factory, "plain", None)
    marks = sync_points(path)
    assert len(marks) > 5
    assert all(SYNC_BYTES <= later - earlier < SYNC_BYTES + 31_000 for earlier, later in pairwise(marks))


def test_splits_are_cut_as_hadoop_cuts_them() -> None:
    def lengths(sizes: list[int], least: int) -> list[int]:
        return [split.length for split in plan_splits([InputFile(f"/{i}", size) for i, size in enumerate(sizes)], least)]

    assert lengths([99_000], 2) == [99_000]
    assert lengths([250_000], 2) == [125_000, 125_000]
    assert lengths([250_000, 0, 50_000], 10) == [102_400, 102_400, 45_200, 50_000]
    assert lengths([215_000], 100) == [102_400, 112_600]
    assert lengths([100 << 20], 1) == [32 << 20] * 3 + [4 << 20]


def test_a_file_of_hadoops_is_read(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes.fromhex(
        "53455106206f72672e6170616368652e6861646f6f702e696f2e496e745772697461626c65226f72672e6170616368652e6861646f6f702e"
        "696f2e41727261795772697461626c65000000000000dee121a35fc481cfc89fb2e6709faf1f000000100000000400000001000000020000"
        "00010000000200000010000000040000000200000002" "0000000300000004"
    ))
    with pytest.raises(InputError, match="valueClass"):
        load(path)
    assert load(path, value_class="ArrayWritable<IntWritable>") == [(1, (1, 2)), (2, (3, 4))]


def test_tuples_need_no_class_to_be_read_where_they_were_written_here(tmp_path: Path) -> None:
    records = [("a", ((1, 2), (3,))), ("b", ())]
    assert load(save(tmp_path / "file", records, form("Text", class_of(records[0][1])))) == records


def test_text_that_is_not_utf8_fails_unless_asked_for(tmp_path: Path) -> None:
    path = save(tmp_path / "file", [(1, "abc")], form("IntWritable", "Text"))
    path.write_bytes(path.read_bytes().replace(b"abc", b"a\xffc"))
    with pytest.raises(InputError, match=r"file is damaged.*offset \d+.*Text"):
        load(path)
    assert load(path, errors="replace") == [(1, "a\ufffdc")]


def test_a_record_of_another_class_is_refused_with_the_way_out() -> None:
    written = form("IntWritable", "Text")
    with pytest.raises(RecordError, match=r"key 4294967296.*IntWritable.*keyClass="):
        list(write_records([(1, "a"), (2**32, "b")], written))
    with pytest.raises(RecordError, match=r"value 5 .*Text.*valueClass="):
        list(write_records([(1, 5)], written))
    with pytest.raises(RecordError, match="pairs"):
        list(write_records([1], written))  # type: ignore[list-item]


def test_the_first_record_costs_no_more_than_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[int] = []

    def records() -> Any:
        for i in range(100_000):
            written.append(i)
            yield i, bytes(100)

    pieces = write_records(records(), form("IntWritable", "BytesWritable"))
    next(pieces), next(pieces)
    assert len(written) < 1000
    path = save(tmp_path / "file", [(i, bytes(1000)) for i in range(5000)], form("IntWritable", "BytesWritable"))
    read: list[int] = []
    decode = reader._decode_run

    def counted(file: Any, form: SequenceFormat, run: reader.EncodedRecords) -> Any:
        read.append(len(run[0]))
        return decode(file, form, run)

    monkeypatch.setattr(reader, "_decode_run", counted)
    next(read_records(whole(path)))
    assert sum(read) < 500


# Damage


@pytest.mark.parametrize(("layout", "codec"), FORMATS)
def test_a_file_cut_short_is_refused_or_ends_at_a_record(tmp_path: Path, layout: str, codec: str | None) -> None:
    records = [(i, f"value {i}") for i in range(20)]
    path = save(tmp_path / "file", records, form("IntWritable", "Text", layout, codec))
    data = path.read_bytes()
    for length in range(1, len(data)):
        path.write_bytes(data[:length])
        try:
            got = load(path)
        except InputError as error:
            assert str(path) in str(error)
        else:
            assert got == records[: len(got)]
            assert layout != "block" or not got


@pytest.mark.parametrize(("layout", "codec"), FORMATS)
def test_a_damaged_file_is_refused_or_read_but_never_hangs(tmp_path: Path, layout: str, codec: str | None) -> None:
    written = form("MapWritable", "ArrayWritable<IntWritable>", layout, codec)
    path = save(tmp_path / "file", [({"a": 1.5, "b": None}, (1, 2))] * 30, written)
    data, source = path.read_bytes(), random.Random(layout)
    for _ in range(600):
        damaged = bytearray(data)
        at = source.randrange(len(data))
        damaged[at : at + source.choice([1, 1, 4])] = source.choice([b"\xff", b"\x7f", b"\0", b"\x7f\xff\xff\xff", b"\x8c"])
        path.write_bytes(damaged)
        for split in cut(path, [len(damaged) // 2]):
            try:
                list(read_records(split))
            except InputError as error:
                assert str(path) in str(error)


def header(
    key: str = "IntWritable", value: str = "Text", flags: bytes = b"\0\0", codec: str = "", metadata: bytes = bytes(4)
) -> bytes:
    names = b"".join(bytes([len(name)]) + name.encode() for name in (PACKAGE + key, PACKAGE + value))
    named = bytes([len(codec)]) + codec.encode() if codec else b""
    return b"SEQ\x06" + names + flags + named + metadata + b"S" * 16


SYNC = b"\xff\xff\xff\xff" + b"S" * 16
HUGE = struct.pack(">i", 2**31 - 1)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"text\n", "not a SequenceFile"),
        (b"SE", "not a SequenceFile"),
        (b"SEQ\x05" + header()[4:], "version 5"),
        (header(flags=b"\2\0"), "flag of value 2"),
        (header(flags=b"\0\1"), "not compressed"),
        (header(flags=b"\1\1", codec="org.apache.hadoop.io.compress.LzoCodec"), "LzoCodec.*DefaultCodec"),
        (header(key="VIntWritable"), "its keys.*VIntWritable"),
        (header(metadata=HUGE), "2147483647 entries"),
        (header()[:30], "length of 32 bytes, with"),
        (header() + HUGE + bytes(8), "2147483647"),
        (header() + struct.pack(">ii", 8, 9) + bytes(8), "record of 8 bytes with a key of 9"),
        (header() + struct.pack(">ii", -2, 0), "-2"),
        (header() + struct.pack(">ii", 5, 4) + bytes(4) + b"\x05", r"at offset 85.* value that is no .*Text"),
        (header() + b"\xff\xff\xff\xff" + b"T" * 16, "sync point with other bytes"),
        (header(value="BytesWritable") + struct.pack(">iii", 8, 4, 1) + HUGE, "BytesWritable"),
        (header(value="MapWritable") + struct.pack(">iii", 9, 4, 1) + b"\0" + HUGE, "MapWritable.*map of 2147483647 entries"),
        (header(value="MapWritable") + struct.pack(">iii", 9 + 2, 4, 1) + b"\0" + bytes([0, 0, 0, 1]) + b"\x88\x88", "MD5Hash"),
        (header(flags=b"\1\1", codec=DEFAULT) + b"xxxx", "no sync point"),
        (header(flags=b"\1\1", codec=DEFAULT) + SYNC + vint(3) + vint(10) + bytes(10), "does not decompress"),
        (header(flags=b"\1\1", codec=DEFAULT) + SYNC + vint(2**60) + vint(10) + bytes(10), "does not decompress"),
        (header(flags=b"\1\1", codec=DEFAULT) + SYNC + vint(-1), "a block of -1 records"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(InputError, match=message):
        load(tmp_path / "file")


def test_an_array_of_nulls_is_not_believed_to_be_huge(tmp_path: Path) -> None:
    data = header(value="ArrayWritable") + struct.pack(">iii", 8, 4, 1) + HUGE
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(InputError, match="array of 2147483647 elements"):
        load(tmp_path / "file", value_class="ArrayWritable<NullWritable>")


@pytest.mark.parametrize("pack", [zlib.compress, gzip.compress, bz2.compress])
def test_a_block_cannot_become_larger_than_its_lengths_say(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    codec = DEFAULT.replace("Default", {zlib.compress: "Default", gzip.compress: "Gzip"}.get(pack, "BZip2"))
    parts = [vint(1)]
    for data in (vint(4), bytes(50_000_000), vint(0), b""):
        packed = pack(data)
        parts += vint(len(packed)), packed
    (tmp_path / "file").write_bytes(header(flags=b"\1\1", codec=codec) + SYNC + b"".join(parts))
    with pytest.raises(InputError, match="more than the 4 bytes"):
        load(tmp_path / "file")


def test_deeply_nested_maps_are_refused(tmp_path: Path) -> None:
    depth = 100_000
    nested = (b"\0" + struct.pack(">i", 1) + b"\x89\x87") * depth
    content = header(value="MapWritable") + struct.pack(">iii", 4 + len(nested), 4, 1) + nested
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(InputError, match="recursion"):
        load(tmp_path / "file")


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere.*No such file"):
        list(read_records(FileSplit(str(tmp_path / "nowhere"), 0, 10)))


# Pickle files


@pytest.mark.parametrize("batch_size", [-1, 0, 1, 2, 10, 1000])
@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 99, 100, 101, 1234])
def test_pickled_records_come_back(tmp_path: Path, batch_size: int, count: int) -> None:
    records = [(i, {str(i)}) for i in range(count)]
    (tmp_path / "file").write_bytes(b"".join(write_pickles(records, batch_size)))
    assert list(read_pickles(whole(tmp_path / "file"))) == records


def test_large_pickled_records_come_back_in_smaller_automatic_batches(tmp_path: Path) -> None:
    records = [bytes(size) for size in (1, 10, 2_000_000, 2_000_000, 10, 2_000_000)]
    (tmp_path / "file").write_bytes(b"".join(write_pickles(records, 0)))
    assert list(read_pickles(whole(tmp_path / "file"))) == records


class Node:
    def __init__(self) -> None:
        self.me, self.children = self, [self]


def test_records_that_refer_to_themselves_are_pickled(tmp_path: Path) -> None:
    circle: list[Any] = []
    circle.append(circle)
    records = [circle, Node(), {"a": circle}, tuple(range(1000)), {i: i for i in range(1000)}, range(10), {1, 2}]
    for batch_size in (10, 0):
        (tmp_path / "file").write_bytes(b"".join(write_pickles(records, batch_size)))
        found = list(read_pickles(whole(tmp_path / "file")))
        assert found[0][0] is found[0]
        assert found[1].children == [found[1]]
        assert found[3:] == records[3:]


@pytest.mark.parametrize("batch_size", [10, 1000, 0])
@pytest.mark.parametrize(
    "wrap",
    [bytes, lambda n: (1, bytes(n)), lambda n: {"a": [bytes(n)]}, lambda n: [bytes(n // 50) for _ in range(50)]],
    ids=["bytes", "pair", "dict", "list"],
)
def test_large_records_are_taken_a_few_at_a_time(batch_size: int, wrap: Callable[[int], Any]) -> None:
    """Also behind thousands of tiny ones, which say nothing about the next."""
    taken = written = 0

    def records() -> Any:
        nonlocal taken
        for size in [10] * 20_000 + [3_000_000] * 12:
            taken += size
            yield wrap(size)

    for piece in write_pickles(records(), batch_size):
        written += len(piece)
        assert taken - written < 20_000_000


def test_a_batch_over_two_gigabytes_is_halved_and_a_record_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picklefile, "_MOST_BATCH_BYTES", 10_000)
    records = [bytes([i]) * 3000 for i in range(20)]
    for batch_size in (-1, 10, 0):
        (tmp_path / "file").write_bytes(b"".join(write_pickles(records, batch_size)))
        assert list(read_pickles(whole(tmp_path / "file"))) == records
    with pytest.raises(RecordError, match=r"a record takes 10,\d\d\d bytes, pickled.*less than 2 GiB"):
        list(write_pickles([b"x", bytes(10_001), b"y"], 10))


class Huge(bytes):
    """As long as it says, to those who ask."""

    def __len__(self) -> int:
        return 2**31


def test_records_over_two_gigabytes_are_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecordError, match=r"value .*2,147,483,648 bytes, and Java's arrays have less than 2 GiB"):
        list(write_records([(1, Huge())], form("IntWritable", "BytesWritable")))
    monkeypatch.setattr(writer, "MOST_RECORD_BYTES", 2_000_000)
    for layout, codec in FORMATS[:2] + FORMATS[-1:]:
        with pytest.raises(RecordError, match=r"a record of 2,000,\d\d\d bytes.*less than 2 GiB"):
            list(write_records([(1, random.Random(1).randbytes(1_999_997))], form("IntWritable", "BytesWritable", layout, codec)))


def test_a_small_file_that_unpacks_to_much_is_read_a_run_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """60 MB in a file of 60 KB, in both layouts."""
    size, runs = 1_000_000, []
    decode = reader._decode_run

    def counted(file: Any, form: SequenceFormat, run: reader.EncodedRecords) -> Any:
        runs.append(sum(map(len, run.values)))
        return decode(file, form, run)

    monkeypatch.setattr(reader, "_decode_run", counted)
    value = struct.pack(">i", size) + bytes(size)
    packed = zlib.compress(value)
    records = (struct.pack(">iii", 4 + len(packed), 4, 1) + packed) * 60
    (tmp_path / "record").write_bytes(header(value="BytesWritable", flags=b"\1\0", codec=DEFAULT) + records)
    columns = [vint(4) * 60, struct.pack(">i", 1) * 60, vint(len(value)) * 60, value * 60]
    block = b"".join(vint(len(column)) + column for column in map(zlib.compress, columns))
    (tmp_path / "block").write_bytes(
        header(value="BytesWritable", flags=b"\1\1", codec=DEFAULT) + SYNC + vint(60) + block)
    for name in ("record", "block"):
        runs.clear()
        assert sum(len(data) for _, data in read_records(whole(tmp_path / name))) == 60 * size
        assert max(runs) <= 2 * size


@pytest.mark.parametrize("codec", CODEC_CLASSES)
def test_a_record_that_swallows_the_next_ones_is_damage(tmp_path: Path, codec: str) -> None:
    """Its value is whole, and what follows was once passed over."""
    path = save(tmp_path / "file", [(i, f"value {i}") for i in range(30)], form("IntWritable", "Text", "record", codec))
    data = bytearray(path.read_bytes())
    header_only = b"".join(write_records([], form("IntWritable", "Text", "record", codec)))
    borders = [len(header_only)]
    while borders[-1] < len(data):
        borders.append(borders[-1] + 8 + struct.unpack_from(">i", data, borders[-1])[0])
    data[borders[10] : borders[10] + 4] = struct.pack(">i", borders[14] - borders[10] - 8)
    path.write_bytes(data)
    with pytest.raises(InputError, match=f"offset {borders[10]} .*does not decompress"):
        load(path)


def test_pickles_lie_in_a_java_array_of_byte_arrays(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"".join(write_pickles(range(12), 6)))
    ((key, value),) = load(tmp_path / "file")
    assert key is None
    assert value[:49].hex() == (
        "aced000575720003" "5b5b424bfd19156767db37020000787000000002" "757200025b42acf317f8060854e0020000" "7870" "0000"
    )
    assert b"uq\0~\0\2" in value


def test_what_cannot_be_pickled_is_refused() -> None:
    with pytest.raises(RecordError, match="cannot be pickled"):
        list(write_pickles([(x for x in "generator")], 10))


def java_arrays(*arrays: bytes, count: int | None = None) -> bytes:
    stream = bytearray(picklefile._to_java(list(arrays)))
    at = stream.index(b"xp") + 2
    stream[at : at + 4] = struct.pack(">i", len(arrays) if count is None else count)
    return bytes(stream)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"", "not one of pickled records: no serialized Java"),
        (b"\xac\xed\x00\x05t\x00\x01x", "no serialized Java"),
        (java_arrays(b"cos\nnothing_of_this_name\n."), "cannot be loaded.*nothing_of_this_name"),
        (java_arrays(b"cnothing_of\nthis_name\n."), "cannot be loaded.*No module"),
        (java_arrays(b"I5\n."), "pickle of int"),
        (java_arrays(b"(l.", count=2), "no serialized Java"),
        (java_arrays(b"(l.", count=-1), "-1 byte arrays"),
        (java_arrays(b"(l.")[:-1], "a byte array of 3 bytes, with 2 left"),
        (java_arrays(b"(l.") + b"x", "1 bytes behind"),
    ],
)
def test_what_is_no_pickle_file_is_refused(tmp_path: Path, value: bytes, message: str) -> None:
    save(tmp_path / "file", [(None, value)], form("NullWritable", "BytesWritable"))
    with pytest.raises(InputError, match=message):
        list(read_pickles(whole(tmp_path / "file")))


def test_a_pickle_file_is_not_one_of_other_classes(tmp_path: Path) -> None:
    save(tmp_path / "file", [(1, "text")], form("IntWritable", "Text"))
    with pytest.raises(InputError, match="not one of pickled records: it holds str"):
        list(read_pickles(whole(tmp_path / "file")))
