"""Cyclic garbage that users' functions make is collected, whatever the executor does to spare the collector work."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest
from beside import RANKS

from mpirdd import Context

MIB = 1 << 20
own_process = pytest.mark.skipif(RANKS == 1, reason="in the program's own process the collector is the program's")


class Cycle:
    """Takes 50 kB, until it is collected."""

    def __init__(self) -> None:
        self.me = self
        self.data = bytearray(50_000)


def grown(partition: int, records: Any) -> Iterator[int]:
    """By how much the process has grown at most, in bytes, while 1 GB of garbage was made."""
    held: list[Any] = [[] for _ in range(partition * 500_000)]  # the first task makes garbage from its beginning
    before = most = resident()
    for number in range(20_000):
        Cycle()
        if not number % 100:
            most = max(most, resident())
    del held
    yield most - before


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


@own_process
def test_memory_stays_flat_in_a_job_that_makes_cyclic_garbage(sc: Context) -> None:
    growths = sc.parallelize(range(2), 2).mapPartitionsWithIndex(grown).collect()
    assert max(growths) < 400 * MIB, [growth // MIB for growth in growths]


@own_process
def test_kept_partitions_with_cycles_are_gone_after_unpersist(sc: Context) -> None:
    before = sc.parallelize(range(RANKS - 1), RANKS - 1).mapPartitions(lambda _: [resident()]).max()
    for _ in range(6):
        kept = sc.parallelize(range(4), 4).flatMap(lambda _: (Cycle() for _ in range(1_000))).cache()
        assert kept.count() == 4_000
        kept.unpersist(blocking=True)
    after = sc.parallelize(range(RANKS - 1), RANKS - 1).mapPartitions(lambda _: [resident()]).max()
    assert after - before < 700 * MIB, (after - before) // MIB  # 1.2 GB were kept in all


@pytest.mark.parametrize("enabled", [True, False])
def test_the_program_s_own_settings_of_the_collector_stay(sc: Context, enabled: bool) -> None:
    before, frozen = (gc.isenabled(), gc.get_threshold()), gc.get_freeze_count()
    (gc.enable if enabled else gc.disable)()
    gc.set_threshold(1234, 12, 11)
    try:
        kept = sc.parallelize(range(20_000), 4).map(lambda x: (x % 7, [x])).cache()
        assert kept.groupByKey().count() == 7
        kept.unpersist(blocking=True)
        assert (gc.isenabled(), gc.get_threshold(), gc.get_freeze_count()) == (enabled, (1234, 12, 11), frozen)
    finally:
        gc.set_threshold(*before[1])
        (gc.enable if before[0] else gc.disable)()
