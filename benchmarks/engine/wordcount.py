"""Word count on the engine, public names only."""

from __future__ import annotations

import time

from benchmarks.program import program_arguments, write_report
from benchmarks.text import digest
from mpirdd import Context


def main() -> None:
    arguments = program_arguments("path")
    with Context() as sc:
        sc.parallelize(range(64), 64).count()  # executors are up, as after the Barrier by hand
        started = time.monotonic()
        counts = (sc.textFile(arguments.path)
                  .flatMap(str.split)
                  .map(lambda w: (w, 1))
                  .reduceByKey(lambda a, b: a + b)
                  .collect())
        seconds = time.monotonic() - started
        write_report(arguments.report, seconds=[seconds], digest=digest(counts))


if __name__ == "__main__":
    main()
