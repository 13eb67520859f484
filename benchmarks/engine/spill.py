"""Sort and groupByKey of 100-byte records on the engine; arguments: operation, records.

The sort's keys are a permutation of ``0 .. records - 1``, so its output is right if and only if it
is that range in order. In groups one in ten values belongs to one skewed key. Payloads are random
bytes: compression gains nothing.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import pairwise
from math import gcd
from random import Random
from typing import Any

from benchmarks.program import write_report
from mpirdd import Context

GIANT_EVERY = 10
VALUES = 200
"""Values of each group but the skewed one."""
_PARTS = 8
"""Map partitions of an executor."""
_BLOCK = 1 << 20
_PAYLOAD = 82

Record = tuple[str, bytes]


def main() -> None:
    parser = ArgumentParser()
    parser.add_argument("operation", choices=("sort", "group"))
    parser.add_argument("records", type=int)
    parser.add_argument("--report", required=True)
    options = parser.parse_args()
    records = options.records
    with Context() as sc:
        parts = _PARTS * sc.defaultParallelism
        cuts = [records * part // parts for part in range(parts + 1)]
        ranges = sc.parallelize(list(pairwise(cuts)), parts)
        key = sort_key(records) if options.operation == "sort" else group_key
        data = ranges.flatMap(partial(make, key))
        targets = 2 * sc.defaultParallelism
        started = time.monotonic()
        if options.operation == "sort":
            pieces = data.sortByKey(numPartitions=targets).mapPartitions(check_order).collect()
            valid = follows(pieces, records)
        else:
            pieces = data.groupByKey(targets).mapPartitions(check_groups).collect()
            valid = all(piece[0] for piece in pieces) and (
                sum(piece[1] for piece in pieces), sum(piece[2] for piece in pieces)
            ) == (records, records * (records - 1) // 2)
        seconds = time.monotonic() - started
        spilled = sum(piece[-1] for piece in pieces)
    write_report(options.report, seconds=[seconds], correct=valid, spilled_bytes=spilled)


def sort_key(records: int) -> Callable[[int], str]:
    step = 7_368_787 % records or 1
    while gcd(step, records) > 1:
        step += 1
    return lambda place: f"{place * step % records:010d}"


def group_key(place: int) -> str:
    return f"{0 if place % GIANT_EVERY == 0 else 1 + place // GIANT_EVERY // VALUES:010d}"


def make(key: Callable[[int], str], stretch: tuple[int, int]) -> Iterator[Record]:
    block = Random(1).randbytes(_BLOCK + _PAYLOAD)
    for place in range(*stretch):
        at = place * 4_093 % _BLOCK
        yield key(place), place.to_bytes(8, "big") + block[at : at + _PAYLOAD]


def check_order(part: Iterable[Record]) -> Iterator[tuple[int, int, bool, int]]:
    """(first key, one past the last, whether all between came in order, bytes spilled)."""
    first = following = -1
    in_order = True
    for key, _ in part:
        number = int(key)
        if first < 0:
            first = following = number
        in_order = in_order and number == following
        following += 1
    yield first, following, in_order, spilled_bytes()


def follows(pieces: list[tuple[int, int, bool, int]], records: int) -> bool:
    at = 0
    for first, end, in_order, _ in pieces:
        if first < 0:
            continue
        if not in_order or first != at:
            return False
        at = end
    return at == records


def check_groups(part: Iterable[tuple[str, Any]]) -> Iterator[tuple[bool, int, int, int]]:
    """(whether all values lie with their key, how many there are, the sum of their places, bytes spilled)."""
    right, count, total = True, 0, 0
    for key, values in part:
        for value in values:
            place = int.from_bytes(value[:8], "big")
            right = right and group_key(place) == key
            count += 1
            total += place
    yield right, count, total, spilled_bytes()


def spilled_bytes() -> int:
    from mpirdd.ops.current_task import current_task

    task = current_task()
    return 0 if task is None else task.memory.spilled_bytes


if __name__ == "__main__":
    main()
