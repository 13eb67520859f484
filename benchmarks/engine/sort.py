"""Sort whole numbers on the engine, public names only."""

from __future__ import annotations

import time
from itertools import pairwise
from random import Random

from benchmarks.program import program_arguments, write_report
from mpirdd import Context


def main() -> None:
    arguments = program_arguments("numbers", "seed")
    with Context() as sc:
        sc.parallelize(range(64), 64).count()
        parts = 16
        count, seed = arguments.numbers // parts, arguments.seed

        def generate(part: int) -> list[int]:
            random = Random(seed * parts + part)
            return [random.getrandbits(60) for _ in range(count)]

        numbers = sc.parallelize(range(parts), parts).flatMap(generate).cache()
        expected = numbers.sum(), numbers.count()
        started = time.monotonic()
        pieces = numbers.sortBy(lambda x: x, numPartitions=8).mapPartitions(check).collect()
        seconds = time.monotonic() - started
    in_order = all(before[1] <= after[0] for before, after in pairwise(pieces))
    found = sum(piece[2] for piece in pieces), sum(piece[3] for piece in pieces)
    digest = f"{in_order and found == expected and all(piece[4] for piece in pieces)} {expected}"
    write_report(arguments.report, seconds=[seconds], digest=digest)


def check(records: object) -> object:
    """Least, largest, sum and count of a partition, and whether it is sorted."""
    numbers = list(records)  # type: ignore[call-overload]
    if numbers:
        yield numbers[0], numbers[-1], sum(numbers), len(numbers), numbers == sorted(numbers)


if __name__ == "__main__":
    main()
