"""The all-to-all of numbers, its members in one process."""

from __future__ import annotations

from array import array

import pytest

from mpirdd.comm.bruck import Bruck, bruck


def run(tables: list[list[int]]) -> tuple[list[list[int]], list[int]]:
    """What each member receives, and the distances that were stepped."""
    count = len(tables)
    running: dict[int, Bruck] = {index: bruck(send, index, count) for index, send in enumerate(tables)}
    results: dict[int, list[int]] = {}
    taken: dict[int, array[int]] = {}
    distances = []
    while running:
        given = {}
        for index, steps in list(running.items()):
            try:
                given[index] = steps.send(taken[index]) if taken else next(steps)
            except StopIteration as end:
                results[index] = list(end.value)
                del running[index]
        distances += sorted({distance for distance, _ in given.values()})
        taken = {(index + distance) % count: numbers for index, (distance, numbers) in given.items()}
    return [results[index] for index in range(count)], distances


@pytest.mark.parametrize("count", [*range(1, 18), 31, 32, 33])
@pytest.mark.parametrize("width", [1, 2, 3])
def test_everybody_gets_its_numbers_of_everybody(count: int, width: int) -> None:
    def block(sender: int, receiver: int) -> list[int]:
        return [(1 << 40) * sender + 1_000 * receiver + place - 1 for place in range(width)]

    received, _ = run([[number for to in range(count) for number in block(sender, to)] for sender in range(count)])
    assert received == [[number for sender in range(count) for number in block(sender, me)] for me in range(count)]


@pytest.mark.parametrize(("count", "distances"), [(1, []), (2, [1]), (5, [1, 2, 4]), (8, [1, 2, 4]), (9, [1, 2, 4, 8])])
def test_steps_double(count: int, distances: list[int]) -> None:
    assert run([[0] * count] * count)[1] == distances
