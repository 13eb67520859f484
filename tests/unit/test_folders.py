"""Columns in the names of folders: values that stay what the names say, in rows and in record batches."""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mpirdd.formats.inputfiles import InputFile
from mpirdd.formats.records.csvtext import Csv
from mpirdd.formats.records.filters import conditions
from mpirdd.formats.records.folders import with_folders
from mpirdd.formats.records.parquet import Parquet
from mpirdd.formats.records.pieces import plan, read_pieces
from mpirdd.protocol.errors import InputError, InvalidValue

ONE = pa.table({"n": [1]})


def found(folder: Path, form: Any, *texts: str, content: Any = ONE) -> list[Any]:
    """The records of files with this content in the folders ``k=text``."""
    files = []
    for place, text in enumerate(texts):
        path = folder / str(place)
        if isinstance(content, str):
            path.write_text(content)
        else:
            pq.write_table(content, path)
        files.append(InputFile(str(path), os.path.getsize(path), folders=(("k", text),)))
    form, files = with_folders(form, files)
    form, groups = plan(form, files, 1, given=True)
    return [record for group in groups for record in read_pieces(form, group)]


def values(folder: Path, *texts: str) -> tuple[list[Any], list[Any]]:
    """Of ``k``: in rows, and in record batches."""
    rows = [row.k for row in found(folder, Parquet(), *texts)]
    return rows, [batch.column("k")[0].as_py() for batch in found(folder, Parquet(batches=True), *texts)]


NINES = "9" * 20


@pytest.mark.parametrize(("texts", "rows"), [
    ((str(2**63 - 1), "-5"), [2**63 - 1, -5]),
    ((NINES, "1"), [int(NINES), 1]), (("-" + "9" * 38,), [-int("9" * 38)]),
    (("9" * 39, "1"), ["9" * 39, "1"]), ((NINES, "1.5"), [NINES, "1.5"]), (("1e999", "1"), ["1e999", "1"]),
    (("9007199254740992", "0.5"), [float(2**53), 0.5]), (("9007199254740993", "0.5"), ["9007199254740993", "0.5"]),
])
def test_whole_numbers_of_any_length_are_exact(tmp_path: Path, texts: tuple[str, ...], rows: list[Any]) -> None:
    in_rows, in_batches = values(tmp_path, *texts)
    assert in_rows == in_batches == rows and list(map(type, in_rows)) == list(map(type, rows))


def test_filters_compare_with_long_numbers(tmp_path: Path) -> None:
    for condition in (("k", ">", 10**19), ("k", "=", int(NINES)), ("k", "in", [int(NINES)]), ("k", "!=", 1)):
        assert found(tmp_path, Parquet(filters=conditions([condition])), NINES, "1") == [(1, int(NINES))]
    with pytest.raises(InvalidValue, match="does not compare"):
        found(tmp_path, Parquet(filters=conditions([("k", "=", NINES)])), NINES)


def test_times_keep_their_offsets(tmp_path: Path) -> None:
    text, offset = "2024-01-05T10:00:00+02:00", timezone(timedelta(hours=2))
    in_rows, in_batches = values(tmp_path, text)
    assert in_rows == in_batches == [datetime(2024, 1, 5, 10, tzinfo=offset)]
    later = conditions([("k", ">", datetime(2024, 1, 5, 7, tzinfo=timezone.utc))])
    assert len(found(tmp_path, Parquet(filters=later), text)) == 1
    with pytest.raises(InvalidValue, match="does not compare"):
        found(tmp_path, Parquet(filters=conditions([("k", ">", datetime(2024, 1, 1))])), text)
    assert values(tmp_path, text, "2024-01-05")[0] == [text, "2024-01-05"]


@pytest.mark.parametrize("how", ["=", "!=", "<", ">="])
def test_nothing_compares_with_none_in_folders_as_in_files(tmp_path: Path, how: str) -> None:
    for name in ("k", "n"):
        assert found(tmp_path, Parquet(filters=conditions([(name, how, None)])), "5") == []


def test_record_batches_keep_columns_of_one_name(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], ["a", "a"])
    (batch,) = found(tmp_path, Parquet(batches=True), "5", content=table)
    assert batch.schema.names == ["a", "a", "k"] and [column.to_pylist() for column in batch.columns] == [[1], [2], [5]]


def test_a_name_that_types_does_not_convert_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"int\('x'\), of k= in the name of a folder, raised ValueError"):
        found(tmp_path, Csv(types=(("k", int),)), "x", content="a\n1\n")
