"""Combining by key, in memory and beyond it: the hot loops of the engine.

``combined`` runs on the map side. When memory runs out, it hands on the dictionary that it holds; the reduce side merges.
``aggregated`` runs on the reduce side and is external. When memory runs out, it spreads its whole dictionary over files by a
hash of the key (``ops/spread.py``), and at the end aggregates each file on its own. It spreads all that it holds each time,
not only the keys that came after the first refusal, so hot keys go on being merged in memory. If merging has removed less
than half of the records, it spreads the remaining input without merging.

The loops are plain functions on local variables. A record that is no pair, or a key that cannot be hashed, raises from inside
them. Only then do they inspect the record, to name the fault in the user's words: the check costs good records nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from operator import add
from sys import getsizeof
from typing import Any

from mpirdd.ops.spread import DEEPEST, new_files, spread, spread_all
from mpirdd.protocol.pairs import NOTHING, Pair, blame
from mpirdd.protocol.values import dataclass
from mpirdd.store.chunks import Chunks
from mpirdd.store.measure import size_of
from mpirdd.store.spill_trigger import SpillTrigger
from mpirdd.store.spilled_list import Columns, SpilledList
from mpirdd.store.task_memory import TaskMemory

Piece = list[Pair] | Columns
"""Pairs that are merged together."""


@dataclass(frozen=True, slots=True)
class Combiner:
    """How the values of a key are combined into one: the three functions of Spark's combineByKey."""

    create: Callable[[Any], Any] | None
    """First value -> combiner; None if the first value is the combiner."""
    merge_value: Callable[[Any, Any], Any]
    """(combiner, value) -> combiner; may change and return its first argument."""
    merge_combiners: Callable[[Any, Any], Any]
    """(combiner, combiner) -> combiner; may change and return its first argument."""
    operation: str
    """For error messages: the name of the RDD operation."""
    groups: bool = False
    """The combiners are lists of all values of a key (``ops/group.py``); the functions are not called."""
    apart: bool = False
    """Nothing is combined: the records are pairs, and their keys and values travel in lists of their own."""
    keys_only: bool = False
    """The records are keys without values, and one of each stays (``ops/distinct.py``); the functions are not called."""


def combine(
    combiner: Combiner, records: Iterable[Pair], combined: dict[Any, Any] | None = None, full: Sequence[None] = (),
    *, mostly_known: bool = False,
) -> dict[Any, Any]:
    """key -> combiner, keys in the order of their first record.

    Args:
        combined: the dictionary to add to; None makes a new one.
        full: once this is not empty, the loop ends early.
        mostly_known: few keys are new. This changes only the speed.

    Raises:
        RecordError: a record is no pair, or its key cannot be hashed.
    """
    combined = {} if combined is None else combined
    if mostly_known:
        _combine_known(combiner, records, combined, full)
    else:
        _combine_new(combiner, records, combined, full)
    return combined


def _combine_new(combiner: Combiner, records: Iterable[Pair], combined: dict[Any, Any], full: Sequence[None]) -> None:
    create, merge_value, get, nothing = combiner.create, combiner.merge_value, combined.get, NOTHING
    record = NOTHING
    try:
        if create is not None:
            for record in records:
                key, value = record
                have = get(key, nothing)
                combined[key] = create(value) if have is nothing else merge_value(have, value)
                if full:
                    break
        elif merge_value is add:  # without the call it takes 15 % less
            for record in records:
                key, value = record
                have = get(key, nothing)
                combined[key] = value if have is nothing else have + value
                if full:
                    break
        else:
            for record in records:
                key, value = record
                have = get(key, nothing)  # a second look-up instead of ``get`` takes up to 8 % more
                combined[key] = value if have is nothing else merge_value(have, value)
                if full:
                    break
    except (TypeError, ValueError) as error:
        blame(record, combiner.operation, error)
        raise


def _combine_known(combiner: Combiner, records: Iterable[Pair], combined: dict[Any, Any], full: Sequence[None]) -> None:
    """The same for keys that are mostly known: a known key takes 12 ns less, a new one some 250 ns more."""
    create, merge_value = combiner.create, combiner.merge_value
    adds, record = merge_value is add, NOTHING
    try:
        for record in records:
            key, value = record
            try:
                combined[key] = combined[key] + value if adds else merge_value(combined[key], value)
            except KeyError:
                if key in combined:  # the user's function raised it
                    raise
            else:
                if full:
                    break
                continue
            combined[key] = value if create is None else create(value)
            if full:
                break
    except (TypeError, ValueError) as error:
        blame(record, combiner.operation, error)
        raise


def merge(combiner: Combiner, records: Iterable[Pair], merged: dict[Any, Any] | None = None) -> dict[Any, Any]:
    """Merge records whose values are combiners already, into ``merged`` if it is given."""
    merged = {} if merged is None else merged
    if combiner.keys_only:
        merged.update(iter(records))  # of equal keys, the first one stays
        return merged
    merge_combiners = combiner.merge_combiners
    get, nothing = merged.get, NOTHING
    if not merged and isinstance(records, Columns):  # keys mostly differ within a piece
        merged.update(zip(records.keys, records.values, strict=True))
        if len(merged) == len(records):
            return merged
        merged.clear()
    for key, value in records:
        have = get(key, nothing)
        merged[key] = value if have is nothing else merge_combiners(have, value)
    return merged


def combined(
    combiner: Combiner, records: Iterator[Pair], memory: TaskMemory
) -> Iterator[tuple[dict[Any, Any], int, bool]]:
    """Dictionaries as ``combine`` makes them, each as large as working memory allows: (dictionary, its bytes, is it the last?).
    Several may hold the same key. The caller owns each one until it asks for the next."""
    trigger, weight = SpillTrigger(memory), Weight()
    held: dict[Any, Any] = {}
    size = 0
    mostly_known = False
    try:
        while True:
            batch, keys = trigger.batch, len(held)
            combine(combiner, islice(records, batch), held, trigger.full, mostly_known=mostly_known)
            mostly_known = (len(held) - keys) * _FEW_NEW < batch
            record = next(records, NOTHING)
            if record is NOTHING:
                yield held, size or size_of(held), True
                return
            combine(combiner, (record,), held)
            size = weight.of(held, record[0])
            if not trigger.may_grow(size, batch + 1):
                yield held, size, False
                held, size, weight = {}, 0, Weight()
                trigger.emptied()
    finally:
        trigger.emptied()


class Merged(Chunks):
    """Pairs whose keys are all different, in dictionaries. A caller that takes ``dicts`` owns them, and then iterates over
    nothing else."""

    def __init__(self, dicts: Iterator[dict[Any, Any]]) -> None:
        super().__init__(map(dict.items, dicts))
        self.dicts = dicts


def aggregated(combiner: Combiner, pieces: Iterable[Piece], memory: TaskMemory) -> Merged:
    """The pairs of ``merge``: in its order if they fit into memory, otherwise in no order."""
    return Merged(_aggregated(combiner, pieces, memory))


def aggregated_pairs(combiner: Combiner, records: Iterator[Pair], memory: TaskMemory) -> Iterable[Pair]:
    """The pairs of ``combine``, in the same way."""
    flushes = combined(combiner, records, memory)
    held, _, is_last = next(flushes)
    if is_last:
        return chain(held.items(), (item for more, _, _ in flushes for item in more.items()))  # gives the claim back
    rest = (list(more.items()) for more, _, _ in flushes if more)  # the last one may be empty, and a piece is not
    return aggregated(combiner, chain([list(held.items())], rest), memory)


def _aggregated(combiner: Combiner, pieces: Iterable[Piece], memory: TaskMemory) -> Iterator[dict[Any, Any]]:
    trigger = SpillTrigger(memory)
    left: list[tuple[Iterator[Piece], int]] = [(iter(pieces), 0)]
    try:
        while left:
            rest, depth = left.pop()
            table, files = _Table(combiner), list[SpilledList]()
            for piece in rest:
                # The combiner of a single key must be in memory in any case, and spreading cannot separate keys of one hash.
                if table.merge(piece, trigger) or len(table.held) == 1 or depth == DEEPEST:
                    continue
                files = files or new_files(memory)
                spread(table.held.items(), table.size, depth, files, trigger)
                merging_pays = table.merging_pays
                table = _Table(combiner)
                trigger.emptied()
                if not merging_pays:
                    spread_all(rest, depth, files, trigger)
            if files:
                spread(table.held.items(), size_of(table.held), depth, files, trigger)
                left += [(file.columns(), depth + 1) for file in reversed(files) if len(file)]
            else:
                yield table.held
            del table
            trigger.emptied()
    finally:
        trigger.emptied()


class _Table:
    """A dictionary of combiners that grows while there is memory for it."""

    def __init__(self, combiner: Combiner) -> None:
        self.held: dict[Any, Any] = {}
        self.size = 0
        """Bytes of memory at the last measurement."""
        self._combiner, self._weight = combiner, Weight()
        self._pairs = self._unmeasured = 0

    def merge(self, piece: Piece, trigger: SpillTrigger) -> bool:
        """Merge the pairs of the piece. False: the memory budget refuses more."""
        merge(self._combiner, piece, self.held)
        self._unmeasured += len(piece)
        if self._unmeasured < trigger.batch and not trigger.full:
            return True
        added, self._unmeasured = self._unmeasured, 0
        self._pairs += added
        self.size = self._weight.of(self.held, piece[-1][0])
        return trigger.may_grow(self.size, added)

    @property
    def merging_pays(self) -> bool:
        """Merging has at least halved the number of pairs."""
        return 2 * len(self.held) <= self._pairs


class Weight:
    """The size of a dictionary that grows by key.

    A sample of its items may miss the one key that has most of the values. But such a key comes up often, so this measures the
    values of the latest keys too, and they show whether values have grown. While they have not, each new key counts as much as
    the earlier ones, until there are a quarter more keys: measuring everything each time would add 6 to 40 ns to a record.
    """

    def __init__(self) -> None:
        self._watched: dict[Any, None] = {}
        self._keys = self._contents = self._heaviest = 0

    def of(self, held: dict[Any, Any], met: Any) -> int:
        """Bytes; ``met`` is the key of the latest record."""
        self._watched[met] = None
        sizes = {key: size_of(held[key]) for key in self._watched}
        heaviest = max(sizes.values())
        if len(sizes) > _WATCHED:
            del self._watched[min(sizes, key=sizes.__getitem__)]
        if heaviest > self._heaviest or 4 * len(held) > 5 * self._keys:
            self._keys, self._heaviest = len(held), heaviest
            self._contents = size_of((held, [held[key] for key in sizes])) - getsizeof(held)
        return getsizeof(held) + self._contents * len(held) // self._keys


_WATCHED = 6
_FEW_NEW = 25
"""Keys count as mostly known if fewer than one record in this many has a new key."""
