"""``mpirdd run`` over three hosts that talk TCP: the same results, and ranks that know where they are."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from network import Hosts

from mpirdd.edge.launch import find_launcher
from mpirdd.words.errors import ClusterError

ROOT = Path(__file__).parents[2]
SPEECHES = ROOT / "jobs" / "data" / "state_union"
try:
    KIND = find_launcher().kind
except ClusterError:
    KIND = "unknown"

pytestmark = [
    pytest.mark.skipif(KIND != "Open MPI", reason="wants Open MPI's mpirun beside this Python"), pytest.mark.timeout(90)]


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


def test_a_lost_host_ends_in_an_answer_or_an_error_but_never_hangs(hosts: Hosts, tmp_path: Path) -> None:
    """Its ranks and its daemon are killed. With or without recovery, the run is over within 30 s, and a run without the
    right answer is no success."""
    (tmp_path / "job.py").write_text("""
import time
from mpirdd import Context
with Context() as sc:
    print("up", flush=True)
    print(sc.parallelize(range(40), 40).map(lambda i: (time.sleep(0.2), i)[1]).sum())
""")
    with subprocess.Popen(
        [sys.executable, "-m", "mpirdd", "run", *hosts.words(), "job.py"], cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        stdin=subprocess.DEVNULL,
    ) as started:
        assert started.stdout is not None
        assert started.stdout.readline() == "up\n"
        time.sleep(0.5)
        hosts.kill(3)
        out, err = started.communicate(timeout=40)
    assert out == "780\n" if started.returncode == 0 else "mpirdd" in err, (started.returncode, out, err[-2000:])
