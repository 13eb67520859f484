"""Joins and selections by key, of sides that may exceed memory.

One side is gathered in a dictionary or a set, and the other streams past it. If the gathered side does not fit, or has a key
twice, ``ops/group.py`` groups both sides instead.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, product
from operator import itemgetter
from sys import getsizeof
from typing import Any

from mpirdd.ops.combine import Merged
from mpirdd.ops.group import cogroup
from mpirdd.ops.skewed_keys import Values
from mpirdd.protocol.pairs import NOTHING, Pair, blame
from mpirdd.store.chunks import batched, slices_of
from mpirdd.store.measure import size_of
from mpirdd.store.pieces import piece_bytes
from mpirdd.store.spill_trigger import SpillTrigger
from mpirdd.store.spilled_list import SpilledList
from mpirdd.store.task_memory import TaskMemory

_AT_ONCE = 1024
"""Records in lists are selected this many at a time: a third less time than one by one."""


def join(
    operation: str, left: Iterable[Pair], right: Iterable[Pair], memory: TaskMemory,
    *, all_of_left: bool = False, all_of_right: bool = False,
) -> Iterator[Pair]:
    """(key, (value in ``left``, value in ``right``)) for every combination.

    Args:
        operation: for messages.
        all_of_left, all_of_right: give each record of that side, with None if the other side lacks its key.

    Keys may be equal without being the same (1, True, 1.0). Each result has the key of its left record; a result without a left
    record has the key of its right one.

    A hash join: one side is gathered, the other streams past it and costs no memory. If each side has a key twice, or the
    gathered side does not fit into memory, ``cogroup`` groups both sides.

    Raises:
        RecordError: a record is no pair, or its key cannot be hashed.
    """
    return chain.from_iterable(_joined(operation, [left, right], memory, all_of_left, all_of_right))


def _joined(
    operation: str, sides: list[Iterable[Pair]], memory: TaskMemory, all_of_left: bool, all_of_right: bool
) -> Iterator[Iterable[Pair]]:
    gathered = 0 if all_of_right and not all_of_left else 1  # the outer side streams, if there is just one
    for flowing, flow in ((1, _past_left), (0, _past_right)) if gathered == 0 else ((0, _past_right), (1, _past_left)):
        trigger = SpillTrigger(memory)
        try:
            wanted = all_of_left if flowing else all_of_right
            table, rest, may_try_other = _gathered(operation, sides[1 - flowing], trigger, memory, flowing == 1, wanted)
            if rest is None:
                yield flow(operation, sides[flowing], table, all_of_left, all_of_right)
                return
        finally:
            trigger.emptied()
        sides[1 - flowing] = chain(_drained(table, whole=flowing == 1), rest)
        if not may_try_other:
            break
    yield _join_groups(operation, sides, memory, all_of_left, all_of_right)


def _gathered(
    operation: str, side: Iterable[Pair], trigger: SpillTrigger, memory: TaskMemory, whole: bool, marked: bool
) -> tuple[dict[Any, Any], Iterable[Pair] | None, bool]:
    """The pairs of a side by key: (table, rest, may the other side be tried?).

    The table holds values, or ``whole`` pairs. ``rest`` is the input that is left, None if all was gathered. The other side may
    be tried if so little was gathered that it can stay in memory beside it. ``marked``: the caller marks each key that it meets,
    which takes as much memory as the table.
    """
    batches: Iterator[Any]
    if isinstance(side, Merged) and not whole:
        batches, rest = side.dicts, iter(side)
    else:
        batches, rest = batched(side, trigger)
    table: dict[Any, Any] = {}
    size = 0
    for batch in batches:
        fresh = batch if isinstance(batch, dict) else _unique(operation, batch, whole=whole)
        if fresh is None or not table.keys().isdisjoint(fresh):
            return table, chain(batch, rest), size <= piece_bytes(memory)
        if table or not isinstance(batch, dict):
            table.update(fresh)
        else:
            table, batch = fresh, []
        batch.clear()
        size = size_of(table) + (getsizeof(table) if marked else 0)
        if not trigger.may_grow(size, max(1, len(fresh))):
            return table, rest, False
    return table, None, False


def _unique(operation: str, batch: list[Pair], *, whole: bool) -> dict[Any, Any] | None:
    """The values by key, or the ``whole`` pairs; None if a key occurs twice."""
    try:
        fresh = {key: record for record in batch for key, _ in (record,)} if whole else dict(batch)
    except (TypeError, ValueError) as error:
        for record in batch:
            blame(record, operation, error)
        raise
    return fresh if len(fresh) == len(batch) else None


def _drained(table: dict[Any, Any], *, whole: bool) -> Iterator[Pair]:
    while table:
        item = table.popitem()
        yield item[1] if whole else item


def _past_right(
    operation: str, left: Iterable[Pair], right: dict[Any, Any], all_of_left: bool, all_of_right: bool
) -> Iterator[Pair]:
    """Stream the left records past a table of the right values."""
    record, met, get = NOTHING, set[Any](), right.get
    meet = met.add
    try:
        if all_of_right:
            for record in left:
                key, value = record
                if key in right:
                    meet(key)
                    yield key, (value, right[key])
                elif all_of_left:
                    yield key, (value, None)
        elif all_of_left:
            for record in left:
                key, value = record
                yield key, (value, get(key))
        else:
            for record in left:
                key, value = record
                if key in right:
                    yield key, (value, right[key])
    except (TypeError, ValueError) as error:
        blame(record, operation, error)
        raise
    if all_of_right:
        for key, value in right.items():
            if key not in met:
                yield key, (None, value)


def _past_left(
    operation: str, right: Iterable[Pair], left: dict[Any, Pair], all_of_left: bool, all_of_right: bool
) -> Iterator[Pair]:
    """Stream the right records past a table of the left pairs."""
    record, met, get = NOTHING, set[Any](), left.get
    meet = met.add
    try:
        for record in right:
            key, value = record
            if (other := get(key)) is not None:
                if all_of_left:
                    meet(key)
                yield other[0], (other[1], value)
            elif all_of_right:
                yield key, (None, value)
    except (TypeError, ValueError) as error:
        blame(record, operation, error)
        raise
    if all_of_left:
        for key, pair in left.items():
            if key not in met:
                yield pair[0], (pair[1], None)


def _join_groups(
    operation: str, sides: Sequence[Iterable[Pair]], memory: TaskMemory, all_of_left: bool, all_of_right: bool
) -> Iterator[Pair]:
    left, right = sides
    for key, (records, values) in cogroup(operation, [_by_key(operation, left), right], memory):
        if not records:
            if all_of_right:
                yield from ((key, (None, value)) for value in values)
        elif values or all_of_left:
            yield from _results(records, values or [None])


def _results(records: Values, values: Values) -> Iterator[Pair]:
    if isinstance(values, SpilledList):
        return ((key, (own, value)) for (key, own), value in combinations(records, values))
    return ((key, (own, value)) for key, own in records for value in values)


def _by_key(operation: str, records: Iterable[Pair]) -> Iterator[Pair]:
    """(key, whole record) for each record."""
    record = NOTHING
    try:
        for record in records:
            key, _ = record
            yield key, record
    except (TypeError, ValueError) as error:
        blame(record, operation, error)
        raise


def select(
    wanted: bool, operation: str, records: Iterable[Pair], others: Iterable[Pair], memory: TaskMemory
) -> Iterator[Pair]:
    """The records whose keys occur among the keys of ``others`` (``wanted``), or do not (not ``wanted``). They keep their order
    if the keys of ``others`` fit into memory."""
    trigger = SpillTrigger(memory)
    keys: set[Any] = set()
    rest = map(itemgetter(0), others)
    while batch := trigger.take(rest):
        keys.update(batch)
        if not trigger.may_grow(size_of(keys), len(batch)):
            return _select_grouped(wanted, operation, records, keys, rest, memory, trigger)
    lists = slices_of(records, _AT_ONCE)
    if lists is None:
        return _selected(wanted, records, keys, trigger)
    return chain.from_iterable(_selected_lists(wanted, lists, keys, trigger))


def _selected(wanted: bool, records: Iterable[Pair], keys: set[Any], trigger: SpillTrigger) -> Iterator[Pair]:
    for record in records:
        if (record[0] in keys) is wanted:
            yield record
    keys.clear()
    trigger.emptied()


def _selected_lists(
    wanted: bool, lists: Iterable[Sequence[Pair]], keys: set[Any], trigger: SpillTrigger
) -> Iterator[list[Pair]]:
    for some in lists:
        yield [record for record in some if record[0] in keys] if wanted else [
            record for record in some if record[0] not in keys]
    keys.clear()
    trigger.emptied()


def _select_grouped(
    wanted: bool, operation: str, records: Iterable[Pair], keys: set[Any], rest: Iterator[Any],
    memory: TaskMemory, trigger: SpillTrigger,
) -> Iterator[Pair]:
    def marks() -> Iterator[Pair]:
        while keys:
            yield keys.pop(), None
        trigger.emptied()
        for key in rest:
            yield key, None

    for _, (others, mine) in cogroup(operation, [marks(), _by_key(operation, records)], memory):
        if (len(others) > 0) is wanted:
            yield from mine


def combinations(left: Values, right: Values) -> Iterable[tuple[Any, Any]]:
    """Every value of ``left`` with every value of ``right``, in the order of ``itertools.product``. A ``right`` on disk is read
    once for each piece of ``left`` (a block nested loop); then there is no order."""
    if not isinstance(right, SpilledList):
        return ((a, b) for a in left for b in right) if isinstance(left, SpilledList) else product(left, right)
    blocks = left.pieces() if isinstance(left, SpilledList) else [left]
    return ((a, b) for block in blocks for b in right for a in block)
