"""Records in lists, and records that note whether somebody has asked for one beyond the last.

Both avoid a cost for each record. A list of lists knows its length, so ``count`` visits no record. Records that note their own
end do so between lists where possible, not at each record.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from functools import partial
from itertools import chain, islice, repeat
from typing import Any

from mpirdd.store.measure import size_of
from mpirdd.store.pieces import Cut
from mpirdd.store.spill_trigger import SpillTrigger
from mpirdd.store.task_memory import TaskMemory

_MOST = 1 << 16
"""The most records taken together."""

class Noted(chain):  # type: ignore[type-arg]
    """Records that note whether somebody has asked for one beyond the last: ``over`` is then not empty."""

    over: list[bool]


def noted(records: Iterable[Any]) -> Noted:
    """``records``, noted. This costs some 5 ns a record."""
    over: list[bool] = []
    result = Noted(records, _note_end(over))
    result.over = over
    return result


class Chunks(Iterable[Any]):
    """The records of lists, one list after the other. ``lists`` opens each list when its turn comes. Some ``lists`` can be
    iterated only once."""

    def __init__(self, lists: Iterable[Iterable[Any]]) -> None:
        self.lists = lists

    def __iter__(self) -> Iterator[Any]:
        return chain.from_iterable(self.lists)

    def noted(self) -> Noted:
        """As the function ``noted``, but without a cost for each record."""
        over: list[bool] = []
        result = Noted.from_iterable(chain(self.lists, _note_end(over)))
        assert isinstance(result, Noted)
        result.over = over
        return result

    def count(self) -> int:
        """The number of records. Uses up ``lists`` if these can be iterated only once."""
        return sum(len(one) if isinstance(one, Sized) else sum(1 for _ in one) for one in self.lists)


class Resumed:
    """Records that are taken one by one at first, and then list by list, if they lie in lists."""

    def __init__(self, records: Iterable[Any]) -> None:
        self._lists = lists_of(records)
        self._current: Iterator[Any] = iter(())
        self.first: Iterator[Any] = iter(records) if self._lists is None else chain.from_iterable(self._opened(self._lists))
        """The records one by one."""

    def rest(self) -> Iterable[Any]:
        """The records that nobody has taken from ``first``."""
        return self.first if self._lists is None else Chunks(chain((list(self._current),), self._lists))

    def _opened(self, lists: Iterator[Iterable[Any]]) -> Iterator[Iterable[Any]]:
        for one in lists:
            self._current = iter(one)
            yield self._current


def lists_of(records: Iterable[Any]) -> Iterator[Iterable[Any]] | None:
    """The lists in which the records lie, not copied; None if they do not lie in lists. Some may be other iterables."""
    if isinstance(records, list):
        return iter((records,))
    return iter(records.lists) if isinstance(records, Chunks) else None


def slices_of(records: Iterable[Any], most: int = _MOST) -> Iterator[list[Any]] | None:
    """The records in lists of at most ``most``, at next to no cost; None if they do not lie in lists."""
    lists = [records] if isinstance(records, list) else records.lists if isinstance(records, Chunks) else None
    return None if lists is None else chain.from_iterable(map(_slices, lists, repeat(most)))


def taken(records: Iterable[Any], trigger: SpillTrigger, most: int = _MOST) -> Iterator[list[Any]]:
    """All records in lists. Records that lie in lists are in memory already; otherwise each list is as long as the trigger
    allows."""
    lists = slices_of(records, most)
    if lists is not None:
        yield from lists
        return
    source = iter(records)
    while batch := trigger.take(source, most):
        yield batch


def batched(records: Iterable[Any], trigger: SpillTrigger) -> tuple[Iterator[list[Any]], Iterator[Any]]:
    """(lists, rest). ``lists`` gives all records in lists about as long as the trigger allows, each owned by the caller. After
    such a list, ``rest`` gives the remaining records one by one."""
    lists = slices_of(records)
    if lists is not None:
        return _together(lists, trigger), chain.from_iterable(lists)
    source = iter(records)
    return iter(partial(trigger.take, source), []), source


def fill(records: Iterable[Any], memory: TaskMemory) -> Iterator[tuple[list[Any], Cut, bool]]:
    """Lists of records as long as working memory allows: (list, how to cut it, is it the last?).

    The caller owns a list until it asks for the next one, and must then have released it. The last list may be empty.
    """
    trigger = SpillTrigger(memory)
    held: list[Any] = []
    size = 0
    try:
        for batch in batched(records, trigger)[0]:
            size += size_of(batch)
            held += batch
            if not trigger.may_grow(size, len(batch)):
                del batch
                yield held, trigger.cut(len(held), size), False
                held, size = [], 0
                trigger.emptied()
        yield held, trigger.cut(len(held), size), True
    finally:
        trigger.emptied()


def _together(lists: Iterator[list[Any]], trigger: SpillTrigger) -> Iterator[list[Any]]:
    waiting: list[Any] = []
    for some in lists:  # each a new list
        waiting += some
        if len(waiting) >= trigger.batch or trigger.full:
            trigger.batch = max(trigger.batch, len(waiting))  # so the next list grows from the length of this one
            yield waiting
            waiting = []
    if waiting:
        yield waiting


def _slices(records: Iterable[Any], most: int) -> Iterator[list[Any]]:
    if isinstance(records, list):
        return (records[at : at + most] for at in range(0, len(records), most))
    source = iter(records)
    return iter(lambda: list(islice(source, most)), [])


def _note_end(over: list[bool]) -> Iterator[Any]:
    over.append(True)
    yield from ()
