"""CSV: cut anywhere, the rows are those that Python's parser finds in the whole file, or the read fails."""

from __future__ import annotations

import csv
import gzip
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from recordfiles import found, partitions, records

from mpirdd.formats.lineends import TextOptions
from mpirdd.formats.records.csvcuts import Cuts
from mpirdd.formats.records.csvtext import Csv, Dialect
from mpirdd.formats.records.csvwriter import csv_text
from mpirdd.formats.records.pieces import plan, read_pieces
from mpirdd.formats.records.rows import row_class
from mpirdd.protocol.errors import InputError, RecordError

FIELDS = st.text(alphabet='ab,"\n\r é', max_size=6)
TABLES = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(FIELDS, min_size=width, max_size=width), min_size=1, max_size=25))


def written(rows: list[list[str]], end: str = "\n", quoting: int = csv.QUOTE_MINIMAL) -> bytes:
    buffer = StringIO()
    csv.writer(buffer, lineterminator=end, quoting=quoting).writerows(rows)  # type: ignore[arg-type]
    return buffer.getvalue().encode()


def parsed(data: bytes) -> list[list[str]]:
    return [row for row in csv.reader(StringIO(data.decode(), newline="")) if row]


@settings(max_examples=50, deadline=None)
@given(TABLES, st.sampled_from(["\n", "\r\n"]), st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), st.integers(2, 40))
def test_rows_of_a_well_formed_file_come_back_however_it_is_cut(
    tmp_path_factory: Any, rows: list[list[str]], end: str, quoting: int, least: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "rows.csv"
    # Python before 3.13 does not quote a lone \\r in a file whose lines end with \\n.
    path.write_bytes(written(rows, end, csv.QUOTE_ALL if end == "\n" else quoting))
    form = Csv(header=False)
    try:
        found = [list(row) for row in records(form, path, least=least)]
    except InputError as error:
        assert "multiLine=True" in str(error)  # the cuts are but a few bytes apart, so that the quotes may not tell
        return
    assert found == parsed(path.read_bytes())


@settings(max_examples=50, deadline=None)
@given(st.text(alphabet='ab,"\n\r ', max_size=80).map(str.encode), st.integers(2, 30))
def test_any_text_at_all_gives_the_parsers_rows_or_an_error(tmp_path_factory: Any, data: bytes, least: int) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(data or b"x")
    try:
        found = [list(row) for row in records(Csv(header=False, mode="PERMISSIVE"), path, least=least)]
    except InputError:
        return
    width = len(next(iter(parsed(path.read_bytes())), []))
    assert found == [(row + [None] * width)[:width] for row in parsed(path.read_bytes())]


def test_cuts_far_apart_are_found_within_quoted_line_ends(tmp_path: Path) -> None:
    rows = [[str(i), f"line one of {i},\nline two, \"quoted\"\n", "x" * (i % 50)] for i in range(3000)]
    path = tmp_path / "text.csv"
    path.write_bytes(written([["id", "text", "more"], *rows]))
    parts = partitions(Csv(), path, least=17)
    assert len(parts) >= 17 and all(parts)
    assert [list(row) for part in parts for row in part] == rows


def test_a_field_longer_than_many_pieces_leaves_these_empty(tmp_path: Path) -> None:
    rows = [["a", "line\n" * 20_000], ["b", "c"], ["d", "e"]]
    path = tmp_path / "long.csv"
    path.write_bytes(written(rows))
    try:
        assert [list(row) for row in records(Csv(header=False), path, least=10)] == rows
    except InputError as error:
        assert "multiLine=True" in str(error)
    assert [list(row) for row in records(Csv(header=False, may_cut=False), path, least=10)] == rows


def test_the_state_at_a_cut_is_told_by_the_quotes_that_follow() -> None:
    data = b'a,"b\nc\nd",e\nf,"g ""h""\n",i\nj,k,l\n'
    starts = [0, 12, 27, 33]
    cuts = Cuts(b",", b'"')
    for offset in range(len(data) + 1):
        expected = next((start for start in starts if start >= offset), len(data))
        assert cuts.first_record(BytesIO(data), offset, len(data)) == expected, offset


# --- the options ------------------------------------------------------------------------------------------------------


def test_columns_come_in_the_order_asked_for_and_names_need_not_be_identifiers(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("first name,class,n\nAda,x,1\nAlan,,2\n")
    rows = records(Csv(columns=("n", "first name"), types=(("n", int),)), path)
    assert rows == [(1, "Ada"), (2, "Alan")]
    assert rows[0]._columns == ("n", "first name") and rows[0]._asdict() == {"n": 1, "first name": "Ada"}
    assert rows[0].n == 1 and rows[0]._1 == "Ada"
    assert records(Csv(null=""), path)[1] == ("Alan", None, "2")


def test_files_with_columns_in_another_order_are_read_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").write_text("y,z,x\n4,9,3\n")
    assert records(Csv(), tmp_path / "a.csv", tmp_path / "b.csv") == [("1", "2"), ("3", "4")]
    (tmp_path / "b.csv").write_text("y,z,x\n" + "4,9,3\n" * 100)
    assert records(Csv(), tmp_path / "a.csv", tmp_path / "b.csv", least=20) == [("1", "2")] + [("3", "4")] * 100
    (tmp_path / "c.csv").write_text("x\n1\n")
    with pytest.raises(InputError, match=r"c\.csv has no column 'y' \(which .*a\.csv has\)"):
        records(Csv(), tmp_path / "a.csv", tmp_path / "c.csv")


def test_headers_are_given_made_or_read(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("1,2\n3,4\n")
    assert records(Csv(header=False), path)[0]._columns == ("_c0", "_c1")
    assert records(Csv(header=False, names=("a", "b")), path)[1].b == "4"
    assert records(Csv(), path) == [("3", "4")]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"a,b\n", b"a,b", b"\xef\xbb\xbfa,b\r\n"])
def test_empty_files_have_no_rows(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    assert records(Csv(), path) == []


def test_marks_encodings_and_compression(tmp_path: Path) -> None:
    text = 'näme,"größe\n"\nÄ,1\n'
    (tmp_path / "marked.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    (tmp_path / "wide.csv").write_bytes(text.encode("utf-16"))
    (tmp_path / "latin.csv").write_bytes(text.encode("latin-1"))
    (tmp_path / "packed.csv.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "unnamed").write_bytes(gzip.compress(text.encode()))
    for name, encoding in [
        ("marked.csv", "utf-8"), ("wide.csv", "utf-16"), ("latin.csv", "latin-1"), ("packed.csv.gz", "utf-8"),
        ("unnamed", "utf-8"),
    ]:
        rows = records(Csv(options=TextOptions.of(encoding, "strict", None)), tmp_path / name, least=3)
        assert rows == [("Ä", "1")] and rows[0]._columns == ("näme", "größe\n"), name


def test_an_escape_character_and_other_separators(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a;b\n'x\\'y;\n';2\n")
    assert records(Csv(dialect=Dialect(";", "'", "\\")), path, least=4) == [("x'y;\n", "2")]
    path.write_text('a\tb\n5" disk\t1\n')
    assert records(Csv(dialect=Dialect("\t", None)), path, least=4) == [('5" disk', "1")]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("a,b\n1,2\n3\n4,5\n", "a record of 1 fields, where there are 2 columns (a, b), 2 records or fewer before line"),
        ("a,b\n1,2\n3,4,5\n", "['3', '4', '5']"),
        ('a,b\n1,"2\n3,4\n', "the file ends within quotes"),
        ("a,b\n1,x\n", "column 'b', in the 1 records before line"),
    ],
)
def test_wrong_rows_are_named_with_file_and_line(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        records(Csv(types=(("b", int),) if "x" in text else ()), path)
    assert expected in str(error.value) and str(path) in str(error.value)


def test_modes_leave_out_or_fill_up(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,2\n3\n4,5,6\n")
    assert records(Csv(mode="DROPMALFORMED"), path) == [("1", "2")]
    assert records(Csv(mode="PERMISSIVE"), path) == [("1", "2"), ("3", None), ("4", "5")]


def test_modes_say_what_becomes_of_a_value_that_does_not_convert(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b\n1,2\nx,3\n4,y\n")
    types = (("a", int), ("b", int))
    assert records(Csv(mode="DROPMALFORMED", types=types), path) == [(1, 2)]
    assert records(Csv(mode="DROPMALFORMED", types=types, columns=("b",)), path) == [(2,), (3,)]
    assert records(Csv(mode="PERMISSIVE", types=types), path) == [(1, 2), (None, 3), (4, None)]


@pytest.mark.parametrize("before, line", [
    ("", 1), ("a,b\n", 2), ('a,b\n"1\n2",3\n', 4), ("a,b\n" + "1,2\n" * 20_000 + "3", 20_002)])
def test_a_byte_that_is_no_text_is_told_with_its_line(tmp_path: Path, before: str, line: int) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(before.encode() + b"\xff\n1,2\n")
    with pytest.raises(InputError, match=f"0xff near line {line} "):
        records(Csv(), path)


def test_a_byte_that_is_no_text_and_a_missing_column_are_told(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"a\nb\xff\n")
    with pytest.raises(InputError, match="is not UTF-8: byte 0xff"):
        records(Csv(), path)
    path.write_bytes(b"a\n1\n")
    with pytest.raises(InputError, match="has no column 'b'; its columns are 'a'"):
        records(Csv(columns=("b",)), path)


def test_a_file_of_another_kind_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"Obj\1" + bytes(50))
    with pytest.raises(InputError, match="is no CSV but an Avro file: avroFile reads it"):
        records(Csv(), path)
    path.write_text("PAR1,b\n1,2\n")
    assert records(Csv(), path) == [("1", "2")]


# --- write ------------------------------------------------------------------------------------------------------------


def test_what_is_written_is_read(tmp_path: Path) -> None:
    rows: list[Any] = [row_class(("a b", "c"))("x,\n\"y\"", None), ("\r", "z"), ("é", 1.5), {"c": 2**70}]
    path = tmp_path / "x.csv"
    path.write_bytes(b"".join(csv_text(Dialect(), True, ("a b", "c"), rows)))
    assert records(Csv(), path) == [("x,\n\"y\"", ""), ("\r", "z"), ("é", "1.5"), ("", str(2**70))]


def test_rows_without_names_get_those_of_spark(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(b"".join(csv_text(Dialect(), True, None, [("a", 1), ["b", 2]])))
    assert path.read_text() == "_c0,_c1\na,1\nb,2\n" and records(Csv(), path) == [("a", "1"), ("b", "2")]
    for ragged in ([(1, 2), (3,)], [(1,), (2, 3)], [()]):
        for header in (True, False):
            with pytest.raises(RecordError, match=r"fields, where there are \d columns"):
                list(csv_text(Dialect(), header, None, ragged))


@pytest.mark.parametrize("record", [{"a": 1, "z": 2}, (1, 2, 3), 5, "text", ("\ud800", 1)])
def test_records_that_are_no_rows_are_refused(record: Any) -> None:
    with pytest.raises(RecordError, match="saveAsCsvFile"):
        list(csv_text(Dialect(), True, ("a", "b"), [record]))


# --- names that come twice --------------------------------------------------------------------------------------------


def test_names_that_a_header_repeats_or_leaves_out_get_their_place(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b,a,\n" + "1,2,3,4\n" * 50)
    for least in (1, 20):
        rows = records(Csv(), path, least=least)
        assert rows == [("1", "2", "3", "4")] * 50
        assert {tuple(row._asdict().items()) for row in rows} == {(("a0", "1"), ("b", "2"), ("a2", "3"), ("_c3", "4"))}
    assert rows[0].a2 == "3" and rows[0]._c3 == "4"
    assert records(Csv(columns=("a2", "a0"), types=(("a0", int),)), path)[0] == ("3", 1)
    (tmp_path / "y.csv").write_text("b,a,\n9,8,7\n")
    with pytest.raises(InputError, match=r"y\.csv has no column 'a0'"):
        records(Csv(), path, tmp_path / "y.csv")
    path.write_text("a,a,a1\n1,2,3\n")
    with pytest.raises(InputError, match=r"x\.csv: columns 1, 2 \(from 0\) are all named 'a1'"):
        records(Csv(), path)


# --- what comes first -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("empty", [b"", b"\n\n", gzip.compress(b"")], ids=["empty", "empty lines", "packed"])
def test_a_first_file_without_records_says_nothing(tmp_path: Path, empty: bytes) -> None:
    """Such as the part of a partition without records."""
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_bytes(empty)
    second.write_text("x,y\n1,2\n")
    assert records(Csv(), first, first, second) == [("1", "2")]
    assert [row._asdict() for row in records(Csv(header=False), first, second)] == [
        {"_c0": "x", "_c1": "y"}, {"_c0": "1", "_c1": "2"}]
    assert records(Csv(columns=("y",), types=(("y", int),)), first, second, least=5) == [(2,)]
    assert records(Csv(header=False, columns=("_c1",)), first, second) == [("y",), ("2",)]
    with pytest.raises(InputError, match=r"b\.csv has no column 'z'"):
        records(Csv(columns=("z",)), first, second)
    assert records(Csv(), first) == records(Csv(header=False), first, first) == []


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-le"])
def test_a_mark_counts_at_the_start_of_a_file_alone(tmp_path: Path, encoding: str) -> None:
    path, options = tmp_path / "x.csv", TextOptions.of(encoding, "strict", None)
    path.write_bytes(("\ufeffa,b\n" + "\ufeffx,y\n" * 30).encode(encoding))
    for least in (1, 20):
        rows = records(Csv(options=options), path, least=least)
        assert rows[0]._columns == ("a", "b") and rows == [("\ufeffx", "y")] * 30


@pytest.mark.parametrize("separator", [" ", ":", "\x1e", "\x1d", "m", "t"])
def test_any_character_may_be_the_separator(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "x.csv"
    path.write_text(f"a{separator}b\n" + f'1{separator}"2\n3"\n' * 30)
    for least in (1, 20):
        assert records(Csv(Dialect(separator)), path, least=least) == [("1", "2\n3")] * 30


def test_text_whose_separators_are_other_bytes_is_not_cut(tmp_path: Path) -> None:
    path, text = tmp_path / "x.csv", "a,b\n" + "1,\x8e\n" * 30  # in EBCDIC that character is the byte 0x0a
    path.write_bytes(text.encode("cp037"))
    assert records(Csv(options=TextOptions.of("cp037", "strict", None)), path, least=20) == [("1", "\x8e")] * 30


def test_a_file_that_has_become_shorter_is_told(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b\n" + "1,2\n" * 100)
    for least in (1, 10):
        form, groups = plan(Csv(), found(path), least, given=True)
        data = path.read_bytes()
        path.write_bytes(data[: len(data) // 2 // 4 * 4])
        for group in groups:
            with pytest.raises(InputError, match=r"x\.csv has become shorter: 200 bytes now, 404 or more"):
                list(read_pieces(form, group))
        path.write_bytes(data)
