"""Only lost partitions run again: calls of users' functions by partition, on the whole engine in
one process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from operator import add
from pathlib import Path
from typing import Any

import pytest
from chaos import Cluster

from mpirdd import StorageLevel

CALLS: Counter[Any] = Counter()


def counted(name: str) -> Any:
    """For ``mapPartitionsWithIndex``: notes each run by name and partition. By name, since
    functions travel by value."""

    def note(index: int, records: Iterable[Any]) -> Iterator[Any]:
        run(name, index)
        return iter(records)

    return note


def run(name: str, index: int) -> None:
    CALLS[name, index] += 1


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    CALLS.clear()
    with Cluster(4, seed=11) as made:
        yield made


def parts_of(cluster: Cluster, rank: int, kind: str) -> list[int]:
    """The blocks of a kind that only this executor holds."""
    return sorted(block.part for block, ranks in cluster.blocks().items() if block.kind == kind and ranks == [rank])


def again(name: str) -> list[int]:
    """Partitions that ran since the last look; fails when one ran twice."""
    runs = {index: times for (of, index), times in CALLS.items() if of == name}
    assert set(runs.values()) <= {1}, runs
    for index in runs:
        del CALLS[name, index]
    return sorted(runs)


def test_lost_cached_partitions_are_computed_once_more_and_no_others(cluster: Cluster) -> None:
    points = cluster.sc.parallelize(range(40), 12).mapPartitionsWithIndex(counted("points")).cache()
    assert points.sum() == sum(range(40))
    assert again("points") == list(range(12))
    for rank in (2, 4, 1):
        lost = parts_of(cluster, rank, "rdd")
        assert lost
        cluster.kill(rank)
        for turn in range(1, 4):
            assert points.map(lambda x, turn=turn: x * turn).sum() == turn * sum(range(40))
        assert again("points") == lost


def test_lost_shuffled_partitions_are_filled_again_by_the_lost_map_tasks_only(cluster: Cluster) -> None:
    pairs = cluster.sc.parallelize([(x % 10, x) for x in range(60)], 9).mapPartitionsWithIndex(counted("map"))
    sums = pairs.reduceByKey(add, 8).mapPartitionsWithIndex(counted("reduce"), preservesPartitioning=True)
    expected = {key: sum(range(key, 60, 10)) for key in range(10)}
    assert sums.collectAsMap() == expected
    assert (again("map"), again("reduce")) == (list(range(9)), list(range(8)))
    lost = parts_of(cluster, 3, "map")
    assert lost and parts_of(cluster, 3, "in")
    cluster.kill(3)
    assert sums.collectAsMap() == expected
    assert again("map") == lost
    assert again("reduce") == list(range(8))  # it is an action: all of it is wanted again, from blocks


def test_lost_map_outputs_that_nobody_needs_any_more_are_not_made_again(cluster: Cluster) -> None:
    pairs = cluster.sc.parallelize([(x % 10, x) for x in range(60)], 9).mapPartitionsWithIndex(counted("map"))
    sums = pairs.reduceByKey(add, 2)  # partitions 0 and 1, on executors 1 and 2
    expected = {key: sum(range(key, 60, 10)) for key in range(10)}
    assert sums.collectAsMap() == expected
    again("map")
    bystander = next(rank for rank in (3, 4) if parts_of(cluster, rank, "map") and not parts_of(cluster, rank, "in"))
    cluster.kill(bystander)
    assert sums.collectAsMap() == expected
    assert again("map") == []


def test_a_cached_result_of_a_shuffle_is_repaired_from_the_shuffled_blocks_that_are_left(cluster: Cluster) -> None:
    pairs = cluster.sc.parallelize([(x % 10, x) for x in range(60)], 9).mapPartitionsWithIndex(counted("map"))
    sums = pairs.reduceByKey(add, 8).mapPartitionsWithIndex(counted("reduce"), preservesPartitioning=True).cache()
    expected = {key: sum(range(key, 60, 10)) for key in range(10)}
    assert sums.collectAsMap() == expected
    again("map"), again("reduce")
    lost_maps, lost = parts_of(cluster, 2, "map"), parts_of(cluster, 2, "rdd")
    cluster.kill(2)
    assert sums.collectAsMap() == expected
    assert (again("map"), again("reduce")) == (lost_maps, lost)


def test_replicated_partitions_are_read_where_their_copy_is(cluster: Cluster) -> None:
    points = cluster.sc.parallelize(range(40), 12).mapPartitionsWithIndex(counted("points")).persist(StorageLevel.MEMORY_ONLY_2)
    assert points.sum() == sum(range(40))
    assert again("points") == list(range(12))
    for rank in (1, 2, 3):
        assert cluster.sc.parallelize(range(8), 8).count() == 8  # copies are made beside other jobs
        cluster.settle()
        cluster.sc.parallelize([1]).count()
        cluster.kill(rank)
        assert points.sum() == sum(range(40))
        assert again("points") == []


@pytest.mark.parametrize("level", ["MEMORY_ONLY_2", "DISK_ONLY_2", "MEMORY_AND_DISK_2", "DISK_ONLY_3"])
def test_copies_are_shown_right_after_the_job_and_lie_where_the_level_says(cluster: Cluster, level: str) -> None:
    points = cluster.sc.parallelize(range(40), 12).persist(getattr(StorageLevel, level))
    assert points.count() == 40
    info = next(info for info in cluster.sc.storageInfo() if info.id == points.id())
    held = Counter(part for on in info.executors for part in on.partitions)
    assert held == dict.fromkeys(range(12), int(level[-1]))
    assert [(on.memory_bytes > 0, on.disk_bytes > 0) for on in info.executors] == [
        ("MEMORY" in level, "MEMORY" not in level)] * 4
    assert points.collect() == list(range(40))


def test_copies_lost_are_made_good(cluster: Cluster) -> None:
    points = cluster.sc.parallelize(range(40), 12).persist(StorageLevel.MEMORY_ONLY_2)
    for rank in (0, 3, 1):
        if rank:
            cluster.kill(rank)
        for _ in range(3):
            assert points.count() == 40
            cluster.settle()
        held = {block.part: len(ranks) for block, ranks in cluster.blocks().items() if block.kind == "rdd"}
        assert held == dict.fromkeys(range(12), 2)


def test_checkpointed_data_is_read_not_computed(cluster: Cluster, tmp_path: Path) -> None:
    cluster.sc.setCheckpointDir(str(tmp_path))
    pairs = cluster.sc.parallelize([(x % 10, x) for x in range(60)], 9).mapPartitionsWithIndex(counted("map"))
    sums = pairs.reduceByKey(add, 8)
    sums.checkpoint()
    expected = {key: sum(range(key, 60, 10)) for key in range(10)}
    assert sums.collectAsMap() == expected
    again("map")
    cluster.kill(1)
    cluster.kill(3)
    assert sums.mapValues(lambda x: x).collectAsMap() == expected
    assert again("map") == []


def test_tasks_of_the_dead_run_again_and_no_others(cluster: Cluster) -> None:
    """An executor dies in its task: its unreported tasks run again; those of the others go on."""

    def die_once(index: int, records: Iterable[Any]) -> Iterator[Any]:
        run("tasks", index)
        if index == 5:
            die_in_first_attempt()
        return iter(records)

    ON[:] = [cluster]
    assert cluster.sc.parallelize(range(40), 12).mapPartitionsWithIndex(die_once).collect() == list(range(40))
    runs = {index: times for (_, index), times in CALLS.items()}
    assert runs.pop(5) == 2
    assert set(runs) == {*range(12)} - {5}
    rerun = [index for index, times in runs.items() if times > 1]
    assert len(rerun) <= REPORTED[0], "only finished tasks that it had not reported"


ON: list[Cluster] = []
REPORTED: list[int] = [0]


def die_in_first_attempt() -> None:
    cluster = ON[0]
    if not cluster.killed:
        executor = cluster._executors[cluster._stepping]
        REPORTED[0] = len(executor._reports._done)
        cluster.die_here()


def test_accumulators_count_each_partition_once_although_maps_run_again(cluster: Cluster) -> None:
    seen = cluster.sc.accumulator(0)

    def note(pair: tuple[int, int]) -> tuple[int, int]:
        seen.add(1)
        return pair

    sums = cluster.sc.parallelize([(x % 10, x) for x in range(60)], 9).map(note).reduceByKey(add, 8)
    assert sums.count() == 10
    assert parts_of(cluster, 2, "map")
    cluster.kill(2)
    assert sums.count() == 10
    assert seen.value == 60
