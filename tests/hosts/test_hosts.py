"""``mpirdd run`` over three hosts that talk TCP: the same results, and ranks that know where they are."""

from __future__ import annotations

import os
import re
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
def slowly(i):
    time.sleep(0.1)
    with open("tasks", "a") as file:
        file.write(".")
    return i % 4, i
with Context() as sc:
    pairs = sc.parallelize(range(40), 40).map(slowly)
    print(sorted(pairs.reduceByKey(lambda a, b: a + b).collect()))
"""
RIGHT = f"{[(key, sum(range(key, 40, 4))) for key in range(4)]}\n"


def while_it_runs(
    hosts: Hosts, folder: Path, disaster: Callable[[], None], *options: str, job: str = SLOW_SUM
) -> tuple[int, str, str]:
    """Exit code, output and errors of a run that the disaster hits when a quarter of its tasks are done. A run that takes
    longer than 40 s after that fails the test."""
    (folder / "job.py").write_text(job)
    with subprocess.Popen(
        [sys.executable, "-m", "mpirdd", "run", *options, *hosts.words(), "job.py"], cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        stdin=subprocess.DEVNULL,
    ) as started:
        deadline = time.monotonic() + 40
        while not (folder / "tasks").exists() or (folder / "tasks").stat().st_size < 10:
            assert started.poll() is None and time.monotonic() < deadline, started.communicate()
            time.sleep(0.002)
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


RESUMED = """
import time
from mpirdd import Context
with Context() as sc, sc.resumable("state") as state:
    total = state.get("total", 0)
    for i in range(state.iteration, 12):
        total = total * 3 % 1000003 + sc.parallelize(range(i, i + 10), 5).sum()
        time.sleep(0.2)
        state.save(i + 1, total=total)
        with open("tasks", "a") as file:
            file.write("....")
    print("result", total, "on", sorted(set(sc.parallelize(range(3), 3).barrier().mapPartitions(
        lambda _: [__import__("socket").gethostname()]).collect())))
"""


def expected_total() -> int:
    total = 0
    for i in range(12):
        total = total * 3 % 1000003 + sum(range(i, i + 10))
    return total


@pytest.mark.parametrize("lost", [2, 1], ids=["an executor's", "the driver's"])
def test_with_restarts_a_lost_host_ends_in_the_answer_of_an_undisturbed_run(hosts: Hosts, tmp_path: Path, lost: int) -> None:
    code, out, err = while_it_runs(hosts, tmp_path, lambda: hosts.kill(lost), "--restarts", "2", job=RESUMED)
    left = [f"h{number}" for number in (1, 2, 3) if number != lost]
    assert (code, out) == (0, f"result {expected_total()} on {left}\n"), err
    assert f"host h{lost} was lost" in err and "with 4 ranks (restart 1 of 2)" in err
    assert "resuming after iteration" in err


def test_with_restarts_a_driver_that_is_cut_off_ends_in_the_answer_too(hosts: Hosts, tmp_path: Path) -> None:
    try:
        code, out, err = while_it_runs(
            hosts, tmp_path, lambda: hosts.pull_cable(1), "--restarts", "1", "--executor-timeout", "4", job=RESUMED)
    finally:
        hosts.plug_in(1)
        for pid in hosts.pids(1):  # they never heard that the run is over
            os.kill(pid, signal.SIGKILL)
    assert (code, out) == (0, f"result {expected_total()} on ['h2', 'h3']\n"), err
    assert "host h1 was lost" in err and "(restart 1 of 1)" in err


HANGS = """
import ctypes, os, socket, time
from mpirdd import Context
def hangs(x):
    if socket.gethostname() == "h3":
        try:
            os.close(os.open("hangs", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return x
        mutex = ctypes.create_string_buffer(64)
        for _ in range(2):  # for ever, and keeps the interpreter's lock
            ctypes.PyDLL(None).pthread_mutex_lock(mutex)
    time.sleep(0.2)
    return x
with Context() as sc:
    print(sc.parallelize(range(100), 100).map(hangs).sum())
"""


def test_stacks_of_other_hosts_are_told_to_whoever_asks_and_when_a_rank_is_given_up(hosts: Hosts, tmp_path: Path) -> None:
    """A rank that hangs in C code, and holds the interpreter, is seen by its neighbour."""
    (tmp_path / "job.py").write_text(HANGS)
    command = [sys.executable, "-m", "mpirdd"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    options = ["--events", "run.jsonl", "--executor-timeout", "8", *hosts.words()]
    with subprocess.Popen([*command, "run", *options, "job.py"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL) as started:
        deadline = time.monotonic() + 40
        while not (tmp_path / "hangs").exists():
            assert started.poll() is None and time.monotonic() < deadline, started.communicate()
            time.sleep(0.01)
        told = subprocess.run([*command, "stack", "run.jsonl"], cwd=tmp_path, env=environment, capture_output=True, text=True,
                              timeout=40)
        out, err = started.communicate(timeout=50)
    heads = re.findall(r"^rank (\d), on (h\d): (.*)$", told.stdout, re.M)
    assert [head[:2] for head in heads] == [("0", "h1"), ("1", "h1"), ("2", "h2"), ("3", "h2"), ("4", "h3"), ("5", "h3")], told
    assert any(re.fullmatch(r"in partition \d+ of sum at job\.py:16 for \d+\.\d s", doing) for *_, doing in heads), told.stdout
    stack = r'File ".*job\.py", line 12, in hangs\n +ctypes\.PyDLL\(None\)\.pthread_mutex_lock\(mutex\)'
    assert re.search(stack, told.stdout), told.stdout
    assert (started.returncode, out) == (0, "4950\n"), err
    assert err.count("(host h3): it did not answer for 8 s") == 1 and re.search(stack, err), err
    assert sorted(path.name for path in tmp_path.glob("run.jsonl*")) == ["run.jsonl"]
