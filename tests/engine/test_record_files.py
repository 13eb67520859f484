"""Files of records through the API, on any number of ranks: partitions, rows that travel, writers, paths, errors."""

from __future__ import annotations

import json
import os
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from beside import sizes

from mpirdd import Context
from mpirdd.protocol.errors import InputError, InvalidType, InvalidValue, TaskError, UsageError

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,000 rows in 10 row groups."""
    path = tmp_path_factory.mktemp("table") / "x.parquet"
    rows = {"k": [i % 7 for i in range(1000)], "my name": [f"é{i}" for i in range(1000)], "class": [i / 2 for i in range(1000)]}
    pq.write_table(pa.table(rows), path, row_group_size=100)
    return path


def test_rows_travel_between_ranks_and_stay_rows(sc: Context, table: Path) -> None:
    rows = sc.parquetFile(table, 5)
    assert sizes(rows) == [200] * 5
    largest = rows.keyBy(lambda row: row.k).reduceByKey(lambda a, b: max(a, b, key=lambda row: row[2])).values()
    found = sorted(largest.collect())
    assert [row.k for row in found] == list(range(7)) and found[0]._columns == ("k", "my name", "class")
    assert rows.map(lambda row: (row, 1)).reduceByKey(lambda a, b: a + b).count() == 1000  # rows as keys
    assert rows.cache().count() == 1000 and rows.sortBy(lambda row: -row[2]).first() == (999 % 7, "é999", 499.5)
    assert rows.distinct().count() == 1000 and rows.map(lambda row: row._asdict()["class"]).sum() == 249750


def test_columns_and_filters_are_checked_by_the_call(sc: Context, table: Path) -> None:
    assert sc.parquetFile(table, columns=["class"], filters=[("k", "in", [3])]).count() == 143
    for wrong in ({"columns": "k"}, {"columns": [1]}, {"columns": ["k", "k"]}, {"filters": [("k", "like", 1)]}, {"filters": 5}):
        with pytest.raises((InvalidType, InvalidValue)):
            sc.parquetFile(table, **wrong)  # type: ignore[arg-type]
    for wrong in ({"columns": ["x"]}, {"filters": [("x", "=", 1)]}):
        with pytest.raises(InputError, match="has no column 'x'"):
            sc.parquetFile(table, **wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="does not exist"):
        sc.parquetFile(table.parent / "none")


def test_batches_are_arrows(sc: Context, table: Path) -> None:
    batches = sc.parquetFile(table, 3, batches=True, columns=["class"])
    assert batches.map(lambda batch: (type(batch).__name__, batch.num_columns)).distinct().collect() == [("RecordBatch", 1)]
    assert batches.map(lambda batch: batch.num_rows).sum() == 1000
    assert pa.Table.from_batches(batches.collect()).column("class").to_pylist() == [i / 2 for i in range(1000)]


@pytest.mark.parametrize("partitions", [1, 3])
def test_each_writer_and_reader_fit(sc: Context, tmp_path: Path, partitions: int) -> None:
    rows = [
        {"n": 2**60, "t": "a,\n\"b\"", "f": 0.5, "day": date(2024, 2, 29), "d": Decimal("1.50"), "l": [1, None], "none": None},
        {"n": None, "t": None, "f": None, "day": None, "d": None, "l": None, "none": "x"},
    ] * 5
    data = sc.parallelize(rows, partitions)
    data.saveAsParquetFile(tmp_path / "parquet")
    assert sc.parquetFile(tmp_path / "parquet").map(lambda row: row._asdict()).collect() == rows
    simple = data.map(lambda row: {name: row[name] for name in ("n", "t", "f", "l")})
    simple.saveAsJsonFile(tmp_path / "json", "bzip2")
    assert sc.jsonFile(tmp_path / "json").collect() == simple.collect()
    sc.parallelize([("a", 1), ("b", 2), ("c", 3)], partitions).saveAsCsvFile(tmp_path / "no names")
    assert sc.csvFile(tmp_path / "no names").collect() == [("a", "1"), ("b", "2"), ("c", "3")]
    data.map(lambda row: (row["n"], row["t"])).saveAsCsvFile(tmp_path / "csv", ["n", "the t"], sep=";")
    read = sc.csvFile(tmp_path / "csv", types={"n": int}, nullValue="", sep=";")
    assert read.collect() == [(row["n"], row["t"]) for row in rows]
    sc.parallelize(range(10), partitions).map(lambda i: np.full(3, i)).saveAsNumpyFile(tmp_path / "npy")
    assert [row.tolist() for row in sc.numpyFile(tmp_path / "npy").collect()] == [[i] * 3 for i in range(10)]
    names = {suffix: sorted(os.listdir(tmp_path / suffix))[-1] for suffix in ("parquet", "json", "csv", "npy")}
    last = f"part-{partitions - 1:05d}"
    assert names == {"parquet": f"{last}.parquet", "json": f"{last}.json.bz2", "csv": f"{last}.csv", "npy": f"{last}.npy"}


def test_a_decimal_may_have_more_digits_than_those_of_the_first_records(sc: Context, tmp_path: Path) -> None:
    money = sc.parallelize(range(3000), 2).map(lambda i: {"p": Decimal(i) / 100, "all": [Decimal(i)]})
    money.saveAsParquetFile(tmp_path / "money")
    assert sc.parquetFile(tmp_path / "money").map(lambda row: row._asdict()).collect() == money.collect()


def test_a_column_that_takes_no_none_names_the_record(sc: Context, tmp_path: Path) -> None:
    schema = pa.schema([pa.field("x", pa.int64(), nullable=False)])
    sc.parallelize([{"x": 1}], 1).saveAsParquetFile(tmp_path / "whole", schema)
    with pytest.raises(TaskError, match=r"column 'x' takes no None .* record \{'x': None\}"):
        sc.parallelize([{"x": 1}, {"x": None}], 1).saveAsParquetFile(tmp_path / "none", schema)


def test_bad_parameters_are_refused_at_once(sc: Context, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(8))
    with pytest.raises(ValueError, match="offset must be a number of bytes, 0 or more, not -4"):
        sc.rawFile(tmp_path / "a", "<f4", offset=-4)
    with pytest.raises(ValueError, match="mode"):
        sc.jsonFile(tmp_path / "a", multiLine=True, mode="foo")


def test_empty_parts_and_empty_rdds(sc: Context, tmp_path: Path) -> None:
    few = sc.parallelize([{"a": 1}], 3)
    few.saveAsParquetFile(tmp_path / "parquet")
    few.saveAsJsonFile(tmp_path / "json")
    few.saveAsCsvFile(tmp_path / "csv")
    few.map(lambda row: [row["a"], 2]).saveAsNumpyFile(tmp_path / "npy")
    assert sc.parquetFile(tmp_path / "parquet").collect() == [(1,)] == sc.csvFile(tmp_path / "csv", types={"a": int}).collect()
    assert sc.jsonFile(tmp_path / "json").collect() == [{"a": 1}]
    assert [row.tolist() for row in sc.numpyFile(tmp_path / "npy").collect()] == [[1, 2]]
    none = sc.emptyRDD()
    none.saveAsJsonFile(tmp_path / "no json")
    none.saveAsCsvFile(tmp_path / "no csv")
    none.saveAsParquetFile(tmp_path / "no parquet", {"a": "int64"})
    with pytest.raises(UsageError, match="the RDD is empty, so nothing says its columns"):
        none.saveAsParquetFile(tmp_path / "x")
    (tmp_path / "nothing").mkdir()
    for read in (sc.jsonFile, sc.csvFile, sc.parquetFile, sc.orcFile, sc.arrowFile, sc.avroFile, sc.warcFile, sc.numpyFile,
                 sc.hdf5File, sc.netcdfFile):
        assert read(tmp_path / "nothing").collect() == [], read.__name__
    assert sc.parquetFile(tmp_path / "no parquet").collect() == []


def test_paths_are_those_of_text_files(sc: Context, tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for place, folder in enumerate((".", "deep", "deep/er")):
        (tmp_path / folder / f"{place}.json").write_text(f"{place}\n")
    (tmp_path / "_hidden.json").write_text("no JSON")
    assert sc.jsonFile([tmp_path / "deep/1.json", tmp_path / "0.json"]).collect() == [1, 0]
    assert sc.jsonFile(f"{tmp_path}/{{0,deep/1}}.json").collect() == [0, 1]
    assert sorted(sc.jsonFile(tmp_path, recursive=True).collect()) == [0, 1, 2]
    with pytest.raises(InputError, match="recursive=True"):
        sc.jsonFile(tmp_path)
    assert sc.jsonFile(f"file://{tmp_path}/0.json").name().endswith("/0.json")


def test_many_small_files_are_a_few_partitions(sc: Context, tmp_path: Path, executors: int) -> None:
    for place in range(200):
        (tmp_path / f"{place:03d}.csv").write_text(f"a,b\n{place},x\n")
    rows = sc.csvFile(tmp_path, types={"a": int})
    assert rows.map(lambda row: row.a).collect() == list(range(200))
    assert rows.getNumPartitions() <= 12 + executors and sc.csvFile(tmp_path, 50).getNumPartitions() >= 50


def test_what_a_job_finds_wrong_names_file_and_place(sc: Context, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('{"a": 1}\n{"a": \n')
    with pytest.raises(TaskError, match=r"x\.json: line 2 is not JSON"):
        sc.jsonFile(tmp_path / "x.json").count()
    assert sc.jsonFile(tmp_path / "x.json", mode="permissive").collect() == [{"a": 1}, {"_corrupt_record": '{"a": '}]
    with pytest.raises(InvalidValue, match="FAILFAST, PERMISSIVE, DROPMALFORMED"):
        sc.jsonFile(tmp_path / "x.json", mode="ignore")
    (tmp_path / "x.csv").write_text("a,b\n1\n")
    with pytest.raises(TaskError, match=r"x\.csv: a record of 1 fields"):
        sc.csvFile(tmp_path / "x.csv").count()
    for wrong in ({"sep": "||"}, {"quote": "é"}, {"escape": "\n"}, {"columns": "a"}, {"types": {"a": 5}}, {"header": 7}):
        with pytest.raises((InvalidType, InvalidValue)):
            sc.csvFile(tmp_path / "x.csv", **wrong)
    with pytest.raises(TaskError, match="is not JSON"):
        sc.parallelize([{1, 2}]).saveAsJsonFile(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(TaskError, match="column 'a' is int64"):
        sc.parallelize([{"a": 1}] * 1500 + [{"a": "late"}], 2).saveAsParquetFile(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    sc.parallelize([1]).saveAsJsonFile(tmp_path / "out")
    with pytest.raises(UsageError, match="exists already"):
        sc.parallelize([1]).saveAsJsonFile(tmp_path / "out")


def test_a_pipe_of_formats_ends_where_it_began(sc: Context, tmp_path: Path) -> None:
    sc.range(1000, numSlices=4).map(lambda i: {"i": i, "t": str(i) * 3}).saveAsJsonFile(tmp_path / "a", "gzip")
    sc.jsonFile(tmp_path / "a").saveAsParquetFile(tmp_path / "b", rowGroupRows=100)
    sc.parquetFile(tmp_path / "b", 8).saveAsCsvFile(tmp_path / "c")
    rows: list[Any] = sc.csvFile(tmp_path / "c", types={"i": int}).collect()
    assert sorted(rows) == [(i, str(i) * 3) for i in range(1000)]
    with open(tmp_path / "c" / "part-00000.csv") as file:
        assert file.readline() == "i,t\n"
    assert json.loads(sc.textFile(tmp_path / "a").first()) == {"i": 0, "t": "000"}
