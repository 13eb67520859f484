"""Signal handlers of the program that run jobs, or raise: on one rank as on several."""

from __future__ import annotations

from pathlib import Path

import pytest
from launcher import with_mpirun
from ways import run

pytestmark = [with_mpirun, pytest.mark.timeout(60), pytest.mark.second_lane]

RUNS_A_JOB = """
import signal, time
from mpirdd import Context

inner = []

def handler(number, frame):
    inner.append(rdd.map(lambda pair: (pair[0], 1)).reduceByKey(lambda a, b: a + b).count())

def slow(value):
    time.sleep(0.02)
    return value % 5, value

with Context() as sc:
    rdd = sc.parallelize(range(100), 4).map(lambda v: (v % 7, v)).cache()
    print(rdd.count())
    signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.1, 0.3)
    for _ in range(3):
        total = sc.parallelize(range(60), 6).map(slow).reduceByKey(lambda a, b: a + b).map(lambda pair: pair[1]).sum()
        print(total, rdd.values().sum())
    while len(inner) < 2:
        time.sleep(0.05)
    signal.setitimer(signal.ITIMER_REAL, 0)
    print(set(inner))
print("end")
"""
RAISES = """
import signal, sys, threading, time
from mpirdd import Context

class TooLong(Exception):
    pass

def handler(number, frame):
    raise TooLong("after a while")

class Slow:
    def __reduce__(self):
        time.sleep(1)
        return Slow, ()

def sleeps(value):
    time.sleep(0.05)
    return value


with Context() as sc:
    signal.signal(signal.SIGALRM, handler)
    rdd = sc.parallelize(range(400), 4)
    held = Slow()
    kept = rdd.map(sleeps).cache()
    slow_closure = rdd.map(lambda v: (held, v)[1])
    sums = []
    other = threading.Thread(target=lambda: sums.append(sc.parallelize(range(60), 6).map(sleeps).sum()))
    other.start()
    for name, job in {
        "in a task": kept.count, "in a shuffle": kept.map(lambda v: (v % 3, v)).groupByKey().count,
        "in pickling a function": slow_closure.count, "in broadcast": lambda: sc.broadcast([held] * 3),
        "in parallelize": lambda: sc.parallelize([held] * 20, 2).count(),
    }.items():
        signal.setitimer(signal.ITIMER_REAL, 0.4)
        try:
            print(name, job())
        except TooLong as error:
            print(name, error, rdd.count())
    other.join()
    print(sums, kept.take(3))
print("end")
"""


@pytest.mark.parametrize("way", ["mpirdd run -n 3", "mpirdd run -n 1", "python"])
def test_a_handler_may_run_jobs(way: str, tmp_path: Path) -> None:
    ended = run(way, tmp_path, RUNS_A_JOB)
    assert (ended.code, ended.out.splitlines()) == (0, ["100", *["1770 4950"] * 3, "{7}", "end"]), ended.all


@pytest.mark.parametrize("way", ["mpirdd run -n 3", "mpirdd run -n 1", "python"])
def test_what_a_handler_raises_reaches_the_program_as_it_is(way: str, tmp_path: Path) -> None:
    ended = run(way, tmp_path, RAISES)
    names = ["in a task", "in a shuffle", "in pickling a function", "in broadcast", "in parallelize"]
    right = [*(f"{name} after a while 400" for name in names), "[1770] [0, 1, 2]", "end"]
    assert (ended.code, ended.out.splitlines()) == (0, right), ended.all
