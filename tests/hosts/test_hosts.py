"""``mpirdd run`` over three hosts that talk TCP: the same results, and ranks that know where they are."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from launcher import with_open_mpi
from network import Hosts

ROOT = Path(__file__).parents[2]
SPEECHES = ROOT / "jobs" / "data" / "state_union"
pytestmark = [with_open_mpi, pytest.mark.timeout(90)]


def run(hosts: Hosts, folder: Path, job: str, **variables: str) -> subprocess.CompletedProcess[str]:
    (folder / "job.py").write_text(job)
    options = ["-n", "6"] if variables else hosts.words()
    return subprocess.run(
        [sys.executable, "-m", "mpirdd", "run", *options, "job.py"], cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables}, capture_output=True, text=True, timeout=80,
        stdin=subprocess.DEVNULL)


def test_ranks_know_their_own_hosts(hosts: Hosts, tmp_path: Path) -> None:
    done = run(hosts, tmp_path, """
import socket
from mpirdd import Context
with Context() as sc:
    print(sorted(sc.parallelize(range(5), 5).barrier().mapPartitions(lambda part: [socket.gethostname()]).collect()))
    print(socket.gethostname())
    try:
        sc.parallelize([1], 1).map(lambda x: 1 / 0).collect()
    except Exception as error:
        print("(h" in str(error))
""")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["['h1', 'h2', 'h2', 'h3', 'h3']", "h1", "True"]


def test_word_count_over_hosts(hosts: Hosts, tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    for path in SPEECHES.glob("*.txt"):
        counts.update(path.read_text(encoding="utf-8", errors="replace").split())
    done = run(hosts, tmp_path, f"""
from operator import add
from mpirdd import Context
with Context() as sc:
    words = sc.textFile({str(SPEECHES / '*.txt')!r}, errors="replace").flatMap(str.split)
    print(sorted(words.map(lambda w: (w, 1)).reduceByKey(add).collect()) == {sorted(counts.items())!r})
""")
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr[-2000:]


def test_sort_and_exchange_of_arrays_over_hosts(hosts: Hosts, tmp_path: Path) -> None:
    done = run(hosts, tmp_path, """
import random
import numpy as np
from mpirdd import Context
with Context() as sc:
    numbers = random.Random(7).sample(range(10**9), 200_000)
    print(sc.parallelize(numbers, 12).sortBy(lambda x: x, numPartitions=7).collect() == sorted(numbers))
    blocks = sc.range(0, 8, numSlices=8).map(lambda i: (i % 3, np.full(500_000, i, dtype=np.float64)))
    print({key: float(sum(map(np.sum, values))) for key, values in sorted(blocks.groupByKey().collect())})
""")
    sums = {key: 500_000.0 * sum(i for i in range(8) if i % 3 == key) for key in range(3)}
    assert (done.returncode, done.stdout) == (0, f"True\n{sums}\n"), done.stderr[-2000:]


def test_broadcast_over_hosts(hosts: Hosts, tmp_path: Path) -> None:
    done = run(hosts, tmp_path, """
import numpy as np
from mpirdd import Context
with Context() as sc:
    table = sc.broadcast(np.arange(2_000_000))
    print(sc.range(0, 10, numSlices=10).map(lambda i: int(table.value[i * 199_999])).collect())
""")
    assert (done.returncode, done.stdout) == (0, f"{[i * 199_999 for i in range(10)]}\n"), done.stderr[-2000:]


def test_words_for_mpirun_can_come_from_the_environment(hosts: Hosts, tmp_path: Path) -> None:
    done = run(hosts, tmp_path, """
import socket
from mpirdd import Context
with Context() as sc:
    print(socket.gethostname(), sc.defaultParallelism)
""", MPIRDD_MPI_ARGS=shlex.join(hosts.mpi_words()))
    assert (done.returncode, done.stdout) == (0, "h1 5\n"), done.stderr


def test_the_exit_code_comes_back_from_another_host(hosts: Hosts, tmp_path: Path) -> None:
    done = run(hosts, tmp_path, "import sys; from mpirdd import Context; Context().range(9).sum(); sys.exit(5)")
    assert done.returncode == 5, done.stderr


SLOW_SUM = """
import time
from mpirdd import Context
with Context() as sc:
    print("up", flush=True)
    pairs = sc.parallelize(range(40), 40).map(lambda i: (time.sleep(0.1), (i % 4, i))[1])
    print(sorted(pairs.reduceByKey(lambda a, b: a + b).collect()))
"""
RIGHT = f"{[(key, sum(range(key, 40, 4))) for key in range(4)]}\n"


def while_it_runs(hosts: Hosts, folder: Path, disaster: Callable[[], None], *options: str) -> tuple[int, str, str]:
    """Exit code, output and errors of a run that the disaster hits. A run that takes longer than 40 s fails the test."""
    (folder / "job.py").write_text(SLOW_SUM)
    with subprocess.Popen(
        [sys.executable, "-m", "mpirdd", "run", *options, *hosts.words(), "job.py"], cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        stdin=subprocess.DEVNULL,
    ) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "up\n"
        time.sleep(0.4)
        disaster()
        out, err = started.communicate(timeout=40)
        return started.returncode, out, err


def test_all_ranks_of_a_host_may_die(hosts: Hosts, tmp_path: Path) -> None:
    def kill_ranks() -> None:
        for pid in hosts.pids(3):
            if b"-m\0mpirdd" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)

    code, out, err = while_it_runs(hosts, tmp_path, kill_ranks)
    assert (code, out) == (0, RIGHT), err
    assert err.count("(host h3): it died") == 2, err


def test_a_host_whose_cable_is_pulled_is_given_up_and_the_answer_is_right(hosts: Hosts, tmp_path: Path) -> None:
    try:
        code, out, err = while_it_runs(hosts, tmp_path, lambda: hosts.pull_cable(3), "--executor-timeout", "4")
    finally:
        hosts.plug_in(3)
        for pid in hosts.pids(3):  # they never heard that the run is over
            os.kill(pid, signal.SIGKILL)
    assert (code, out) == (0, RIGHT), err
    assert err.count("(host h3): it did not answer for 4 s") == 2, err


def test_a_host_lost_with_its_daemon_ends_the_run_and_is_named(hosts: Hosts, tmp_path: Path) -> None:
    code, out, err = while_it_runs(hosts, tmp_path, lambda: hosts.kill(3))
    assert code != 0 and out == "", (code, out, err)
    assert "mpirdd: host h3 was lost" in err and "goes on from the last one" in err
