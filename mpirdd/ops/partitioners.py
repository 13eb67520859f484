"""Partitioners: frozen values that map each record of a shuffle to a partition.

Equal partitioners put equal keys into the same partition of any RDD, so RDDs that share one join without moving. (The
partitioner of sorts is in ``range_partitioner.py``.) Functions inside partitioners are compared by ``==``, as PySpark does.

``split`` is the engine's hottest loop besides the combiner's. It passes each record object on unchanged, and looks for a faulty
record only after something has raised. Errors of a user's function or of the records' iterator pass through unchanged; a faulty
record raises RecordError.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sized
from dataclasses import dataclass
from typing import Any

from xxhash import xxh3_64_intdigest

from mpirdd.ops.hashing import stable_hash
from mpirdd.protocol.errors import RecordError, UsageError
from mpirdd.protocol.pairs import NOTHING, Pair, check_pair
from mpirdd.protocol.settings import MOST_PARTITIONS
from mpirdd.protocol.shown import shown

_FEW = 8
"""With this many times as many partitions as records, most partitions get no list: making 10,000 lists takes 0.5 ms."""

_Lists = list[list[Any]] | defaultdict[int, list[Any]]


def _lists_for(records: Iterable[Any], partitions: int) -> _Lists:
    """Lists by partition; with few records, made only for the partitions that get some."""
    if isinstance(records, Sized) and _FEW * len(records) < partitions:
        return defaultdict(list)
    return [[] for _ in range(partitions)]


def _as_list(lists: _Lists, partitions: int) -> list[list[Any]]:
    """The lists by partition. Partitions without records share one empty list."""
    if isinstance(lists, list):
        return lists
    nothing: list[Any] = []
    result = [nothing] * partitions
    for partition, filled in lists.items():
        result[partition] = filled
    return result


@dataclass(frozen=True)
class Partitioner(ABC):
    """Maps keys to partitions ``0 .. num_partitions - 1``, in the same way on every rank."""

    num_partitions: int

    def __post_init__(self) -> None:
        if self.num_partitions < 0:  # 0 is allowed for an RDD without records
            raise UsageError(f"the number of partitions must be at least 0, not {self.num_partitions}")
        if self.num_partitions > MOST_PARTITIONS:
            raise UsageError(f"the number of partitions must be at most {MOST_PARTITIONS:,}, not {self.num_partitions:,}")

    @abstractmethod
    def __call__(self, key: Any) -> int:
        """The partition of ``key``; if a key has several, the first of them. Raises RecordError."""

    @abstractmethod
    def split(self, records: Iterable[Any], source: int, first: int = 0) -> list[list[Any]]:
        """(key, value) records by target partition.

        Args:
            source: the map partition that they come from.
            first: how many of its records came before these.

        The records of one key keep their order. Partitions without records may share one empty list: nobody may change it.
        """

    def split_keys(self, keys: Collection[Any]) -> list[list[Any]]:
        """Keys without values, by target partition. Partitions without keys may share one empty list."""
        buckets: list[list[Any]] = [[] for _ in range(self.num_partitions)]
        for key in keys:
            buckets[self(key)].append(key)
        return buckets


@dataclass(frozen=True)
class HashPartitioner(Partitioner):
    """``stable_hash(key) % num_partitions``."""

    def __call__(self, key: Any) -> int:
        return stable_hash(key) % self.num_partitions

    def split(self, records: Iterable[Any], source: int, first: int = 0) -> list[list[Any]]:
        # ns a record on Python 3.11, 8 partitions: str 140, int 105, float 245, (int, int) 515. The branches inline stable_hash
        # for the two common types: calling it costs 90 more. Whole chunks at a time through map() and numpy were slower (str
        # 160, int 125).
        buckets = _lists_for(records, self.num_partitions)
        partitions, text_hash, any_hash = self.num_partitions, xxh3_64_intdigest, stable_hash
        record = NOTHING
        try:
            for record in records:
                if type(record) is not tuple:
                    check_pair(record)
                key, _ = record
                kind = type(key)
                if kind is str:
                    try:
                        place = text_hash(key.encode())
                    except UnicodeEncodeError:  # lone surrogates; letting encode accept them costs every key 15 ns
                        place = any_hash(key)
                elif kind is int:
                    place = hash(key)
                else:
                    place = any_hash(key)
                buckets[place % partitions].append(record)
        except (TypeError, ValueError):
            check_pair(record)
            raise
        return _as_list(buckets, partitions)

    def split_keys(self, keys: Collection[Any]) -> list[list[Any]]:
        # Loops as one would write them by hand for ints and for text; asking each key for its type costs 30 ns.
        kinds = set(map(type, keys))
        buckets = _lists_for(keys, self.num_partitions)
        partitions, text_hash = self.num_partitions, xxh3_64_intdigest
        if kinds == {int}:
            for key in keys:
                buckets[hash(key) % partitions].append(key)
        elif kinds == {str}:
            for key in keys:
                buckets[text_hash(key.encode("utf-8", "surrogatepass")) % partitions].append(key)
        else:
            for key in keys:
                buckets[stable_hash(key) % partitions].append(key)
        return _as_list(buckets, partitions)

    def split_columns(self, records: Iterable[Pair], operation: str) -> list[list[Any]]:
        """As ``split``, with keys and values apart: the keys for each target partition, then the values for each.

        ``operation`` is for messages.
        """
        # 20 ns a record more than ``split``, but 160 less to encode and 130 less to decode.
        keys, values = _lists_for(records, self.num_partitions), _lists_for(records, self.num_partitions)
        partitions, text_hash, any_hash = self.num_partitions, xxh3_64_intdigest, stable_hash
        record = NOTHING
        try:
            for record in records:
                if type(record) is not tuple:
                    check_pair(record, operation)
                key, value = record
                kind = type(key)
                if kind is str:
                    try:
                        place = text_hash(key.encode())
                    except UnicodeEncodeError:
                        place = any_hash(key)
                elif kind is int:
                    place = hash(key)
                else:
                    place = any_hash(key)
                place %= partitions
                keys[place].append(key)
                values[place].append(value)
        except (TypeError, ValueError):
            check_pair(record, operation)
            raise
        return _as_list(keys, partitions) + _as_list(values, partitions)


@dataclass(frozen=True)
class FunctionPartitioner(Partitioner):
    """``function(key) % num_partitions``, with a function of the user's."""

    function: Callable[[Any], int]

    def __call__(self, key: Any) -> int:
        place = self.function(key)
        self._check_place(key, place)
        return int(place % self.num_partitions)

    def split(self, records: Iterable[Any], source: int, first: int = 0) -> list[list[Any]]:
        buckets: list[list[Any]] = [[] for _ in range(self.num_partitions)]
        partitions, function = self.num_partitions, self.function
        record = place = nothing = NOTHING
        try:
            for record in records:
                if type(record) is not tuple:
                    check_pair(record)
                key, _ = record
                place = nothing  # so this key is not blamed for the result of an earlier one
                place = function(key)
                buckets[place % partitions].append(record)
        except (TypeError, ValueError):
            check_pair(record)
            if place is not NOTHING:
                self._check_place(record[0], place)
            raise
        return buckets

    def _check_place(self, key: Any, place: Any) -> None:
        if not hasattr(place, "__index__"):
            name = getattr(self.function, "__qualname__", repr(self.function))
            raise RecordError(
                f"partitionFunc {name} must return an int; for the key {shown(key)} it gave {shown(place)}"
            ) from None


class RoundRobin:
    """Deals records out in turn. Each map partition begins at a target that depends on its index, so many small map partitions
    spread too."""

    def __init__(self, num_partitions: int) -> None:
        self.num_partitions = num_partitions

    def split(self, records: Iterable[Any], source: int, first: int = 0) -> list[list[Any]]:
        everything, count = records if isinstance(records, list) else list(records), self.num_partitions
        if _FEW * len(everything) < count:
            buckets = _lists_for(everything, count)
            for place, record in enumerate(everything, source + first):
                buckets[place % count].append(record)
            return _as_list(buckets, count)
        return [everything[(place - source - first) % count :: count] for place in range(count)]
