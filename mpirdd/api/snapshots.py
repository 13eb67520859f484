"""Snapshots: data and functions of the program as they are now, whatever the program does to them later.

What cannot change is never copied. The rest is pickled once, which sending it would cost anyway, and these bytes are sent
each time that it is needed. Telling one from the other takes 26 ns a record for ints and 85 ns for pairs of a str and an int;
pickling those pairs takes 580 ns (CPU time, 1,000,000 records).

Arrays of numbers are copied once, unless nobody can write them (``flags.writeable`` is off, for what they are a view of,
too): a program that has no more use for its own gives it up (``del``), and holds one copy again.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from functools import partial
from itertools import chain
from pathlib import PurePosixPath
from types import NoneType
from typing import Any
from uuid import UUID

from mpirdd.ops.current_task import collecting_broadcasts, note_broadcast
from mpirdd.ops.operators import EncodedSplit
from mpirdd.protocol.errors import InvalidType, InvalidValue
from mpirdd.protocol.frames import Frames
from mpirdd.protocol.shown import short_repr
from mpirdd.store.codec import encode, inside, pickle_function

_CANNOT_CHANGE = frozenset({
    int, float, complex, bool, str, bytes, NoneType, range, Decimal, Fraction, date, datetime, time, timedelta, timezone, UUID,
    PurePosixPath, type(...),
})
_HOLD_OTHERS = frozenset({tuple, frozenset})
_DEEPEST = 8
"""Tuples of tuples of ...: deeper ones are pickled."""


def cannot_change(values: Collection[Any]) -> bool:
    """None of the values can be changed by anybody, nor anything in them. False when in doubt."""
    level: Callable[[], Iterable[Any]] = partial(iter, values)
    for _ in range(_DEEPEST):
        kinds = set(map(type, level()))
        if not all(kind in _CANNOT_CHANGE or kind in _HOLD_OTHERS or _is_numpy_scalar(kind) for kind in kinds):
            return False
        holding = kinds & _HOLD_OTHERS
        if not holding:
            return True
        level = partial(_inside, level, all_hold=len(holding) == len(kinds))
    return False


def _inside(level: Callable[[], Iterable[Any]], *, all_hold: bool) -> Iterable[Any]:
    """What the tuples of a level hold; made anew each time, as a list of it would take as much memory as the records."""
    return chain.from_iterable(level() if all_hold else filter(_holds_others, level()))


def _holds_others(value: Any) -> bool:
    return type(value) in _HOLD_OTHERS


def _is_numpy_scalar(kind: type) -> bool:
    return kind.__module__ == "numpy" and any(base.__name__ in ("number", "bool", "bool_") for base in kind.__mro__)


def split(data: Any, count: int) -> list[Sequence[Any]]:
    """``count`` parts of the data, of about equal length, as they are now; part i is ``i*n//count`` to ``(i+1)*n//count``.

    Raises:
        UsageError: something that can change cannot be pickled.
    """
    try:
        length = len(data)
    except OverflowError:
        raise InvalidValue(f"{data!r} has more numbers than an RDD can have, which are {sys.maxsize}") from None
    parts = [data[i * length // count : (i + 1) * length // count] for i in range(count)]
    if isinstance(data, (str, bytes, range)):
        return parts
    if _is_array(data):
        if not data.dtype.hasobject:
            return parts if _is_read_only(data) else [part.copy() for part in parts]
    elif cannot_change(data):
        return parts
    return [Snapshot(part) for part in parts]  # type: ignore[misc]  # where it arrives, read_split makes it the part


def as_sequence(data: Iterable[Any]) -> Any:
    """The data, if it is of a kind that can be cut into slices; else a list of it."""
    if isinstance(data, (list, tuple, str, bytes, range)) or _is_array(data):
        return data
    if not hasattr(data, "__iter__") and not hasattr(data, "__getitem__"):
        raise InvalidType(f"parallelize needs a list, or something else to iterate over, not {short_repr(data)}")
    return list(data)


def _is_array(data: Any) -> bool:
    return hasattr(data, "__array_interface__") and hasattr(data, "dtype") and getattr(data, "ndim", 0) > 0


def _is_read_only(array: Any) -> bool:
    while array is not None:
        flags = getattr(array, "flags", None)
        if flags is None:
            return isinstance(array, bytes)
        if flags.writeable:
            return False
        array = array.base
    return True


def frozen_frames(frames: Frames) -> Frames:
    """The frames with a copy of each buffer that somebody can write."""
    return [frame if _is_frozen(frame) else bytearray(frame) for frame in frames]


def _is_frozen(frame: Any) -> bool:
    if isinstance(frame, bytes):
        return True
    owner = memoryview(frame).obj
    return isinstance(owner, bytes) or (hasattr(owner, "flags") and _is_read_only(owner))


class Snapshot:
    """Records as they are now, encoded; ``steps.read_split`` gives them."""

    def __init__(self, value: Any) -> None:
        self._frames = frozen_frames(encode(value, by_value=True))

    def __reduce__(self) -> tuple[Any, ...]:
        return EncodedSplit, (inside(self._frames),)


class Captured:
    """A function of the program with its variables as they are now, pickled once; unpickled, it is the function."""

    def __init__(self, function: Callable[..., Any], label: str) -> None:
        with collecting_broadcasts() as self._broadcasts:
            self._pickled = pickle_function(function, label)
        self._function = function  # or the broadcast variables that it uses would be given up

    def __reduce__(self) -> tuple[Any, ...]:
        for broadcast in self._broadcasts:
            note_broadcast(broadcast)
        return pickle.loads, (self._pickled,)

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)
