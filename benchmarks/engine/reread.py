"""The sum over cached numpy blocks on the engine; arguments: blocks of an executor, items of a block, turns."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from operator import add
from typing import Any

import numpy as np

from benchmarks.arrays import make
from benchmarks.program import program_arguments, write_report
from mpirdd import Context

SPREAD_S = 0.2
"""Source tasks go to any free executor: a task that takes a while gets an executor to itself."""


def main() -> None:
    arguments = program_arguments("blocks", "items", "turns")
    count, items = arguments.blocks, arguments.items

    def blocks(source: int) -> list[Any]:
        time.sleep(SPREAD_S)
        return [make(source, block, items) for block in range(count)]

    with Context() as sc:
        executors = sc.defaultParallelism
        cached = sc.parallelize(range(executors), executors).flatMap(blocks).cache()
        cached.count()
        processes = cached.mapPartitions(process_id).collect()
        seconds, sums = [], []
        for _ in range(1 + arguments.turns):  # the first finds the functions new
            started = time.monotonic()
            sums.append(float(cached.map(np.sum).reduce(add)))
            seconds.append(time.monotonic() - started)
        write_report(arguments.report, seconds=seconds[1:], sums=sums, executors=len(set(processes)))


def process_id(records: Iterator[Any]) -> list[int]:
    return [os.getpid()]


if __name__ == "__main__":
    main()
