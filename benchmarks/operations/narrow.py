"""Transformations that move nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from random import Random
from typing import Any

from benchmarks.operations import Operation, Parts
from benchmarks.operations.functions import is_even, made, made_by_hand, next_one, twice, with_one


def doubled(records: Iterable[Any]) -> Iterator[Any]:
    return (2 * x for x in records)


def doubled_with_index(partition: int, records: Iterable[Any]) -> Iterator[Any]:
    return (2 * x + partition for x in records)


def map_(parts: Parts) -> int:
    return made_by_hand([next_one(x) for x in part] for part in parts)


def filter_(parts: Parts) -> int:
    return made_by_hand([x for x in part if is_even(x)] for part in parts)


def map_filter(parts: Parts) -> int:
    return made_by_hand([y for x in part if is_even(y := next_one(x))] for part in parts)


def flat_map(parts: Parts) -> int:
    return made_by_hand([y for x in part for y in twice(x)] for part in parts)


def split(parts: Parts) -> int:
    return made_by_hand([word for line in part for word in str.split(line)] for part in parts)


def map_partitions(parts: Parts) -> int:
    return made_by_hand(map(doubled, parts))


def map_partitions_with_index(parts: Parts) -> int:
    return made_by_hand(doubled_with_index(index, part) for index, part in enumerate(parts))


def key_by(parts: Parts) -> int:
    return made_by_hand([(next_one(x), x) for x in part] for part in parts)


def keys(parts: Parts) -> int:
    return made_by_hand([key for key, _ in part] for part in parts)


def values(parts: Parts) -> int:
    return made_by_hand([value for _, value in part] for part in parts)


def map_values(parts: Parts) -> int:
    return made_by_hand([(key, next_one(value)) for key, value in part] for part in parts)


def flat_map_values(parts: Parts) -> int:
    return made_by_hand([(key, one) for key, value in part for one in twice(value)] for part in parts)


def glom(parts: Parts) -> int:
    return made_by_hand([list(part)] for part in parts)


def union(parts: Parts, others: Parts) -> int:
    """As others would see it: an iterator over each partition."""
    return made_by_hand(map(chain, (*parts, *others)))


def coalesce(parts: Parts) -> int:
    return made_by_hand(chain(*parts[at : at + 2]) for at in range(0, len(parts), 2))


def zip_(parts: Parts, others: Parts) -> int:
    return made_by_hand(zip(part, other, strict=True) for part, other in zip(parts, others, strict=True))


def zip_with_index(parts: Parts) -> int:
    start = count = 0
    for part in parts:
        count += made_by_hand([[(x, index) for index, x in enumerate(part, start)]])
        start += len(part)
    return count


def zip_with_unique_id(parts: Parts) -> int:
    step = len(parts)
    return made_by_hand([(x, index * step + first) for index, x in enumerate(part)] for first, part in enumerate(parts))


def sample(parts: Parts) -> int:
    random = Random(1)
    return made_by_hand([x for x in part if random.random() < 0.1] for part in parts) > 0


def random_split(parts: Parts) -> int:
    """Two passes with the same draws, each of which keeps its half: the parts are two RDDs, and either may be computed alone."""
    count = 0
    for lower, upper in ((0.0, 0.5), (0.5, 1.0)):
        random = Random(1)
        count += made_by_hand([x for x in part if lower <= random.random() < upper] for part in parts)
    return count


NARROW = (
    Operation("map", ("ints",), lambda ints: made(ints.map(next_one)), map_),
    Operation("filter", ("ints",), lambda ints: made(ints.filter(is_even)), filter_),
    Operation("map filter", ("ints",), lambda ints: made(ints.map(next_one).filter(is_even)), map_filter),
    Operation("flatMap", ("ints",), lambda ints: made(ints.flatMap(twice)), flat_map),
    Operation("flatMap, str.split", ("lines",), lambda lines: made(lines.flatMap(str.split)), split),
    Operation("mapPartitions", ("ints",), lambda ints: made(ints.mapPartitions(doubled)), map_partitions),
    Operation("mapPartitionsWithIndex", ("ints",), lambda ints: made(ints.mapPartitionsWithIndex(doubled_with_index)),
              map_partitions_with_index),
    Operation("keyBy", ("ints",), lambda ints: made(ints.keyBy(next_one)), key_by),
    Operation("keys", ("pairs",), lambda pairs: made(pairs.keys()), keys),
    Operation("values", ("pairs",), lambda pairs: made(pairs.values()), values),
    Operation("mapValues", ("pairs",), lambda pairs: made(pairs.mapValues(next_one)), map_values),
    Operation("flatMapValues", ("pairs",), lambda pairs: made(pairs.flatMapValues(twice)), flat_map_values),
    Operation("glom", ("ints",), lambda ints: made(ints.glom()), glom),
    Operation("union", ("ints", "few ints"), lambda ints, few: made(ints.union(few)), union),
    Operation("zip", ("ints", "few ints"), lambda ints, few: made(ints.zip(few)), zip_),
    Operation("zipWithIndex", ("ints",), lambda ints: made(ints.zipWithIndex()), zip_with_index),
    Operation("zipWithUniqueId", ("ints",), lambda ints: made(ints.zipWithUniqueId()), zip_with_unique_id),
    Operation("sample", ("ints",), lambda ints: made(ints.sample(False, 0.1, 1)) > 0, sample),
    Operation("randomSplit", ("ints",), lambda ints: sum(map(made, ints.randomSplit([1, 1], 1))), random_split),
    Operation("coalesce", ("ints",), lambda ints: made(ints.coalesce(2)), coalesce),
    Operation("map, str", ("words",), lambda words: made(words.map(with_one)),
              lambda parts: made_by_hand([with_one(x) for x in part] for part in parts)),
)
