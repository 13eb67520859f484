"""Files of records on each store: written there, cut there, read by byte ranges."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mpirdd import Context
from mpirdd.formats.filesystems import Options, filesystem_of
from mpirdd.protocol.errors import InputError

pa = pytest.importorskip("pyarrow")
pytest.importorskip("pyarrow.orc")
fastavro = pytest.importorskip("fastavro")
zarr = pytest.importorskip("zarr")
h5py = pytest.importorskip("h5py")

COUNT = 3000


def contents() -> dict[str, bytes]:
    """Files of formats that we do not write."""
    made = {}
    made["x.orc"] = written(lambda file: pa.orc.write_table(pa.table({"a": list(range(COUNT))}), file))
    made["x.arrow"] = written(lambda file: pa.feather.write_feather(pa.table({"a": list(range(COUNT))}), file, chunksize=100))
    schema = {"type": "record", "name": "r", "fields": [{"name": "a", "type": "long"}]}
    rows = [{"a": i} for i in range(COUNT)]
    made["x.avro"] = written(lambda file: fastavro.writer(file, schema, rows, sync_interval=100))
    made["f.npy"] = written(lambda file: np.save(file, np.asfortranarray(np.arange(30).reshape(10, 3))))
    stored = io.BytesIO()
    with h5py.File(stored, "w") as file:
        file.create_dataset("d", data=np.arange(COUNT), chunks=(100,))
    made["x.h5"] = stored.getvalue()
    with tempfile.TemporaryDirectory() as folder:
        array = zarr.open(f"{folder}/x.zarr/y", mode="w", shape=(COUNT,), chunks=(500,), dtype="i8")
        array[:] = np.arange(COUNT)
        zarr.open_group(f"{folder}/x.zarr", mode="a")
        for path in Path(folder).rglob("*"):
            if path.is_file():
                made[str(path.relative_to(folder))] = path.read_bytes()
    return made


def written(write: Any) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["hdfs", "s3", "az", "gs"])
def test_records_are_written_and_read_by_ranges(request: pytest.FixtureRequest, kind: str) -> None:
    import pyarrow.feather  # noqa: F401

    server = request.getfixturevalue(kind)
    folder, options = f"{server.url}/records", getattr(server, "options", None)
    to: dict[str, Any] = {"storage_options": options, "overwrite": True}
    at: dict[str, Any] = {"storage_options": options}
    files = filesystem_of(folder, Options.of(options))
    for name, data in contents().items():
        with files.create(f"{folder}/{name}", overwrite=True) as file:
            file.write(data)
    with Context() as sc:
        rows = sc.range(COUNT, numSlices=3).map(lambda i: {"i": i, "t": f"x{i},\n\"q\""})
        expected = [(row["i"], row["t"]) for row in rows.collect()]
        rows.saveAsParquetFile(f"{folder}/parquet", rowGroupRows=100, **to)
        parquet = sc.parquetFile(f"{folder}/parquet", 7, **at)
        assert parquet.collect() == expected and parquet.getNumPartitions() >= 7
        assert sc.parquetFile(f"{folder}/parquet/*.parquet", filters=[("i", "<", 5)], **at).count() == 5
        rows.saveAsCsvFile(f"{folder}/csv", **to)
        assert sc.csvFile(f"{folder}/csv", 9, types={"i": int}, **at).collect() == expected
        rows.saveAsJsonFile(f"{folder}/json", "gzip", **to)
        assert [tuple(row.values()) for row in sc.jsonFile(f"{folder}/json", **at).collect()] == expected
        rows.map(lambda row: row["i"]).saveAsNumpyFile(f"{folder}/npy", **to)
        assert sc.numpyFile(f"{folder}/npy", 9, **at).collect() == list(range(COUNT))
        total = sum(range(COUNT))
        assert sc.orcFile(f"{folder}/x.orc", 3, **at).map(lambda row: row.a).sum() == total
        assert sc.arrowFile(f"{folder}/x.arrow", 3, **at).map(lambda row: row.a).sum() == total
        assert sc.avroFile(f"{folder}/x.avro", 3, **at).map(lambda row: row["a"]).sum() == total
        assert sc.hdf5File(f"{folder}/x.h5", "d", 3, batches=True, **at).map(lambda block: int(block.sum())).sum() == total
        assert sc.numpyFile(f"{folder}/f.npy", 3, **at).map(lambda row: int(row.sum())).sum() == sum(range(30))
        assert sc.zarrFile(f"{folder}/x.zarr", "y", 3, **at).sum() == total
        assert sc.zarrFile(f"{folder}/x.zarr", minPartitions=3, batches=True, **at).map(len).sum() == COUNT
        for year in (2023, 2024):
            rows.saveAsParquetFile(f"{folder}/table/year={year}", **to)
        table = sc.parquetFile(f"{folder}/table", columns=["year"], filters=[("year", ">", 2023), ("i", "<", 3)], **at)
        assert table.collect() == [(2024,)] * 3
        with pytest.raises(InputError, match=r"none\.parquet"):
            sc.parquetFile(f"{folder}/none.parquet", **at)
