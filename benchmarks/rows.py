"""Rows of a whole number and a float for the benchmarks ``group`` and ``join``: the same on every rank, from a seed."""

from __future__ import annotations

from random import Random

Row = tuple[int, float]

PARTS = 8
"""Parts that the rows of a side are made in, whatever the number of executors."""
ROWS_A_KEY = 4
"""Rows with one key in the large side, on average; each key is once in the small one."""


def part_rows(part: int, rows: int, seed: int) -> list[Row]:
    """Part ``part`` of ``rows`` rows with random keys, ``ROWS_A_KEY`` of each on average."""
    random = Random(seed * PARTS + part)
    keys = max(1, rows // ROWS_A_KEY)
    return [(random.randrange(keys), random.random()) for _ in range(_size(part, rows))]


def part_of_keys(part: int, rows: int, seed: int) -> list[Row]:
    """Part ``part`` of one row for each key that ``part_rows`` draws from, in random order."""
    keys = list(range(part, max(1, rows // ROWS_A_KEY), PARTS))
    random = Random(-seed * PARTS - part - 1)
    random.shuffle(keys)
    return [(key, random.random()) for key in keys]


def mean(values: list[float]) -> float:
    """For groups of any kind that has a length."""
    return sum(values) / len(values)


def own_parts(rank: int, ranks: int) -> range:
    """The parts that a worker of the hand-written program makes."""
    return range(rank, PARTS, ranks)


def _size(part: int, rows: int) -> int:
    return rows * (part + 1) // PARTS - rows * part // PARTS
