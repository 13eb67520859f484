"""Large functions of the program go to the executors along the tree of broadcast values: how often the driver sends them,
what becomes of them, and what the loss of executors of the tree means.
"""

from __future__ import annotations

from typing import Any

import pytest
from chaos import Cluster, may_die

from mpirdd.comm.inprocess import InProcessTransport
from mpirdd.protocol.frames import Frames

EXECUTORS = 16
SIZE = 50_000


def sent_by_driver(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes of each message of the driver's, from now on."""
    sent: list[int] = []
    send = InProcessTransport.send

    def count(end: InProcessTransport, to: int, frames: Frames) -> None:
        if end.rank == 0:
            sent.append(sum(memoryview(frame).nbytes for frame in frames))
        send(end, to, frames)

    monkeypatch.setattr(InProcessTransport, "send", count)
    return sent


def large(size: int = SIZE) -> Any:
    """A function with so many bytes inside."""
    inside = bytes(size)
    return lambda number: number + len(inside)


def held(cluster: Cluster) -> int:
    """How many values and functions the living executors hold."""
    cluster.driver.catch_up()
    cluster.settle()
    executors = [cluster._executors[rank] for rank in cluster.living]
    return sum(len(executor._broadcasts._held) + len(executor._closures) for executor in executors)


@pytest.mark.parametrize(("hosts", "times"), [(1, 0), (EXECUTORS, 5)])
def test_the_driver_sends_a_large_function_a_few_times(hosts: int, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at all to its own host, where executors map its memory; else log2 of the hosts and driver."""
    with Cluster(EXECUTORS, 1, hosts=hosts, broadcast_bytes=SIZE // 2) as cluster:
        numbers = cluster.sc.parallelize(range(EXECUTORS), EXECUTORS)
        assert numbers.sum() == 120
        sent = sent_by_driver(monkeypatch)
        assert numbers.map(large()).sum() == 120 + EXECUTORS * SIZE
        assert sum(size >= SIZE for size in sent) == times


def test_each_executor_is_sent_a_small_function_and_one_that_few_need(monkeypatch: pytest.MonkeyPatch) -> None:
    with Cluster(EXECUTORS, 1, hosts=EXECUTORS, broadcast_bytes=2 * SIZE) as cluster:
        sent = sent_by_driver(monkeypatch)
        cluster.sc.parallelize(range(EXECUTORS), EXECUTORS).map(large()).sum()
        assert sum(size >= SIZE for size in sent) == EXECUTORS
        sent.clear()
        few = EXECUTORS // 2 - 1
        assert cluster.sc.parallelize(range(few), few).map(large(3 * SIZE)).count() == few
        assert sum(size >= 3 * SIZE for size in sent) == few


def test_what_was_sent_along_the_tree_is_dropped_with_its_node_and_its_job() -> None:
    with Cluster(4, 1, hosts=2, broadcast_bytes=SIZE // 2) as cluster:
        numbers = cluster.sc.parallelize(range(8), 4)
        numbers.map(large()).foreach(large())
        cluster.sc.parallelize([], 1).count()  # now what nobody refers to goes
        del numbers
        cluster.sc.parallelize([], 1).count()
        before = held(cluster)
        for _ in range(3):
            cluster.sc.parallelize(range(8), 4).map(large()).foreach(large())
            cluster.sc.parallelize([], 1).count()
        assert held(cluster) == before
        assert not cluster.driver._loop.broadcasts._variables.keys() - cluster.driver._loop.closures._pickled.keys()


def test_executors_of_the_tree_may_die() -> None:
    died = 0
    for seed in range(30):
        with Cluster(8, seed, kills=4, every=12, hosts=8 if seed % 2 else 3, broadcast_bytes=1_000) as cluster:
            numbers = cluster.sc.parallelize(range(40), 10).map(may_die).map(large(5_000))
            assert numbers.sum() == sum(range(40)) + 40 * 5_000, seed
            pairs = numbers.map(lambda number, more=bytes(3_000): (number % 3, len(more)))
            sums = pairs.map(may_die).reduceByKey(lambda a, b, more=bytes(2_000): a + b, 4)
            assert sums.values().sum() == 40 * 3_000, seed
            died += len(cluster.killed)
    assert died > 60
