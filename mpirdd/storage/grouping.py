"""Grouping by key, of one or several inputs, where even the values of one key may be more than memory holds.

In memory a group is a list of values, or one list for each input (``cogroup``). When memory runs out, what is held
is spread over files by a hash of the key, as ``storage/combine.py`` does, with one exception: a *giant*, a key that has
a large share of the values held, gets files of its own, since spreading would never part its values. Its group is
a ``SpilledList`` in the end. A key that has become a giant stays one, so its earlier values, if any, are those that were
spread before it did: the order of values is kept.

The *feeds* are generators that add to the dictionary, batch by batch, and say after each which key came last and how
many values came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import accumulate, chain, islice, pairwise
from typing import Any

from mpirdd.storage.combine import (
    DEEPEST,
    NOTHING,
    Pair,
    Parts,
    Piece,
    add_to_parts,
    blame,
    new_files,
    no_parts,
    spread,
)
from mpirdd.storage.gauge import Gauge, per_piece
from mpirdd.storage.measure import size_of
from mpirdd.storage.spilledlist import Columns, SpilledList, slices
from mpirdd.storage.workspace import Workspace

Values = list[Any] | SpilledList
Held = dict[Any, Any]
"""key -> its values, or a tuple of lists where there are several inputs."""
Feed = Callable[[Held, Gauge], Iterator[tuple[Any, int]]]

_RECORDS = 1_000
"""Records that are spread at once."""
_GIANT = 8
"""A key with one of so many values held, or more, is a giant."""

# --- what comes out ---------------------------------------------------------------------------------------------------


def grouped(operation: str, records: Iterator[Pair], workspace: Workspace) -> Iterator[tuple[Held, int, bool]]:
    """For the map side: key -> its values, as large as working memory allows: (dictionary, its bytes, whether it is
    the last). The same key may come in several of them. Each is the caller's until it asks for the next."""
    gauge = Gauge(workspace)
    held: Held = {}
    count = size = 0
    try:
        for key, added in _from_pairs(operation, records, held, gauge):
            count += added
            size = _weigh(held, held[key], count)
            if not gauge.look(size, added):
                yield held, size, False
                count = size = 0
                held.clear()
                gauge.emptied()
        yield held, size or size_of(held), True
    finally:
        gauge.emptied()


def group_lists(pieces: Iterable[list[Pair]], workspace: Workspace) -> Iterator[tuple[Any, Values]]:
    """(key, its values) from pairs of key and list. Keys are in the order of their first pairs as long as all fits
    into memory, here and below."""
    return _Grouping(1, workspace).run(_Source((False, piece) for piece in pieces))


def group_pairs(operation: str, records: Iterator[Pair], workspace: Workspace) -> Iterator[tuple[Any, Values]]:
    """(key, its values)."""
    return _Grouping(1, workspace).run(_Records(operation, records))


def cogroup(
    operation: str, parts: Sequence[Iterable[Pair]], workspace: Workspace
) -> Iterator[tuple[Any, tuple[Values, ...]]]:
    """(key, (its values in the first part, its values in the second, ...))."""
    return _Grouping(len(parts), workspace).run(partial(_from_parts, operation, parts))


# --- external grouping ------------------------------------------------------------------------------------------------


class _Grouping:
    """One grouping of so many inputs (``places``)."""

    def __init__(self, places: int, workspace: Workspace) -> None:
        self._places, self._workspace = places, workspace
        self._giants: dict[Any, dict[int, tuple[SpilledList, ...]]] = {}
        """key -> by depth, from which it was a giant, its values by place."""
        self._file: Any = None

    def run(self, feed: Feed | _Source) -> Iterator[tuple[Any, Any]]:
        return chain.from_iterable(self._run(feed))

    def _run(self, feed: Feed | _Source) -> Iterator[Iterable[tuple[Any, Any]]]:
        gauge = Gauge(self._workspace)
        held: Held = {}
        left: list[tuple[Feed | _Source, int]] = [(feed, 0)]
        try:
            while left:
                feed, depth = left.pop()
                files: list[SpilledList] = []
                count = 0
                for key, added in feed(held, gauge):
                    count += added
                    entry = held[key]
                    size = _weigh(held, entry if self._places == 1 else max(entry, key=len), count)
                    if gauge.look(size, added):
                        continue
                    files = files or new_files(self._workspace)
                    groups = len(held)
                    self._spill(held, size, depth, files)
                    count = 0
                    gauge.emptied()
                    if isinstance(feed, _Source):
                        if 2 * groups > feed.pairs and not self._has_giants(depth) and depth < DEEPEST:
                            self._spread_rest(feed, depth, files, gauge)
                        feed.pairs = 0
                if files:
                    self._spill(held, size_of(held), depth, files)
                    left += [(self._again(file), depth + 1) for file in reversed(files) if len(file)]
                else:
                    yield self._with_giants(held) if self._giants else held.items()
                held.clear()
                gauge.emptied()
            yield self._only_giants()
        finally:
            gauge.emptied()

    def _again(self, file: SpilledList) -> Feed | _Source:
        return _Source(_opened(file)) if self._places == 1 else partial(_from_groups, file.pieces())

    def _spread_rest(self, source: _Source, depth: int, files: list[SpilledList], gauge: Gauge) -> None:
        """Append all that is left to the files, ungrouped: grouping hardly makes it smaller."""
        parts, count, added, singly = no_parts(), 0, 0, True
        for single, piece in source.rest(gauge):
            if single is not singly:
                self._write_parts(parts, count + added, size_of(parts), singly, files)
                parts, count, added, singly = no_parts(), 0, 0, single
                gauge.emptied()
            try:
                add_to_parts(piece, depth, parts)
            except (TypeError, ValueError) as error:
                source.blame(piece, error)
                raise
            added += len(piece)
            if added < gauge.batch:
                continue
            count += added
            size = size_of(parts)
            if not gauge.look(size, added):
                self._write_parts(parts, count, size, singly, files)
                parts, count = no_parts(), 0
                gauge.emptied()
            added = 0
        self._write_parts(parts, count + added, size_of(parts), singly, files)
        gauge.emptied()

    def _write_parts(self, parts: Parts, count: int, size: int, singly: bool, files: list[SpilledList]) -> None:
        """``singly``: the parts hold values, not lists of them."""
        step = per_piece(count, size, self._workspace)
        for file, keys, values in zip(files, *parts, strict=True):
            pieces = zip(slices(keys, step), slices(values, step), strict=True)
            file.write_columns(((keys, None, values) if singly else _flat(keys, values) for keys, values in pieces), len(keys))

    def _has_giants(self, depth: int) -> bool:
        return any(depth in known for known in self._giants.values())

    def _spill(self, held: Held, size: int, depth: int, files: list[SpilledList]) -> None:
        counts = list(map(len, held.values()) if self._places == 1 else (sum(map(len, lists)) for lists in held.values()))
        total, alone = sum(counts), len(held) == 1
        if depth == DEEPEST or alone or max(counts, default=0) * _GIANT >= total or self._has_giants(depth):
            size = self._spill_giants(held, dict(zip(held, counts, strict=True)), size, depth)
        if self._places == 1:
            parts = no_parts()
            add_to_parts(held.items(), depth, parts)
            self._write_parts(parts, len(held), size, False, files)
        else:
            spread(held, size, depth, files, self._workspace)
        held.clear()

    def _spill_giants(self, held: Held, by_key: dict[Any, int], size: int, depth: int) -> int:
        """Returns the size of what is left."""
        total, alone = sum(by_key.values()), len(held) == 1
        if depth == DEEPEST:
            giants = list(held)
        else:
            least = 1 if alone else max(2, -(-total // _GIANT))
            giants = [key for key, count in by_key.items() if count >= least]
            giants += [key for key, known in self._giants.items() if depth in known and 0 < by_key.get(key, 0) < least]
        for key in giants:
            self._write_giant(key, self._lists(held.pop(key)), depth)
            size -= size * by_key[key] // max(1, total)
        return size

    def _write_giant(self, key: Any, lists: Sequence[list[Any]], depth: int) -> None:
        by_depth = self._giants.setdefault(key, {})
        if depth not in by_depth:
            by_depth[depth] = tuple(self._new_list() for _ in lists)
        for file, values in zip(by_depth[depth], lists, strict=True):
            self._write(file, values)

    def _write(self, file: SpilledList, values: list[Any]) -> None:
        file.write_all(slices(values, per_piece(len(values), size_of(values), self._workspace)))

    def _new_list(self) -> SpilledList:
        # Apart from the files for spreading, as a user may keep a group (cache it) beyond the task.
        self._file = self._file or self._workspace.spill_file(outlives_task=True)
        return SpilledList(self._file)

    def _with_giants(self, held: Held) -> Iterator[tuple[Any, Any]]:
        for key, entry in held.items():
            by_depth = self._giants.pop(key, None)
            yield key, (entry if by_depth is None else self._joined(self._lists(entry), by_depth))

    def _only_giants(self) -> Iterator[tuple[Any, Any]]:
        for key, by_depth in self._giants.items():
            yield key, self._joined([[] for _ in range(self._places)], by_depth)

    def _joined(self, lists: Sequence[list[Any]], by_depth: dict[int, tuple[SpilledList, ...]]) -> Any:
        """What was spread last is in memory and came first; what was written at the least depth came last."""
        groups: list[Values] = []
        for place, values in enumerate(lists):
            written = [by_depth[depth][place] for depth in sorted(by_depth, reverse=True)]
            if not any(map(len, written)):
                groups.append(values)
                continue
            whole = self._new_list()
            self._write(whole, values)
            for part in written:
                whole.append(part)
            groups.append(whole)
        return groups[0] if self._places == 1 else tuple(groups)

    def _lists(self, entry: Any) -> Sequence[list[Any]]:
        return (entry,) if self._places == 1 else entry


def _weigh(held: Held, values: list[Any], count: int) -> int:
    """Bytes of a dictionary of groups that have ``count`` values in all, ``values`` being some. A sample of the
    groups may miss the giant that has most of the values; their number tells."""
    return max(size_of(held), size_of(values) * count // max(1, len(values)))


# --- feeds ------------------------------------------------------------------------------------------------------------


def _from_pairs(operation: str, records: Iterator[Pair], held: Held, gauge: Gauge) -> Iterator[tuple[Any, int]]:
    while True:
        batch = gauge.batch
        _add_values(operation, islice(records, batch), held)
        record = next(records, NOTHING)
        if record is NOTHING:
            return
        _add_values(operation, (record,), held)
        yield record[0], batch + 1


def _add_values(operation: str, records: Iterable[Pair], held: Held) -> None:
    record = NOTHING
    try:
        for record in records:
            key, value = record
            if key in held:
                held[key].append(value)
            else:
                held[key] = [value]
    except (TypeError, ValueError) as error:
        blame(record, operation, error)
        raise


def _from_parts(
    operation: str, parts: Sequence[Iterable[Pair]], held: Held, gauge: Gauge
) -> Iterator[tuple[Any, int]]:
    for place, part in enumerate(parts):
        records = iter(part)
        while True:
            batch = gauge.batch
            _add_at(operation, islice(records, batch), held, place, len(parts))
            record = next(records, NOTHING)
            if record is NOTHING:
                break
            _add_at(operation, (record,), held, place, len(parts))
            yield record[0], batch + 1


def _add_at(operation: str, records: Iterable[Pair], held: Held, place: int, places: int) -> None:
    record = NOTHING
    try:
        for record in records:
            key, value = record
            if key in held:
                held[key][place].append(value)
            else:
                entry: tuple[list[Any], ...] = ([], []) if places == 2 else tuple([] for _ in range(places))
                held[key] = entry
                entry[place].append(value)
    except (TypeError, ValueError) as error:
        blame(record, operation, error)
        raise


class _Source:
    """What is to be grouped, in pieces of (key, value), or of (key, values) where the piece is not ``single``. A feed that can
    give what is left of it ungrouped."""

    def __init__(self, pieces: Iterator[tuple[bool, Piece]]) -> None:
        self.pairs = 0
        """So many were fed; set to 0 from outside."""
        self._pieces = pieces

    def __call__(self, held: Held, gauge: Gauge) -> Iterator[tuple[Any, int]]:
        added = 0
        for single, piece in self._pieces:
            self.pairs += len(piece)
            if single:
                for key, value in piece:
                    if key in held:
                        held[key].append(value)
                    else:
                        held[key] = [value]
                added += len(piece)
            else:
                for key, values in piece:
                    if key in held:
                        held[key] += values
                    else:
                        held[key] = values
                    added += len(values)
            if added >= gauge.batch:
                yield piece[-1][0], added
                added = 0

    def rest(self, gauge: Gauge) -> Iterator[tuple[bool, Piece]]:
        return self._pieces

    def blame(self, piece: Piece, error: Exception) -> None:
        """Say which record of a piece cannot be taken, if it is one of the user's."""


class _Records(_Source):
    """(key, value) records from the user's functions."""

    def __init__(self, operation: str, records: Iterator[Pair]) -> None:
        super().__init__(iter(()))
        self._operation, self._records = operation, records

    def __call__(self, held: Held, gauge: Gauge) -> Iterator[tuple[Any, int]]:
        for key, added in _from_pairs(self._operation, self._records, held, gauge):
            self.pairs += added
            yield key, added

    def rest(self, gauge: Gauge) -> Iterator[tuple[bool, Piece]]:
        while piece := list(islice(self._records, min(gauge.batch, _RECORDS))):
            yield True, piece

    def blame(self, piece: Piece, error: Exception) -> None:
        for record in piece:
            blame(record, self._operation, error)


def _flat(keys: list[Any], lists: list[list[Any]]) -> tuple[list[Any], list[int] | None, list[Any]]:
    counts = list(map(len, lists))
    values = list(chain.from_iterable(lists))
    return keys, (None if len(values) == len(keys) == sum(counts) and min(counts) == 1 else counts), values


def _opened(file: SpilledList) -> Iterator[tuple[bool, Piece]]:
    for keys, counts, values in file.decoded():
        if counts is None:
            yield True, Columns(keys, values)
        else:
            ends = list(accumulate(counts, initial=0))
            yield False, Columns(keys, [values[begin:end] for begin, end in pairwise(ends)])


def _from_groups(pieces: Iterable[list[Pair]], held: Held, gauge: Gauge) -> Iterator[tuple[Any, int]]:
    added = 0
    for piece in pieces:
        for key, lists in piece:
            added += sum(map(len, lists))
            if key in held:
                for mine, more in zip(held[key], lists, strict=True):
                    mine += more
            else:
                held[key] = lists
        if added >= gauge.batch:
            yield piece[-1][0], added
            added = 0
