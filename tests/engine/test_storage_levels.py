"""Kept partitions in a budget of 1 MiB a rank: right answers at every level, and the place of each
partition."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from beside import Calls, about_keeping

from mpirdd import Context, StorageLevel
from mpirdd.api.storageinfo import StorageInfo
from mpirdd.protocol.errors import UsageError

MIB = 1 << 20
LEVELS = ["MEMORY_ONLY", "MEMORY_ONLY_SER", "MEMORY_AND_DISK", "MEMORY_AND_DISK_DESER", "DISK_ONLY", "OFF_HEAP"]
RECORDS = 40_000
"""Some 8 MB as objects, 5 as bytes."""


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="module")
def sc(scratch: Path) -> Iterator[Context]:
    with Context(memory="1m", scratch=str(scratch)) as context:
        yield context
    assert os.listdir(scratch) == [] or context._driver.executors != [1]


def info_of(sc: Context, rdd: Any) -> StorageInfo:
    return next(info for info in sc.storageInfo() if info.id == rdd.id())


def records(number: int) -> tuple[int, str]:
    return number, f"record {number} " + "x" * 100


def blocks(number: int) -> Any:
    return np.full(20_000, float(number))  # 160 kB


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("partitions", [1, 3, 24])
def test_more_than_fits_is_read_back_right_at_every_level(sc: Context, level: str, partitions: int) -> None:
    kept = sc.parallelize(range(RECORDS), partitions).map(records).persist(getattr(StorageLevel, level))
    expected = [records(number) for number in range(RECORDS)]
    for _ in range(3):
        assert kept.collect() == expected
    assert kept.map(lambda pair: (pair[0] % 7, 1)).reduceByKey(add).collectAsMap() == {
        key: len(range(key, RECORDS, 7)) for key in range(7)}
    if sc.settings.mode == "mapreduce":
        return  # nothing is kept
    info = info_of(sc, kept)
    executors = len(sc._driver.executors)
    assert info.memory_bytes <= executors * MIB
    if "DISK" in level or level == "OFF_HEAP":
        assert info.partitions_kept == partitions
        assert info.disk_bytes > 100_000
    else:
        assert info.partitions_kept < partitions
        assert info.disk_bytes == 0
    assert (info.memory_bytes == 0) or level != "DISK_ONLY"
    kept.unpersist()


@pytest.mark.parametrize("level", LEVELS)
def test_arrays_are_read_back_right_at_every_level(sc: Context, level: str) -> None:
    kept = sc.parallelize(range(30), 10).map(blocks).persist(getattr(StorageLevel, level))
    for _ in range(3):
        assert kept.map(lambda block: float(block.sum())).collect() == [20_000.0 * number for number in range(30)]
    kept.unpersist()


@about_keeping
@pytest.mark.parametrize("level", LEVELS)
def test_what_fits_is_computed_once(sc: Context, level: str, calls: Calls) -> None:
    kept = sc.parallelize(range(100), 5).map(calls).persist(getattr(StorageLevel, level))
    for _ in range(3):
        assert kept.count() == 100
    assert calls.count() == 100
    info = info_of(sc, kept)
    assert (info.partitions_kept, info.partitions) == (5, 5)
    assert (info.memory_bytes > 0, info.disk_bytes > 0) == (level != "DISK_ONLY", level == "DISK_ONLY")
    kept.unpersist()
    assert [info for info in sc.storageInfo() if info.id == kept.id()] == []


@about_keeping
def test_in_memory_a_part_of_what_does_not_fit_stays(sc: Context, calls: Calls) -> None:
    """A loop over more data than fits hits the kept part, instead of evicting it just before
    reading it."""
    kept = sc.parallelize(range(24), 24).map(lambda number: (calls(number), np.zeros(20_000))).cache()
    hits = 0
    for _ in range(3):
        assert kept.count() == 24
        assert calls.count() == 24 - hits
        hits = info_of(sc, kept).partitions_kept  # may grow: a busy executor ran few tasks of the first loop
        assert 0 < hits < 24
    kept.unpersist()


@about_keeping
def test_on_disk_nothing_is_computed_twice(sc: Context, calls: Calls) -> None:
    kept = sc.parallelize(range(24), 24).map(lambda number: (calls(number), np.zeros(20_000)))
    kept.persist(StorageLevel.MEMORY_AND_DISK)
    for _ in range(3):
        assert kept.count() == 24
    assert calls.count() == 24
    kept.unpersist()


@about_keeping
def test_another_rdd_pushes_out_what_was_used_least_recently(sc: Context, calls: Calls) -> None:
    make: Callable[[int], Any] = lambda number: (calls(number), np.zeros(10_000))  # noqa: E731
    count = 8 * len(sc._driver.executors)  # some 640 kB each; a busy executor runs fewer, and another one more
    first, second = (sc.parallelize(range(count), count).map(make).cache() for _ in range(2))
    assert first.count() == count
    alone = info_of(sc, first).partitions_kept
    assert alone > count // 2
    assert second.count() == count
    assert info_of(sc, second).partitions_kept > count // 2
    assert info_of(sc, first).partitions_kept < alone
    assert first.map(lambda pair: pair[0]).collect() == list(range(count))  # what was dropped is computed again
    first.unpersist()
    second.unpersist()


def test_kept_on_several_executors_and_read_together(sc: Context) -> None:
    """An exchange copies blocks to their readers; copies that do not fit go to disk."""
    kept = sc.parallelize(range(RECORDS), 12).map(records).persist(StorageLevel.MEMORY_AND_DISK)
    assert kept.count() == RECORDS
    assert kept.coalesce(2).map(lambda pair: pair[0]).sum() == sum(range(RECORDS))
    assert kept.union(kept).coalesce(1).map(lambda pair: pair[0]).sum() == 2 * sum(range(RECORDS))
    kept.unpersist()


def test_the_same_partition_that_does_not_fit_can_be_read_twice_in_a_task(sc: Context) -> None:
    kept = sc.parallelize(range(RECORDS), 2).map(records).cache()
    assert kept.zip(kept).map(lambda pair: pair[0] == pair[1]).reduce(lambda a, b: a and b)
    kept.unpersist()


def test_a_local_checkpoint_that_does_not_fit_goes_to_disk(sc: Context) -> None:
    cut = sc.parallelize(range(RECORDS), 8).map(records)
    cut.persist(StorageLevel.MEMORY_ONLY)
    cut.localCheckpoint()
    for _ in range(2):
        assert cut.map(lambda pair: pair[0]).sum() == sum(range(RECORDS))
    assert cut.getStorageLevel().useDisk


def test_a_shuffle_of_several_times_the_budget(sc: Context) -> None:
    pairs = sc.parallelize(range(12), 12).flatMap(lambda part: ((n % 101, f"value {part} {n}") for n in range(10_000)))
    spread = pairs.partitionBy(6)
    for _ in range(2):
        assert spread.map(lambda pair: (pair[0], 1)).reduceByKey(add).collectAsMap() == {
            key: 12 * len(range(key, 10_000, 101)) for key in range(101)}


def test_half_of_a_shuffle_in_one_partition(sc: Context) -> None:
    pairs = sc.parallelize(range(8), 8).flatMap(lambda part: ((0 if n % 2 else n, "x" * 50) for n in range(8_000)))
    counts = pairs.partitionBy(6, lambda key: key).mapPartitions(lambda part: [sum(1 for _ in part)]).collect()
    expected = [0] * 6
    for n in range(8_000):
        expected[0 if n % 2 else n % 6] += 8
    assert counts == expected


@about_keeping
def test_memory_is_reported_by_executor(sc: Context) -> None:
    kept = sc.parallelize(range(1_000), 6).cache()
    kept.count()
    infos = sc.statusTracker().getExecutorInfos()
    assert all(info.totalOnHeapStorageMemory == MIB for info in infos)
    assert sum(info.cacheSize for info in infos) == info_of(sc, kept).memory_bytes > 0
    kept.unpersist()


# --- results ----------------------------------------------------------------------------------------------------------


def test_a_result_over_the_limit_ends_its_job_with_advice(sc: Context) -> None:
    sc.stop()
    with Context(max_result_bytes="100k") as small:
        text = small.parallelize(range(10_000), 10).map(lambda number: f"record {number}")
        with pytest.raises(UsageError, match=r"collect at .*results that have come so far.*saveAsTextFile.*--max-result"):
            text.collect()
        with pytest.raises(UsageError, match=r"one partition's result: [\d,]+ bytes, and the driver takes 102,400"):
            text.coalesce(1).collect()
        assert text.count() == 10_000
        assert text.take(3) == ["record 0", "record 1", "record 2"]
        assert sum(1 for _ in text.toLocalIterator()) == 10_000


def test_without_a_limit_everything_comes() -> None:
    with Context(max_result_bytes=0) as sc:
        assert len(sc.parallelize(range(10), 2).map(lambda n: "x" * 1_000_000).collect()) == 10
