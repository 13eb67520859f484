"""A shuffle of numpy arrays on the engine: cached (destination, array) pairs through ``partitionBy``.

One array for each pair of source and destination, so the time goes into bytes and not into records.
The pairs are cached, one partition an executor, before the clock starts; the action that makes the
shuffle run counts bytes. Each job shuffles anew, since a finished shuffle would not run again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.arrays import checksum, make
from benchmarks.program import program_arguments, write_report
from mpirdd import Context

SPREAD_S = 0.2
"""Source tasks go to any free executor: a task that takes a while gets an executor to itself."""


def main() -> None:
    arguments = program_arguments("items", "jobs")
    items = arguments.items
    with Context() as sc:
        executors = sc.defaultParallelism

        def pairs(source: int) -> list[tuple[int, Any]]:
            time.sleep(SPREAD_S)
            return [(destination, make(source, destination, items)) for destination in range(executors)]

        cached = sc.parallelize(range(executors), executors).flatMap(pairs).cache()
        cached.count()
        processes = cached.mapPartitions(lambda records: [os.getpid()]).collect()
        forget = sc.parallelize([], executors)
        seconds, sizes = [], []
        for _ in range(1 + arguments.jobs):  # the first touches memory, as in the hand-written program
            shuffled = None
            forget.count()  # executors free what nobody refers to when a job begins: outside the time taken
            started = time.monotonic()
            shuffled = cached.partitionBy(executors, lambda destination: destination)
            sizes.append(shuffled.mapPartitions(count_bytes).sum())
            seconds.append(time.monotonic() - started)
        assert shuffled is not None
        write_report(arguments.report, seconds=seconds[1:], sizes=sizes, sources=len(set(processes)),
                     misplaced=shuffled.mapPartitionsWithIndex(misplaced).sum(),
                     checksum=sorted(shuffled.values().mapPartitions(checksum).collect()))


def count_bytes(records: Iterator[tuple[int, Any]]) -> list[int]:
    return [sum(array.nbytes for _, array in records)]


def misplaced(partition: int, records: Iterator[tuple[int, Any]]) -> list[int]:
    return [sum(destination != partition for destination, _ in records)]


if __name__ == "__main__":
    main()
