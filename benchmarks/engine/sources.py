"""A count of the lines of a text file, wherever it lies, on the engine."""

from __future__ import annotations

import time

from benchmarks.program import program_arguments, write_report
from mpirdd import Context


def main() -> None:
    arguments = program_arguments("path", "jobs")
    with Context() as sc:
        sc.textFile(arguments.path).take(1)  # executors have made their clients
        seconds, lines = [], 0
        for _ in range(arguments.jobs):
            started = time.monotonic()
            lines = sc.textFile(arguments.path).count()
            seconds.append(time.monotonic() - started)
        write_report(arguments.report, seconds=seconds, lines=lines)


if __name__ == "__main__":
    main()
