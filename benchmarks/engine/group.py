"""Means of grouped rows on the engine, public names only; so the program runs on PySpark, too."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from functools import partial

from benchmarks.program import program_arguments, write_report
from benchmarks.rows import PARTS, mean, part_rows
from mpirdd import Context


def main() -> None:
    arguments = program_arguments("rows", "seed", "jobs")
    with Context() as sc:
        rows = sc.parallelize(range(PARTS), PARTS).flatMap(
            partial(part_rows, rows=arguments.rows, seed=arguments.seed)).cache()
        rows.count()
        seconds, totals = [], []
        for _ in range(1 + arguments.jobs):
            started = time.monotonic()
            means = rows.groupByKey().mapValues(mean)
            totals = means.mapPartitions(total).collect()
            seconds.append(time.monotonic() - started)
        keys, sums = zip(*totals, strict=True)
        write_report(arguments.report, first=seconds[:1], seconds=seconds[1:], keys=sum(keys), result=sum(sums))


def total(means: Iterable[tuple[int, float]]) -> Iterator[tuple[int, float]]:
    """How many keys, and the sum of their means."""
    own = [value for _, value in means]
    yield len(own), sum(own)


if __name__ == "__main__":
    main()
