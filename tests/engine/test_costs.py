"""``Context.costs``: a job's time as all executors count it."""

from __future__ import annotations

import gzip
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import fastavro
import h5py
import numpy
import pyarrow
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet
import pytest
import zarr
from beside import about_keeping
from warcio.warcwriter import WARCWriter

from mpirdd import Context
from mpirdd.driver.told import _input_of
from mpirdd.formats import picklefile, sequencefile

PARTS = ("input_s", "lines_s", "parse_s", "output_s", "read_s", "write_s", "commit_s", "encode_s", "decode_s", "compute_s")


def grown(sc: Context, before: dict[str, float]) -> dict[str, float]:
    return {name: cost - before.get(name, 0) for name, cost in sc.costs().items()}


def test_the_parts_of_a_job_over_text_add_up_to_its_tasks(sc: Context, tmp_path: Path) -> None:
    path = tmp_path / "numbers.txt"
    path.write_text("".join(f"{number}\n" for number in range(50_000)))
    before = sc.costs()
    assert sc.textFile(str(path), 4).map(int).sum() == sum(range(50_000))
    costs = grown(sc, before)
    assert costs["input_bytes"] == path.stat().st_size
    assert min(costs["input_s"], costs["lines_s"], costs["compute_s"]) > 0
    assert sum(costs.get(part, 0) for part in PARTS) == pytest.approx(costs["task_s"], rel=0.01)


@about_keeping
def test_a_kept_partition_is_neither_read_nor_encoded_again(sc: Context, tmp_path: Path) -> None:
    path = tmp_path / "numbers.txt"
    path.write_text("".join(f"{number}\n" for number in range(1000)))
    numbers = sc.textFile(str(path), 4).map(int).cache()
    assert numbers.count() == 1000
    before = sc.costs()
    assert numbers.sum() == sum(range(1000))
    costs = grown(sc, before)
    assert costs["compute_s"] > 0
    assert {name for name, cost in costs.items() if cost} <= {"compute_s", "task_s"}


def test_a_shuffle_counts_both_ends_and_the_exchange_between_them(sc: Context) -> None:
    before = sc.costs()
    assert sc.parallelize([(number % 7, number) for number in range(10_000)], 4).groupByKey(2).count() == 7
    costs = grown(sc, before)
    assert min(costs["encode_s"], costs["exchange_s"], costs["decode_s"], costs["compute_s"]) > 0
    if not costs.get("read_s"):  # of what the exchange reads from files, none is in the tasks
        assert sum(costs.get(part, 0) for part in PARTS) == pytest.approx(costs["task_s"], rel=0.01)


def _text(folder: Path) -> tuple[Any, int, int]:
    path = folder / "lines.txt"
    path.write_text("".join(f"line {number}\n" for number in range(3000)))
    return lambda sc: sc.textFile(str(path), 3), 3000, path.stat().st_size


def _packed(folder: Path) -> tuple[Any, int, int]:
    path = folder / "lines.txt.gz"
    path.write_bytes(gzip.compress("".join(f"line {number}\n" for number in range(3000)).encode()))
    return lambda sc: sc.textFile(str(path)), 3000, path.stat().st_size


def _documents(folder: Path) -> tuple[Any, int, int]:
    for number in range(3):
        (folder / f"{number}.txt").write_text("text" * 1000)
    return lambda sc: sc.wholeTextFiles(str(folder)), 3, 12_000


def _files(folder: Path) -> tuple[Any, int, int]:
    return (lambda sc: sc.binaryFiles(str(folder))), *_documents(folder)[1:]


def _fixed(folder: Path) -> tuple[Any, int, int]:
    (folder / "records").write_bytes(b"12345678" * 4000)
    return lambda sc: sc.binaryRecords(str(folder), 8), 4000, 32_000


def _json(folder: Path) -> tuple[Any, int, int]:
    path = folder / "x.json"
    path.write_text("".join(f'{{"a": {number}}}\n' for number in range(3000)))
    return lambda sc: sc.jsonFile(str(path), 1), 3000, path.stat().st_size


def _csv(folder: Path) -> tuple[Any, int, int]:
    path = folder / "x.csv"
    path.write_text("a,b\n" + "".join(f"{number},x\n" for number in range(3000)))
    return lambda sc: sc.csvFile(str(path), 1, types={"a": int}), 3000, path.stat().st_size


def _parquet(folder: Path) -> tuple[Any, int, int]:
    path, numbers = folder / "x.parquet", list(range(30_000))
    pyarrow.parquet.write_table(pyarrow.table({"a": numbers, "b": numbers}), path, row_group_size=10_000, compression="none")
    group = pyarrow.parquet.ParquetFile(path).metadata.row_group(0)
    return lambda sc: sc.parquetFile(str(path), 1, columns=["b"], filters=[("b", "<", 9_000)]), 9_000, (
        group.column(1).total_compressed_size)


def _orc(folder: Path) -> tuple[Any, int, int]:
    path = folder / "x.orc"
    pyarrow.orc.write_table(pyarrow.table({"a": list(range(3000))}), path)
    return lambda sc: sc.orcFile(str(path), 1), 3000, path.stat().st_size


def _arrow(folder: Path) -> tuple[Any, int, int]:
    path = folder / "x.arrow"
    pyarrow.feather.write_feather(pyarrow.table({"a": list(range(3000))}), path)
    return lambda sc: sc.arrowFile(str(path), 1), 3000, path.stat().st_size


def _avro(folder: Path) -> tuple[Any, int, int]:
    path = folder / "x.avro"
    schema = {"type": "record", "name": "P", "fields": [{"name": "n", "type": "int"}]}
    with path.open("wb") as file:
        fastavro.writer(file, schema, [{"n": number} for number in range(3000)])
    return lambda sc: sc.avroFile(str(path), 1), 3000, path.stat().st_size


def _npy(folder: Path) -> tuple[Any, int, int]:
    numpy.save(folder / "x.npy", numpy.arange(30_000))
    return lambda sc: sc.numpyFile(str(folder), 2), 30_000, 240_000


def _hdf5(folder: Path) -> tuple[Any, int, int]:
    path = folder / "x.h5"
    with h5py.File(path, "w") as file:
        file["n"] = numpy.arange(200_000)
    return lambda sc: sc.hdf5File(str(path), minPartitions=1), 200_000, path.stat().st_size


def _zarr(folder: Path) -> tuple[Any, int, int]:
    made = zarr.open(str(folder / "x.zarr"), mode="w", shape=(3000,), chunks=(500,), dtype="i8")
    made[:] = numpy.random.default_rng(0).integers(0, 1 << 60, 3000)
    return lambda sc: sc.zarrFile(str(folder / "x.zarr")), 3000, sum(
        each.stat().st_size for each in folder.rglob("*") if each.is_file())


def _sequence(folder: Path) -> tuple[Any, int, int]:
    path = folder / "part"
    path.write_bytes(b"".join(sequencefile.write_records(
        ((number, "x") for number in range(3000)), sequencefile.format_of("IntWritable", "Text", None))))
    return lambda sc: sc.sequenceFile(str(path), minSplits=1), 3000, path.stat().st_size


def _pickles(folder: Path) -> tuple[Any, int, int]:
    path = folder / "part"
    path.write_bytes(b"".join(picklefile.write_pickles(range(3000), 7)))
    return lambda sc: sc.pickleFile(str(path), 1), 3000, path.stat().st_size


def _warc(folder: Path) -> tuple[Any, int, int]:
    path = folder / "x.warc"
    with path.open("wb") as file:
        writer = WARCWriter(file, gzip=False)
        for _ in range(20):
            writer.write_record(writer.create_warc_record("http://a.org/", "resource", payload=io.BytesIO(b"Hello" * 100)))
    return lambda sc: sc.warcFile(str(path)), 20, path.stat().st_size


READERS = [_text, _packed, _documents, _files, _fixed, _json, _csv, _parquet, _orc, _arrow, _avro, _npy, _hdf5, _zarr, _sequence,
           _pickles, _warc]


@pytest.mark.parametrize("made", READERS, ids=lambda made: made.__name__[1:])
def test_every_reader_counts_its_bytes_and_records(sc: Context, tmp_path: Path, made: Any) -> None:
    opened, count, size = made(tmp_path)
    before = dict(sc._driver.costs)
    assert opened(sc).map(lambda record: 1).sum() == count
    costs = {name: cost - before.get(name, 0) for name, cost in sc._driver.costs.items()}
    assert costs["input_records"] == count
    if made is _zarr and zarr.__version__.startswith("2."):
        size = 0  # it opens local files by itself, and does not tell
    # Libraries look at a file's end or header on their own, and hardly ever twice.
    assert costs.get("input_bytes", 0) == pytest.approx(size, rel=0.1 if made in (_npy, _hdf5, _zarr) else 0.001)
    assert sum(costs.get(part, 0) for part in PARTS) == pytest.approx(costs["task_s"], rel=0.02)


WRITERS = {
    "text": lambda rdd, path: rdd.saveAsTextFile(path), "gzip": lambda rdd, path: rdd.saveAsTextFile(path, "gzip"),
    "pickles": lambda rdd, path: rdd.saveAsPickleFile(path), "npy": lambda rdd, path: rdd.saveAsNumpyFile(path),
    "sequence": lambda rdd, path: rdd.map(lambda n: (n, n)).saveAsSequenceFile(
        path, keyClass="IntWritable", valueClass="IntWritable"),
    "json": lambda rdd, path: rdd.saveAsJsonFile(path),
    "csv": lambda rdd, path: rdd.map(lambda n: (n,)).saveAsCsvFile(path, ["n"]),
    "parquet": lambda rdd, path: rdd.map(lambda n: (n,)).saveAsParquetFile(path, {"n": int}),
}


@pytest.mark.parametrize("save", WRITERS.values(), ids=WRITERS)
def test_every_writer_counts_its_bytes_and_records(sc: Context, tmp_path: Path, save: Any) -> None:
    before = dict(sc._driver.costs)
    save(sc.parallelize(range(3000), 2), str(tmp_path / "out"))
    costs = {name: cost - before.get(name, 0) for name, cost in sc._driver.costs.items()}
    written = sum(each.stat().st_size for each in (tmp_path / "out").glob("part-*"))
    assert (costs["output_bytes"], costs["records_out"]) == (written, 3000)
    assert costs["output_s"] > 0
    assert sum(costs.get(part, 0) for part in PARTS) == pytest.approx(costs["task_s"], rel=0.02)


def test_the_log_knows_inputs_of_every_format_and_which_are_not_cut(sc: Context, tmp_path: Path) -> None:
    numpy.savez(tmp_path / "x.npz", a=numpy.arange(1000))
    (tmp_path / "x.csv").write_text("a\n1\n")
    found = {}
    for name, rdd in (("npz", sc.numpyFile(str(tmp_path / "x.npz"))), ("csv", sc.csvFile(str(tmp_path / "x.csv")))):
        source = rdd._node
        large = [tuple(replace(piece, file=replace(piece.file, block_bytes=100)) for piece in group) for group in source.splits]
        found[name] = _input_of(replace(source, splits=large))
    assert found["npz"] == (str(tmp_path / "x.npz"), True)
    assert found["csv"] == (str(tmp_path / "x.csv"), False)
