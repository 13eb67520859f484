"""What a run tells of ranks that die, hang or are slow: how they ended, and their Python stacks."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from launcher import KIND, with_mpirun, with_open_mpi
from ways import ROOT, run

from mpirdd.executor.stacks import Offered, Seen
from mpirdd.observe.endings import Ending, MemoryKills

pytestmark = [with_mpirun, pytest.mark.timeout(120), pytest.mark.second_lane]

DIES = """
import ctypes, os, signal, sys, time
from mpirdd import Context

def dies(how):
    if how == "fault":
        ctypes.string_at(0)
    elif how == "hangs":
        mutex = ctypes.create_string_buffer(64)
        for _ in range(2):  # for ever, and keeps the interpreter's lock
            ctypes.PyDLL(None).pthread_mutex_lock(mutex)
    elif how == "exit":
        ctypes.CDLL(None)._exit(3)
    else:
        os.kill(os.getpid(), getattr(signal, how))
        time.sleep(60)

def once(x):
    for how in sys.argv[1:]:
        if x == 5 and not os.path.exists(how):
            open(how, "w").close()
            dies(how)
            break
    return x

with Context() as sc:
    print(sc.parallelize(range(8), 4).map(once).sum())
"""
LINE = 1 + DIES.splitlines().index("    print(sc.parallelize(range(8), 4).map(once).sum())")
IN_TASK = rf"in partition 2 of sum at job\.py:{LINE}"


def exits_are_known() -> bool:
    """Does this kernel tell how processes of others end?"""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    ending = Ending(child.pid, MemoryKills())
    child.communicate()
    return ending.told(wait=True) == "it ended with exit code 1"


KNOWN = exits_are_known()


def test_how_an_executor_has_died_and_its_stack_are_told_once(tmp_path: Path) -> None:
    pytest.importorskip("ctypes")
    if KIND != "Open MPI":
        pytest.skip("the run does not go on")
    ended = run("mpirdd run -n 3", tmp_path, DIES, "fault")
    assert (ended.code, ended.out) == (0, "28\n"), ended.all
    assert len(re.findall("lost the executor on rank", ended.err)) == 1
    assert ended.err.count("its Python stack (most recent call last):") == 1
    frames = r'File ".*job.py", line \d+, in once\n +dies\(how\)\n +File ".*job.py", line \d+, in dies\n'
    assert re.search(frames, ended.err), ended.all
    assert "mpirdd/" not in ended.err and "Process received signal" not in ended.err
    if KNOWN:
        assert re.search(rf"it was ended by signal 11 \(SIGSEGV, segmentation fault\), {IN_TASK}\. Recomputing", ended.err)
    else:
        assert re.search(rf"it was ended by a fault in C code \(Segmentation fault\), {IN_TASK}\. Recomputing", ended.err)


@with_open_mpi
def test_signals_and_exit_codes_are_told(tmp_path: Path) -> None:
    for how, told in {
        "SIGTERM": r"it was ended by signal 15 \(SIGTERM\)", "exit": "it ended with exit code 3",
        "SIGKILL": r"it was killed by signal 9 \(kill -9, or for memory\)",
    }.items():
        ended = run("mpirdd run -n 3", tmp_path, DIES, how)
        assert (ended.code, ended.out) == (0, "28\n"), ended.all
        assert ("in dies" in ended.err) == (how == "SIGTERM"), ended.all
        assert re.search(rf"{told}, {IN_TASK}\." if KNOWN else "it died", ended.err), ended.all


@with_open_mpi
def test_an_executor_that_is_given_up_tells_its_stack(tmp_path: Path) -> None:
    fast = {"MPIRDD_EXECUTOR_TIMEOUT_S": "1.5", "MPIRDD_PING_S": "0.5", "MPIRDD_MOST_LOSSES": "0"}
    ended = run("mpirdd run -n 4", tmp_path, DIES, "hangs", "SIGSTOP", **fast)
    assert (ended.code, ended.out) == (0, "28\n"), ended.all
    hung, stopped = re.findall(r"mpirdd: lost [^\n]*\n(?: [^\n]*\n)*", ended.err)
    assert "it did not answer for 1.5 s. Recomputing" in hung and "ctypes.PyDLL(None).pthread_mutex_lock(mutex)" in hung
    assert "it did not answer for 1.5 s: it is stopped (SIGSTOP). Recomputing" in stopped


def test_a_fault_that_ends_the_run_is_told_by_the_launcher(tmp_path: Path) -> None:
    ended = run("mpirdd run --no-ft -n 3", tmp_path, DIES, "fault")
    assert ended.code not in (0, 1), ended.all
    told = r"it was ended by signal 11 \(SIGSEGV, segmentation fault\)" if KNOWN else "it was ended by a fault in C code"
    assert re.search(rf"rank \d \(host .*\) was lost, and the run with it: {told}.*{IN_TASK}", ended.err), ended.all
    assert ended.err.count("dies(how)") == 1, ended.all


def test_a_fault_of_the_driver_is_told_by_the_launcher(tmp_path: Path) -> None:
    text = "from mpirdd import Context\nimport ctypes\nwith Context() as sc:\n    ctypes.string_at(0)\n"
    ended = run("mpirdd run -n 2", tmp_path, text)
    assert ended.code not in (0, 1), ended.all
    assert "the driver (rank 0) was lost, and the run with it: it was ended by" in ended.err, ended.all
    assert 'job.py", line 4, in <module>\n        ctypes.string_at(0)\n' in ended.err, ended.all


SLEEPS = """
import sys, time
from mpirdd import Context

def waits(x):
    if x == 3:
        open("waits", "w").close()
        time.sleep(60)
    return x

with Context() as sc:
    sc.parallelize(range(4), 4).map(waits).count()
"""


@pytest.fixture
def sleeping(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    (tmp_path / "job.py").write_text(SLEEPS)
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    child = subprocess.Popen(
        [sys.executable, "-m", "mpirdd", "run", "-n", "3", "job.py"], cwd=tmp_path, env={**os.environ, "PYTHONPATH": path},
        stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 30
        while not (tmp_path / "waits").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield child
    finally:
        child.terminate()
        child.wait(20)


def stack(of: object, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "mpirdd", "stack", str(of)], cwd=folder, capture_output=True, text=True, timeout=30,
        env={**os.environ, "PYTHONPATH": str(ROOT)})


def test_the_command_stack(sleeping: subprocess.Popen[bytes], tmp_path: Path) -> None:
    told = stack(sleeping.pid, tmp_path)
    assert told.returncode == 0, told
    heads = re.findall(r"^rank (\d), process (\d+): (.*)$", told.stdout, re.M)
    assert [int(rank) for rank, _, _ in heads] == [0, 1, 2]
    running = [doing for *_, doing in heads if re.fullmatch(r"in partition 3 of count at job\.py:12 for \d+\.\d s", doing)]
    assert len(running) == 1
    assert re.search(r'File ".*job\.py", line 8, in waits\n +time\.sleep\(60\)', told.stdout), told.stdout
    pids = [int(pid) for _, pid, _ in heads]
    mpirun = int(Path(f"/proc/{pids[0]}/stat").read_text().rpartition(")")[2].split()[1])
    log = tmp_path / "events"
    host = os.uname().nodename
    log.write_text(
        f'{{"event":"run","t":0,"host":"{host}","pid":{pids[0]}}}\n{{"event":"executor","t":0,"executor":1,"host":"{host}",'
        f'"pid":{pids[1]}}}\n{{"event":"executor","t":0,"executor":2,"host":"far","pid":1}}\n{{"event":"exec')
    for other in (mpirun, pids[1]):
        assert re.findall(r"^rank (\d)", stack(other, tmp_path).stdout, re.M) == ["0", "1", "2"]
    told = stack(log, tmp_path)
    assert re.findall(r"^ranks? (\d)", told.stdout, re.M) == ["0", "1", "2"]
    assert told.stdout.splitlines()[-1] == (
        "rank 2 is on far, and the driver takes no questions: it does so only while it runs a job. "
        f"Run `mpirdd stack {log}` there")
    assert not list(tmp_path.glob("events.*"))
    os.kill(pids[1], signal.SIGSTOP)
    assert f"process {pids[1]}: " in (text := stack(sleeping.pid, tmp_path).stdout) and "it is stopped (SIGSTOP)" in text
    os.kill(pids[1], signal.SIGCONT)


def test_the_command_stack_refuses_what_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("no log\n")
    for what, said in {
        os.getpid(): "belongs to no run", "absent": "neither the number of a process nor an event log",
        "other": "is no event log",
    }.items():
        told = stack(what, tmp_path)
        assert told.returncode == 2 and said in told.stderr, told


def test_a_child_of_a_rank_is_no_rank_and_is_left_alone() -> None:
    offered = Offered(5, fatal=False)
    child = os.fork()
    if not child:
        offered.forget()
        signal.pause()
    try:
        mine = Seen.of(os.getpid())
        assert mine is not None and mine.rank == 5 and mine.running() is None
        offered.begin_task("map at job.py:1", 7)
        running = mine.running()
        assert running is not None and str(running) == "partition 7 of map at job.py:1"
        assert "test_a_child_of_a_rank" in mine.stacks()
        offered.end_task()
        assert mine.running() is None and mine.last_words() == ""
        assert Seen.of(child) is None
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        offered.forget()
