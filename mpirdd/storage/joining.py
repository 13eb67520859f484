"""Joins and selections by key, of sides that may be larger than memory.

One side is gathered, as a dictionary or a set, and the other flows past it. When the gathered side does not fit, or has a key
twice, both are brought together by ``storage/grouping.py`` instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, product
from operator import itemgetter
from typing import Any

from mpirdd.storage.combine import NOTHING, Pair, blame
from mpirdd.storage.gauge import Gauge
from mpirdd.storage.grouping import Values, cogroup
from mpirdd.storage.measure import size_of
from mpirdd.storage.spilledlist import SpilledList
from mpirdd.storage.workspace import Workspace


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


def combinations(left: Values, right: Values) -> Iterable[tuple[Any, Any]]:
    """Every value of ``left`` with every one of ``right``, in the order of ``itertools.product``; in no order if
    ``right`` is on disk, which is then read once for each piece of ``left`` (a block nested loop)."""
    if not isinstance(right, SpilledList):
        return ((a, b) for a in left for b in right) if isinstance(left, SpilledList) else product(left, right)
    blocks = left.pieces() if isinstance(left, SpilledList) else [left]
    return ((a, b) for block in blocks for b in right for a in block)
