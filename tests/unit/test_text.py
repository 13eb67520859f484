"""Text input against plain Python: ``bytes.splitlines`` says what the lines are."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import pickle
import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpirdd.storage.text import InputFile, TextSplit, find_inputs, local_path, plan_splits, read_lines
from mpirdd.words.errors import InputError

ADDRESSES = Path(__file__).parents[2] / "jobs" / "data" / "state_union"


def names(path: str) -> list[str]:
    return [os.path.basename(file.path) for file in find_inputs(path)]


def whole(path: Path) -> TextSplit:
    return TextSplit(str(path), 0, path.stat().st_size)


def cut(path: Path, cuts: list[int]) -> list[TextSplit]:
    """The file cut at the given offsets."""
    borders = [0, *cuts, path.stat().st_size]
    return [TextSplit(str(path), start, end - start) for start, end in pairwise(borders)]


def line_starts(content: bytes) -> list[int]:
    starts, offset = [], 0
    for line in content.splitlines(keepends=True):
        starts.append(offset)
        offset += len(line)
    return starts


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.txt", "a.txt", "c.log", ".hidden", "_SUCCESS"):
        (tmp_path / name).write_text(name)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "d.txt").write_text("d")
    (tmp_path / "empty").mkdir()
    return tmp_path


# Which files


def test_a_file_is_found_with_its_size_and_absolute_path(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert find_inputs("a.txt") == [InputFile(str(folder / "a.txt"), 5)]


def test_a_folder_gives_its_own_files_by_name_without_hidden_ones(folder: Path) -> None:
    assert names(str(folder)) == ["a.txt", "b.txt", "c.log"]


def test_an_empty_folder_gives_no_files(folder: Path) -> None:
    assert find_inputs(str(folder / "empty")) == []


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.txt", ["a.txt", "b.txt"]),
        ("?.log", ["c.log"]),
        ("[ab].txt", ["a.txt", "b.txt"]),
        ("[!a].*", ["b.txt", "c.log"]),
        ("[^a].*", ["b.txt", "c.log"]),
        ("{a.txt,c.log}", ["a.txt", "c.log"]),
        ("{a,b,zzz}.txt", ["a.txt", "b.txt"]),
        ("{a,a*}.txt", ["a.txt"]),
        ("{more/d,{a,b}}.txt", ["a.txt", "b.txt", "d.txt"]),
        ("m*", ["d.txt"]),
        ("*", ["a.txt", "b.txt", "c.log", "d.txt"]),
        ("*/*.txt", ["d.txt"]),
    ],
)
def test_globs_mean_what_they_mean_to_hadoop(folder: Path, pattern: str, expected: list[str]) -> None:
    assert names(f"{folder}/{pattern}") == expected


def test_a_comma_list_keeps_its_order_and_repeats(folder: Path) -> None:
    assert names(f"{folder}/c.log,{folder}/{{b,a}}.txt,{folder}/c.log") == [
        "c.log", "a.txt", "b.txt", "c.log"
    ]


def test_a_file_with_a_globs_characters_in_its_name_is_found_by_that_name(folder: Path) -> None:
    (folder / "a[1]{x}.txt").write_text("")
    assert names(f"{folder}/a[1]{{x}}.txt") == ["a[1]{x}.txt"]


@pytest.mark.parametrize("prefix", ["file://", "file:", "file://localhost"])
def test_file_urls_are_local_paths(folder: Path, prefix: str) -> None:
    (folder / "two words.txt").write_text("")
    assert names(f"{prefix}{folder}/a.txt") == ["a.txt"]
    assert names(f"{prefix}{folder}/two%20words.txt") == ["two words.txt"]


@pytest.mark.parametrize("missing", ["nothing.txt", "no/such/folder", "*.csv", "{x,y}.txt", ".h*", "{", "[a"])
def test_a_missing_input_is_named_with_its_absolute_path(
    folder: Path, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    for paths in (missing, f"a.txt,{missing}"):
        with pytest.raises(InputError, match=re.escape(f"{folder}/{missing} ")):
            find_inputs(paths)


@pytest.mark.parametrize("path", ["", "a.txt,", "hdfs://name/a", "s3a://bucket/a", "file://data/a.txt"])
def test_a_path_that_is_none_is_refused_with_advice(
    path: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(InputError, match=r"give a file|copy or mount|write file:///data/a\.txt"):
        find_inputs(path)


def test_a_dangling_link_in_a_folder_is_an_error_not_a_gap(folder: Path) -> None:
    (folder / "gone.txt").symlink_to(folder / "nowhere")
    with pytest.raises(InputError, match=r"gone\.txt: No such file"):
        find_inputs(str(folder))


def test_a_pipe_is_refused(folder: Path) -> None:
    os.mkfifo(folder / "pipe")
    with pytest.raises(InputError, match="neither a file nor a folder"):
        find_inputs(str(folder / "pipe"))


def test_a_relative_path_does_not_fold_a_linked_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert local_path("link/../a.txt") == f"{folder}/link/../a.txt"


# Cut into splits


@pytest.mark.parametrize(
    ("sizes", "min_partitions", "expected"),
    [
        ([100], 2, [(0, 0, 50), (0, 50, 50)]),
        ([101], 2, [(0, 0, 50), (0, 50, 51)]),  # 51 / 50 lies within the slop
        ([10], 3, [(0, 0, 3), (0, 3, 3), (0, 6, 3), (0, 9, 1)]),  # 4 / 3 does not
        ([100], 1, [(0, 0, 100)]),
        ([100], 0, [(0, 0, 100)]),
        ([2], 5, [(0, 0, 1), (0, 1, 1)]),
        ([0], 4, [(0, 0, 0)]),
        ([], 4, []),
        ([90, 0, 10], 2, [(0, 0, 50), (0, 50, 40), (1, 0, 0), (2, 0, 10)]),
        ([68 << 20], 2, [(0, 0, 32 << 20), (0, 32 << 20, 32 << 20), (0, 64 << 20, 4 << 20)]),
        ([65 << 20], 1, [(0, 0, 32 << 20), (0, 32 << 20, 33 << 20)]),
    ],
)
def test_splits_are_hadoops(
    sizes: list[int], min_partitions: int, expected: list[tuple[int, int, int]]
) -> None:
    files = [InputFile(f"/f{index}", size) for index, size in enumerate(sizes)]
    assert plan_splits(files, min_partitions) == [TextSplit(f"/f{file}", *span) for file, *span in expected]


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".GZ"])
def test_a_compressed_file_is_one_split(suffix: str) -> None:
    assert plan_splits([InputFile(f"/a{suffix}", 1000)], 4) == [TextSplit(f"/a{suffix}", 0, 1000)]


@given(st.lists(st.integers(0, 200), max_size=8), st.integers(0, 12))
def test_splits_cover_every_byte_once(sizes: list[int], min_partitions: int) -> None:
    files = [InputFile(f"/f{index}", size) for index, size in enumerate(sizes)]
    splits = plan_splits(files, min_partitions)
    for file in files:
        mine = [split for split in splits if split.path == file.path]
        assert [split.start for split in mine] == [0, *(split.start + split.length for split in mine[:-1])]
        assert mine[-1].start + mine[-1].length == file.size


def test_a_split_can_be_pickled() -> None:
    split = TextSplit("/a", 3, 4)
    assert pickle.loads(pickle.dumps(split)) == split


# The lines of a split

CONTENTS = {
    "line feeds": b"one\ntwo\nthree\n",
    "both": b"one\r\ntwo\r\nthree\r\n",
    "carriage returns": b"one\rtwo\rthree\r",
    "a mixture": b"a\r\nb\nc\rd\r\r\n\n\re\n\r\nf",
    "no last line end": b"one\ntwo",
    "a last carriage return": b"one\ntwo\r",
    "empty lines": b"\n\n\na\n\n",
    "only line ends": b"\r\n\r\r\n\n",
    "one long line": b"x" * 40,
    "multi-byte characters": "é\n€uro\n😀😀\r\nñ".encode(),
    "what only str.splitlines splits": "a\x0bb\x0cc\x1cd\x85e\u2028f\n".encode(),
    "nothing": b"",
}


@pytest.mark.parametrize("chunk_bytes", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS.keys())
def test_each_line_belongs_to_the_split_it_starts_in_wherever_the_cut(
    tmp_path: Path, content: bytes, chunk_bytes: int
) -> None:
    path = tmp_path / "input"
    path.write_bytes(content)
    lines = [line.decode() for line in content.splitlines()]
    for middle in range(len(content) + 1):
        own = sum(start < middle for start in line_starts(content))
        first, second = (list(read_lines(split, chunk_bytes=chunk_bytes)) for split in cut(path, [middle]))
        assert (first, second) == (lines[:own], lines[own:]), f"cut at {middle}"


@pytest.mark.parametrize("use_unicode", [True, False])
@given(
    pieces=st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"", b"a", b"bcd", "€".encode(), "😀".encode()])),
    data=st.data(),
    chunk_bytes=st.integers(1, 9),
)
def test_consecutive_splits_give_every_line_once(
    tmp_path_factory: pytest.TempPathFactory, use_unicode: bool, pieces: list[bytes], data: st.DataObject,
    chunk_bytes: int,
) -> None:
    content = b"".join(pieces)
    path = tmp_path_factory.getbasetemp() / "property"
    path.write_bytes(content)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=5)))
    expected = [line.decode() if use_unicode else line for line in content.splitlines()]
    splits = cut(path, cuts)
    found = [line for s in splits for line in read_lines(s, use_unicode=use_unicode, chunk_bytes=chunk_bytes)]
    assert found == expected


@pytest.mark.parametrize("rest", [b"", b"\n", b"a", b"a\nb\n", b"\r\nb"])
def test_a_byte_order_mark_is_dropped_wherever_the_cut(tmp_path: Path, rest: bytes) -> None:
    path = tmp_path / "input"
    path.write_bytes(b"\xef\xbb\xbf" + rest)
    for middle in range(len(rest) + 4):
        found = [line for split in cut(path, [middle]) for line in read_lines(split, chunk_bytes=2)]
        assert found == rest.decode().splitlines(), f"cut at {middle}"


def test_lines_longer_than_many_pieces_and_chunks_arrive_whole(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(b"a" * 300_000 + b"\n" + b"b" * 200_000 + b"\r\nc")
    found = [list(read_lines(split, chunk_bytes=1000)) for split in cut(path, [100_000, 200_000, 300_001])]
    assert found == [["a" * 300_000], [], [], ["b" * 200_000, "c"]]


@pytest.mark.parametrize("before", [65_534, 65_535, 65_536])
def test_a_pair_of_line_end_bytes_may_lie_across_two_pieces(tmp_path: Path, before: int) -> None:
    path = tmp_path / "input"
    path.write_bytes(b"x" * before + b"\r\nlast")
    assert list(read_lines(cut(path, [1])[0])) == ["x" * before]
    assert list(read_lines(cut(path, [1])[1])) == ["last"]
    assert list(read_lines(cut(path, [before + 1])[1])) == ["last"]


def test_the_first_line_costs_one_chunk_of_a_huge_split(tmp_path: Path) -> None:
    path = tmp_path / "huge"
    with path.open("wb") as file:
        file.write(b"first\nsecond\n")
        file.truncate(1 << 40)  # sparse: nobody reads this in a test
    lines = read_lines(TextSplit(str(path), 0, 1 << 40))
    assert [next(lines), next(lines)] == ["first", "second"]


def test_nothing_is_read_before_the_first_line_is_asked_for(tmp_path: Path) -> None:
    lines = read_lines(TextSplit(str(tmp_path / "gone"), 0, 10))
    with pytest.raises(InputError):
        next(lines)


# Compressed

COMPRESSORS = [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)]


@pytest.mark.parametrize(("suffix", "compress"), COMPRESSORS)
@pytest.mark.parametrize("content", [*CONTENTS.values(), b"\xef\xbb\xbfa\n"])
def test_compressed_files_read_as_their_contents(
    tmp_path: Path, suffix: str, compress: Callable[[bytes], bytes], content: bytes
) -> None:
    path = tmp_path / f"input{suffix}"
    path.write_bytes(compress(content))
    expected = content.removeprefix(b"\xef\xbb\xbf").splitlines()
    assert list(read_lines(whole(path), use_unicode=False, chunk_bytes=5)) == expected


@pytest.mark.parametrize(("suffix", "compress"), COMPRESSORS)
@pytest.mark.parametrize("damage", ["cut short", "no such format", "a flipped byte"])
def test_damaged_compressed_files_are_an_input_error(
    tmp_path: Path, suffix: str, compress: Callable[[bytes], bytes], damage: str
) -> None:
    packed = bytearray(compress(b"some text\n" * 100))
    if damage == "a flipped byte":
        packed[len(packed) // 2] ^= 0xFF
    path = tmp_path / f"input{suffix}"
    if damage == "cut short":
        del packed[-5:]
    path.write_bytes(b"plain text\n" if damage == "no such format" else packed)
    with pytest.raises(InputError, match=rf"input\{suffix} is damaged"):
        list(read_lines(whole(path), use_unicode=False))


def test_an_empty_file_with_a_compressed_name_has_no_lines(tmp_path: Path) -> None:
    path = tmp_path / "input.gz"
    path.write_bytes(b"")
    assert list(read_lines(whole(path))) == []


# Bytes that are not UTF-8, and files that change


@pytest.mark.parametrize("chunk_bytes", [3, 1000])
def test_a_bad_byte_is_reported_with_its_offset_in_the_file(tmp_path: Path, chunk_bytes: int) -> None:
    path = tmp_path / "latin"
    content = "é\nline\n".encode() + b"caf\xe9\nend\n"
    path.write_bytes(content)
    for middle in (0, 3, 8):
        with pytest.raises(InputError) as caught:
            list(read_lines(cut(path, [middle])[1], chunk_bytes=chunk_bytes))
        message = str(caught.value)
        assert str(path) in message
        assert f"offset {content.index(0xE9, 8)} " in message
        assert 'errors="replace"' in message


def test_errors_and_bytes_read_what_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "latin"
    path.write_bytes(b"\xff\ncaf\xe9\r\n\xff")
    assert list(read_lines(whole(path), errors="replace")) == ["\ufffd", "caf\ufffd", "\ufffd"]
    assert list(read_lines(whole(path), errors="ignore")) == ["", "caf", ""]
    assert list(read_lines(whole(path), use_unicode=False)) == [b"\xff", b"caf\xe9", b"\xff"]


def test_the_state_of_the_union_holds_six_files_that_are_not_utf8() -> None:
    files = find_inputs(str(ADDRESSES))
    bad = []
    for file in files:
        try:
            for split in plan_splits([file], 3):
                list(read_lines(split))
        except InputError:
            bad.append(file.path)
    assert (len(files), len(bad)) == (65, 6)


def test_the_state_of_the_union_reads_as_plain_python_reads_it() -> None:
    files = find_inputs(str(ADDRESSES))
    contents = [Path(file.path).read_bytes() for file in files]
    expected = [line.decode(errors="replace") for content in contents for line in content.splitlines()]
    for min_partitions in (1, 2, 200):
        splits = plan_splits(files, min_partitions)
        assert [line for split in splits for line in read_lines(split, errors="replace")] == expected


def test_a_vanished_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gone is not there"):
        list(read_lines(TextSplit(str(tmp_path / "gone"), 0, 10)))


def test_a_file_that_shrank_before_it_is_read_is_an_input_error(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(b"one\ntwo\n")
    with pytest.raises(InputError, match="has become shorter: 8 bytes now, 12 or more"):
        list(read_lines(TextSplit(str(path), 8, 4)))


def test_a_file_that_shrinks_while_it_is_read_is_an_input_error(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(b"one\n" * 100)
    lines = read_lines(whole(path), chunk_bytes=40)
    next(lines)
    os.truncate(path, 80)
    with pytest.raises(InputError, match="has become shorter: 80 bytes now"):
        list(lines)


def test_a_file_that_cannot_be_read_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*: Is a directory"):
        list(read_lines(TextSplit(str(tmp_path), 0, 0)))
