"""Processes that a task or the program forks: whatever they enter, the run goes on as if they were not there."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from launcher import with_mpirun
from ways import WAYS, run

pytestmark = [with_mpirun, pytest.mark.timeout(60), pytest.mark.second_lane]

HEAD = """
import os, sys, time
from mpirdd import Context, UsageError
"""
TASK = HEAD + """
def child(how):
    if how == "sys.exit":
        sys.exit(0)
    if how == "a last word":
        sys.exit("a last word")
    if how == "raise":
        raise ValueError("of the child")
    if how == "Ctrl-C":
        raise KeyboardInterrupt
    if how == "Context":
        Context()

def forks(how, records):
    records = list(records)
    if os.fork() == 0:
        child(how)
    return records

with Context() as sc:
    for how in ("sys.exit", "a last word", "raise", "Ctrl-C", "Context", "return"):
        rdd = sc.parallelize(range(40), 4).mapPartitions(lambda records: forks(how, records))
        assert rdd.map(lambda v: (v % 3, v)).reduceByKey(max).count() == 3
        print(how, rdd.sum())
print("end")
"""
PROGRAM = HEAD + """
def child(how):
    global rdd, variable
    if how == "sys.exit":
        sys.exit(3)
    if how == "raise":
        raise ValueError("of the child")
    if how == "os._exit":
        os._exit(5)
    if how == "a job":
        print(rdd.count())
    if how == "let go":
        rdd = variable = None
        sys.exit(4)
    if how == "stop":
        sc.stop()
        sys.exit(6)
    if how == "broadcast":
        sc.broadcast(1)
    if how == "Context":
        Context()
    if how == "save":
        state.save(2, a=1)
    if how == "leave":
        raise SystemExit(8)

with Context() as sc, sc.resumable("state") as state:
    state.save(1, a=0)
    rdd = sc.parallelize(range(40), 4).cache()
    rdd.count()
    variable = sc.broadcast([1] * 100000)
    for how in ("sys.exit", "raise", "os._exit", "a job", "let go", "stop", "broadcast", "Context", "save", "leave"):
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            child(how)
        _, status = os.waitpid(pid, 0)
        print(how, os.waitstatus_to_exitcode(status), rdd.map(lambda v: v + variable.value[0]).sum())
print("end")
"""


@pytest.mark.parametrize("way", WAYS)
def test_a_child_of_a_task_that_comes_back_is_not_a_second_executor(way: str, tmp_path: Path) -> None:
    ended = run(way, tmp_path, TASK)
    right = [f"{how} 780" for how in ("sys.exit", "a last word", "raise", "Ctrl-C", "Context", "return")]
    said = [line for line in ended.out.splitlines() if line not in ("a last word",)]
    assert (ended.code, said) == (0, [*right, "end"]), ended.all
    assert "a last word\n" in ended.err
    assert "ValueError: of the child" in ended.err
    assert "task_runner.py" not in ended.err


@pytest.mark.parametrize("way", WAYS)
def test_a_child_of_the_program_ends_with_its_own_code_and_the_run_goes_on(way: str, tmp_path: Path) -> None:
    ended = run(way, tmp_path, PROGRAM)
    codes = {"sys.exit": 3, "raise": 1, "os._exit": 5, "a job": 1, "let go": 4, "stop": 6, "broadcast": 1, "Context": 1,
             "save": 1, "leave": 8}
    assert (ended.code, ended.out.splitlines()) == (0, [*(f"{how} {code} 820" for how, code in codes.items()), "end"]), ended.all
    assert ended.err.count("UsageError: this process was forked from a rank") == 3, ended.all
    assert ended.err.count("only that one saves its state") == 1, ended.all


@pytest.mark.parametrize("way", WAYS)
def test_a_pool_of_processes_works_in_the_program_and_in_tasks(way: str, tmp_path: Path) -> None:
    text = HEAD + """
from multiprocessing import get_context
def in_pool(records):
    with get_context("fork").Pool(2) as pool:
        return pool.map(abs, list(records))
with Context() as sc:
    print(sc.parallelize(range(40), 4).mapPartitions(in_pool).sum(), sum(in_pool(range(40))))
    print(sc.parallelize(range(40), 4).sum())
"""
    ended = run(way, tmp_path, text)
    assert (ended.code, ended.out.splitlines()) == (0, ["780 780", "780"]), ended.all


@pytest.mark.parametrize("way", WAYS)
def test_children_that_never_end_end_with_the_run(way: str, tmp_path: Path) -> None:
    text = HEAD + """
def leaves_one(records):
    if os.fork() == 0:
        with open(f"{sys.argv[1]}/{os.getpid()}", "w"):
            time.sleep(600)
    return records
with Context() as sc:
    sc.parallelize(range(4), 4).mapPartitions(leaves_one).count()
    leaves_one([])
    while len(os.listdir(sys.argv[1])) < 5:
        time.sleep(0.05)
print("end")
"""
    (tmp_path / "children").mkdir()
    ended = run(way, tmp_path, text, str(tmp_path / "children"))
    assert (ended.code, ended.out) == (0, "end\n"), ended.all
    left = [int(path.name) for path in (tmp_path / "children").iterdir()]
    assert len(left) == 5
    deadline = time.monotonic() + 10
    while any(os.path.exists(f"/proc/{pid}") and b"job.py" in _command(pid) for pid in left):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@pytest.mark.parametrize("registers", ["", "sc.onTerminate(print)"], ids=["plain", "with a callback"])
@pytest.mark.parametrize("way", WAYS)
def test_a_forked_process_dies_of_sigterm_at_any_moment(way: str, registers: str, tmp_path: Path) -> None:
    """Right after the fork, too, where Python swallows exceptions: pools end their workers by SIGTERM and wait for them."""
    ended = run(way, tmp_path, HEAD + f"""
import signal
with Context() as sc:
    {registers}
    os.register_at_fork(after_in_child=lambda: os.kill(os.getpid(), signal.SIGTERM))
    if (child := os.fork()) == 0:
        time.sleep(600)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), sc.parallelize(range(4), 2).sum())
""")
    assert (ended.code, ended.out) == (0, "-15 6\n"), ended.all
