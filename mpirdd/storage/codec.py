"""Values to bytes and back: pickle protocol 5, with large buffers (numpy arrays) left out of the pickle.

``encode`` gives frames: the pickle first, then the raw buffers, which are never copied here. Records are
pickled with the plain, fast pickler; only what that one cannot do (classes and functions of the user's
``__main__``) goes through cloudpickle, which ships them by value. Functions, and data on their way from the
driver, always do.

Unpickling runs code: ``decode`` is called on data of the job's own ranks and on files that the user named, on
nothing else.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from functools import partial
from types import CodeType, FunctionType, ModuleType
from typing import Any

import cloudpickle

from mpirdd.words.errors import MpirddError, UsageError
from mpirdd.words.transport import Frames

OUT_OF_BAND_BYTES = 4096
"""Smaller buffers stay inside the pickle: a frame costs about as much as copying this many bytes."""


def encode(value: Any, *, by_value: bool = False) -> Frames:
    """``value`` as frames; ``by_value`` ships what is defined in ``__main__`` along, for a process that lacks it.

    Raises:
        UsageError: something in ``value`` cannot be pickled; the message names it.
    """
    buffers: list[pickle.PickleBuffer] = []

    def keep_inside(buffer: pickle.PickleBuffer) -> bool:
        if buffer.raw().nbytes < OUT_OF_BAND_BYTES:
            return True
        buffers.append(buffer)
        return False

    if not by_value:
        try:
            return [pickle.dumps(value, 5, buffer_callback=keep_inside), *(buffer.raw() for buffer in buffers)]
        except MpirddError:
            raise
        except Exception:
            buffers.clear()  # cloudpickle can do more, and else says better why not
    try:
        return [cloudpickle.dumps(value, 5, buffer_callback=keep_inside), *(buffer.raw() for buffer in buffers)]
    except MpirddError:
        raise
    except Exception as error:
        raise UsageError(unpicklable(value, error)) from error


def inside(frames: Frames) -> list[Any]:
    """Frames as part of a larger value to be encoded; its large buffers then still travel as they are."""
    return [pickle.PickleBuffer(frame) for frame in frames]


def decode(frames: Frames) -> Any:
    """The value that ``encode`` was given. Arrays share memory with the frames, writable where the frames are."""
    return pickle.loads(frames[0], buffers=frames[1:])


def pickle_function(function: Any, label: str) -> bytes:
    """A user's function by value, to be run on other ranks.

    Raises:
        UsageError: it refers to something that cannot be pickled; the message says what and by which way.
    """
    try:
        return bytes(cloudpickle.dumps(function, 5))
    except MpirddError:
        raise
    except Exception as error:
        raise UsageError(f"{label}: {unpicklable(function, error)}") from error


def unpicklable(value: Any, error: Exception) -> str:
    """What to tell the user when ``value`` could not be pickled: the innermost culprit and the way to it."""
    while isinstance(value, partial) and value.args:  # the engine's own wrapping of the user's function
        value = next((part for part in value.args if not _can_pickle(part)), value.func)
    path, culprit, seen = [_name(value)], value, {id(value)}  # seen: a function may refer to itself
    while len(path) <= 8 and (inner := next(
            ((name, part) for name, part in _parts(culprit) if id(part) not in seen and not _can_pickle(part)), None)):
        path.append(inner[0])
        culprit = inner[1]
        seen.add(id(culprit))
    way = " -> ".join(path)
    return (
        f"cannot be sent to another rank: {_name(culprit)} of type {type(culprit).__name__} cannot be pickled "
        f"(reached by {way}): {type(error).__name__}: {error}. "
        "Make it inside the function, once a partition with mapPartitions, or send plain data instead."
    )


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """The named things that pickling ``value`` would have to pickle too."""
    if hasattr(value, "func") and hasattr(value, "args"):  # functools.partial
        yield "function", value.func
        yield from ((f"argument {i}", part) for i, part in enumerate(value.args))
        yield from ((f"argument {name!r}", part) for name, part in getattr(value, "keywords", {}).items())
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
        yield from ((f"key {key!r}", part) for key, part in value.items())
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


def _can_pickle(value: Any) -> bool:
    try:
        cloudpickle.dumps(value, 5)
    except Exception:
        return False
    return True


def _name(value: Any) -> str:
    name = getattr(value, "__qualname__", None)
    if isinstance(name, str):
        return name
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
