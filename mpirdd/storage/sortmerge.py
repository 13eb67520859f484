"""Both ends of a shuffle as Hadoop MapReduce has them: sorted map output, and a reduce side that merges it.

``scatter`` and ``gather`` stand in for those of ``storage/scatter.py`` in ``--mode mapreduce``, where a shuffle combines or
groups by key:

* a map task combines what working memory holds, sorts it by (reduce partition, hash of the key), and writes it to a file: a
  *run*. When there are several, it merges them, combines what is equal, and so ends with one sorted output;
* a reduce task sorts what all map tasks sent by the hash, on disk where that does not fit in memory. The input is sorted
  runs, which ``list.sort`` finds and merges. Then equal hashes lie side by side, and it combines or groups their keys.

Hadoop sorts by the key itself. Keys here need not be comparable, so it is their stable hash that puts equal ones side by
side; the order of a job's output is then that of hashes, while memory lasts. Shuffles that only move records (partitionBy,
repartition, sorts) keep the order of the records instead, which is part of their result: they are partitioned, not sorted.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain, groupby, islice
from operator import itemgetter
from typing import Any

from mpirdd.decisions.hashing import stable_hash
from mpirdd.storage import scatter as in_memory
from mpirdd.storage.combine import Combiner, Pair, aggregated, combined, merge
from mpirdd.storage.gauge import per_piece
from mpirdd.storage.grouping import group_lists, grouped
from mpirdd.storage.scatter import Pack, Splitter
from mpirdd.storage.sorting import merged_pieces, sort
from mpirdd.storage.spilledlist import SpilledList, slices
from mpirdd.storage.workspace import Workspace
from mpirdd.words.errors import RecordError
from mpirdd.words.transport import Frames

Hashed = tuple[int, Pair]
Placed = tuple[int, int, Pair]
"""Reduce partition, hash of the key, (key, combiner)."""

_64_BITS = (1 << 64) - 1
_PIECE_RECORDS = 256
_STRETCH_RECORDS = 4096
"""Pairs that a reduce task combines at a time, and all others of the last one's hash."""
_place = itemgetter(0, 1)
_hash = itemgetter(0)


def scatter(
    splitter: Splitter, combiner: Combiner | None, source: int, records: Iterable[Any], workspace: Workspace
) -> Iterator[Pack]:
    """The output of one map task, pack by pack."""
    if combiner is None:
        yield from in_memory.scatter(splitter, None, source, records, workspace)
        return
    flushes = (grouped(combiner.operation, iter(records), workspace) if combiner.groups
               else combined(combiner, iter(records), workspace))
    runs: list[SpilledList] = []
    file = None
    per_pack = 1
    for by_key, size, is_last in flushes:
        per_pack = per_piece(len(by_key), size, workspace)
        buckets = map(_sorted, splitter.split(by_key.items(), source))
        if is_last and not runs:
            yield from _packs(splitter.num_partitions, _pieces(buckets, per_pack), workspace)
            return
        file = file or workspace.spill_file()
        run = SpilledList(file)
        for partition, piece in _pieces(buckets, per_pack):
            run.write([(partition, *hashed) for hashed in piece])
        runs.append(run)
    merged = _merged(combiner, chain.from_iterable(merged_pieces(runs, _place, False, workspace)))
    yield from _packs(splitter.num_partitions, _cut(merged, per_pack), workspace)


def gather(combiner: Combiner | None, buckets: Iterable[Frames], workspace: Workspace) -> Iterator[Any]:
    """The records of one reduce partition."""
    pieces = map(workspace.costs.decode, buckets)
    if combiner is None:
        return chain.from_iterable(pieces)
    in_order = sort(chain.from_iterable(zip(*piece, strict=True) for piece in pieces), _hash, False, workspace)
    reduce = group_lists if combiner.groups else partial(aggregated, combiner)
    return chain.from_iterable(reduce(stretch, workspace) for stretch in _stretches(in_order))


def key_hash(key: Any) -> int:
    """What puts equal keys side by side, from 0 on. Keys that only a partitioner of the user's knows how to place all have
    the same."""
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


def _packs(partitions: int, pieces: Iterable[tuple[int, list[Hashed]]], workspace: Workspace) -> Iterator[Pack]:
    """The next pieces of different partitions together in a pack."""
    pack: Pack = [None] * partitions
    filled = -1
    for partition, piece in pieces:
        if partition <= filled:
            yield pack
            pack = [None] * partitions
        hashes = array("Q", map(_hash, piece))
        pack[partition] = workspace.costs.encode((hashes, [pair for _, pair in piece]))
        filled = partition
    if filled >= 0:
        yield pack


def _merged(combiner: Combiner, records: Iterator[Placed]) -> Iterator[Placed]:
    """Equal keys, which lie side by side, combined; but not grouped, which makes nothing smaller."""
    if combiner.groups:
        yield from records
        return
    for (partition, hashed), same in groupby(records, _place):
        for pair in merge(combiner, map(itemgetter(2), same)).items():
            yield partition, hashed, pair


def _stretches(records: Iterator[Hashed]) -> Iterator[Iterator[list[Pair]]]:
    """The records in stretches that share no hash, each in pieces; a stretch is to be used up before the next."""
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
