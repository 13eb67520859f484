"""Shuffle write and shuffle read in the manner of Hadoop MapReduce: sorted map output, merged by reduce tasks.

In ``--mode mapreduce``, ``write`` and ``read`` replace those of ``shuffle.py`` for shuffles that combine or group by key:

* ``write`` combines as many records as working memory holds, sorts the result by (reduce partition, hash of the key), and writes
  it to a file: a *run*. At the end it merges the runs and combines equal keys, so its output is sorted;
* ``read`` sorts the input from all map tasks by the hash, on disk if it exceeds memory. The input consists of sorted runs, which
  ``list.sort`` finds and merges. Then equal hashes are adjacent, and it combines or groups their keys.

Hadoop sorts by the key itself. Keys here need not be comparable, so the sort by stable hash makes equal ones adjacent; the
output order is then that of the hashes, while memory lasts. Shuffles that only move records (partitionBy, repartition, sorts)
must keep their order, so these are partitioned and not sorted.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain, groupby, islice, repeat
from operator import itemgetter
from typing import Any

from mpirdd.ops import shuffle as in_memory
from mpirdd.ops.combine import Combiner, aggregated, combined, merge
from mpirdd.ops.group import group_lists, grouped
from mpirdd.ops.hashing import stable_hash
from mpirdd.ops.shuffle import Splitter
from mpirdd.ops.sort import merged_pieces, sort
from mpirdd.protocol.errors import RecordError
from mpirdd.protocol.frames import Frames
from mpirdd.protocol.pairs import Pair
from mpirdd.store.pieces import per_piece, slices
from mpirdd.store.shuffle_blocks import EncodedBuckets
from mpirdd.store.spilled_list import SpilledList
from mpirdd.store.task_memory import TaskMemory

Hashed = tuple[int, Pair]
Placed = tuple[int, int, Pair]
"""Reduce partition, hash of the key, (key, combiner)."""

_64_BITS = (1 << 64) - 1
_PIECE_RECORDS = 256
_STRETCH_RECORDS = 4096
"""A reduce task combines this many pairs at a time, plus all others with the last one's hash."""
_place = itemgetter(0, 1)
_hash = itemgetter(0)


def write(
    splitter: Splitter, combiner: Combiner | None, source: int, records: Iterable[Any], memory: TaskMemory
) -> Iterator[EncodedBuckets]:
    """The output of one map task, pack by pack. ``source`` is its partition. Raises RecordError as ``shuffle.write`` does."""
    if combiner is None or combiner.apart:
        yield from in_memory.write(splitter, combiner, source, records, memory)
        return
    if combiner.keys_only:
        records = zip(records, repeat(None))
    flushes = (grouped(combiner.operation, iter(records), memory) if combiner.groups
               else combined(combiner, iter(records), memory))
    runs: list[SpilledList] = []
    file = None
    count = size = 0
    for by_key, nbytes, is_last in flushes:
        count, size = count + len(by_key), size + nbytes
        per_pack = per_piece(len(by_key), nbytes, memory)
        buckets = map(_sorted, splitter.split(by_key.items(), source))
        if is_last and not runs:
            yield from _packs(_pieces(buckets, per_pack), memory)
            return
        file = file or memory.spill_file()
        run = SpilledList(file)
        for partition, piece in _pieces(buckets, per_pack):
            run.write([(partition, *hashed) for hashed in piece])
        runs.append(run)
    merged = _merged(combiner, chain.from_iterable(merged_pieces(runs, _place, False, memory)))
    # Not per_pack of the last flush, which may have few records or none: its size is then that of an empty dictionary.
    yield from _packs(_cut(merged, per_piece(count, size, memory)), memory)


def read(combiner: Combiner | None, buckets: Iterable[Frames], memory: TaskMemory) -> Iterable[Any]:
    """The records of one reduce partition, from its encoded buckets."""
    if combiner is None or combiner.apart:
        return in_memory.read(combiner, buckets, memory)
    pieces = map(memory.costs.decode, buckets)
    in_order = sort(chain.from_iterable(zip(*piece, strict=True) for piece in pieces), _hash, False, memory)
    reduce = group_lists if combiner.groups else partial(aggregated, combiner)
    reduced = chain.from_iterable(reduce(stretch, memory) for stretch in _stretches(in_order))
    return map(itemgetter(0), reduced) if combiner.keys_only else reduced


def key_hash(key: Any) -> int:
    """The key's stable hash, 0 or more: equal for equal keys. It is 0 for keys without a stable hash, which only the user's own
    partitioner can place."""
    try:
        return stable_hash(key) & _64_BITS
    except RecordError:
        return 0


def _sorted(bucket: list[Pair]) -> list[Hashed]:
    return sorted(((key_hash(pair[0]), pair) for pair in bucket), key=_hash)


def _pieces(buckets: Iterable[list[Hashed]], per_piece: int) -> Iterator[tuple[int, list[Hashed]]]:
    for partition, bucket in enumerate(buckets):
        for piece in slices(bucket, per_piece):
            yield partition, piece


def _cut(records: Iterator[Placed], per_piece: int) -> Iterator[tuple[int, list[Hashed]]]:
    for partition, of_partition in groupby(records, itemgetter(0)):
        while piece := [(hashed, pair) for _, hashed, pair in islice(of_partition, per_piece)]:
            yield partition, piece


def _packs(pieces: Iterable[tuple[int, list[Hashed]]], memory: TaskMemory) -> Iterator[EncodedBuckets]:
    """One pack for each run of pieces with rising partitions."""
    pack: EncodedBuckets = {}
    filled = -1
    for partition, piece in pieces:
        if partition <= filled:
            yield pack
            pack = {}
        memory.costs.note("records_out", len(piece))
        hashes = array("Q", map(_hash, piece))
        pack[partition] = memory.costs.encode((hashes, [pair for _, pair in piece]))
        filled = partition
    if filled >= 0:
        yield pack


def _merged(combiner: Combiner, records: Iterator[Placed]) -> Iterator[Placed]:
    """Adjacent equal keys, combined; for a grouping unchanged, since grouping makes nothing smaller."""
    if combiner.groups:
        yield from records
        return
    for (partition, hashed), same in groupby(records, _place):
        for pair in merge(combiner, map(itemgetter(2), same)).items():
            yield partition, hashed, pair


def _stretches(records: Iterator[Hashed]) -> Iterator[Iterator[list[Pair]]]:
    """The records in stretches that share no hash, each in pieces. Use a stretch up before asking for the next."""
    groups = groupby(records, _hash)
    for _, first in groups:
        yield _stretch(chain((first,), map(itemgetter(1), groups)))


def _stretch(groups: Iterator[Iterator[Hashed]]) -> Iterator[list[Pair]]:
    count = 0
    piece: list[Pair] = []
    for same in groups:
        while more := [pair for _, pair in islice(same, _PIECE_RECORDS)]:
            piece += more
            if len(piece) >= _PIECE_RECORDS:
                yield piece
                count, piece = count + len(piece), []
        if count >= _STRETCH_RECORDS:
            break
    if piece:
        yield piece
