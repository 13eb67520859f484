"""What tasks and programs leave running does not keep a run from ending, and what they have written is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from launcher import with_mpirun
from ways import ON_RANKS, WAYS, run

pytestmark = [with_mpirun, pytest.mark.timeout(60)]

LEFT_BY_TASKS = """
import atexit, multiprocessing, sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from mpirdd import Context

def leaves_a_thread(records):
    threading.Thread(target=time.sleep, args=(600,), daemon={daemon}).start()
    return records

def leaves_a_pool(records):
    pool = ThreadPoolExecutor(2)
    return list(pool.map(abs, records))

def leaves_a_process(records):
    multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,), daemon={daemon}).start()
    return records

written = open("written", "w")
written.write("by the program")

def last():
    with open("last", "w") as file:
        file.write("at exit")

atexit.register(last)
with Context() as sc:
    rdd = sc.parallelize(range(4), 4)
    for function in ({functions}):
        print(rdd.mapPartitions(function).count(), flush=True)
sys.exit(7)
"""


@pytest.mark.parametrize("way", [way for way in WAYS if way not in ("mpirdd run -n 1", "python")])
def test_threads_and_processes_that_tasks_leave_are_not_waited_for(way: str, tmp_path: Path) -> None:
    functions = "leaves_a_thread, leaves_a_pool, leaves_a_process"
    text = LEFT_BY_TASKS.replace("{functions}", functions).replace("{daemon}", "False")
    ended = run(way, tmp_path, text)
    assert (ended.code, ended.out.split()) == (7, ["4"] * 3), ended.all
    assert (tmp_path / "written").read_text() == "by the program"
    assert (tmp_path / "last").read_text() == "at exit"
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("way", WAYS)
def test_an_idle_pool_of_threads_of_the_program_is_not_waited_for(way: str, tmp_path: Path) -> None:
    """Python tells such threads to end before it waits for them."""
    text = LEFT_BY_TASKS.replace("{functions}", "leaves_a_pool,").replace("{daemon}", "True")
    ended = run(way, tmp_path, text.replace("with Context", "pool = ThreadPoolExecutor(2)\npool.submit(abs, 1)\nwith Context"))
    assert (ended.code, ended.out.split()) == (7, ["4"]), ended.all
    assert (tmp_path / "written").read_text() == "by the program"
    assert (tmp_path / "last").read_text() == "at exit"


@pytest.mark.parametrize("way", ON_RANKS)
def test_an_exit_in_a_task_is_told_as_that(way: str, tmp_path: Path) -> None:
    ended = run(way, tmp_path, """
import os
from mpirdd import Context
with Context() as sc:
    sc.parallelize(range(8), 8).map(lambda x: os._exit(7) if x == 3 else x).count()
""")
    assert ended.code != 0
    assert "os._exit(7)" in ended.err, ended.all


DEBUGS = """
import pdb
from mpirdd import Context, TaskError
def stops(x):
    pdb.set_trace()
    return x
with Context() as sc:
    try:
        sc.parallelize([1], 1).map(stops).collect()
    except TaskError as error:
        print("BdbQuit" in str(error), "mpirdd run -n 1 job.py" in str(error))
"""


@pytest.mark.parametrize("way", ON_RANKS)
def test_a_debugger_in_a_task_on_several_ranks_does_not_wait_for_ever(way: str, tmp_path: Path) -> None:
    """Nobody can type to it."""
    ended = run(way, tmp_path, DEBUGS)
    assert (ended.code, ended.out.splitlines()[-1]) == (0, "True True"), ended.all
