"""The owners of the reduce partitions of an exchange, in a few numbers.

The driver sends the owners to every executor. A number for each partition would be n x p numbers from
one rank: 800 MB for 10,000 executors and partitions. But owners follow a rule: *partition modulo
executors*, or the same executor for some partitions in a row. So they travel as stretches, one for a
common exchange. Owners that follow no rule travel as a table, in 4 bytes a partition.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import cycle, islice, repeat
from typing import NamedTuple, TypeAlias

from mpirdd.protocol.ids import Rank

NOBODY = -1
_STRETCH_BYTES, _OWNER_BYTES = 16, 4
"""The approximate size of each in a message."""


class Stretch(NamedTuple):
    """Partitions at equal distances, whose owners are one executor, or the executors in turn."""

    first: int
    """The first partition."""
    step: int
    """From each partition to the next."""
    length: int
    """The number of partitions."""
    owner: int
    """The owner of the first partition, by its place among the executors."""
    in_turn: bool
    """Each next partition belongs to the next executor; else all belong to the same one."""


Layer: TypeAlias = "tuple[Stretch, ...] | array[int]"
"""Owners of distinct partitions: stretches, or a table where that is shorter."""
Owners: TypeAlias = "tuple[Layer, ...]"
"""One layer; several where a partition goes to several executors, as in a cartesian product: the second layer has the second
owner of each such partition."""


def owners_of(partitions: Mapping[Rank, Iterable[int]], executors: Sequence[Rank]) -> Owners:
    """The stretches of a plan that names the partitions of each executor. Cost: 1 us a partition."""
    places = {rank: place for place, rank in enumerate(executors)}
    layers: list[list[tuple[int, int]]] = [[]]
    before, layer = NOBODY, 0
    for partition, owner in sorted((partition, places[rank]) for rank, its in partitions.items() for partition in its):
        layer = layer + 1 if partition == before else 0
        before = partition
        if layer == len(layers):
            layers.append([])
        layers[layer].append((partition, owner))
    return tuple(_layer(pairs, len(executors)) for pairs in layers if pairs)


def tables_of(owners: Owners, executors: int) -> Iterator[array[int]]:
    """For each layer the owner of each partition, by its place among so many executors, and ``NOBODY`` for partitions that the
    layer lacks. A table ends with the layer's last partition. Cost: 0.1 us a partition."""
    for layer in owners:
        if isinstance(layer, array):
            yield layer
            continue
        table = array("i", [NOBODY]) * max(first + step * (length - 1) + 1 for first, step, length, _, _ in layer)
        for first, step, length, owner, in_turn in layer:
            places = islice(cycle(range(executors)), owner, owner + length) if in_turn else repeat(owner, length)
            table[first : first + step * (length - 1) + 1 : step] = array("i", places)
        yield table


def _layer(pairs: Sequence[tuple[int, int]], executors: int) -> Layer:
    stretches = tuple(_stretches(pairs, executors))
    length = pairs[-1][0] + 1
    if _STRETCH_BYTES * len(stretches) <= max(_OWNER_BYTES * length, 10 * _STRETCH_BYTES):
        return stretches
    table = array("i", [NOBODY]) * length
    for partition, owner in pairs:
        table[partition] = owner
    return table


def _stretches(pairs: Sequence[tuple[int, int]], executors: int) -> Iterator[Stretch]:
    """``pairs``: rising partitions, each with the place of its owner."""
    at = 0
    while at < len(pairs):
        first, owner = pairs[at]
        step, move, end = 1, 0, at + 1
        if end < len(pairs):
            next_partition, next_owner = pairs[end]
            step, move = next_partition - first, (next_owner - owner) % executors
            while move <= 1 and end < len(pairs) and pairs[end] == (
                    first + step * (end - at), (owner + move * (end - at)) % executors):
                end += 1
        if end == at + 1:
            step, move = 1, 0
        yield Stretch(first, step, end - at, owner, bool(move))
        at = end
