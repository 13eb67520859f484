"""Whole files and records of one length. PySpark 4.3 made these groupings of the same files."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpirdd.formats.binary import (
    OPEN_COST_BYTES,
    group_binary_files,
    group_text_files,
    plan_fixed,
    read_binaries,
    read_fixed,
    read_texts,
)
from mpirdd.formats.inputfiles import InputFile
from mpirdd.formats.splits import FileSplit
from mpirdd.protocol.errors import InputError

by_path = attrgetter("path")
SIZES = [1, 10, 100, 10, 0, 0, 0, 10, 333, 1, 5, 10]


def files(sizes: list[int]) -> list[InputFile]:
    return [InputFile(f"/{place}", size) for place, size in enumerate(sizes)]


def given_to(path: Path, content: bytes) -> InputFile:
    path.write_bytes(content)
    return InputFile(str(path), len(content))


# Which files make a partition


@pytest.mark.parametrize(
    ("least", "expected"),
    [
        (1, [[1, 10, 100, 10, 10, 333, 1, 5, 10], [0, 0, 0]]),
        (2, [[1, 10, 100, 10, 10, 333], [0, 0, 0, 1, 5, 10]]),
        (3, [[1, 10, 100, 10, 10, 333], [0, 0, 0, 1, 5, 10]]),
        (5, [[1, 10, 100], [10, 10, 333], [0, 0, 0, 1, 5, 10]]),
        (20, [[1, 10, 100], [10, 10, 333], [0, 0, 0, 1, 5, 10]]),
    ],
)
def test_text_files_are_put_together_as_in_pyspark(least: int, expected: list[list[int]]) -> None:
    assert [[file.size for file in group] for group in group_text_files(files(SIZES), least)] == expected


def test_small_binary_files_share_a_partition() -> None:
    assert group_binary_files(files(SIZES), 20, 20) == [tuple(files(SIZES))]
    assert group_binary_files([], 2, 2) == group_text_files([], 2) == []


def test_empty_files_make_one_partition() -> None:
    assert group_text_files(files([0, 0, 0]), 2) == [tuple(files([0, 0, 0]))]


def test_large_binary_files_are_spread_over_the_executors() -> None:
    large = files([OPEN_COST_BYTES] * 8)
    assert [len(group) for group in group_binary_files(large, 2, 4)] == [4, 4]
    assert [len(group) for group in group_binary_files(files([200 << 20] * 3), 2, 2)] == [1, 1, 1]


@given(st.lists(st.integers(0, 50), max_size=20), st.integers(0, 9))
def test_every_file_is_in_one_group(sizes: list[int], least: int) -> None:
    everything = files(sizes)
    for groups in (group_text_files(everything, least), group_binary_files(everything, least, least)):
        assert sorted((file for group in groups for file in group), key=by_path) == sorted(everything, key=by_path)
        assert all(groups)


def test_a_file_that_is_named_twice_is_read_twice() -> None:
    twice = [InputFile("/a", 5), InputFile("/a", 5), InputFile("/b", 0), InputFile("/b", 0)]
    assert sorted((file for group in group_text_files(twice, 3) for file in group), key=by_path) == twice


# Whole files


@pytest.mark.parametrize(
    ("suffix", "pack"), [("", bytes), (".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)]
)
def test_texts_are_unpacked_and_named_by_their_address(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    file = given_to(tmp_path / f"a%20 b{suffix}", pack("ä\r\nb\n\n".encode()))
    assert list(read_texts((file,), use_unicode=True, errors="strict")) == [(f"file:{file.path}", "ä\r\nb\n\n")]
    assert list(read_texts((file,), use_unicode=False, errors="strict")) == [
        (f"file:{file.path}".encode(), "ä\r\nb\n\n".encode())]


def test_binary_files_are_given_as_they_are(tmp_path: Path) -> None:
    packed = gzip.compress(b"x")
    group = given_to(tmp_path / "a.gz", packed), given_to(tmp_path / "b", b"")
    assert list(read_binaries(group)) == [(f"file:{tmp_path}/a.gz", packed), (f"file:{tmp_path}/b", b"")]


def test_text_that_is_not_utf8_is_named_with_its_offset(tmp_path: Path) -> None:
    file = given_to(tmp_path / "a", b"abc\xffd")
    with pytest.raises(InputError, match=r"/a is not UTF-8: byte 0xff at offset 3"):
        list(read_texts((file,), use_unicode=True, errors="strict"))
    assert next(read_texts((file,), use_unicode=True, errors="replace"))[1] == "abc\ufffdd"


@pytest.mark.parametrize("name", ["a.gz", "a.bz2", "a.xz"])
def test_a_damaged_compressed_file_is_named(tmp_path: Path, name: str) -> None:
    pack = {"a.gz": gzip.compress, "a.bz2": bz2.compress, "a.xz": lzma.compress}[name]
    for content in (pack(os.urandom(1000))[:-10], b"not compressed"):
        with pytest.raises(InputError, match=name):
            list(read_texts((given_to(tmp_path / name, content),), use_unicode=True, errors="strict"))


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    gone = InputFile(str(tmp_path / "gone"), 5)
    for read in (lambda: read_binaries((gone,)), lambda: read_fixed(1, FileSplit(gone.path, 0, 5))):
        with pytest.raises(InputError, match="gone"):
            list(read())


# Records of one length


@given(st.integers(1, 7), st.lists(st.integers(0, 40), max_size=4))
def test_records_of_one_length_are_those_of_the_bytes(
    tmp_path_factory: pytest.TempPathFactory, length: int, counts: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("records")
    content = [os.urandom(count * length) for count in counts]
    inputs = [given_to(folder / str(place), data) for place, data in enumerate(content)]
    got = [record for split in plan_fixed(inputs, length) for record in read_fixed(length, split)]
    everything = b"".join(content)
    assert got == [everything[at : at + length] for at in range(0, len(everything), length)]


def test_large_files_are_cut_between_records() -> None:
    splits = plan_fixed([InputFile("/a", 7_000_000 * 10), InputFile("/b", 0)], 7_000)
    assert [split.start % 7_000 for split in splits] == [0] * len(splits)
    assert [split.length for split in splits] == [33_551_000, 36_449_000]
    assert len(plan_fixed([InputFile("/a", 400 << 20)], 100 << 20)) == 4


def test_more_than_one_chunk_is_read(tmp_path: Path) -> None:
    content = os.urandom(1_000_000)
    file = given_to(tmp_path / "a", content)
    assert b"".join(read_fixed(1000, FileSplit(file.path, 1000, 999_000))) == content[1000:]
    assert list(read_fixed(500_000, FileSplit(file.path, 0, 1_000_000))) == [content[:500_000], content[500_000:]]


def test_a_size_that_is_no_multiple_is_refused_at_once() -> None:
    with pytest.raises(InputError, match=r"/b has 10 bytes.*no multiple of the record length 4: 2 bytes"):
        plan_fixed([InputFile("/a", 8), InputFile("/b", 10)], 4)


def test_compressed_files_hold_no_records() -> None:
    with pytest.raises(InputError, match=r"/a\.GZ is compressed"):
        plan_fixed([InputFile("/a.GZ", 8)], 4)


def test_a_file_that_has_become_shorter_is_refused(tmp_path: Path) -> None:
    file = given_to(tmp_path / "a", bytes(10))
    with pytest.raises(InputError, match="shorter"):
        list(read_fixed(4, FileSplit(file.path, 0, 12)))
