"""Which part of a value cannot be pickled, and by which path it is reached: for the message to the user.

The value is pickled once more, into nothing, by a pickler that remembers its latest object: that is the culprit. Then the path to
the culprit is searched for among the named parts of the value, without pickling anything.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import partial
from types import CodeType, FunctionType, ModuleType
from typing import Any

from mpirdd.protocol.shown import short_repr
from mpirdd.store.functions import ByValuePickler

_MOST_PARTS = 100_000
"""The most parts of a value that are searched for the path."""
_LONGEST_WAY = 8


def unpicklable(value: Any, error: Exception) -> str | None:
    """The message for the user when pickling ``value`` raised ``error``: the innermost culprit and the path to it.

    None if ``value`` can be pickled: then something else interrupted it, such as a signal handler of the program.
    """
    pickler = _Trail()
    try:
        pickler.dump(value)
    except Exception:  # the user's __reduce__ may raise anything; the message has the first error
        culprit = pickler.last
    else:
        return None
    objects, names = _way(value, culprit)
    while len(objects) > 1 and isinstance(objects[0], partial) and objects[0].args:
        objects, names = objects[1:], names[1:]  # the engine's own wrapping of the user's function
    way = " -> ".join([_name(objects[0]), *names[:_LONGEST_WAY]])
    return (
        f"cannot be sent to another rank: {_name(culprit)} of type {type(culprit).__name__} cannot be pickled "
        f"(reached by {way}): {type(error).__name__}: {error}. "
        "Make it inside the function, once a partition with mapPartitions, or send plain data instead."
    )


class _Trail(ByValuePickler):
    """Pickles into nothing, and remembers the object that it came to last."""

    def __init__(self) -> None:
        super().__init__(_Nowhere(), protocol=5, buffer_callback=lambda buffer: False)
        self.last: Any = None

    def persistent_id(self, value: Any) -> None:
        """pickle calls this for every object before it looks into it."""
        self.last = value


class _Nowhere:
    def write(self, data: Any) -> int:
        return len(data)


def _way(value: Any, culprit: Any) -> tuple[list[Any], list[str]]:
    """The objects from ``value`` to ``culprit``, and the name of each object but the first in the one before it. If no path is
    found, ``value`` alone."""
    seen = {id(value)}
    # (object, its name in its parent, the parent's index in this list)
    found: list[tuple[Any, str, int]] = [(value, "", -1)]
    pending = deque([0])
    while pending and len(found) < _MOST_PARTS:
        place = pending.popleft()
        if found[place][0] is culprit:
            objects: list[Any] = []
            names: list[str] = []
            while place >= 0:
                part, name, place = found[place]
                objects.append(part)
                names.append(name)
            return objects[::-1], names[-2::-1]
        for name, part in _parts(found[place][0]):
            if id(part) not in seen:
                seen.add(id(part))
                pending.append(len(found))
                found.append((part, name, place))
    return [value], []


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """The named parts that pickling ``value`` would have to pickle too."""
    if isinstance(value, partial):
        yield "function", value.func
        yield from ((f"argument {i}", part) for i, part in enumerate(value.args))
        yield from ((f"argument {name!r}", part) for name, part in value.keywords.items())
    elif isinstance(value, FunctionType):
        cells = value.__closure__ or ()
        for name, cell in zip(value.__code__.co_freevars, cells, strict=False):
            try:
                yield f"variable {name!r}", cell.cell_contents
            except ValueError:
                continue  # not assigned yet
        yield from ((f"default {i}", part) for i, part in enumerate(value.__defaults__ or ()))
        yield from ((f"default {name!r}", part) for name, part in (value.__kwdefaults__ or {}).items())
        for name in _names(value.__code__):
            if name in value.__globals__ and not isinstance(value.__globals__[name], ModuleType):
                yield f"global {name!r}", value.__globals__[name]
    elif isinstance(value, dict):
        yield from ((f"key {short_repr(key)}", part) for key, part in value.items())
    elif isinstance(value, list | tuple | set | frozenset):
        yield from ((f"item {i}", part) for i, part in enumerate(value))
    elif is_dataclass(value) and not isinstance(value, type):
        yield from ((part.name, getattr(value, part.name, None)) for part in fields(value))
    elif hasattr(value, "__self__"):
        yield "its object", value.__self__
    elif hasattr(value, "__dict__") and not isinstance(value, type | ModuleType):
        yield from ((f"attribute {name!r}", part) for name, part in vars(value).items())


def _names(code: CodeType) -> dict[str, None]:
    """The names that a function uses, and those that the functions inside it use."""
    codes = [code]
    for outer in codes:  # grows while we go
        codes.extend(inner for inner in outer.co_consts if isinstance(inner, CodeType))
    return dict.fromkeys(name for code in codes for name in code.co_names)


def _name(value: Any) -> str:
    name = getattr(value, "__qualname__", None)
    return name if isinstance(name, str) else short_repr(value)
