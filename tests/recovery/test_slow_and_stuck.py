"""Stopped and slow executors, and retried tasks."""

from __future__ import annotations

import os
import re
import signal

import pytest
from runs import Runs, no_recovery

pytestmark = [pytest.mark.skipif(bool(no_recovery()), reason=no_recovery()), pytest.mark.timeout(120), pytest.mark.second_lane]


@pytest.mark.parametrize("state", ["idle", "in a task", "in an exchange"])
def test_a_stopped_executor_is_declared_lost(runs: Runs, state: str) -> None:
    text = {
        "idle": """
with Context() as sc:
    os.kill(sc._driver.pids[2], signal.SIGSTOP)
    print(sc.parallelize(range(40), 8).sum())
""",
        "in a task": """
def stop(x):
    if x == 17 and times("stop") == 0:
        os.kill(os.getpid(), signal.SIGSTOP)
    return x
with Context() as sc:
    print(sc.parallelize(range(40), 8).map(stop).sum())
""",
        "in an exchange": """
with Context(exchange_bytes=1 << 16) as sc:
    def block(i):
        return [(key, np.full(160_000, i)) for key in range(20)]
    in_exchange(100, lambda: os.kill(os.getpid(), signal.SIGSTOP), 2)
    sums = sc.parallelize(range(8), 8).flatMap(block).reduceByKey(add, 4).mapValues(lambda a: int(a[-1]))
    print(sums.values().sum() + 220)
""",
    }[state]
    done = runs(text, "--executor-timeout", "3")
    assert (done.code, done.out, done.noise()) == (0, "780\n", []), done.err
    assert len(done.lost()) == 1 and "it did not answer for 3 s" in done.err


def test_one_that_wakes_up_after_it_was_given_up_is_gone(runs: Runs) -> None:
    done = runs("""
with Context() as sc:
    pid = sc._driver.pids[2]
    os.kill(pid, signal.SIGSTOP)
    print(sc.parallelize(range(40), 8).sum())
    try:
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        pass
    time.sleep(0.5)
    print(sc.parallelize(range(40), 8).sum(), os.path.exists(f"/proc/{pid}/exe") and os.readlink(f"/proc/{pid}/exe"))
""", "--executor-timeout", "2")
    assert (done.code, done.out) == (0, "780\n780 False\n"), done.err


def test_a_busy_executor_is_not_taken_for_lost(runs: Runs) -> None:
    """A thread of its own answers while its function sleeps or computes."""
    done = runs("""
def busy(x):
    until = time.monotonic() + 4
    if x == 0:
        time.sleep(4)
    while x == 5 and time.monotonic() < until:
        sum(range(1000))
    return x
with Context() as sc:
    print(sc.parallelize(range(10), 4).map(busy).sum())
""", "--executor-timeout", "2")
    assert (done.code, done.out, done.lost()) == (0, "45\n", []), done.err


SLOW = """
def slow(partition, records):
    if partition == 5 and times("attempts") == 0:
        time.sleep({seconds})
    return records
with Context() as sc:
    print(sc.parallelize(range(40), 8).mapPartitionsWithIndex(slow).sum())
"""
SLOW_LINE = re.compile(
    r"mpirdd: task 5 of sum at job\.py:\d+ has been running for [\d.]+ s on rank \d \(host \S+\), "
    r"where its siblings took (less than )?[\d.]+ s(?P<second>; running it a second time on rank \d)?")


def test_a_slow_task_is_reported_once(runs: Runs) -> None:
    done = runs(SLOW.format(seconds=13))
    line, *stack = done.err.splitlines()
    assert (done.code, done.out) == (0, "780\n"), done.err
    found = SLOW_LINE.fullmatch(line)
    assert found and not found["second"]
    assert len(stack) == 3 and "in slow" in stack[1] and stack[2].strip() == "time.sleep(13)", done.err
    assert runs.times("attempts") == 1


def test_with_speculation_a_second_attempt_wins(runs: Runs) -> None:
    done = runs(SLOW.format(seconds=600), "--speculation")
    lines = done.err.splitlines()
    assert (done.code, done.out, len(lines)) == (0, "780\n", 1), done.err
    found = SLOW_LINE.fullmatch(lines[0])
    assert found and found["second"]
    assert runs.times("attempts") == 2


FAILING = """
def fail(x):
    if x == 17:
        with open("ranks", "a") as file:
            file.write(os.environ["OMPI_COMM_WORLD_RANK"] + " ")
        if times("failures") < {failures}:
            raise ValueError("seventeen")
    return x
with Context() as sc:
    print(sc.parallelize(range(40), 8).map(fail).sum())
"""


@pytest.mark.parametrize("failures", [1, 2])
def test_a_task_that_raised_is_tried_again_elsewhere(runs: Runs, failures: int) -> None:
    done = runs(FAILING.format(failures=failures), "--task-retries", "2")
    assert (done.code, done.out, done.err) == (0, "780\n", "")
    ranks = (runs.folder / "ranks").read_text().split()
    assert len(set(ranks)) == len(ranks) == failures + 1


@pytest.mark.parametrize(("retries", "attempts"), [("0", 1), ("2", 3)])
def test_after_the_last_retry_the_error_is_the_users(runs: Runs, retries: str, attempts: int) -> None:
    done = runs(FAILING.format(failures=9), "--task-retries", retries)
    assert (done.code, done.out) == (1, "")
    assert "ValueError: seventeen" in done.err
    assert runs.times("failures") == attempts
    ranks = (runs.folder / "ranks").read_text().split()
    places = ", ".join(f"rank {rank} ({os.uname().nodename})" for rank in ranks)
    assert (f"tried {attempts} times, on {places}; this is the last failure" in done.err) == (attempts > 1), done.err


def test_what_takes_some_seconds_is_not_reported(runs: Runs) -> None:
    done = runs(SLOW.format(seconds=4))
    assert (done.code, done.out, done.err) == (0, "780\n", "")


def test_a_barrier_that_one_task_does_not_come_to_is_an_error(runs: Runs) -> None:
    done = runs("""
from mpirdd import BarrierTaskContext, TaskError
def talk(partition, records):
    if partition != 1:
        BarrierTaskContext.get().barrier()
    return records
with Context() as sc:
    try:
        sc.parallelize(range(40), 3).barrier().mapPartitionsWithIndex(talk).sum()
    except TaskError as error:
        print("another task of its stage has ended without coming there" in str(error))
    print(sc.parallelize(range(40), 8).sum())
""", "--task-retries", "1")
    assert (done.code, done.out) == (0, "True\n780\n"), done.err


def test_a_loss_does_not_count_as_a_failure(runs: Runs) -> None:
    done = runs("""
with Context(most_losses=0) as sc:
    print(sc.parallelize(range(40), 8).mapPartitionsWithIndex(die_at(3, "loss", 3)).sum())
""", "--task-retries", "0")
    assert (done.code, done.out, len(done.lost())) == (0, "780\n", 3), done.err


def test_a_stopped_run_that_goes_on_loses_nobody(runs: Runs) -> None:
    """A whole machine may sleep for longer than the timeout."""
    started = runs.start("""
with Context() as sc:
    print(sc.parallelize(range(40), 8).sum(), flush=True)
    print(sc.parallelize(range(8), 8).map(lambda x: time.sleep(0.4) or x).sum())
""", "--executor-timeout", "1")
    started.wait_for("780")
    pids = list(runs.pids().values())
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for pid in pids:
            os.kill(pid, number)
        if number == signal.SIGSTOP:
            signal.sigtimedwait([], 3)
    done = started.done()
    assert (done.code, done.out, done.err) == (0, "780\n28\n", "")
