"""A join of rows with one row for each key on the engine, public names only; so the program runs on PySpark, too."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from functools import partial

from benchmarks.program import program_arguments, write_report
from benchmarks.rows import PARTS, part_of_keys, part_rows
from mpirdd import Context


def main() -> None:
    arguments = program_arguments("rows", "seed", "jobs")
    with Context() as sc:
        parts = sc.parallelize(range(PARTS), PARTS)
        rows, others = (
            parts.flatMap(partial(make, rows=arguments.rows, seed=arguments.seed)).cache() for make in (part_rows, part_of_keys))
        rows.count(), others.count()
        seconds, totals = [], []
        for _ in range(1 + arguments.jobs):
            started = time.monotonic()
            totals = rows.join(others).mapPartitions(total).collect()
            seconds.append(time.monotonic() - started)
        keys, sums = zip(*totals, strict=True)
        write_report(arguments.report, first=seconds[:1], seconds=seconds[1:], keys=sum(keys), result=sum(sums))


def total(joined: Iterable[tuple[int, tuple[float, float]]]) -> Iterator[tuple[int, float]]:
    """How many results, and the sum of the products of their values."""
    products = [one * other for _, (one, other) in joined]
    yield len(products), sum(products)


if __name__ == "__main__":
    main()
