"""Programs over a file system that is not the local one: fsspec's ``memory://``, which lives in one process.

Real servers are in tests/stores.
"""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from mpirdd import Context, SparkFiles
from mpirdd.formats.filesystems import filesystem_of, join
from mpirdd.protocol.errors import UsageError

pytest.importorskip("fsspec")


@pytest.fixture
def sc() -> Iterator[Context]:
    with Context() as sc:
        if sc.parallelize([0]).map(lambda _: os.getpid()).first() != os.getpid():
            pytest.skip("memory:// is another one in each process")
        yield sc


@pytest.fixture
def folder() -> Iterator[str]:
    root = f"memory:///{uuid4().hex}"
    yield root
    filesystem_of(root).remove(root, recursive=True)


def write(path: str, data: bytes) -> None:
    with filesystem_of(path).create(path) as file:
        file.write(data)


def test_every_source_reads_what_a_url_names(sc: Context, folder: str) -> None:
    text = "".join(f"line {number}\n" for number in range(1000))
    write(join(folder, "in", "a.txt"), text.encode())
    write(join(folder, "in", "b.txt.gz"), gzip.compress(text.encode()))
    write(join(folder, "fixed"), bytes(range(256)) * 4)
    expected = sorted(text.splitlines() * 2)
    assert sorted(sc.textFile(join(folder, "in"), 4).collect()) == expected
    assert sc.textFile(f"{folder}/in/{{a,b}}.txt*").count() == 2000
    names = sc.wholeTextFiles(join(folder, "in")).mapValues(len).collect()
    assert names == [(join(folder, "in", "a.txt"), len(text)), (join(folder, "in", "b.txt.gz"), len(text))]
    assert dict(sc.binaryFiles(join(folder, "in", "*.gz")).collect()).popitem()[1][:2] == b"\x1f\x8b"
    assert sc.binaryRecords(join(folder, "fixed"), 256).collect() == [bytes(range(256))] * 4


def test_checkpoints_lie_there_and_cut_the_lineage(sc: Context, folder: str) -> None:
    sc.setCheckpointDir(folder)
    calls = sc.accumulator(0)

    def counted(x: int) -> int:
        calls.add(1)
        return x * 2

    rdd = sc.parallelize(range(10), 3).map(counted)
    rdd.checkpoint()
    assert rdd.sum() == 90
    before = calls.value
    assert rdd.sum() == 90 and calls.value == before
    where = rdd.getCheckpointFile()
    assert where is not None and where.startswith(folder)
    assert filesystem_of(where).info(join(where, "manifest.json"))


def test_resumable_state_lies_there(sc: Context, folder: str) -> None:
    for begin, end in ((0, 2), (2, 4)):
        with sc.resumable(folder) as state:
            assert state.iteration == begin
            pairs = state.get("pairs", sc.parallelize([(0, 0)], 1))
            for i in range(state.iteration, end):
                pairs = pairs.mapValues(lambda x: x + 1)
                state.save(i + 1, pairs=pairs, number=i)
    with sc.resumable(folder) as state:
        assert (state.iteration, state.get("number"), state.get("pairs").collect()) == (4, 3, [(0, 4)])
        with sc.resumable(folder) as other:
            other.save(5, number=5)
        with pytest.raises(UsageError, match="another run has saved there"):
            state.save(5, number=6)


def test_added_files_come_from_there(sc: Context, folder: str) -> None:
    write(join(folder, "factor.txt"), b"7")
    sc.addFile(join(folder, "factor.txt"))
    assert sc.listFiles == [join(folder, "factor.txt")]
    assert sc.parallelize([6]).map(lambda x: x * int(Path(SparkFiles.get("factor.txt")).read_text())).first() == 42
    write(join(folder, "seven_from_far.py"), b"SEVEN = 7")
    sc.addPyFile(join(folder, "seven_from_far.py"))
    assert sc.parallelize([1]).map(lambda x: x + __import__("seven_from_far").SEVEN).first() == 8
    with pytest.raises(UsageError, match="is a folder"):
        sc.addFile(folder)


def test_output_in_a_folder_right_below_the_root(sc: Context) -> None:
    folder = f"memory://{uuid4().hex}"
    sc.parallelize(range(10), 3).saveAsTextFile(folder)
    assert sorted(map(int, sc.textFile(folder).collect())) == list(range(10))
    filesystem_of(folder).remove(folder, recursive=True)


def test_what_the_client_brings_is_counted(sc: Context, folder: str) -> None:
    sc.parallelize([(number, "x" * 20) for number in range(20_000)], 1).saveAsCsvFile(f"{folder}/rows", ["n", "x"])
    size = filesystem_of(folder).entries(f"{folder}/rows")[-1].size
    for read in (lambda: sc.csvFile(f"{folder}/rows", 1).map(len).sum(), lambda: sc.textFile(f"{folder}/rows", 1).map(len).sum()):
        before = sc.costs()
        read()
        costs = sc.costs()
        assert costs["input_bytes"] - before.get("input_bytes", 0) == size and costs["input_s"] > before.get("input_s", 0)
