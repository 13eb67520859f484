"""Records that lie in lists, and records that know whether somebody has asked for one beyond the last.

Both save a record the cost of a question. A list of lists knows its length, so ``count`` looks at no record; and what notes
its own end does so between lists where it can, not at each record.
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
"""Records that are taken together."""

class Noted(chain):  # type: ignore[type-arg]
    """Records that know whether somebody has asked for one beyond the last: then ``over`` is not empty."""

    over: list[bool]


def noted(records: Iterable[Any]) -> Noted:
    """Any records; this costs a record some 5 ns."""
    over: list[bool] = []
    result = Noted(records, _note_end(over))
    result.over = over
    return result


class Chunks(Iterable[Any]):
    """The records of lists, one after the other; ``lists`` gives these anew each time, and opens each when its turn comes."""

    def __init__(self, lists: Iterable[Iterable[Any]]) -> None:
        self.lists = lists

    def __iter__(self) -> Iterator[Any]:
        return chain.from_iterable(self.lists)

    def noted(self) -> Noted:
        """As the function of this name, at no cost for a record."""
        over: list[bool] = []
        result = Noted.from_iterable(chain(self.lists, _note_end(over)))
        assert isinstance(result, Noted)
        result.over = over
        return result

    def count(self) -> int:
        """The number of records."""
        return sum(len(one) if isinstance(one, Sized) else sum(1 for _ in one) for one in self.lists)


class Resumed:
    """Records that are taken one by one at first, and then list by list again, where they lie in lists."""

    def __init__(self, records: Iterable[Any]) -> None:
        self._lists = lists_of(records)
        self._current: Iterator[Any] = iter(())
        self.first: Iterator[Any] = iter(records) if self._lists is None else chain.from_iterable(self._opened(self._lists))
        """One by one."""

    def rest(self) -> Iterable[Any]:
        """Those that nobody has taken from ``first``."""
        return self.first if self._lists is None else Chunks(chain((list(self._current),), self._lists))

    def _opened(self, lists: Iterator[Iterable[Any]]) -> Iterator[Iterable[Any]]:
        for one in lists:
            self._current = iter(one)
            yield self._current


def lists_of(records: Iterable[Any]) -> Iterator[Iterable[Any]] | None:
    """The records list by list as they lie, if they lie in lists: nothing is copied. Some may be other iterables."""
    if isinstance(records, list):
        return iter((records,))
    return iter(records.lists) if isinstance(records, Chunks) else None


def slices_of(records: Iterable[Any], most: int = _MOST) -> Iterator[list[Any]] | None:
    """The records in lists of at most so many, if they lie in lists: this costs next to nothing."""
    lists = [records] if isinstance(records, list) else records.lists if isinstance(records, Chunks) else None
    return None if lists is None else chain.from_iterable(map(_slices, lists, repeat(most)))


def taken(records: Iterable[Any], trigger: SpillTrigger, most: int = _MOST) -> Iterator[list[Any]]:
    """All records in lists. Those that lie in lists are in memory already; of others each list is as long as the trigger
    allows."""
    lists = slices_of(records, most)
    if lists is not None:
        yield from lists
        return
    source = iter(records)
    while batch := trigger.take(source, most):
        yield batch


def batched(records: Iterable[Any], trigger: SpillTrigger) -> tuple[Iterator[list[Any]], Iterator[Any]]:
    """All records in lists about as long as the trigger allows, each the caller's; and one by one those that are left after such
    a list."""
    lists = slices_of(records)
    if lists is not None:
        return _together(lists, trigger), chain.from_iterable(lists)
    source = iter(records)
    return iter(partial(trigger.take, source), []), source


def fill(records: Iterable[Any], memory: TaskMemory) -> Iterator[tuple[list[Any], Cut, bool]]:
    """Lists of records as long as working memory allows: (list, how to cut it, whether it is the last).

    A list is the caller's until it asks for the next one, and must be given up then. The last may be empty.
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
            trigger.batch = max(trigger.batch, len(waiting))  # the next one is to be longer, not as it would have been
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
