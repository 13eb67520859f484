"""Records to measure with: numbers, text and pairs, with few and with many keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any

from benchmarks.operations import Parts

PARTITIONS = 4
FEW = 1_000
"""Keys, where there are few."""
HELD: dict[str, dict[int, list[Any]]] = {}
"""The same records again, by data and partition, for the loops: an executor has no other way to keep them across tasks."""

_TEXT = "the quick brown fox jumps over the lazy dog"


def _ints(random: Random, count: int, start: int) -> Iterator[Any]:
    """All different, in no order; made in the order of the records, as those of a file are, so that they lie in memory so."""
    numbers = list(range(count))
    random.shuffle(numbers)
    return (start + number for number in numbers)


def _few_ints(random: Random, count: int, start: int) -> Iterator[Any]:
    return (random.randrange(FEW) for _ in range(count))


def _floats(random: Random, count: int, start: int) -> Iterator[Any]:
    return (random.random() for _ in range(count))


def _words(random: Random, count: int, start: int) -> Iterator[Any]:
    return (f"word {random.randrange(FEW)}" for _ in range(count))


def _lines(random: Random, count: int, start: int) -> Iterator[Any]:
    """Nine words each."""
    return (f"{_TEXT} {random.randrange(10 * FEW)}" for _ in range(count // 10))


def _pairs(random: Random, count: int, start: int) -> Iterator[Any]:
    """Four of each key, and scattered."""
    keys = PARTITIONS * count // 4
    return ((random.randrange(keys), number) for number in range(count))


def _few_keys(random: Random, count: int, start: int) -> Iterator[Any]:
    return ((random.randrange(FEW), number) for number in range(count))


def _text_keys(random: Random, count: int, start: int) -> Iterator[Any]:
    keys = PARTITIONS * count // 4
    return ((f"key {random.randrange(keys)}", number) for number in range(count))


def _few_text_keys(random: Random, count: int, start: int) -> Iterator[Any]:
    return ((f"key {random.randrange(FEW)}", number) for number in range(count))


def _table(random: Random, count: int, start: int) -> Iterator[Any]:
    """Each key of ``_pairs`` once: the other side of joins."""
    return ((key, float(key)) for key in range(start // 4, (start + count) // 4))


MAKERS: Mapping[str, Callable[[Random, int, int], Iterator[Any]]] = {
    "ints": _ints, "few ints": _few_ints, "floats": _floats, "words": _words, "lines": _lines, "pairs": _pairs,
    "few keys": _few_keys, "text keys": _text_keys, "few text keys": _few_text_keys, "table": _table,
}


def make(name: str, records: int, seed: int, partition: int) -> Iterator[Any]:
    """One partition."""
    each = records // PARTITIONS
    return MAKERS[name](Random(f"{name} {seed} {partition}"), each, partition * each)


def hold(name: str, partition: int, records: Iterator[Any]) -> Iterator[int]:
    """Keep the very objects of a cached partition for ``held``; gives their number."""
    HELD.setdefault(name, {})[partition] = kept = list(records)
    yield len(kept)


def held(name: str) -> Parts:
    """What ``hold`` has kept, in the order of the partitions."""
    return [records for _, records in sorted(HELD[name].items())]


def let_go(name: str) -> None:
    """Forget it."""
    HELD.pop(name, None)
