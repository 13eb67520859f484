"""Executors with nothing to do, while the driver's program does something else for a while."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

from benchmarks.processes import cpu_percent
from benchmarks.program import program_arguments, write_report
from mpirdd import Context

SPREAD_S = 0.2
"""A task this long gets an executor to itself, so each reports its process id."""
SETTLE_S = 0.5


def process_id(records: Iterator[object]) -> list[int]:
    time.sleep(SPREAD_S)
    return [os.getpid()]


def main() -> None:
    arguments = program_arguments("seconds")
    with Context() as sc:
        executors = sc.defaultParallelism
        partitions = sc.parallelize([], 2 * executors)
        processes = sorted(set(partitions.mapPartitions(process_id).collect()))
        time.sleep(SETTLE_S)
        *percent, driver = cpu_percent([*processes, os.getpid()], arguments.seconds)
        write_report(arguments.report, percent=percent, driver_percent=driver)


if __name__ == "__main__":
    main()
