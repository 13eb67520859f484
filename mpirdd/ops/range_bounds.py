"""The bounds of a sort's partitions, chosen from samples of the sort keys.

Several partitions *share* a key that would fill more than one: its records are dealt out among them in order. So a sort of equal
keys uses all ranks and is still stable.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from operator import itemgetter
from typing import Any, NamedTuple

from mpirdd.protocol.errors import RecordError, UsageError
from mpirdd.protocol.pairs import NOTHING


class Bound(NamedTuple):
    """The end of one partition of a sort, where the next begins."""

    key: Any
    """The last sort key of the partition: in an ascending sort, the greatest."""
    until: float = math.inf
    """For a shared key: which of its records go to this partition or an earlier one. 2.25 means those of map partitions 0 and 1,
    and the first quarter of those of map partition 2."""


def sample_keys(
    records: Iterable[Any], size: int, seed: int, key: Callable[[Any], Any] | None = None
) -> tuple[int, list[Any]]:
    """The number of records, and the keys of a uniform sample of them, in no order.

    Args:
        size: keys in the sample; fewer if there are fewer records.
        key: gives a record's key; None: the record is its key.

    Algorithm L (Li 1994, "Reservoir-sampling algorithms of time complexity O(n(1 + log(N/n)))") draws the number of records to
    skip, so all but the few sampled records cost 15 ns beyond being made. It holds no record, as records may be large where their
    keys are small.

    Raises:
        UsageError: ``size`` is less than 1.
    """
    if size < 1:
        raise UsageError(f"the size of a sample must be at least 1, not {size}")
    iterator = iter(records)
    keys = iterator if key is None else map(key, iterator)
    chosen = list(islice(keys, size))
    count = len(chosen)
    from random import Random

    random = Random(seed).random
    threshold = _draw(random) ** (1 / size)
    while True:
        count += _pass_over(iterator, _skip(random, threshold))
        taken = next(keys, NOTHING)
        if taken is NOTHING:
            return count, chosen
        count += 1
        chosen[int(random() * size)] = taken
        threshold *= _draw(random)  ** (1 / size)


def _pass_over(iterator: Iterator[Any], records: int) -> int:
    """Skip records; return the number skipped, which is smaller at the end."""
    counter = itertools.count()
    deque(zip(islice(iterator, min(records, sys.maxsize)), counter, strict=False), maxlen=0)
    return next(counter)


def _draw(random: Callable[[], float]) -> float:
    return 1.0 - random()  # above 0, for the logarithm


def _skip(random: Callable[[], float], threshold: float) -> int:
    return math.floor(math.log(_draw(random)) / math.log1p(-threshold)) if threshold < 1.0 else 0


def range_bounds(
    samples: Iterable[tuple[int, Sequence[Any]]], num_partitions: int, *, ascending: bool = True
) -> tuple[Bound, ...]:
    """Bounds that cut the records into equal parts, estimated from samples of the sort keys of each map partition.

    Args:
        samples: as ``sample_keys`` gives them, in the order of the map partitions, empty ones included.

    There are ``num_partitions - 1`` bounds, or none if all samples are empty. A sampled key weighs as much as the records that it
    stands for, so small and large map partitions may have samples of one size, as in Spark. Partitions share a key that weighs
    as much as a partition or more. Any other key goes whole to one partition, which therefore holds less than two parts of the
    sampled weight.

    Raises:
        RecordError: the keys cannot be compared with each other.
    """
    weighted = [
        (key, source, count / len(keys)) for source, (count, keys) in enumerate(samples) for key in keys
    ]
    try:
        weighted.sort(key=itemgetter(0), reverse=not ascending)
    except TypeError as error:
        raise not_comparable(error) from None
    total = math.fsum(weight for _, _, weight in weighted)
    bounds: list[Bound] = []
    before = 0.0
    for key, weights in _by_key(weighted):
        weight = sum(weights.values())
        is_shared = weight >= total / num_partitions
        while len(bounds) < num_partitions - 1:
            cut = total * (len(bounds) + 1) / num_partitions - before
            if cut > weight:
                break
            bounds.append(Bound(key, _reach(weights, cut)) if is_shared else Bound(key))
        before += weight
    return tuple(bounds)


def _by_key(weighted: list[tuple[Any, int, float]]) -> Iterator[tuple[Any, dict[int, float]]]:
    """Each key of a sorted list once, with its weight in each source that has it, in the order of the sources."""
    run: Any = None
    weights: dict[int, float] = {}
    for key, source, weight in weighted:
        if weights and not ties(run, key):
            yield run, weights
            weights = {}
        run = key
        weights[source] = weights.get(source, 0.0) + weight
    if weights:
        yield run, weights


def _reach(weights: dict[int, float], cut: float) -> float:
    """How far into the sources a weight of ``cut`` reaches, counted as in ``Bound.until``."""
    for source, weight in weights.items():
        if cut <= weight:
            return source + cut / weight
        cut -= weight
    return float(max(weights) + 1)  # rounding


def ties(one: Any, other: Any) -> bool:
    """Do the sort keys tie? Uses only ``<``, as sorting does."""
    return not (one < other or other < one)


def not_comparable(error: TypeError) -> RecordError:
    return RecordError(f"the sort keys have no order: {error}; give a keyfunc whose results can be compared")
