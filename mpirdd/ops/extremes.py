"""Sums, the largest and the smallest record: what C computes of a list at once, list by list, exactly as of one long list."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

from mpirdd.ops.watched import UserFunction
from mpirdd.protocol.pairs import NOTHING
from mpirdd.store.chunks import lists_of

_COMPENSATES = sys.version_info >= (3, 12)
"""``sum`` rounds floats by what it adds together."""
_ORDERED = (int, float, str, bytes)
"""All but nan: the largest of a list and the largest before it give the largest of both."""


def sum_records(partition: int, records: Iterable[Any]) -> Any:
    """As ``sum(records)``. Of records in lists, list by list: 5 ns a record instead of 10."""
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
    """The first of the largest records in a list, which is empty when there are no records.

    12 ns a record, as a plain loop, where reducing by a function that calls ``max`` takes 266.
    """
    return _extreme(max, key, records)


def smallest_record(key: UserFunction | None, partition: int, records: Iterable[Any]) -> list[Any]:
    """The first of the smallest records, likewise."""
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
            found = choose(chain(best, whole))  # who comes first may matter: nan has no order
        best = [choose((*best, found))]
    return best
