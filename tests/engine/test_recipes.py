"""The blocks of docs/RECIPES.md run as they stand, in a folder with the files that they name."""

from __future__ import annotations

import gzip
import io
import json
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest

from mpirdd import Context

PAGE = (Path(__file__).parents[2] / "docs" / "RECIPES.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.+)\n((?:(?!^## ).*\n)*)", PAGE, flags=re.MULTILINE))
RECIPES = {name: re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL) for name, text in SECTIONS.items()}
NEEDS = {
    "Parquet": "pyarrow", "Tables in folders": "pyarrow", "ORC and Arrow": "pyarrow",
    "HDF5 and NetCDF": "h5py", "Zarr": "zarr", "Avro": "fastavro",
    "Web archives": "warcio", "Data frames": "pyarrow", "JSON": "backports.zstd",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipes")
    for name in ("logs", "many", "archives"):
        (folder / name).mkdir()
    (folder / "logs" / "a.log.gz").write_bytes(gzip.compress(b"10:01 ERROR disk full\n10:02 INFO net up\n"))
    (folder / "logs" / "b.log.gz").write_bytes(gzip.compress(b"10:03 ERROR net down\n"))
    events = [("ada", "click"), ("alan", "view")]
    (folder / "events.json").write_text("".join(json.dumps({"user": user, "kind": kind}) + "\n" for user, kind in events))
    (folder / "people.csv").write_text('name,note,born\n"Lovelace, Ada","first\nprogrammer",1815\nAlan,,1912\n')
    np.save(folder / "matrix.npy", np.arange(300.0).reshape(100, 3))
    np.arange(30, dtype="<f4").tofile(folder / "points.bin")
    for place in range(300):
        (folder / "many" / f"{place}.json").write_text(f"{place}\n")
    with tarfile.open(folder / "archives" / "x.tar", "w") as archive:
        member = tarfile.TarInfo("a.txt")
        member.size = 5
        archive.addfile(member, io.BytesIO(b"Hello"))
    return folder


def make_sales(folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (folder / "sales").mkdir(exist_ok=True)
    north = pa.table({"year": [2019, 2020], "shop": ["north", "north"], "price": [5.0, 7.5]})
    pq.write_table(north, folder / "sales" / "a.parquet")
    pq.write_table(pa.table({"year": [2021], "shop": ["south"], "price": [4.0]}), folder / "sales" / "b.parquet")


def make_visits(folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for place, user in (("year=2023/month=05", "ada"), ("year=2024/month=01", "bob"), ("year=2024/month=05", "ada"),
                        ("year=2024/month=12", "alan")):
        (folder / "visits" / place).mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"user": [user]}), folder / "visits" / place / "x.parquet")


def make_points(folder: Path) -> None:
    import pyarrow as pa
    import pyarrow.feather
    import pyarrow.orc

    table = pa.table({"x": [1, 2], "y": [0.5, 1.5]})
    pyarrow.feather.write_feather(table, folder / "points.arrow")
    pyarrow.orc.write_table(table, folder / "points.orc")


def make_hdf5(folder: Path) -> None:
    import h5py

    with h5py.File(folder / "run.h5", "w") as file:
        file.create_dataset("steps/energy", data=np.arange(-5.0, 95.0), chunks=(10,))
        file["steps/time"] = np.arange(100)
    with h5py.File(folder / "climate.nc", "w") as file:
        file["t2m"] = [[280.5, 281.0], [283.0, 280.0]]


def make_zarr(folder: Path) -> None:
    import zarr

    made = zarr.open(str(folder / "field.zarr"), mode="w", shape=(100,), chunks=(10,), dtype="i4")
    made[:] = np.arange(100)


def make_avro(folder: Path) -> None:
    import fastavro

    fields = [{"name": "name", "type": "string"}, {"name": "id", "type": "long"}]
    with open(folder / "users.avro", "wb") as file:
        rows = [{"name": "Ada", "id": 1}, {"name": "Alan", "id": 2}]
        fastavro.writer(file, {"type": "record", "name": "User", "fields": fields}, rows)


def make_warc(folder: Path) -> None:
    from warcio.statusandheaders import StatusAndHeaders
    from warcio.warcwriter import WARCWriter

    with open(folder / "crawl.warc.gz", "wb") as file:
        writer = WARCWriter(file)
        headers = StatusAndHeaders("200 OK", [("Content-Type", "text/html")], protocol="HTTP/1.1")
        writer.write_record(writer.create_warc_record(
            "http://example.org/", "response", payload=io.BytesIO(b"Hello"), http_headers=headers))


MAKE = {
    "Parquet": make_sales, "Tables in folders": make_visits, "ORC and Arrow": make_points,
    "HDF5 and NetCDF": make_hdf5, "Zarr": make_zarr, "Avro": make_avro,
    "Web archives": make_warc,
}


@pytest.mark.parametrize("name", RECIPES)
def test_recipe_runs(sc: Context, files: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    if name in NEEDS:
        pytest.importorskip(NEEDS[name])
    if name in MAKE:
        MAKE[name](files)
    monkeypatch.chdir(files)
    assert RECIPES[name], f"{name} has no block of code"
    for block in RECIPES[name]:
        assert block.count("\n") <= 10, "a recipe has at most ten lines"
        exec(compile(block, f"RECIPES.md, {name}", "exec"), {"sc": sc})


def test_every_recipe_is_in_the_table() -> None:
    linked = re.findall(r"\| \[([^\]]+)\]\(#", PAGE)
    assert linked == list(SECTIONS)
