"""``collect`` of cached numpy arrays on the engine."""

from __future__ import annotations

import time

from benchmarks.arrays import checksum, make
from benchmarks.program import program_arguments, write_report
from mpirdd import Context


def main() -> None:
    arguments = program_arguments("arrays", "items", "jobs")
    count, items = arguments.arrays, arguments.items
    with Context() as sc:
        executors = sc.defaultParallelism
        arrays = sc.parallelize(range(executors), executors).flatMap(
            lambda source: [make(source, index, items) for index in range(count)]).cache()
        arrays.count()
        seconds = []
        for _ in range(arguments.jobs):
            collected = None  # give the last job's memory back, outside the time taken
            started = time.monotonic()
            collected = arrays.collect()
            seconds.append(time.monotonic() - started)
        write_report(arguments.report, seconds=seconds, checksum=checksum(collected or []))


if __name__ == "__main__":
    main()
