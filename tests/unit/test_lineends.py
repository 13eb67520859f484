"""Lines in other encodings and between delimiters, against plain Python, wherever the cuts fall."""

from __future__ import annotations

import codecs
import gzip
import re
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpirdd.formats.lineends import TextOptions
from mpirdd.formats.splits import FileSplit
from mpirdd.formats.text import read_lines, read_lines_at
from mpirdd.protocol.errors import InputError, InvalidType, InvalidValue

TEXT = "one\ntwo\r\n\r\nthree\rfour\n\nĊ ഊ \u0a0a \u0d0d é€😀\r\nlast"
"""With characters whose bytes in UTF-16 look like line ends across a border, and within."""
LATIN = "one\ntwo\r\n\r\nthr\u00e9e\rf\u0085our\n\nlast\xa0"


def options(encoding: str = "utf-8", delimiter: str | bytes | None = None, errors: str = "strict") -> TextOptions:
    return TextOptions.of(encoding, errors, delimiter)


def python_lines(text: str) -> list[str]:
    """Those of a file opened with universal newlines."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines if lines[-1] else lines[:-1]


def between(content: bytes, delimiter: bytes) -> list[bytes]:
    records = content.split(delimiter)
    return records if records[-1] else records[:-1]


def parts_of(path: Path, cuts: Iterable[int]) -> list[FileSplit]:
    borders = [0, *cuts, path.stat().st_size]
    return [FileSplit(str(path), start, end - start) for start, end in pairwise(borders)]


def read(splits: Iterable[FileSplit], how: TextOptions, chunk_bytes: int = 1000, **more: bool) -> list[list[str]]:
    return [list(read_lines(split, options=how, chunk_bytes=chunk_bytes, **more)) for split in splits]  # type: ignore[call-overload]


def flat(parts: list[list[str]]) -> list[str]:
    return [line for part in parts for line in part]


# Encodings

WIDE = ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"]
OTHERS = {
    "latin-1": LATIN, "cp1252": LATIN.replace("\x85", "\u2026"), "cp037": LATIN.replace("\x85", "x"), "utf-7": "a\nb\r\nc",
    "shift_jis": "表ソ\nポ|十\r\n構\r能",
    "gb18030": "中\n文𠀀\r\n丂", "big5": "功\n許\r蓋", "euc_jp": "表\nソ\r\n能", "utf-8-sig": TEXT,
}


@pytest.mark.parametrize("chunk_bytes", [1, 2, 7, 1000])
@pytest.mark.parametrize("encoding", WIDE)
def test_wide_text_is_read_whole_wherever_the_cut(tmp_path: Path, encoding: str, chunk_bytes: int) -> None:
    path = tmp_path / "input"
    path.write_bytes(TEXT.encode(encoding))
    expected = python_lines(TEXT)
    for middle in range(path.stat().st_size + 1):
        found = read(parts_of(path, [middle]), options(encoding), chunk_bytes)
        assert flat(found) == expected, f"cut at {middle}"


@pytest.mark.parametrize("encoding", OTHERS)
def test_text_of_other_encodings_is_read_whole_wherever_the_cut(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "input"
    path.write_bytes(OTHERS[encoding].encode(encoding))
    expected = python_lines(OTHERS[encoding])
    for middle in range(path.stat().st_size + 1):
        for chunk_bytes in (1, 1000):
            assert flat(read(parts_of(path, [middle]), options(encoding), chunk_bytes)) == expected, f"cut at {middle}"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
@pytest.mark.parametrize("big", [True, False])
def test_the_byte_order_mark_says_the_order_and_is_dropped(tmp_path: Path, encoding: str, big: bool) -> None:
    mark = getattr(codecs, f"BOM_{encoding.upper().replace('-', '')}_{'BE' if big else 'LE'}")
    path = tmp_path / "input"
    path.write_bytes(mark + TEXT.encode(f"{encoding}-{'be' if big else 'le'}"))
    for middle in range(path.stat().st_size + 1):
        assert flat(read(parts_of(path, [middle]), options(encoding))) == python_lines(TEXT), f"cut at {middle}"
    packed = tmp_path / "input.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert flat(read(parts_of(packed, []), options(encoding), 3)) == python_lines(TEXT)


def test_a_line_of_wide_text_belongs_to_the_split_it_starts_in(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes("ab\ncd\n".encode("utf-16-le"))
    owners = [len(read(parts_of(path, [middle]), options("utf-16-le"))[0]) for middle in range(13)]
    assert owners == [0] + [1] * 6 + [2] * 6


@pytest.mark.parametrize("encoding", ["utf-16-le", "cp037", "latin-1"])
def test_lines_as_bytes_are_those_of_the_file(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "input"
    text = LATIN.replace("\x85", "x")
    path.write_bytes(text.encode(encoding))
    expected = [line.encode(encoding) for line in python_lines(text)]
    for middle in range(path.stat().st_size + 1):
        assert flat(read(parts_of(path, [middle]), options(encoding), 3, use_unicode=False)) == expected


def test_offsets_of_lines_are_counted_in_bytes(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes("ab\r\nc\n\nd".encode("utf-16-le"))
    found = list(read_lines_at(parts_of(path, [])[0], options=options("utf-16-le")))
    assert found == [(0, "ab"), (8, "c"), (12, ""), (14, "d")]
    path.write_bytes(b"ab||c||||d")
    found = [pair for part in parts_of(path, [3]) for pair in read_lines_at(part, options=options(delimiter="||"))]
    assert found == [(0, "ab"), (4, "c"), (7, ""), (9, "d")]


def test_half_a_character_at_the_end_is_told_with_its_offset(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes("ab\ncd".encode("utf-16-le") + b"x")
    for middle in (0, 3, 11):
        with pytest.raises(InputError, match=r"is not UTF-16-LE: byte 0x78 at offset 10"):
            read(parts_of(path, [middle]), options("utf-16-le"))
    assert flat(read(parts_of(path, [2]), options("utf-16-le", errors="replace"))) == ["ab", "cd\ufffd"]


def test_utf16_read_as_utf8_is_refused_with_the_right_name(tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes("text\n".encode("utf-16"))
    with pytest.raises(InputError, match='which encoding="utf-16" reads'):
        read(parts_of(tmp_path / "input", []), options())


@pytest.mark.parametrize("encoding", ["no-such", "base64", "hz", "iso2022_kr", "punycode", "unicode_escape", "rot13", ""])
def test_an_encoding_without_lines_is_refused_at_once(encoding: str) -> None:
    with pytest.raises(InvalidValue, match="encoding"):
        options(encoding)


# Delimiters

DELIMITERS = {
    "|": b"a|b||c|\n|d", "||": b"a||b|||c||||d\n||e|", "\n\n": b"x\n\ny\n\n\nz\n\n\n\n\nw\n", "aba": b"xababay aba ababab",
    "aa": b"aaaaaaabaaaXaa", "abcab": b"abcabcabcab abcab", "\r\n": b"a\rb\nc\r\n\r\nd\r", "é€": "aé€bé€é€c€é".encode(),
    "<record>": b"<record>one<record>two<recor", "\n": b"a\r\nb\rc\n",
}


@pytest.mark.parametrize("chunk_bytes", [1, 2, 3, 1000])
@pytest.mark.parametrize("delimiter", DELIMITERS)
def test_records_between_delimiters_are_read_wherever_the_cut(tmp_path: Path, delimiter: str, chunk_bytes: int) -> None:
    path = tmp_path / "input"
    content = DELIMITERS[delimiter]
    path.write_bytes(content)
    expected = [record.decode() for record in between(content, delimiter.encode())]
    for middle in range(len(content) + 1):
        found = read(parts_of(path, [middle]), options(delimiter=delimiter), chunk_bytes)
        assert flat(found) == expected, f"cut at {middle}"


@settings(deadline=None)
@given(
    delimiter=st.text("ab", min_size=1, max_size=4), content=st.text("abc", max_size=40), data=st.data(),
    chunk_bytes=st.integers(1, 9), encoding=st.sampled_from(["utf-8", "utf-16-le", "utf-32-be"]),
)
def test_every_delimiter_is_found_in_every_content(
    tmp_path_factory: pytest.TempPathFactory, delimiter: str, content: str, data: st.DataObject, chunk_bytes: int,
    encoding: str,
) -> None:
    path = tmp_path_factory.getbasetemp() / "delimited"
    path.write_bytes(content.encode(encoding))
    cuts = sorted(data.draw(st.lists(st.integers(0, path.stat().st_size), max_size=4)))
    records = content.split(delimiter)
    expected = records if records[-1] else records[:-1]
    assert flat(read(parts_of(path, cuts), options(encoding, delimiter), chunk_bytes)) == expected


def test_a_delimiter_longer_than_what_is_read_at_once_is_found(tmp_path: Path) -> None:
    delimiter = "ab" * 100_000 + "c"
    content = f"one{delimiter}two{delimiter}{delimiter}three"
    (tmp_path / "input").write_text(content)
    for cuts in ([], [3], [100_000], [200_004], [200_005, 400_000, 500_000]):
        found = flat(read(parts_of(tmp_path / "input", cuts), options(delimiter=delimiter), 70_000))
        assert found == ["one", "two", "", "three"]


def test_a_long_run_of_delimiters_that_overlap_is_read_from_its_middle(tmp_path: Path) -> None:
    content = b"x" + b"\n" * 200_001 + b"y"
    (tmp_path / "input").write_bytes(content)
    for middle in (150_000, 150_001, 200_001):
        found = flat(read(parts_of(tmp_path / "input", [middle]), options(delimiter="\n\n"), 70_000))
        assert found == [record.decode() for record in between(content, b"\n\n")]


def test_a_delimiter_of_bytes_and_lines_as_bytes(tmp_path: Path) -> None:
    content = b"\xff\x00one\x00\xfetwo\x00\xff"
    (tmp_path / "input").write_bytes(content)
    for middle in range(len(content) + 1):
        splits = parts_of(tmp_path / "input", [middle])
        assert flat(read(splits, options(delimiter=b"\x00"), 2, use_unicode=False)) == between(content, b"\x00")  # type: ignore[comparison-overlap]


def test_records_of_a_compressed_file_are_read(tmp_path: Path) -> None:
    (tmp_path / "input.gz").write_bytes(gzip.compress(DELIMITERS["||"]))
    assert flat(read(parts_of(tmp_path / "input.gz", []), options(delimiter="||"), 2)) == [
        "a", "b", "|c", "", "d\n", "e|"]


def test_a_bad_byte_between_delimiters_is_told_with_its_offset(tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(b"a||b\xffc||d")
    with pytest.raises(InputError, match=r"byte 0xff at offset 4 of the file"):
        read(parts_of(tmp_path / "input", []), options(delimiter="||"))


@pytest.mark.parametrize(
    ("encoding", "delimiter", "message"),
    [
        ("utf-8", "", "must not be empty"), ("utf-16", b"|", "no whole number of characters in utf-16-le"),
        ("shift_jis", "|", "may lie within a character of shift_jis"), ("gb18030", "12", "may lie within"),
        ("euc_jp", "表", "may lie within"), ("latin-1", "€", "cannot be encoded in iso8859-1"),
    ],
)
def test_a_delimiter_that_cannot_be_found_in_bytes_is_refused(
    encoding: str, delimiter: str | bytes, message: str
) -> None:
    with pytest.raises(InvalidValue, match=re.escape(message)):
        options(encoding, delimiter)


def test_arguments_of_other_types_are_refused() -> None:
    with pytest.raises(InvalidValue, match="unknown errors='nothing'"):
        options(errors="nothing")
    with pytest.raises(InvalidType, match="delimiter must be str or bytes, not int"):
        options(delimiter=5)  # type: ignore[arg-type]
    with pytest.raises(InvalidType, match="encoding must be a name"):
        options(None)  # type: ignore[arg-type]


def test_a_delimiter_that_no_character_can_hold_is_taken_in_any_encoding(tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes("表\tソ\tポ".encode("shift_jis"))
    for middle in range(9):
        assert flat(read(parts_of(tmp_path / "input", [middle]), options("shift_jis", "\t"))) == ["表", "ソ", "ポ"]
