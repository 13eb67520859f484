"""The memory that ranks really take, seen from outside: the high-water mark that the kernel keeps for each process."""

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
pytestmark = [with_mpirun, pytest.mark.timeout(120)]

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
    """The largest resident size of each rank but the driver's, and what the program printed."""
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
