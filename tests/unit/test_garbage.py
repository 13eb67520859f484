"""How an executor steers the garbage collector of its own process. In processes of their own: the collector is the process's."""

from __future__ import annotations

import subprocess
import sys

import pytest

PREPARED = """
import gc
from mpirdd.executor import garbage
from mpirdd.executor.garbage import Garbage
from mpirdd.store.memory import resident_bytes
gc.collect()
usual = gc.get_threshold()
managed = Garbage()
collections = lambda: sum(stats["collections"] for stats in gc.get_stats())

class Cycle:
    def __init__(self, size=0):
        self.me = self
        self.data = bytearray(size)
"""


def run(program: str) -> None:
    done = subprocess.run([sys.executable, "-c", PREPARED + program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_task_without_garbage_pays_for_few_collections() -> None:
    run("""
managed.begin_task()
before = collections()
held = [[] for _ in range(500_000)]
assert collections() - before < 30, collections() - before
managed.end_task()
""")


def test_a_task_that_makes_garbage_has_it_collected() -> None:
    run("""
managed.begin_task()
before = resident_bytes()
for _ in range(20_000):
    Cycle(50_000)
assert resident_bytes() - before < 100 << 20, resident_bytes() - before
""")


def test_a_task_that_begins_to_make_garbage_has_it_collected_when_the_process_grows() -> None:
    """The looks come from the test here, where the executor has a thread for them."""
    run("""
managed.begin_task()
held = [[] for _ in range(500_000)]
assert gc.get_threshold()[0] > 50_000
managed.look()
before = resident_bytes()
for number in range(20_000):
    Cycle(50_000)
    if not number % 200:
        managed.look()
assert resident_bytes() - before < 120 << 20, resident_bytes() - before
""")


def test_what_is_kept_is_walked_once() -> None:
    run("""
kept = [[] for _ in range(100_000)]
assert len(gc.get_objects()) > 100_000
managed.settle(64 << 20)
assert len(gc.get_objects()) < 10_000
""")


def test_garbage_is_never_frozen() -> None:
    run("""
import weakref
gc.disable()
gone = weakref.ref(Cycle())
managed.settle(64 << 20)
assert gone() is None
""")


def test_dropped_partitions_that_are_cyclic_are_collected() -> None:
    run("""
import weakref
kept = [Cycle() for _ in range(1_000)]
gone = weakref.ref(kept[0])
managed.settle(200 << 20)
del kept
gc.collect()
assert gone() is not None, "it is frozen"
managed.settle(0)
assert gone() is None
""")


@pytest.mark.parametrize("change", ["gc.disable()", "gc.set_threshold(5_000, 20, 20)", "gc.set_threshold(5_000)"])
def test_the_user_s_own_settings_are_left_alone(change: str) -> None:
    run(f"""
managed.begin_task()
{change}
chosen = gc.isenabled(), gc.get_threshold()
held = [[] for _ in range(100_000)]
managed.end_task()
managed.begin_task()
held += [[] for _ in range(100_000)]
managed.end_task()
assert (gc.isenabled(), gc.get_threshold()) == chosen
""")
