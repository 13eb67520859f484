"""Python's ``hash`` in users' partition functions, with the same result on all ranks.

Python's ``hash`` of text, bytes and dates differs between processes unless PYTHONHASHSEED fixes its seed. mpirdd fixes it in
nearly all ways of launching (``launch/hash_seed.py``). The ``hash`` of a class, and before Python 3.12 of None, is an address,
which differs even with a fixed seed. So within a partition function, ``hash`` is Python's where all ranks agree on the result,
and mpirdd's own otherwise.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, time, timedelta
from numbers import Number
from typing import Any

from mpirdd.ops.hashing import stable_hash
from mpirdd.protocol.settings import hash_seed_is_fixed

_hash = hash
_SEEDED = (str, bytes, date, time, timedelta)
_others = 0
"""Calls of partition functions under way besides one: inside another, or in another thread of a program with one rank. The last
call to end gives ``hash`` its meaning back."""


@dataclass(frozen=True, slots=True, repr=False)
class SteadyHash:
    """A user's partition function. While it runs, the name ``hash`` means ``steady_hash``, which costs 0.1 us a key.
    Partitioners with equal functions are equal."""

    function: Callable[[Any], int]

    def __call__(self, key: Any) -> int:
        if self.function is _hash:
            return steady_hash(key)
        # No lock, which would double the cost: Python switches threads and runs signal handlers only at calls and loops, and
        # there are none on the way into the function and out of it.
        global _others
        if builtins.hash is steady_hash:
            _others += 1
        builtins.hash = steady_hash
        try:
            return self.function(key)
        finally:
            if _others:
                _others -= 1
            else:
                builtins.hash = _hash

    def __repr__(self) -> str:
        return getattr(self.function, "__qualname__", repr(self.function))


def steady_hash(value: object) -> int:
    """``hash(value)`` if all ranks get the same result, otherwise ``stable_hash(value)``.

    Raises:
        RecordError: the value has no hash on which all ranks agree.
    """
    return _hash(value) if _all_agree(value, (Number, *_SEEDED) if hash_seed_is_fixed() else Number) else stable_hash(value)


def _all_agree(value: object, kinds: Any) -> bool:
    if isinstance(value, tuple | frozenset):
        return all(_all_agree(part, kinds) for part in value)
    return isinstance(value, kinds)
