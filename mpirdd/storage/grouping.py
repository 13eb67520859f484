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
from itertools import chain, islice, product
from operator import itemgetter
from typing import Any

from mpirdd.storage.combine import DEEPEST, NOTHING, Pair, blame, new_files, spread
from mpirdd.storage.gauge import Gauge, per_piece
from mpirdd.storage.measure import size_of
from mpirdd.storage.spilledlist import SpilledList, slices
from mpirdd.storage.workspace import Workspace

Values = list[Any] | SpilledList
Held = dict[Any, Any]
"""key -> its values, or a tuple of lists where there are several inputs."""
Feed = Callable[[Held, Gauge], Iterator[tuple[Any, int]]]

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
    return _Grouping(1, workspace).run(partial(_from_lists, pieces))


def group_pairs(operation: str, records: Iterator[Pair], workspace: Workspace) -> Iterator[tuple[Any, Values]]:
    """(key, its values)."""
    return _Grouping(1, workspace).run(partial(_from_pairs, operation, records))


def cogroup(
    operation: str, parts: Sequence[Iterable[Pair]], workspace: Workspace
) -> Iterator[tuple[Any, tuple[Values, ...]]]:
    """(key, (its values in the first part, its values in the second, ...))."""
    return _Grouping(len(parts), workspace).run(partial(_from_parts, operation, parts))


def combinations(left: Values, right: Values) -> Iterable[tuple[Any, Any]]:
    """Every value of ``left`` with every one of ``right``, in the order of ``itertools.product``; in no order if
    ``right`` is on disk, which is then read once for each piece of ``left`` (a block nested loop)."""
    if not isinstance(right, SpilledList):
        return ((a, b) for a in left for b in right) if isinstance(left, SpilledList) else product(left, right)
    blocks = left.pieces() if isinstance(left, SpilledList) else [left]
    return ((a, b) for block in blocks for b in right for a in block)


def join(
    operation: str, left: Iterable[Pair], right: Iterable[Pair], workspace: Workspace,
    *, all_of_left: bool = False, all_of_right: bool = False,
) -> Iterator[Pair]:
    """(key, (value in ``left``, value in ``right``)) for every combination; with None for the side that lacks a key of which
    all are wanted.

    A hash join: one side is gathered, the other flows past it and costs no memory. It takes the long way over ``cogroup`` when
    keys come twice on the gathered side, or it does not fit into memory, or all of both sides are wanted.
    """
    return chain.from_iterable(_joined(operation, [left, right], workspace, all_of_left, all_of_right))


def _joined(
    operation: str, sides: list[Iterable[Pair]], workspace: Workspace, all_of_left: bool, all_of_right: bool
) -> Iterator[Iterable[Pair]]:
    if all_of_left and all_of_right:
        yield _join_groups(operation, sides, workspace, True, True)
        return
    gathered = 0 if all_of_right else 1
    rest, gauge = iter(sides[gathered]), Gauge(workspace)
    table: dict[Any, Any] = {}
    try:
        while batch := list(islice(rest, gauge.batch)):
            fresh = _unique(operation, batch)
            if fresh is None or not table.keys().isdisjoint(fresh):
                break
            table.update(fresh)
            batch.clear()
            if not gauge.look(size_of(table), len(fresh)):
                break
        else:
            yield _join_table(operation, sides[1 - gathered], table, all_of_left or all_of_right, table_is_left=gathered == 0)
            return
        gauge.emptied()
        sides[gathered] = chain(_drained(table), batch, rest)
        yield _join_groups(operation, sides, workspace, all_of_left, all_of_right)
    finally:
        gauge.emptied()


def _unique(operation: str, batch: list[Pair]) -> dict[Any, Any] | None:
    """The pairs as a dictionary; None if a key comes twice."""
    try:
        fresh = dict(batch)
    except (TypeError, ValueError) as error:
        for record in batch:
            blame(record, operation, error)
        raise
    return fresh if len(fresh) == len(batch) else None


def _drained(table: dict[Any, Any]) -> Iterator[Pair]:
    while table:
        yield table.popitem()


def _join_table(
    operation: str, records: Iterable[Pair], table: dict[Any, Any], outer: bool, *, table_is_left: bool
) -> Iterator[Pair]:
    record, get = NOTHING, table.get
    try:
        if not outer:
            for record in records:
                key, value = record
                if key in table:
                    yield key, (value, table[key])
        elif table_is_left:
            for record in records:
                key, value = record
                yield key, (get(key), value)
        else:
            for record in records:
                key, value = record
                yield key, (value, get(key))
    except (TypeError, ValueError) as error:
        blame(record, operation, error)
        raise


def _join_groups(
    operation: str, sides: Sequence[Iterable[Pair]], workspace: Workspace, all_of_left: bool, all_of_right: bool
) -> Iterator[Pair]:
    without_left, without_right = [None] if all_of_right else [], [None] if all_of_left else []
    for key, (left, right) in cogroup(operation, sides, workspace):
        for both in combinations(left or without_left, right or without_right):
            yield key, both


def select(
    wanted: bool, operation: str, records: Iterable[Pair], others: Iterable[Pair], workspace: Workspace
) -> Iterator[Pair]:
    """The records whose keys are among those of ``others``, or are not, as ``wanted`` says; in their order as long as
    the keys of ``others`` fit into memory."""
    gauge = Gauge(workspace)
    keys: set[Any] = set()
    rest = map(itemgetter(0), others)
    while batch := list(islice(rest, gauge.batch)):
        keys.update(batch)
        if not gauge.look(size_of(keys), len(batch)):
            return _select_grouped(wanted, operation, records, keys, rest, workspace, gauge)
    return (record for record in records if (record[0] in keys) is wanted)


def _select_grouped(
    wanted: bool, operation: str, records: Iterable[Pair], keys: set[Any], rest: Iterator[Any],
    workspace: Workspace, gauge: Gauge,
) -> Iterator[Pair]:
    def marks() -> Iterator[Pair]:
        while keys:
            yield keys.pop(), None
        gauge.emptied()
        for key in rest:
            yield key, None

    whole = ((record[0], record) for record in records)  # whole records, as equal keys need not be the same
    for _, (others, mine) in cogroup(operation, [marks(), whole], workspace):
        if (len(others) > 0) is wanted:
            yield from mine


# --- external grouping ------------------------------------------------------------------------------------------------


class _Grouping:
    """One grouping of so many inputs (``places``)."""

    def __init__(self, places: int, workspace: Workspace) -> None:
        self._places, self._workspace = places, workspace
        self._giants: dict[Any, dict[int, tuple[SpilledList, ...]]] = {}
        """key -> by depth, from which it was a giant, its values by place."""
        self._file: Any = None

    def run(self, feed: Feed) -> Iterator[tuple[Any, Any]]:
        return chain.from_iterable(self._run(feed))

    def _run(self, feed: Feed) -> Iterator[Iterable[tuple[Any, Any]]]:
        gauge = Gauge(self._workspace)
        held: Held = {}
        left: list[tuple[Feed, int]] = [(feed, 0)]
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
                    self._spill(held, size, depth, files)
                    count = 0
                    gauge.emptied()
                if files:
                    self._spill(held, size_of(held), depth, files)
                    left += [(self._again(file.pieces()), depth + 1) for file in reversed(files) if len(file)]
                else:
                    yield self._with_giants(held) if self._giants else held.items()
                held.clear()
                gauge.emptied()
            yield self._only_giants()
        finally:
            gauge.emptied()

    def _again(self, pieces: Iterator[list[Pair]]) -> Feed:
        return partial(_from_lists if self._places == 1 else _from_groups, pieces)

    def _spill(self, held: Held, size: int, depth: int, files: list[SpilledList]) -> None:
        counts = map(len, held.values()) if self._places == 1 else (sum(map(len, lists)) for lists in held.values())
        by_key = dict(zip(held, counts, strict=True))
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
        spread(held, size, depth, files, self._workspace)
        held.clear()

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


def _from_lists(pieces: Iterable[list[Pair]], held: Held, gauge: Gauge) -> Iterator[tuple[Any, int]]:
    added = 0
    for piece in pieces:
        for key, values in piece:
            if key in held:
                held[key] += values
            else:
                held[key] = values
            added += len(values)
        if added >= gauge.batch:
            yield piece[-1][0], added
            added = 0


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
