"""The memory of ranks, measured from outside: the kernel's high-water mark of each process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from launcher import with_mpirun

ROOT = Path(__file__).parents[2]
pytestmark = [with_mpirun, pytest.mark.timeout(120), pytest.mark.alone]

PROGRAM = '''
from mpirdd import Context, StorageLevel

def text(part):
    return [(number, f"{number:012d}" + "x" * 400) for number in range(part * 20_000, (part + 1) * 20_000)]

with Context() as sc:
    kept = sc.parallelize(range(30), 30).flatMap(text).persist(StorageLevel.{level})
    for _ in range(2):
        assert kept.map(lambda pair: pair[0]).sum() == sum(range(600_000))
    moved = kept.partitionBy(40)
    assert moved.map(lambda pair: len(pair[1])).sum() == 247_200_000
    print([(info.partitions_kept, info.memory_bytes, info.disk_bytes) for info in sc.storageInfo()])
'''
BUDGET_MIB = 96


def descendants(pid: int) -> list[int]:
    children = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                status = Path(f"/proc/{entry}/stat").read_text()
            except OSError:
                continue
            if int(status.rpartition(")")[2].split()[1]) == pid:
                children += [int(entry), *descendants(int(entry))]
    return children


def peaks_mib(command: list[str], environment: dict[str, str], timeout_s: float) -> tuple[dict[int, float], str]:
    """The largest resident size of each executor, and the program's output."""
    peaks: dict[int, float] = {}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as run:
        deadline = time.monotonic() + timeout_s
        while run.poll() is None and time.monotonic() < deadline:
            for pid in descendants(run.pid):
                try:
                    variables = Path(f"/proc/{pid}/environ").read_bytes()
                    rank = re.search(rb"(?:OMPI_COMM_WORLD_RANK|PMI_RANK)=(\d+)", variables)
                    mark = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
                except OSError:
                    continue
                if rank and mark and int(rank[1]):
                    peaks[int(rank[1])] = max(peaks.get(int(rank[1]), 0), int(mark[1]) / 1024)
            time.sleep(0.05)
        if run.poll() is None:
            run.kill()
        assert run.stdout is not None
        return peaks, run.stdout.read()


@pytest.mark.parametrize("level", ["MEMORY_ONLY", "MEMORY_AND_DISK"])
def test_ranks_stay_within_their_budget_and_150_mb(tmp_path: Path, level: str) -> None:
    """240 MB of records (600 MB as objects and in the shuffle) over two executors of 96 MiB each."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.replace("{level}", level))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-m", "mpirdd", "run", "-n", "3", "--memory", f"{BUDGET_MIB}m", "--scratch", str(scratch)]
    peaks, printed = peaks_mib([*command, str(program)], {**os.environ, "PYTHONPATH": str(ROOT)}, 110)
    assert re.search(r"\[\(\d+, \d+, \d+\)\]", printed), printed
    assert sorted(peaks) == [1, 2]
    assert max(peaks.values()) < BUDGET_MIB + 150
    assert os.listdir(scratch) == []


UNEVEN = '''
import os
from tempfile import TemporaryDirectory
from mpirdd import Context, StorageLevel

def uneven(part, _):
    """20,000 tiny records, then 60 of 6 MB."""
    yield from ((number, b"x") for number in range(20_000))
    yield from ((part * 1_000_000 + 100_000 + number, os.urandom(1 << 10) * 6_000) for number in range(60))

def large(part, _):
    """300 MB in records of 3 MB."""
    return (os.urandom(1 << 10) * 3_000 for _ in range(100))

def hidden(part, _):
    """600 MB that measuring does not see."""
    def holding(data):
        return lambda: data
    return (holding(os.urandom(1 << 10) * 2_000) for _ in range(300))

def checkpointed(rdd):
    rdd.checkpoint()
    return rdd

with Context() as sc, TemporaryDirectory() as folder:
    sc.setCheckpointDir(folder)
    indexes = sc.parallelize(range(2), 2)
    data = indexes.mapPartitionsWithIndex(uneven)
    print("counted", {operation}.count())
'''
OPERATIONS = {
    "groupByKey": "data.groupByKey(8).mapValues(len)",
    "reduceByKey": "data.reduceByKey(lambda a, b: a, 8)",
    "partitionBy": "data.partitionBy(8)",
    "sortByKey": "data.sortByKey(numPartitions=8)",
    "join": "data.join(data.mapValues(len), 8)",
    "cache": "data.cache()",
    "cache, memory and disk": "data.persist(StorageLevel.MEMORY_AND_DISK)",
    "cache of closures": "indexes.mapPartitionsWithIndex(hidden).cache()",
    "checkpoint": "checkpointed(data)",
    "checkpoint of large records": "checkpointed(indexes.mapPartitionsWithIndex(large))",
    "many small buckets": "sc.parallelize(range(450_000), 1_500).map(lambda i: (i % 300, i)).partitionBy(300)",
}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_records_that_become_large_all_at_once_are_noticed(tmp_path: Path, operation: str) -> None:
    """What a task gathers is foreseen from the records before, which were tiny."""
    program = tmp_path / "program.py"
    program.write_text(UNEVEN.replace("{operation}", OPERATIONS[operation]))
    command = [sys.executable, "-m", "mpirdd", "run", "-n", "3", "--memory", f"{BUDGET_MIB}m", str(program)]
    peaks, printed = peaks_mib(command, {**os.environ, "PYTHONPATH": str(ROOT)}, 110)
    assert "counted" in printed, printed
    assert sorted(peaks) == [1, 2]
    assert max(peaks.values()) < BUDGET_MIB + 150
