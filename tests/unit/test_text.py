"""Text input against plain Python: ``bytes.splitlines`` defines the lines."""

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
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mpirdd.formats import linecount
from mpirdd.formats.inputfiles import InputFile
from mpirdd.formats.lineends import TextOptions
from mpirdd.formats.paths import find_inputs, local_path
from mpirdd.formats.splits import FileSplit, evened
from mpirdd.formats.text import plan_splits, read_lines
from mpirdd.protocol.errors import InputError
from mpirdd.store.costs import Costs

ADDRESSES = Path(__file__).parents[2] / "jobs" / "data" / "state_union"


def names(path: str) -> list[str]:
    return [os.path.basename(file.path) for file in find_inputs(path)]


def whole(path: Path) -> FileSplit:
    return FileSplit(str(path), 0, path.stat().st_size)


def cut(path: Path, cuts: list[int]) -> list[FileSplit]:
    """The file cut at the given offsets."""
    borders = [0, *cuts, path.stat().st_size]
    return [FileSplit(str(path), start, end - start) for start, end in pairwise(borders)]


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
    for name in ("b", "a", ".hidden", "_SUCCESS"):
        (folder / "empty" / name).write_text("")
    assert names(str(folder / "empty")) == ["a", "b"]


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


@pytest.mark.parametrize("name", ["a%41.txt", "x%20y.txt", "x y.txt", "x,y.txt", "x#y?.txt", "100%.txt", "%2F.txt"])
def test_names_that_are_given_out_are_taken_back(tmp_path: Path, name: str) -> None:
    """binaryFiles gives ``file:`` and the path, unquoted."""
    for other in ("aA.txt", "x", "y.txt"):
        (tmp_path / other).write_text("another")
    (tmp_path / name).write_text("this")
    for path in (f"file:{tmp_path}/{name}", f"{tmp_path}/{name}", [f"file://{tmp_path}/{name}"], (tmp_path / name).as_uri()):
        assert names(path) == [name], path
    (tmp_path / name).unlink()
    if "," not in name:
        with pytest.raises(InputError, match="does not exist"):
            find_inputs(f"file:{tmp_path}/no {name.replace('?', '')}")


@pytest.mark.parametrize("missing", ["nothing.txt", "no/such/folder", "*.csv", "{x,y}.txt", ".h*", "{", "[a"])
def test_a_missing_input_is_named_with_its_absolute_path(
    folder: Path, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    for paths in (missing, f"a.txt,{missing}"):
        with pytest.raises(InputError, match=re.escape(f"{folder}/{missing} ")):
            find_inputs(paths)


@pytest.mark.parametrize("path", ["", "a.txt,", "file://data/a.txt"])
def test_a_path_that_is_none_is_refused_with_advice(
    path: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(InputError, match=r"give a file|write file:///data/a\.txt"):
        find_inputs(path)


def test_a_dangling_link_in_a_folder_is_an_error_not_a_gap(folder: Path) -> None:
    (folder / "more" / "gone.txt").symlink_to(folder / "nowhere")
    with pytest.raises(InputError, match=r"gone\.txt: No such file"):
        find_inputs(str(folder / "more"))


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
    assert plan_splits(files, min_partitions) == [FileSplit(f"/f{file}", *span) for file, *span in expected]


@pytest.mark.parametrize(("count", "executors"), [(2, 2), (5, 2), (7, 2), (4, 3), (5, 4), (3, 8), (11, 3), (8, 2)])
def test_a_few_splits_of_a_large_file_give_executors_equal_shares(count: int, executors: int) -> None:
    hadoops = plan_splits([InputFile("/f", count * (32 << 20) - (20 << 20))], 2)
    splits = evened(hadoops, executors)
    assert len(splits) == len(hadoops) == count
    assert [split.start for split in splits] == [0, *(split.end for split in splits[:-1])]
    assert splits[-1].end == hadoops[-1].end
    busy_until = [0] * executors  # each takes the next split as soon as it is free
    for split in splits:
        busy_until[busy_until.index(min(busy_until))] += split.length
    even = sum(split.length for split in splits) / min(count, executors)
    assert max(busy_until) < 1.001 * even


def test_small_files_and_many_splits_and_several_files_stay_as_hadoop_cuts_them() -> None:
    for sizes, least in [([100], 3), ([1 << 30], 2), ([40 << 20, 1 << 20], 2)]:
        splits = plan_splits([InputFile(f"/f{index}", size) for index, size in enumerate(sizes)], least)
        assert evened(splits, 2) is splits
    remote = plan_splits([InputFile("s3://b/f", 150 << 20)], 2)
    assert evened(remote, 2) is remote


@pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".GZ"])
def test_a_compressed_file_is_one_split(suffix: str) -> None:
    assert plan_splits([InputFile(f"/a{suffix}", 1000)], 4) == [FileSplit(f"/a{suffix}", 0, 1000)]


@given(st.lists(st.integers(0, 200), max_size=8), st.integers(0, 12))
def test_splits_cover_every_byte_once(sizes: list[int], min_partitions: int) -> None:
    files = [InputFile(f"/f{index}", size) for index, size in enumerate(sizes)]
    splits = plan_splits(files, min_partitions)
    for file in files:
        mine = [split for split in splits if split.path == file.path]
        assert [split.start for split in mine] == [0, *(split.start + split.length for split in mine[:-1])]
        assert mine[-1].start + mine[-1].length == file.size


def test_a_split_can_be_pickled() -> None:
    split = FileSplit("/a", 3, 4)
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
    lines = read_lines(FileSplit(str(path), 0, 1 << 40))
    assert [next(lines), next(lines)] == ["first", "second"]


def test_nothing_is_read_before_the_first_line_is_asked_for(tmp_path: Path) -> None:
    lines = read_lines(FileSplit(str(tmp_path / "gone"), 0, 10))
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
    assert list(read_lines(whole(path), options=TextOptions(errors="replace"))) == ["\ufffd", "caf\ufffd", "\ufffd"]
    assert list(read_lines(whole(path), options=TextOptions(errors="ignore"))) == ["", "caf", ""]
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
        assert [line for split in splits for line in read_lines(split, options=TextOptions(errors="replace"))] == expected


def test_a_vanished_file_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gone is not there"):
        list(read_lines(FileSplit(str(tmp_path / "gone"), 0, 10)))


def test_a_file_that_shrank_before_it_is_read_is_an_input_error(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(b"one\ntwo\n")
    with pytest.raises(InputError, match="has become shorter: 8 bytes now, 12 or more"):
        list(read_lines(FileSplit(str(path), 8, 4)))


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
        list(read_lines(FileSplit(str(tmp_path), 0, 0)))


@pytest.mark.parametrize("chunk_bytes", [1, 3, 1000])
@pytest.mark.parametrize("content", [
    b"", b"\n", b"a", b"a\n", b"a\n\nb", b"a\r\nb\r", b"\r\r\n\n", "\ufeffzwei\nz\u00f6lf\n".encode(), b"x||y||", b"|||"])
def test_lines_are_counted_as_they_are_made(tmp_path: Path, content: bytes, chunk_bytes: int) -> None:
    path = tmp_path / "input"
    path.write_bytes(content)
    for how in (TextOptions(), TextOptions("latin-1"), TextOptions(delimiter="||"), TextOptions(errors="replace")):
        for unicode in (True, False):
            for split in cut(path, sorted({0, len(content) // 2} - {0})):
                made = list(read_lines(split, options=how, use_unicode=unicode, chunk_bytes=chunk_bytes))
                counted = read_lines(split, options=how, use_unicode=unicode, chunk_bytes=chunk_bytes).count()
                assert counted == len(made), (how, split)


@pytest.mark.parametrize("chunk_bytes", [1, 3, 1000])
def test_bytes_that_are_ignored_do_not_bring_line_ends_together(tmp_path: Path, chunk_bytes: int) -> None:
    path = tmp_path / "input"
    path.write_bytes(b"a\r\xff\nb\r\n")
    options = TextOptions(errors="ignore")
    assert list(read_lines(whole(path), options=options, chunk_bytes=chunk_bytes)) == ["a", "", "b"]
    assert read_lines(whole(path), options=options, chunk_bytes=chunk_bytes).count() == 3


def test_counting_lines_finds_what_cannot_be_decoded(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(b"good\nb\xffd\n")
    with pytest.raises(InputError, match="byte 0xff at offset 6"):
        read_lines(whole(path)).count()
    assert read_lines(whole(path), use_unicode=False).count() == 2
    assert read_lines(whole(path), options=TextOptions(errors="ignore")).count() == 2


PIECES = ["a", "bc\n", "\n", "é", "€\n", "\r\n", "\r", "x" * 9, "\ufeff", "\x85", "\u2028"]


@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join), st.integers(1, 9), st.integers(1, 30), st.booleans())
def test_counting_finds_as_many_lines_as_reading_whatever_is_cut(
    tmp_path_factory: pytest.TempPathFactory, text: str, buffer_bytes: int, part: int, use_unicode: bool
) -> None:
    path = tmp_path_factory.mktemp("count") / "x"
    path.write_bytes(text.encode())
    cuts = range(part, path.stat().st_size, part)
    with patch.object(linecount, "_BUFFER_BYTES", buffer_bytes):
        for split in cut(path, list(cuts)):
            costs = Costs()
            made = list(read_lines(split, use_unicode=use_unicode, costs=Costs()))
            assert read_lines(split, use_unicode=use_unicode, costs=costs).count() == len(made)
            assert costs.take().get("input_records", 0) == len(made)


def test_counting_finds_what_is_no_utf_8_in_any_buffer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linecount, "_BUFFER_BYTES", 8)
    for data in (b"a\n" * 20 + b"\xff\n" + b"b\n" * 20, b"a\n" * 7 + "é".encode()[:1], b"a\n" * 7 + "é".encode()[:1] + b"\nb"):
        path = tmp_path / "x"
        path.write_bytes(data)
        with pytest.raises(InputError, match=r"is not UTF-8: byte 0x(ff|c3) at offset (40|14)"):
            read_lines(whole(path)).count()
        with pytest.raises(InputError, match=r"is not UTF-8: byte 0x(ff|c3) at offset (40|14)"):
            list(read_lines(whole(path)))


@given(st.lists(st.sampled_from(["a", "bc", "\n", "\r", "\r\n", "||", "|"]), max_size=30).map("".join),
       st.lists(st.integers(0, 70), max_size=5), st.sampled_from([None, "||", "aa"]),
       st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]), st.integers(1, 9))
def test_the_bytes_of_a_file_are_counted_once_wherever_it_is_cut(
    tmp_path_factory: pytest.TempPathFactory, text: str, cuts: list[int], delimiter: str | None, encoding: str, chunk: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "counted.txt"
    path.write_bytes(text.encode(encoding))
    size = path.stat().st_size
    splits = cut(path, sorted(offset for offset in cuts if offset < size))
    options = TextOptions.of(encoding, "strict", delimiter)
    for only_count in (False, True):
        costs = Costs()
        for split in splits:
            lines = read_lines(split, options=options, chunk_bytes=chunk, costs=costs)
            _ = lines.count() if only_count else list(lines)
        assert costs.take().get("input_bytes", 0) == size
