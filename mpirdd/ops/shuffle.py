"""Shuffle write and shuffle read: map tasks turn records into encoded buckets, reduce tasks read them back.

``write`` gathers records, combined by key if there is a combiner, until working memory is used up. Then it passes them on as
packs: cut into buckets by reduce partition, each bucket encoded. So a map task holds no more than its working memory, whatever
the size of its input. A large bucket is spread over several packs, so no encoded bucket exceeds some MB: ``read`` decodes one at
a time.

``read`` decodes the buckets of its partition one by one, in the order of map tasks and packs, and merges them if there is a
combiner.

``sort_merge_shuffle.py`` has the same two functions in the manner of Hadoop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import compress, starmap, zip_longest
from itertools import count as counting
from typing import Any, Protocol

from mpirdd.ops import distinct
from mpirdd.ops.combine import Combiner, aggregated, combined
from mpirdd.ops.group import group_columns, grouped
from mpirdd.ops.group_inputs import GroupPiece, Groups, flat
from mpirdd.ops.partitioners import HashPartitioner, Partitioner, RoundRobin
from mpirdd.protocol.frames import Frames
from mpirdd.protocol.pairs import Pair
from mpirdd.store.chunks import Chunks, Resumed, taken
from mpirdd.store.costs import Costs
from mpirdd.store.measure import size_of
from mpirdd.store.pieces import per_piece, slices_of_columns
from mpirdd.store.shuffle_blocks import EncodedBuckets
from mpirdd.store.spill_trigger import SpillTrigger
from mpirdd.store.spilled_list import Columns
from mpirdd.store.task_memory import TaskMemory

_ENOUGH = 1 << 10
"""Lists of this many records are encoded at once, while the records are in the processor's cache: 280 to 310 ns a pair to
write, instead of 410 if a map task gathers 250,000 first."""
_PACK_BYTES = 1 << 20
"""Packs need not be smaller than this, however small the memory."""
_AT_ONCE = 1 << 13
"""Records of a list are dealt out this many at a time, for the same reason: with 65,536 a record takes 25 ns more."""
_MEASURED = 1 << 16
"""Records in lists are in memory already, so they are measured only once in this many records: measuring each batch takes 37 ns
a record."""


class Splitter(Protocol):
    """What the map side needs from a partitioner."""

    @property
    def num_partitions(self) -> int: ...

    def split(self, records: Iterable[Any], source: int, first: int = 0) -> list[list[Any]]:
        """The records by reduce partition, in order. ``source`` is the map task's partition; ``first`` of its records came
        before these."""


def write(
    splitter: Splitter, combiner: Combiner | None, source: int, records: Iterable[Any], memory: TaskMemory
) -> Iterator[EncodedBuckets]:
    """The output of one map task, pack by pack.

    Args:
        source: the map task's partition.

    Raises:
        RecordError: a record is no pair, or has no partition.
    """
    apart = partial(_by_partition_apart, splitter, "" if combiner is None else combiner.operation, source)
    if combiner is None:
        at_once = _MEASURED if isinstance(splitter, RoundRobin) else _AT_ONCE  # slicing a list does not need the cache
        for buckets, trigger, count, size in _gather(partial(_by_partition, splitter, source), records, memory, at_once):
            yield from _packs(buckets, map(trigger.cut(count, size), filter(None, buckets)), count, size, memory)
    elif combiner.keys_only:
        assert isinstance(splitter, Partitioner)
        for buckets, cut_keys, count, size in distinct.packs(splitter, combiner.operation, records, memory):
            yield from _packs(buckets, map(cut_keys, filter(None, buckets)), count, size, memory)
    elif combiner.apart:
        yield from _packs_of_pairs(apart, records, memory, tuple)
    elif combiner.groups:
        whole, source_records = False, Resumed(records)
        for groups, size, is_last in grouped(combiner.operation, source_records.first, memory, where_it_pays=True):
            lists = apart(groups.items())
            pieces = starmap(_cut_of_groups(groups, size, memory), _columns(lists))
            yield from _packs(_keys(lists), pieces, len(groups), size, memory)
            whole = is_last
        if not whole:
            yield from _packs_of_pairs(apart, source_records.rest(), memory, _one_each)
    else:
        for by_key, size, _ in combined(combiner, iter(records), memory):
            lists = apart(by_key.items())
            cut = partial(slices_of_columns, step=per_piece(len(by_key), size, memory))
            yield from _packs(_keys(lists), starmap(cut, _columns(lists)), len(by_key), size, memory)


def read(combiner: Combiner | None, buckets: Iterable[Frames], memory: TaskMemory) -> Iterable[Any]:
    """The records of one reduce partition, from its encoded buckets in the order of map tasks and packs."""
    pieces = map(memory.decode, buckets)
    if combiner is None:
        return Chunks(pieces)
    if combiner.keys_only:
        return distinct.merged(combiner, pieces, memory)
    if combiner.apart:
        return Chunks(starmap(zip, pieces))
    return group_columns(pieces, memory) if combiner.groups else aggregated(combiner, starmap(Columns, pieces), memory)


Split = Callable[[list[Any], int], list[list[Any]]]
"""(records, number of records before them) -> lists of records, or of their keys and values."""


def _by_partition(splitter: Splitter, source: int, records: list[Any], first: int) -> list[list[Any]]:
    return splitter.split(records, source, first)


def _by_partition_apart(
    splitter: Splitter, operation: str, source: int, records: Iterable[Pair], first: int = 0
) -> list[list[Any]]:
    """The keys for each reduce partition, then the values for each."""
    if isinstance(splitter, HashPartitioner):
        return splitter.split_columns(records, operation)
    buckets = splitter.split(records, source, first)
    return [[key for key, _ in bucket] for bucket in buckets] + [[value for _, value in bucket] for bucket in buckets]


def _gather(
    split: Split, records: Iterable[Any], memory: TaskMemory, at_once: int = _AT_ONCE
) -> Iterator[tuple[list[list[Any]], SpillTrigger, int, int]]:
    """The lists of ``split``, as much as working memory allows: (lists, the trigger, which knows how to cut them, number of
    records, their bytes)."""
    trigger = SpillTrigger(memory)
    held: list[list[Any]] = []
    first = count = size = 0
    in_lists = isinstance(records, list | Chunks)
    each, unmeasured = 0, 0
    try:
        for batch in taken(records, trigger, at_once) if in_lists else taken(records, trigger):
            unmeasured += len(batch)
            if not in_lists or unmeasured >= min(first + count, _MEASURED) or memory.full:
                each, unmeasured = size_of(batch) // len(batch), 0
            size += each * len(batch)
            # Batch by batch, while the records are in the processor's cache: gathering them first takes 40 ns more.
            buckets = split(batch, first + count)
            added = len(batch)
            count += added
            if held:
                for place in compress(counting(), buckets):
                    if held[place]:
                        held[place] += buckets[place]
                    else:  # perhaps a list that other partitions share
                        held[place] = buckets[place]
            else:
                held = buckets
            may_grow = trigger.may_grow(size, added)
            if not may_grow or count >= _ENOUGH * len(buckets):
                yield held, trigger, count, max(size, trigger.size)
                first, held, count, size = first + count, [], 0, 0
                if may_grow:
                    trigger.handed_on()
                else:
                    trigger.emptied()
        yield held, trigger, count, max(size, trigger.size)
    finally:
        trigger.emptied()


def _packs(
    buckets: list[list[Any]], cut: Iterable[Iterator[Any]], records: int, size: int, memory: TaskMemory
) -> Iterator[EncodedBuckets]:
    """Encode the buckets. The first pack has the first piece of each bucket, the second pack the second pieces, and so on.

    Args:
        cut: the non-empty buckets, each as an iterator of its pieces.
        records: their number of records, of ``size`` bytes together.

    Ten records for 10,000 partitions cost a map task 0.6 ms; encoding empty buckets too cost 18 ms.
    """
    costs = memory.costs
    costs.note("records_out", records)
    most = max(_PACK_BYTES, memory.limit_bytes // 8)
    partitions = list(compress(counting(), buckets))
    for pieces in zip_longest(*cut):
        if size <= most:
            yield {partition: frames for partition, frames in zip(partitions, costs.encode_each(pieces), strict=True)
                   if frames is not None}
        else:
            yield from _small_packs(partitions, pieces, most, costs)


def _small_packs(partitions: Sequence[int], pieces: Sequence[Any], most: int, costs: Costs) -> Iterator[EncodedBuckets]:
    """One pack of all pieces, or several of about ``most`` bytes: the records behind the pieces are still in memory."""
    pack: EncodedBuckets = {}
    size = 0
    for partition, piece in zip(partitions, pieces, strict=True):
        if piece is not None:
            pack[partition] = frames = costs.encode(piece)
            size += sum(map(len, frames))
            if size >= most:
                yield pack
                pack, size = {}, 0
    if size:
        yield pack


def _packs_of_pairs(
    apart: Split, records: Iterable[Pair], memory: TaskMemory, make: Callable[[tuple[list[Any], list[Any]]], Any]
) -> Iterator[EncodedBuckets]:
    """Uncombined pairs, keys and values apart; ``make`` turns each piece of these into the value to encode."""
    for lists, trigger, count, size in _gather(apart, records, memory):
        cut = starmap(trigger.cut_columns(count, size), _columns(lists))
        yield from _packs(_keys(lists), (map(make, pieces) for pieces in cut), count, size, memory)


def _one_each(columns: tuple[list[Any], list[Any]]) -> GroupPiece:
    keys, values = columns
    return keys, None, values


def _keys(lists: list[list[Any]]) -> list[list[Any]]:
    """The keys for each reduce partition, from the lists of ``_by_partition_apart``."""
    return lists[: len(lists) // 2]


def _columns(lists: list[list[Any]]) -> Iterator[tuple[list[Any], list[Any]]]:
    """The keys and the values for each reduce partition that gets any."""
    half = len(lists) // 2
    return zip(filter(None, lists[:half]), filter(None, lists[half:]), strict=True)


def _cut_of_groups(groups: Groups, size: int, memory: TaskMemory) -> Callable[..., Iterator[GroupPiece]]:
    """How to cut keys and their lists, given all groups and their bytes."""
    count = sum(map(len, groups.values()))
    most = per_piece(count, size, memory)
    if count > most and 8 * max(map(len, groups.values())) > most:  # one group alone fills a good part of a piece
        return partial(_cut_groups, most=most)
    return partial(_slices_of_groups, step=per_piece(len(groups), size, memory))


def _slices_of_groups(keys: list[Any], lists: list[list[Any]], step: int) -> Iterator[GroupPiece]:
    return starmap(flat, slices_of_columns(keys, lists, step))


def _cut_groups(keys: list[Any], lists: list[list[Any]], most: int) -> Iterator[GroupPiece]:
    """Pieces of about ``most`` values; a longer group comes in several."""
    piece: tuple[list[Any], list[list[Any]]] = [], []
    room = most
    for key, values in zip(keys, lists, strict=True):
        begin = 0
        while len(values) - begin > room:
            piece[0].append(key)
            piece[1].append(values[begin : begin + room])
            yield flat(*piece)
            begin, piece, room = begin + room, ([], []), most
        piece[0].append(key)
        piece[1].append(values[begin:] if begin else values)
        room -= len(values) - begin
    if piece[0]:
        yield flat(*piece)
