"""Jobs of many empty partitions on the engine."""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks.program import program_arguments, write_report
from mpirdd import Context

WARM_UP = 5


def one(records: Iterator[object]) -> list[int]:
    """1 for each partition, so that the sum counts the tasks that ran."""
    return [1]


def main() -> None:
    arguments = program_arguments("tasks", "jobs")
    with Context() as sc:
        empty = sc.parallelize([], arguments.tasks)
        counted = [empty.count() for _ in range(WARM_UP)]
        seconds = []
        for _ in range(arguments.jobs):
            started = time.monotonic()
            counted.append(empty.count())
            seconds.append(time.monotonic() - started)
        done = empty.mapPartitions(one).sum()
        write_report(arguments.report, seconds=seconds, counted=counted, done=done)


if __name__ == "__main__":
    main()
