"""Rows a second into a count, for each format of records, beside the format's library alone.

    python -m benchmarks.recordfiles [--rows 300000] [--repeats 3] [formats ...]

One process, one core, in turn, ``repeats`` times: the library reads a file in a plain loop that makes Python records; mpirdd
counts the records of the same file (``count``), which makes them only where it must, and makes all of them (``made``), in
a world of one rank. CPU seconds (``time.process_time``), so that other work on the machine hardly matters. Goal: at least
80 % of the library's own speed.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mpirdd import RDD, Context


@dataclass(frozen=True)
class Format:
    """How to make a file, how its library counts its records, and how mpirdd reads them."""

    write: Callable[[Path, int], None]
    alone: Callable[[Path], int]
    ours: Callable[[Context, Path], RDD]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("formats", nargs="*", choices=[[], *FORMATS], metavar="format", help=", ".join(FORMATS))
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Context() as sc:
        found = {}
        for name in given.formats or FORMATS:
            found[name] = measured(sc, name, Path(folder), given.rows, given.repeats)
    print(json.dumps({"benchmark": "recordfiles", "rows": given.rows, "formats": found}))


def in_a_process(rows: int) -> dict[str, Any]:
    """What a run finds, or why it could not run: for the benchmark ``sources``."""
    command = [sys.executable, "-m", "benchmarks.recordfiles", "--rows", str(rows)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1])
    if done.returncode:
        return {"missing": done.stderr.strip().splitlines()[-1:]}
    *lines, last = done.stdout.splitlines()
    print(*lines, sep="\n", file=sys.stderr)
    found: dict[str, Any] = json.loads(last)
    return found


def measured(sc: Context, name: str, folder: Path, rows: int, repeats: int) -> dict[str, float]:
    form, path = FORMATS[name], folder / name
    form.write(path, rows)
    sides: dict[str, Callable[[], int]] = {
        "library": lambda: form.alone(path),
        "count": lambda: form.ours(sc, path).count(),
        "made": lambda: int(form.ours(sc, path).mapPartitions(drained).sum()),
    }
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    expected = sides["library"]()
    for _ in range(repeats + 1):
        for side, count in sides.items():
            began = time.process_time()
            found = count()
            if found != expected and not name.endswith(("-blocks", "-batches")):
                raise SystemExit(f"{name}: {side} gives {found} records, not {expected}")
            seconds[side].append(time.process_time() - began)
    took = {side: statistics.median(seconds[side][1:]) for side in sides}  # the first one warms up
    print(f"{name:16} library {expected / took['library']:13,.0f} records/s   mpirdd counts at "
          f"{took['library'] / took['count']:6.0%}, makes them at {took['library'] / took['made']:5.0%} of that", flush=True)
    return {f"{side}_per_s": expected / took[side] for side in sides}


def drained(records: Iterable[Any]) -> list[int]:
    return [sum(1 for _ in records)]


# --- files ------------------------------------------------------------------------------------------------------------


def plain_rows(count: int) -> Iterator[dict[str, Any]]:
    return ({"id": i, "name": f"name {i % 1000}", "price": i / 8, "note": "a short text, quoted"} for i in range(count))


def columns(count: int) -> Any:
    import pyarrow as pa

    numbers = np.arange(count)
    return pa.table({
        "id": numbers, "name": [f"name {i % 1000}" for i in range(count)], "price": numbers / 8,
        "note": ["a short text, quoted"] * count})


def write_json(path: Path, count: int) -> None:
    with open(path, "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in plain_rows(count))


def write_csv(path: Path, count: int) -> None:
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, ["id", "name", "price", "note"])
        writer.writeheader()
        writer.writerows(plain_rows(count))


def write_parquet(path: Path, count: int) -> None:
    import pyarrow.parquet as pq

    pq.write_table(columns(count), path, row_group_size=50_000)


def write_orc(path: Path, count: int) -> None:
    import pyarrow.orc

    pyarrow.orc.write_table(columns(count), path, stripe_size=8 << 20)


def write_arrow(path: Path, count: int) -> None:
    import pyarrow.feather

    pyarrow.feather.write_feather(columns(count), path, compression="uncompressed")


def write_avro(path: Path, count: int) -> None:
    import fastavro

    kinds = {"id": "long", "name": "string", "price": "double", "note": "string"}
    schema = {"type": "record", "name": "row", "fields": [{"name": name, "type": kind} for name, kind in kinds.items()]}
    with open(path, "wb") as file:
        fastavro.writer(file, schema, plain_rows(count))


def write_npy(path: Path, count: int) -> None:
    with open(path, "wb") as file:
        np.save(file, np.arange(10 * count, dtype="f8"))


def write_large_npy(path: Path, count: int) -> None:
    with open(path, "wb") as file:
        np.save(file, np.arange(100 * count, dtype="f8"))


def write_hdf5(path: Path, count: int) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.arange(10 * count, dtype="f8"), chunks=(1 << 17,))


def write_zarr(path: Path, count: int) -> None:
    import zarr

    made = zarr.open(str(path), mode="w", shape=(10 * count,), chunks=(1 << 17,), dtype="f8")
    made[:] = np.arange(10 * count)


def write_warc(path: Path, count: int) -> None:
    from warcio.warcwriter import WARCWriter

    with open(path, "wb") as file:
        writer = WARCWriter(file, gzip=False)
        for place in range(count // 50):
            writer.write_record(writer.create_warc_record(
                f"http://example.org/{place}", "resource", payload=io.BytesIO(b"x" * 2000)))


# --- the libraries alone ----------------------------------------------------------------------------------------------


def json_alone(path: Path) -> int:
    with open(path) as file:
        return sum(1 for _ in map(json.loads, file))


def csv_alone(path: Path) -> int:
    with open(path, newline="") as file:
        return sum(1 for _ in csv.reader(file)) - 1


def parquet_alone(path: Path) -> int:
    import pyarrow.parquet as pq

    return sum(len(batch.to_pylist()) for batch in pq.ParquetFile(path).iter_batches(use_threads=False))


def parquet_batches_alone(path: Path) -> int:
    import pyarrow.parquet as pq

    return sum(batch.num_rows for batch in pq.ParquetFile(path).iter_batches(use_threads=False))


def orc_alone(path: Path) -> int:
    import pyarrow.orc

    file = pyarrow.orc.ORCFile(path)
    return sum(len(file.read_stripe(place).to_pylist()) for place in range(file.nstripes))


def arrow_alone(path: Path) -> int:
    import pyarrow as pa

    with pa.OSFile(str(path)) as source:
        file = pa.ipc.open_file(source)
        return sum(len(file.get_batch(place).to_pylist()) for place in range(file.num_record_batches))


def avro_alone(path: Path) -> int:
    import fastavro

    with open(path, "rb") as file:
        return sum(1 for _ in fastavro.reader(file))


def npy_alone(path: Path) -> int:
    return len(np.load(path, mmap_mode="r").tolist())


def npy_blocks_alone(path: Path) -> int:
    array = np.load(path, mmap_mode="r")
    return sum(int(np.count_nonzero(array[at : at + (1 << 19)])) for at in range(0, len(array), 1 << 19))


def hdf5_alone(path: Path) -> int:
    import h5py

    with h5py.File(path) as file:
        return len(file["x"][:].tolist())


def zarr_alone(path: Path) -> int:
    import zarr

    return len(zarr.open(str(path), mode="r")[:].tolist())


def warc_alone(path: Path) -> int:
    from warcio.archiveiterator import ArchiveIterator

    with open(path, "rb") as file:
        return sum(1 for record in ArchiveIterator(file) if record.content_stream().read() is not None)


FORMATS = {
    "json": Format(write_json, json_alone, lambda sc, path: sc.jsonFile(path)),
    "csv": Format(write_csv, csv_alone, lambda sc, path: sc.csvFile(path)),
    "parquet": Format(write_parquet, parquet_alone, lambda sc, path: sc.parquetFile(path)),
    "parquet-batches": Format(
        write_parquet, parquet_batches_alone,
        lambda sc, path: sc.parquetFile(path, batches=True).map(lambda batch: batch.num_rows)),
    "orc": Format(write_orc, orc_alone, lambda sc, path: sc.orcFile(path)),
    "arrow": Format(write_arrow, arrow_alone, lambda sc, path: sc.arrowFile(path)),
    "avro": Format(write_avro, avro_alone, lambda sc, path: sc.avroFile(path)),
    "npy": Format(write_npy, npy_alone, lambda sc, path: sc.numpyFile(path)),
    "npy-blocks": Format(
        write_large_npy, npy_blocks_alone,
        lambda sc, path: sc.numpyFile(path, batches=True).map(np.count_nonzero)),
    "hdf5": Format(write_hdf5, hdf5_alone, lambda sc, path: sc.hdf5File(path)),
    "zarr": Format(write_zarr, zarr_alone, lambda sc, path: sc.zarrFile(path)),
    "warc": Format(write_warc, warc_alone, lambda sc, path: sc.warcFile(path)),
}

if __name__ == "__main__":
    main()
