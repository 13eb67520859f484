"""Columns in the names of folders (``year=2024/month=5/part.parquet``)."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.orc
import pyarrow.parquet
import pytest

from mpirdd import Context, InputError, InvalidValue

ROWS = [(n, year, month) for year in (2023, 2024) for month in (1, 12) for n in range(year * 100 + month, year * 100 + month + 3)]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One table in each format, a file for each month."""
    root = tmp_path_factory.mktemp("tables")
    for year in (2023, 2024):
        for month in (1, 12):
            numbers = [n for n, *found in ROWS if found == [year, month]]
            for kind in ("parquet", "orc", "csv", "json"):
                folder = root / kind / f"year={year}" / f"month={month:02d}"
                folder.mkdir(parents=True)
                table = pyarrow.table({"n": numbers})
                if kind == "parquet":
                    pyarrow.parquet.write_table(table, folder / "x.parquet")
                elif kind == "orc":
                    pyarrow.orc.write_table(table, folder / "x.orc")
                elif kind == "csv":
                    (folder / "x.csv").write_text("n\n" + "".join(f"{n}\n" for n in numbers))
                else:
                    (folder / "x.json").write_text("".join(json.dumps({"n": n}) + "\n" for n in numbers))
    return root


@pytest.mark.parametrize("kind", ["parquet", "orc", "csv", "json"])
def test_each_format_has_the_columns_behind_its_own(sc: Context, tables: Path, kind: str) -> None:
    path = str(tables / kind)
    rdd = {"parquet": lambda: sc.parquetFile(path), "orc": lambda: sc.orcFile(path), "json": lambda: sc.jsonFile(path),
           "csv": lambda: sc.csvFile(path, types={"n": int})}[kind]()
    found = rdd.collect()
    if kind == "json":
        assert found[0] == {"n": 202301, "year": 2023, "month": 1}
        found = [tuple(each.values()) for each in found]
    else:
        assert (found[0].year, found[0].month) == (2023, 1) and found[0]._columns == ("n", "year", "month")
    assert found == ROWS and rdd.count() == len(ROWS)


def test_columns_and_filters_name_those_of_folders_too(sc: Context, tables: Path) -> None:
    path = str(tables / "parquet")
    assert sc.parquetFile(path, columns=["month", "n"]).first() == (1, 202301)
    assert sc.parquetFile(path, columns=["year"]).distinct().collect() in ([(2023,), (2024,)], [(2024,), (2023,)])
    assert sc.csvFile(str(tables / "csv"), columns=["year"], types={"year": str}).take(1) == [("2023",)]

    def kept(filters: Any, **more: Any) -> list[Any]:
        return sc.parquetFile(path, filters=filters, **more).collect()

    assert kept([("year", "=", 2024), ("month", ">", 1)]) == ROWS[-3:]
    assert kept([[("year", "=", 2024), ("month", ">", 1)], [("n", "=", 202301)]]) == [ROWS[0], *ROWS[-3:]]
    assert kept([("year", "in", [2023]), ("n", ">=", 202302)]) == ROWS[1:6]
    assert kept([("year", ">", 2024)]) == kept([("month", "not in", [1, 12])]) == []
    (batch, *_) = kept([("month", "=", 12)], batches=True)
    assert batch.to_pydict() == {"n": [202312, 202313, 202314], "year": [2023] * 3, "month": [12] * 3}
    orc = sc.orcFile(str(tables / "orc"), columns=["n"], filters=[("year", "=", 2024), ("n", ">", 202411)])
    assert orc.collect() == [(row[0],) for row in ROWS[-3:]]
    with pytest.raises(InvalidValue, match=r"in the names of folders, are int64, and the filter's is str"):
        kept([("year", "=", "2024")])
    with pytest.raises(InputError, match="has no column 'yaer'"):
        kept([("yaer", "=", 2024)])


def test_files_that_filters_exclude_are_not_opened(sc: Context, tmp_path: Path) -> None:
    for year in (2023, 2024):
        (tmp_path / f"year={year}").mkdir()
    (tmp_path / "year=2023" / "x.parquet").write_text("this is no Parquet")
    pyarrow.parquet.write_table(pyarrow.table({"n": [1]}), tmp_path / "year=2024" / "x.parquet")
    rdd = sc.parquetFile(str(tmp_path), filters=[("year", ">=", 2024)])
    assert (rdd.getNumPartitions(), rdd.collect()) == (1, [(1, 2024)])


@pytest.mark.parametrize(("texts", "expected"), [
    (["1", "007"], [1, 7]), (["1", "2.5"], [1.0, 2.5]), (["2024-05-01"], [date(2024, 5, 1)]), (["1", "x"], ["1", "x"]),
    (["nan"], ["nan"]), (["1", "__HIVE_DEFAULT_PARTITION__"], [1, None]), (["a%2Fb"], ["a/b"]), (["9" * 30], [int("9" * 30)]),
])
def test_types_are_those_that_hold_all_texts(sc: Context, tmp_path: Path, texts: list[str], expected: list[Any]) -> None:
    for text in texts:
        (tmp_path / f"k={text}").mkdir()
        (tmp_path / f"k={text}" / "x.json").write_text("{}\n")
    found = sc.jsonFile(str(tmp_path)).map(lambda record: record["k"]).collect()
    assert sorted(map(repr, found)) == sorted(map(repr, expected))


def test_a_column_of_the_folder_counts_more_than_one_of_the_file(sc: Context, tmp_path: Path) -> None:
    (tmp_path / "k=1").mkdir()
    pyarrow.parquet.write_table(pyarrow.table({"k": [5], "n": [2]}), tmp_path / "k=1" / "x.parquet")
    assert sc.parquetFile(str(tmp_path)).collect() == [(2, 1)]
    assert sc.parquetFile(str(tmp_path), columns=["k"]).collect() == [(1,)]
    assert sc.parquetFile(str(tmp_path), columns=["n", "k"]).collect() == [(2, 1)]
    assert sc.parquetFile(str(tmp_path), recursive=True).collect() == sc.parquetFile(str(tmp_path / "k=1")).collect() == [(5, 2)]


def test_rows_of_no_columns_are_as_many_as_there_are(sc: Context, tables: Path) -> None:
    assert sc.parquetFile(str(tables / "parquet"), columns=[]).collect() == [()] * len(ROWS)
    batches = sc.parquetFile(str(tables / "parquet"), columns=[], batches=True)
    assert batches.map(lambda batch: batch.num_rows).sum() == len(ROWS)
    assert sc.csvFile(str(tables / "csv"), columns=[]).collect() == [()] * len(ROWS)
    assert sc.csvFile(str(tables / "csv" / "year=2023" / "month=01"), columns=[]).collect() == [()] * 3


def test_folders_of_other_columns_and_of_none_are_errors(sc: Context, tmp_path: Path) -> None:
    for name in ("two/a=1", "two/b=1", "alone/a=1"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "x.json").write_text("1\n")
    with pytest.raises(InputError, match=r"folders of different columns .b=; a=."):
        sc.jsonFile(str(tmp_path / "two"))
    with pytest.raises(Exception, match=r"the record 1 has no columns, so that a= of its folder cannot be added"):
        sc.jsonFile(str(tmp_path / "alone")).collect()
