"""What is packed is unpacked whole, a bounded piece at a time, or it is damage."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import random
import re
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from mpirdd.formats import compression
from mpirdd.formats.binary import group_text_files, read_texts
from mpirdd.formats.compression import (
    CODECS,
    Codec,
    Damaged,
    Unpacked,
    codec_by_suffix,
    codec_named,
    codec_of,
    pack,
    pieces,
    unpack,
)
from mpirdd.formats.inputfiles import InputFile
from mpirdd.formats.lineends import TextOptions
from mpirdd.formats.splits import FileSplit
from mpirdd.formats.text import plan_splits, read_lines
from mpirdd.protocol.errors import InputError, UsageError
from mpirdd.protocol.package import install_command

TEXT = b"".join(b"line %d\n" % i for i in range(60_000))


def installed(codec: Codec) -> Codec:
    """The codec, or a skipped test."""
    for name in {"zstd": "backports.zstd", "snappy": "cramjam"}.get(codec.name, "zlib").split():
        pytest.importorskip(name)
    return codec


@pytest.fixture(params=CODECS, ids=lambda codec: codec.name)
def codec(request: pytest.FixtureRequest) -> Codec:
    return installed(request.param)


def unpacked(codec: Codec, data: bytes, size: int = 1 << 20) -> bytes:
    return b"".join(pieces(Unpacked(BytesIO(data), codec), size))


def lines(path: Path) -> list[bytes]:
    split = FileSplit(str(path), 0, path.stat().st_size)
    return list(read_lines(split, use_unicode=False))  # type: ignore[arg-type]


# Whole


@pytest.mark.parametrize("data", [b"", b"x", bytes(300_000), TEXT, random.Random(1).randbytes(400_000)], ids=len)
def test_what_is_packed_is_unpacked(codec: Codec, data: bytes) -> None:
    assert unpacked(codec, pack(codec, data)) == data
    assert unpack(codec, pack(codec, data), len(data)) == data


def test_what_is_packed_piece_by_piece_is_unpacked(codec: Codec) -> None:
    stream, source = codec.compressor(), random.Random(2)
    data = TEXT
    packed, at = [], 0
    while at < len(data):
        size = source.choice([1, 100, 70_000])
        packed.append(stream.compress(data[at : at + size]))
        at += size
    packed.append(stream.flush())
    assert unpacked(codec, b"".join(packed), 1000) == data


@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_no_more_is_given_than_is_asked_for(codec: Codec, size: int) -> None:
    data = bytes(20_000 if size < 100 else 5_000_000)
    stream = Unpacked(BytesIO(pack(codec, data)), codec)
    total = 0
    while piece := stream.read(size):
        assert len(piece) <= size
        total += len(piece)
    assert total == len(data)


def test_joined_streams_are_read_as_one(codec: Codec) -> None:
    parts = [b"first\n", b"", b"second\n" * 10_000, b"third"]
    assert unpacked(codec, b"".join(pack(codec, part) for part in parts)) == b"".join(parts)


def test_zero_bytes_at_the_end_are_padding(codec: Codec) -> None:
    for size in (4, 512, 100_000):
        assert unpacked(codec, pack(codec, TEXT) + bytes(size)) == TEXT


# Damage


@pytest.mark.parametrize("rest", [b"x", b"garbage that is long enough to be a header of its own", b"\0\0\0\0x" * 20])
def test_bytes_behind_the_end_are_damage(codec: Codec, rest: bytes) -> None:
    with pytest.raises(Damaged):
        unpacked(codec, pack(codec, b"first\n") + rest)
    with pytest.raises(Damaged):
        unpack(codec, pack(codec, b"first\n") + rest, 1000)


def test_a_damaged_header_of_the_second_stream_is_damage(codec: Codec) -> None:
    first, second = pack(codec, b"first\n" * 100), pack(codec, b"second\n" * 100)
    for at in range(2):
        broken = bytearray(first + second)
        broken[len(first) + at] ^= 0x7F
        with pytest.raises(Damaged):
            unpacked(codec, bytes(broken))


def test_a_stream_that_is_cut_short_anywhere_is_damage(codec: Codec) -> None:
    packed = pack(codec, random.Random(3).randbytes(50) + b"text\n" * 20)
    for length in range(1, len(packed)):
        with pytest.raises(Damaged):
            unpacked(codec, packed[:length])
        with pytest.raises(Damaged):
            unpacked(codec, packed + packed[:length])
    for length in range(len(packed)):
        with pytest.raises(Damaged):
            unpack(codec, packed[:length], 1000)


def test_random_damage_is_told_or_harmless_and_never_anything_else(codec: Codec) -> None:
    packed, source = pack(codec, TEXT[:5000]), random.Random(4)
    for _ in range(300):
        broken = bytearray(packed)
        for _ in range(source.choice([1, 1, 3])):
            broken[source.randrange(len(broken))] = source.choice([0, 0xFF, 0x7F, 0x80, source.randrange(256)])
        try:
            unpacked(codec, bytes(broken))
        except Damaged as error:
            assert str(error)


def test_more_than_the_limit_is_damage(codec: Codec) -> None:
    with pytest.raises(Damaged, match="more than the 100 bytes"):
        unpack(codec, pack(codec, bytes(101)), 100)
    with pytest.raises(Damaged, match="more than the 100 bytes"):
        unpack(codec, pack(codec, bytes(30_000_000)), 100)


@pytest.mark.parametrize("name", ["lz4", "snappy"])
def test_lengths_in_hadoops_frames_are_not_believed(name: str) -> None:
    codec = installed(codec_named(name))
    block = pack(codec, b"some text " * 5)
    for lying in (
        b"\xff\xff\xff\xff" + block[4:],  # unpacked length
        block[:4] + b"\x7f\xff\xff\xff" + block[8:],  # packed length
        (1).to_bytes(4, "big") + block[4:],
        block[:4] + (len(block) - 9).to_bytes(4, "big") + block[8:],
    ):
        with pytest.raises(Damaged):
            unpacked(codec, lying)


@pytest.mark.parametrize("name", ["lz4", "snappy"])
def test_a_block_of_several_pieces_is_read(name: str) -> None:
    """As Hadoop writes what is given to it at once, and is larger than its buffer."""
    codec = installed(codec_named(name))
    pieces_of_it = [pack(codec, part)[4:] for part in (b"one " * 1000, b"two " * 500)]
    block = (6000).to_bytes(4, "big") + b"".join(pieces_of_it)
    assert unpacked(codec, block + pack(codec, b"!")) == b"one " * 1000 + b"two " * 500 + b"!"


# Which codec


def test_names_suffixes_and_hadoops_classes_mean_a_codec() -> None:
    for name, expected in (
        ("gz", "gzip"), ("gzip", "gzip"), ("bz2", "bzip2"), ("bzip2", "bzip2"), ("xz", "xz"), ("zlib", "zlib"),
        ("deflate", "zlib"), ("default", "zlib"), ("zst", "zstd"), ("zstd", "zstd"), ("zstandard", "zstd"),
        ("lz4", "lz4"), ("snappy", "snappy"), ("SnappyCodec", "snappy"),
        ("org.apache.hadoop.io.compress.GzipCodec", "gzip"), ("org.apache.hadoop.io.compress.ZStandardCodec", "zstd"),
    ):
        assert codec_named(name).name == expected
    with pytest.raises(UsageError, match="named by a str, such as 'gzip', not by 5"):
        codec_named(5)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"unknown compression 'lzo'; known are gzip, .*snappy"):
        codec_named("lzo")


def test_a_suffix_counts_before_the_content_and_the_content_without_one() -> None:
    assert codec_by_suffix("/a/b.TXT.GZ") is codec_named("gzip")
    assert codec_of("/a.snappy", gzip.compress(b"")) is codec_named("snappy")
    for name in ("gzip", "bzip2", "xz"):
        for data in (b"", TEXT):
            assert codec_of("/a.csv", pack(codec_named(name), data)[:16]) is codec_named(name)
    for text in (b"", b"BZh is how it begins", b"BZh9 and so on", b"(text)", b"PK", "é".encode("utf-16")):
        assert codec_of("/a", text) is None


@pytest.mark.parametrize("name", ["gzip", "bzip2", "xz", "zstd"])
def test_packed_text_is_read_whatever_its_name(tmp_path: Path, name: str) -> None:
    codec = installed(codec_named(name))
    for file in (tmp_path / f"a{codec.suffix}", tmp_path / "a.csv", tmp_path / "b"):
        file.write_bytes(pack(codec, TEXT))
        assert lines(file) == TEXT.splitlines()
        inputs = [InputFile(str(file), file.stat().st_size)]
        assert [split.length for split in plan_splits(inputs, 7)] == [file.stat().st_size]
        ((_, content),) = read_texts((inputs[0],), use_unicode=False, errors="strict")
        assert content == TEXT


def test_lz4_of_the_command_line_tool_is_read(tmp_path: Path) -> None:
    from lz4 import frame

    for name in ("a.lz4", "a"):
        (tmp_path / name).write_bytes(frame.compress(TEXT) + frame.compress(b"more\n"))
        assert lines(tmp_path / name) == [*TEXT.splitlines(), b"more"]
    (tmp_path / "a").write_bytes(frame.compress(TEXT)[:-8])
    with pytest.raises(InputError, match="damaged or cut short"):
        lines(tmp_path / "a")


@pytest.mark.parametrize("name", ["zstd", "lz4frame"])
def test_frames_of_no_content_are_passed_over(tmp_path: Path, name: str) -> None:
    """As pzstd, zstd's seekable format and LZ4's tools write them."""
    codec = codec_named(name)
    none = b"\x5e\x2a\x4d\x18" + (300).to_bytes(4, "little") + bytes(300)
    frame, path = pack(codec, TEXT), tmp_path / f"a{codec.suffix}"
    for data, times in ((none + frame, 1), (frame + none, 1), (none + none + frame + none + frame, 2)):
        path.write_bytes(data)
        assert lines(path) == TEXT.splitlines() * times


def test_a_gzip_header_with_a_name_is_read(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "named.gz", "wb") as file:
        file.write(TEXT)
    assert lines(tmp_path / "named.gz") == TEXT.splitlines()


@pytest.mark.parametrize("pack_it", [gzip.compress, bz2.compress, lzma.compress])
def test_a_second_stream_that_is_broken_fails_the_reading_of_a_file(tmp_path: Path, pack_it: Any) -> None:
    first, second = pack_it(b"1\n" * 1000), bytearray(pack_it(b"2\n" * 1000))
    second[1] ^= 0xFF
    (tmp_path / "file.gz").write_bytes(b"")
    path = tmp_path / ("file" + {gzip.compress: ".gz", bz2.compress: ".bz2"}.get(pack_it, ".xz"))
    path.write_bytes(first + second)
    with pytest.raises(InputError, match="damaged or cut short"):
        lines(path)
    with pytest.raises(InputError, match="damaged or cut short"):
        list(read_texts((InputFile(str(path), 1),), use_unicode=True, errors="strict"))


def test_a_library_that_is_missing_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(compression.importlib, "import_module", nothing)
    for name in ("zstd", "snappy"):
        with pytest.raises(UsageError, match=rf"{name} needs a package.*{re.escape(install_command('codecs'))}"):
            pack(codec_named(name), b"x")
        with pytest.raises(UsageError, match="pip install"):
            unpacked(codec_named(name), b"\0\0\0\1\0\0\0\1x")
    inputs = [InputFile("/a.txt", 5), InputFile("/a.snappy", 5)]
    for plan in (plan_splits, group_text_files):
        with pytest.raises(UsageError, match="pip install"):  # from the call, not from a task
            plan(inputs, 2)


# What is no text

OTHERS = {
    "a Parquet file": b"PAR1" + bytes(50) + b"PAR1",
    "an ORC file": b"ORC" + bytes(50) + b"ORC\x17",
    "an Avro file": b"Obj\1" + bytes(50),
    "a SequenceFile.*sequenceFile": b"SEQ\x06" + bytes(50),
    "a NumPy array": b"\x93NUMPY\x01\0" + bytes(50),
    "an HDF5 file": b"\x89HDF\r\n\x1a\n" + bytes(50),
    "a zip archive": b"PK\x03\x04" + bytes(50),
    "an Arrow IPC file": b"ARROW1\0\0" + bytes(50),
    "a netCDF file": b"CDF\x01" + bytes(50),
    "compress": b"\x1f\x9d\x90" + bytes(50),
    "a pickle": b"\x80\x04\x95" + bytes(50),
    "an SQLite database": b"SQLite format 3\0" + bytes(50),
    "a tar archive": b"name.txt".ljust(257, b"\0") + b"ustar  \0" + bytes(300),
    "Snappy's own frames": b"\xff\x06\0\0sNaPpY" + bytes(50),
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("use_unicode", [True, False])
def test_a_file_that_is_no_text_is_refused_by_its_name(tmp_path: Path, name: str, use_unicode: bool) -> None:
    path = tmp_path / "file"
    path.write_bytes(OTHERS[name])
    split = FileSplit(str(path), 0, path.stat().st_size)
    with pytest.raises(InputError, match=f"{path} is no text but .*{name}"):
        list(read_lines(split, use_unicode=use_unicode, options=TextOptions(errors="replace")))
    with pytest.raises(InputError, match=f"{path} is no text but .*{name}"):
        list(read_texts((InputFile(str(path), 1),), use_unicode=use_unicode, errors="replace"))


@pytest.mark.parametrize("name", ["a tar archive", "an Avro file", "a pickle"])
def test_a_packed_file_that_is_no_text_is_refused_too(tmp_path: Path, name: str) -> None:
    path = tmp_path / "file.gz"
    path.write_bytes(gzip.compress(OTHERS[name]))
    with pytest.raises(InputError, match=f"{path} is no text but {name}"):
        lines(path)
    with pytest.raises(InputError, match=f"{path} is no text but {name}"):
        list(read_texts((InputFile(str(path), 1),), use_unicode=True, errors="replace"))


@pytest.mark.parametrize("text", [b"PAR1,1999\n", b"ORC and elf\n", b"SEQ 1\n", b"Obj\n", b"PK\n", b"CDF\n", b"]\n"])
def test_text_that_only_begins_like_something_else_is_read(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "file").write_bytes(text)
    assert lines(tmp_path / "file") == text.splitlines()


def test_the_driver_looks_only_into_files_that_it_would_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    look = compression.codec_of
    monkeypatch.setattr("mpirdd.formats.text.codec_of", lambda path, head: looked.append(path) or look(path, head))
    for name, size in (("small", 10), ("large", 1000), ("none", 0)):
        (tmp_path / name).write_bytes(bytes(size))
    plan_splits([InputFile(str(path), path.stat().st_size) for path in sorted(tmp_path.iterdir())], 5)
    assert list(map(os.path.basename, looked)) == ["large"]


def test_a_bomb_costs_a_piece_and_not_its_size() -> None:
    packed = zlib.compress(bytes(64 << 20))
    stream = Unpacked(BytesIO(packed), codec_named("zlib"))
    assert len(stream.read(1000)) == 1000
