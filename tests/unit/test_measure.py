"""Measured sizes against ``tracemalloc``: the limits here are those of the module's docstring."""

from __future__ import annotations

import gc
import sys
import tracemalloc
from collections import deque
from collections.abc import Callable
from itertools import cycle, islice
from random import Random
from typing import Any

import numpy as np
import pytest

from mpirdd.store.measure import size_of

N = 20_000
SHARED = {number + 1_000: str(number) for number in range(1_000)}
WORDS = [f"word {number}" for number in range(300)]


class Plain:
    def __init__(self, number: int) -> None:
        self.number, self.half, self.name = number + 1_000, number * 0.5, f"name {number}"


class Slotted:
    __slots__ = ("half", "number")

    def __init__(self, number: int) -> None:
        self.number, self.half = number + 1_000, number * 0.5


EVEN: dict[str, Callable[[], Any]] = {
    "small ints": lambda: [number % 200 for number in range(N)],
    "large ints": lambda: [number + 1_000 for number in range(N)],
    "huge ints": lambda: [(number + 7) << 200 for number in range(N)],
    "floats": lambda: [number * 0.5 for number in range(N)],
    "strings": lambda: [f"string {number}" for number in range(N)],
    "bytes": lambda: [b"%60d" % number for number in range(N)],
    "tuples": lambda: [(f"word {number}", number + 1_000) for number in range(N)],
    "pairs with one": lambda: [(f"word {number}", 1) for number in range(N)],
    "dicts": lambda: [{"a": number + 1_000, "b": number * 0.5} for number in range(N)],
    "lists of lists": lambda: [[n * 0.5 for n in range(100)] for _ in range(N // 100)],
    "nested": lambda: [[(n * m + 1_000, [n * 0.5] * 3) for n in range(20)] for m in range(N // 20)],
    "objects": lambda: [Plain(number) for number in range(N)],
    "objects with slots": lambda: [Slotted(number) for number in range(N)],
    "a dict of lists": lambda: {f"key {n}": [m + 1_000 for m in range(10)] for n in range(N // 10)},
    "a dict of floats": lambda: {number + 1_000: number * 0.5 for number in range(N)},
    "a set": lambda: {number + 1_000 for number in range(N)},
    "a deque": lambda: deque(number * 0.5 for number in range(N)),
    "an array": lambda: np.zeros(N),
    "arrays": lambda: [np.zeros(100) for _ in range(N // 100)],
    "views of one array": lambda: list(np.zeros((1_000, 100))),
    "an array of objects": lambda: np.array([f"string {number}" for number in range(N)], dtype=object),
    "a shared dict": lambda: [(number + 1_000, SHARED) for number in range(N)],
    "shared strings": lambda: [WORDS[number % 300] for number in range(N)],
    "half shared": lambda: [WORDS[number % 50] if number % 2 else f"own {number}" for number in range(N)],
    "one twentieth None": lambda: [None if number % 20 == 0 else number * 0.5 for number in range(N)],
    "a block of arrays": lambda: {"x": np.ones((100, 20)), "y": np.ones(100)},
}
UNEVEN: dict[str, Callable[[], Any]] = {
    "sizes over three decades": lambda: ["x" * int(10 ** Random(number).uniform(0, 3)) for number in range(N)],
    "a saw": lambda: ["x" * (1 + number % 1_000) for number in range(N)],
    "every second one large": lambda: ["x" * (1_000 if number % 2 else 10) for number in range(N)],
    "every seventh a list": lambda: [[n * 0.5 for n in range(50)] if number % 7 == 0 else [] for number in range(N)],
}


def allocated(make: Callable[[], Any]) -> tuple[Any, int]:
    """The value, and the bytes that its allocations take, rounded up as the allocator does."""
    gc.collect()
    tracemalloc.start()
    try:
        value = make()
        gc.collect()
        taken = sum(-(-trace.size // 16) * 16 for trace in tracemalloc.take_snapshot().traces)
    finally:
        tracemalloc.stop()
    return value, taken


@pytest.mark.parametrize("name", EVEN)
def test_sizes_are_right_within_15_percent(name: str) -> None:
    value, taken = allocated(EVEN[name])
    own = {"a shared dict": size_of(SHARED), "shared strings": size_of(WORDS)}.get(name, 0) + 1_000
    assert abs(size_of(value) - taken) < 0.15 * taken + own


@pytest.mark.parametrize("name", UNEVEN)
def test_uneven_sizes_are_right_within_30_percent(name: str) -> None:
    value, taken = allocated(UNEVEN[name])
    assert 0.7 * taken < size_of(value) < 1.3 * taken


def test_the_same_value_has_the_same_size_each_time() -> None:
    value = UNEVEN["sizes over three decades"]()
    assert size_of(value) == size_of(value)


def test_an_object_met_twice_counts_once() -> None:
    text = "x" * 10_000
    assert size_of([text, text, [text]]) < 10_000 + 400
    assert size_of([[text] for _ in range(5_000)]) < 10_000 + 5_000 * (8 + 64) * 1.2


@pytest.mark.parametrize("length", [50_000, 333_333, 1_000_000])
@pytest.mark.parametrize("different", [1, 7, 100, 720, 1_000, 1_001, 3_000])
def test_a_long_list_that_goes_through_a_few_strings_again_and_again_counts_each_once(length: int, different: int) -> None:
    """For any period: a sample with steps of one length could see each string once, and take all
    for different ones."""
    strings = [f"string {number:040d}" for number in range(different)]
    value = list(islice(cycle(strings), length))
    taken = 8 * length + sum(map(sys.getsizeof, strings))
    assert 0.85 * taken < size_of(value) < 1.15 * taken


@pytest.mark.parametrize("different", [100, 1_000, 3_000])
def test_shared_strings_in_random_order_count_once(different: int) -> None:
    random = Random(1)
    strings = [f"string {number:040d}" for number in range(different)]
    value = [strings[random.randrange(different)] for _ in range(300_000)]
    assert 0.85 < size_of(value) / (8 * len(value) + sum(map(sys.getsizeof, strings))) < 1.15


def test_a_value_that_refers_to_itself_has_a_size() -> None:
    loop: list[Any] = [1_000]
    loop.append(loop)
    assert 0 < size_of(loop) < 400


def test_a_deep_value_does_not_exhaust_the_stack() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert size_of(deep) > 10_000
    while deep:  # freeing it all at once would recurse in C
        deep = deep.pop()


def test_functions_classes_and_modules_count_nothing() -> None:
    assert size_of([size_of, Plain, sys, len]) < 300


def test_a_memoryview_counts_what_it_shows() -> None:
    assert 10_000 <= size_of(memoryview(bytes(10_000))) < 10_400
    assert 80_000 <= size_of(memoryview(np.zeros(10_000))) < 80_600


@pytest.mark.parametrize("width", [2, 30, 300])
def test_nests_of_any_depth_are_measured(width: int) -> None:
    """However little of the sample remains for the innermost containers."""
    value: object = list(range(1_000, 1_000 + width))
    for _ in range(8):
        value = [value, *([str(n)] for n in range(width)), tuple(map(float, range(300)))]
    assert size_of([value] * 3 + [(f"{n}", (tuple(f"{n}{m}" for m in range(40)), 0.5, 0.25)) for n in range(500)]) > 40_000
def test_long_lists_deep_inside_others_are_measured() -> None:
    """A sample may be used up before it gets there."""
    value = [(number, ("key", [["value"] * 50 for _ in range(40)])) for number in range(40)]
    deeper = [(number, [("key", [[["value"] * 500 for _ in range(40)]])]) for number in range(40)]
    assert size_of(value) > 40 * 40 * 50 * 8
    assert size_of([deeper] * 3) > 40 * 40 * 50 * 8
