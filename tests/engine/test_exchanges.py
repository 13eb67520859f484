"""Every executor comes to every exchange, whatever becomes of tasks and jobs meanwhile.

Where nobody can leave a collective of MPI, one that did not come would keep all others waiting for ever. So these tests make
exchanges of many jobs meet failures and cancellations; what they show is that all jobs end, and those that may succeed are right.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from operator import add
from pathlib import Path
from typing import Any

import pytest

from mpirdd import Context, JobCancelled, StorageLevel, TaskError

pytestmark = pytest.mark.exchanges

PARTS = 12


class Refused(Exception):
    pass


def refuse(pair: tuple[int, int]) -> tuple[int, int]:
    if pair[1] == 1_000:
        raise Refused
    return pair


def sums(sc: Context, size: int) -> dict[int, int]:
    """Two shuffles, the second with buckets of some kB."""
    pairs = sc.parallelize(range(size), PARTS).map(lambda n: (n % 50, n)).reduceByKey(add, 7)
    return dict(pairs.flatMapValues(lambda total: [total] * 40).groupByKey(5).mapValues(lambda all: max(all)).collect())


def right(size: int) -> dict[int, int]:
    return {key: sum(range(key, size, 50)) for key in range(50)}


def fails_before_its_exchange(sc: Context) -> str:
    with pytest.raises(TaskError):
        sc.parallelize(range(5_000), PARTS).map(lambda n: (n, n)).map(refuse).groupByKey(4).count()
    return "failed"


def fails_behind_its_exchange(sc: Context) -> str:
    with pytest.raises(TaskError):
        sc.parallelize(range(5_000), PARTS).map(lambda n: (n, n)).partitionBy(4).map(refuse).count()
    return "failed"


def slow(partition: Iterator[Any]) -> Iterator[Any]:
    for record in partition:
        time.sleep(0.002)
        yield record


def list_of(pair: tuple[int, Any]) -> list[tuple[int, int]]:
    return [(pair[0], value) for value in pair[1]]


def marked(mark: Path, partition: Iterator[Any]) -> Iterator[Any]:
    """Marks that the partition is done."""
    yield from partition
    mark.touch()


def wait_for(mark: Path) -> None:
    while not mark.exists():
        time.sleep(0.001)


def is_cancelled(sc: Context, mark: Path) -> str:
    """As soon as its first map task ends, which is before, in or behind its exchange."""
    keyed = sc.parallelize(range(1_200), PARTS).map(lambda n: (n % 100, n)).mapPartitions(partial(marked, mark))

    def count() -> int:
        sc.setJobGroup(mark.name, "will be cancelled")
        return keyed.groupByKey(6).flatMap(list_of).mapPartitions(slow).groupByKey(6).count()

    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(count)
        wait_for(mark)
        sc.cancelJobGroup(mark.name)
        with pytest.raises(JobCancelled):
            job.result()
    return "cancelled"


def test_jobs_that_fail_or_are_cancelled_leave_nobody_in_an_exchange(sc: Context, tmp_path: Path) -> None:
    with ThreadPoolExecutor(6) as pool:
        for turn in range(4):
            jobs = [
                pool.submit(sums, sc, 3_000 + turn), pool.submit(fails_before_its_exchange, sc),
                pool.submit(is_cancelled, sc, tmp_path / f"a {turn}"), pool.submit(fails_behind_its_exchange, sc),
                pool.submit(is_cancelled, sc, tmp_path / f"b {turn}"), pool.submit(sums, sc, 500),
            ]
            results = [job.result() for job in jobs]
            assert (results[0], results[5]) == (right(3_000 + turn), right(500))
            assert (results[1], results[3]) == ("failed", "failed")


def test_an_executor_that_works_for_long_comes_to_the_exchange_of_another_job(sc: Context) -> None:
    """The others wait for it."""
    with ThreadPoolExecutor(2) as pool:
        long = pool.submit(sc.parallelize([1], 1).mapPartitions(lambda part: (time.sleep(0.3), part)[1]).count)
        assert sums(sc, 700) == right(700)
        assert long.result() == 1


def test_copies_of_kept_partitions_and_shuffles_take_turns(sc: Context) -> None:
    kept = sc.parallelize(range(2_000), PARTS).map(lambda n: (n % 30, n)).persist(StorageLevel.MEMORY_ONLY_2)
    for _ in range(3):
        assert kept.count() == 2_000
        assert dict(kept.reduceByKey(add, 3).collect()) == {key: sum(range(key, 2_000, 30)) for key in range(30)}
        kept.unpersist()
        kept = kept.map(lambda kv: kv).persist(StorageLevel.MEMORY_ONLY_2)
