"""Losses that no run survives (another MPI, ``--no-ft``, the driver): the run ends soon, not with
0, and names the loss. MPICH kills all ranks the moment one dies and reports any of them, so nobody
can tell which it was."""

from __future__ import annotations

import os
import signal
import time

import pytest
from runs import Done, Runs, Started, Took, no_mpirun, no_recovery

from mpirdd.launch.mpirun import find_launcher

pytestmark = [pytest.mark.skipif(bool(no_mpirun()), reason=no_mpirun()), pytest.mark.timeout(90)]

NO_FT = [] if no_recovery() else ["--no-ft"]
NAMES_RANKS = not no_mpirun() and find_launcher().kind == "Open MPI"
HOST = os.uname().nodename
BOUND_S = 10.0
"""From the loss to the end of the last rank, as README promises."""

STATES = {
    "idle": """
    touch("there")
    time.sleep(60)""",
    "in a task": """
    sc.parallelize(range(4), 4).map(lambda x: touch("there") or time.sleep(60)).count()""",
    "in a loop of shuffles": """
    in_exchange(30, lambda: touch("there"), 1)
    while True:
        sc.parallelize(range(400), 4).map(lambda x: (x % 20, np.full(100_000, x))).reduceByKey(add, 4).count()""",
}


def start(runs: Runs, state: str, *options: str) -> tuple[Started, dict[int, int]]:
    """A run in that state, and its ranks."""
    started = runs.start(f"""
with Context() as sc:
    sc.parallelize(range(4), 4).count()
    {STATES[state]}
""", *options)
    started.wait_for_file(runs.folder / "there", 40)
    return started, runs.pids()


def ended(runs: Runs, started: Started, took: Took, what: str, deadline: float) -> Done:
    """``mpirdd run`` ends within the bound, not with 0, and all ranks are gone."""
    done = started.done(deadline - time.monotonic())
    while runs.pids():
        assert time.monotonic() < deadline, f"ranks {sorted(runs.pids())} live on:\n{done.err}"
        time.sleep(0.02)
    took.note(what, BOUND_S + time.monotonic() - deadline, "the last rank is gone")
    assert done.code != 0
    return done


def kill(pid: int) -> float:
    """By when all must be over."""
    os.kill(pid, signal.SIGKILL)
    return time.monotonic() + BOUND_S


@pytest.mark.parametrize("state", STATES)
def test_a_lost_executor_ends_the_run(runs: Runs, took: Took, state: str) -> None:
    started, pids = start(runs, state, *NO_FT)
    done = ended(runs, started, took, f"an executor killed, without recovery, {state}", kill(pids[3]))
    lines = done.err.splitlines()
    assert (f"rank 3 (host {HOST}) was lost" if NAMES_RANKS else f"a rank on host {HOST} (rank ") in lines[-1], done.err
    assert "Open MPI 5 or newer" in lines[-1]


@pytest.mark.parametrize("options", [[], NO_FT] if NO_FT else [[]], ids=str)
@pytest.mark.parametrize("state", STATES)
def test_a_lost_driver_ends_the_run(runs: Runs, took: Took, state: str, options: list[str]) -> None:
    started, pids = start(runs, state, *options)
    done = ended(runs, started, took, f"the driver killed, {' '.join(options)} {state}", kill(pids[0]))
    assert ("the driver (rank 0) was lost" if NAMES_RANKS else f"a rank on host {HOST} (rank ") in done.err


def test_a_stopped_executor_ends_the_run(runs: Runs, took: Took) -> None:
    """The bound counts from the moment the driver gives it up: 2 s, as set here, and at most a
    ping."""
    started = runs.start("""
with Context() as sc:
    sc.parallelize(range(4), 4).count()
    print("stopped", flush=True)
    os.kill(sc._driver.pids[2], signal.SIGSTOP)
    print(sc.parallelize(range(40), 8).sum())
""", *NO_FT, "--executor-timeout", "2")
    started.wait_for("stopped")
    done = ended(runs, started, took, "an executor stopped, without recovery", time.monotonic() + 3 + BOUND_S)
    assert "rank 2 (host" in done.err and "did not answer for 2 s" in done.err, done.err


def test_an_exit_in_a_task_is_told_as_that(runs: Runs) -> None:
    done = runs("""
with Context() as sc:
    sc.parallelize(range(8), 8).map(lambda x: os._exit(7) if x == 3 else x).count()
""", *NO_FT)
    assert done.code != 0
    last = done.err.splitlines()[-1]
    assert "was lost, and the run with it: a task called os._exit(7) there." in last and "signal" not in last, done.err
