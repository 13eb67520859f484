"""A Context stops while its executors exchange bytes. A module of its own, as the others share a Context."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from operator import add
from pathlib import Path
from typing import Any

import pytest

from mpirdd import Context

pytestmark = pytest.mark.exchanges


def marked(mark: Path, partition: Iterator[Any]) -> Iterator[Any]:
    """Marks that the partition is done."""
    yield from partition
    mark.touch()


def test_a_context_that_stops_in_the_middle_of_an_exchange_leaves_the_next_one_whole(tmp_path: Path) -> None:
    for turn in range(3):
        mark = tmp_path / str(turn)
        with Context() as sc, ThreadPoolExecutor(1) as pool:
            pairs = sc.parallelize(range(60), 6).flatMap(lambda n: [(n, bytes(200_000))] * 3)
            job = pool.submit(pairs.mapPartitions(partial(marked, mark)).groupByKey(6).count)
            while not mark.exists():
                time.sleep(0.001)
            sc.stop()
            job.exception()  # whether it has one or was quicker is all the same
        with Context() as sc:
            sums = sc.parallelize(range(300), 6).map(lambda n: (n % 20, n)).reduceByKey(add, 4).collectAsMap()
            assert sums == {key: sum(range(key, 300, 20)) for key in range(20)}
