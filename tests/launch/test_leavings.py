"""What killed runs leave behind on this host is gone after the next one, and nothing else is."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from launcher import with_mpirun

from mpirdd.launch.mpirun import command_for, environment_for, find_launcher

ROOT = Path(__file__).parents[2]
pytestmark = [with_mpirun, pytest.mark.timeout(90), pytest.mark.second_lane]

HOLDS = """
import os, re, sys, time
from mpirdd import Context
def shared(_):
    with open("/proc/self/maps") as maps:
        return [set(re.findall(r"/dev/shm/((?:sm_segment|mpich_shm)\\S+)", maps.read()))]
with Context() as sc:
    names = set().union(*sc.parallelize(range(2), 2).barrier().mapPartitions(shared).collect())
    print(os.getpid(), os.getppid(), *sorted(names), flush=True)
    time.sleep(float(sys.argv[1]))
"""


def command(folder: Path, seconds: float, *, plain: bool = False) -> list[str]:
    (folder / "job.py").write_text(HOLDS)
    if plain:
        return [*command_for(find_launcher(), 3, environment(folder)), "-m", "mpirdd", "job.py", str(seconds)]
    return [sys.executable, "-m", "mpirdd", "run", "-n", "3", "job.py", str(seconds)]


def environment(folder: Path) -> dict[str, str]:
    return environment_for(find_launcher(), {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)})


def gone(folder: Path, names: list[str]) -> list[str]:
    """Which of a run's files and folders are still there."""
    runs = [entry.name for entry in folder.iterdir() if re.match(r"ompi\.|mpirdd-", entry.name)]
    return [name for name in names if os.path.exists(f"/dev/shm/{name}")] + runs


@pytest.mark.parametrize("killed", ["mpirdd run", "mpirun", "the driver", "plain mpirun and all ranks"])
def test_the_next_run_takes_away_what_a_killed_one_has_left(tmp_path: Path, killed: str) -> None:
    plain = killed.startswith("plain")
    others = Path("/dev/shm") / f"sm_segment.others-{os.getpid()}.0"
    others.touch()
    try:
        with subprocess.Popen(command(tmp_path, 60, plain=plain), cwd=tmp_path, env=environment(tmp_path), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as run:
            assert run.stdout is not None
            driver, parent, *names = run.stdout.readline().split()
            pids = {"mpirdd run": run.pid, "mpirun": int(parent), "the driver": int(driver)}
            if plain:
                ranks = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
                for pid in {run.pid, int(parent), *map(int, ranks)}:
                    os.kill(pid, signal.SIGKILL)
            else:
                os.kill(pids[killed], signal.SIGKILL)
            run.communicate(timeout=30)
        deadline = time.monotonic() + 20
        while os.path.exists(f"/proc/{driver}") and time.monotonic() < deadline:
            time.sleep(0.05)  # the kernel ends the ranks with their parent
        subprocess.run(command(tmp_path, 0), cwd=tmp_path, env=environment(tmp_path), check=True, capture_output=True, timeout=40)
        assert gone(tmp_path, names) == []
        assert others.exists()
    finally:
        others.unlink()
