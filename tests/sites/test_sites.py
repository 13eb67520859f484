"""Programs on the MPIs of sites: right results and exit codes, an answer when a rank is lost, Ctrl-C, the doctor.

None of these MPIs can recover: a lost rank ends the run, in one line that says so.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sites import Site

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(240)
"""The first test that needs a site's MPI downloads it."""

PROGRAM = """
import os, signal, sys, time
from mpirdd import Context

def task(i):
    open(f"at-{i}", "w").close()
    if sys.argv[1] == "kill" and i == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)

with Context() as sc:
    if sys.argv[1] != "right":
        sc.parallelize(range(2), 2).foreach(task)
    table = sc.broadcast(list(range(100_000)))
    sums = sc.parallelize(range(20_000), 6).map(lambda i: (i % 97, table.value[i])).reduceByKey(lambda a, b: a + b)
    assert dict(sums.collect()) == {key: sum(range(key, 20_000, 97)) for key in range(97)}
    large = sc.parallelize([bytes(3_000_000)] * 4, 4).map(lambda data: (len(data) % 3, data)).groupByKey()
    assert large.mapValues(lambda values: sum(map(len, values))).collect() == [(0, 12_000_000)]
    assert sc.parallelize(range(5000), 6).sortBy(lambda i: i * 7919 % 5003).take(2) == BEST
    print(sc.defaultParallelism, "executors")
sys.exit(3)
""".replace("BEST", str(sorted(range(5000), key=lambda i: i * 7919 % 5003)[:2]))


def start(mpi: Site, folder: Path, *words: str) -> subprocess.Popen[str]:
    (folder / "job.py").write_text(PROGRAM)
    here = {name: value for name, value in os.environ.items() if not name.startswith(("OMPI_", "OPAL_", "PMIX_", "I_MPI_"))}
    environment = {**here, **mpi.variables, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}
    return subprocess.Popen([sys.executable, "-m", "mpirdd", *words], cwd=folder, env=environment, text=True,
                            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def end(child: subprocess.Popen[str], within_s: float = 60) -> tuple[int, str, str]:
    """Exit code and output. A run that takes too long is a failure."""
    try:
        out, err = child.communicate(timeout=within_s)
    except subprocess.TimeoutExpired:
        child.terminate()
        raise AssertionError(f"not over after {within_s} s: {child.communicate(timeout=10)}") from None
    return child.returncode, out, err


def test_a_program_has_right_results_and_its_own_exit_code(mpi: Site, tmp_path: Path) -> None:
    code, out, err = end(start(mpi, tmp_path, "run", "-n", "3", "--mpirun", str(mpi.mpirun), "job.py", "right"))
    assert (code, out) == (3, "2 executors\n"), err


def test_a_lost_rank_ends_the_run_in_one_line(mpi: Site, tmp_path: Path) -> None:
    code, _, err = end(start(mpi, tmp_path, "run", "-n", "3", "--mpirun", str(mpi.mpirun), "job.py", "kill"))
    lines = [line for line in err.splitlines() if line.startswith("mpirdd: ")]
    assert code not in (0, 3) and len(lines) == 1 and "was lost, and the run with it" in lines[0], err
    assert "====" not in err and "Primary job" not in err, "a page of mpirun's"


def test_ctrl_c_ends_the_run(mpi: Site, tmp_path: Path) -> None:
    child = start(mpi, tmp_path, "run", "-n", "3", "--mpirun", str(mpi.mpirun), "job.py", "wait")
    while not (tmp_path / "at-0").exists() and child.poll() is None:
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    code, _, err = end(child, 20)
    assert code == 130 and "KeyboardInterrupt" in err, err


def test_the_doctor_names_the_mpi_and_finds_one_world(mpi: Site, tmp_path: Path) -> None:
    code, out, err = end(start(mpi, tmp_path, "doctor", "-n", "2", "--mpirun", str(mpi.mpirun), "--json"))
    found = json.loads(out)
    assert (found["launcher_kind"], found["size"]) == (mpi.kind, 2), f"exit code {code}: {out}{err}"
    assert not [each for each in found["problems"] if "root" not in each["problem"]], out
