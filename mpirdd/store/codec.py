"""Values to bytes and back: pickle protocol 5, with large buffers (numpy arrays) outside the pickle.

``encode`` returns frames: the pickle first, then the raw buffers, which are never copied here. The plain, fast pickler pickles
records. Only values that it cannot pickle (classes and functions of the user's ``__main__``) go through cloudpickle, which ships
them by value. Functions, and data from the driver, always do.

Unpickling runs code: call ``decode`` only on data of the job's own ranks and on files that the user named.
"""

from __future__ import annotations

import pickle
from typing import Any

from mpirdd.protocol.errors import MpirddError, UsageError
from mpirdd.protocol.frames import Frames
from mpirdd.store.functions import dumps_by_value

OUT_OF_BAND_BYTES = 4096
"""Smaller buffers stay inside the pickle: a frame costs about as much as copying this many bytes."""
_PLAIN_PICKLE_CANNOT = (pickle.PicklingError, AttributeError, TypeError)
"""The plain pickler raises one of these, depending on the Python version, for classes and functions that it cannot find by name.
Any other error is the user's, and cloudpickle would only raise it again."""


def encode(value: Any, *, by_value: bool = False) -> Frames:
    """``value`` as frames.

    Args:
        by_value: ship definitions of ``__main__`` along, for a process that lacks them.

    Raises:
        UsageError: a part of ``value`` cannot be pickled; the message names it.
    """
    buffers: list[pickle.PickleBuffer] = []

    def keep_inside(buffer: pickle.PickleBuffer) -> bool:
        if buffer.raw().nbytes < OUT_OF_BAND_BYTES:
            return True
        buffers.append(buffer)
        return False

    try:
        if not by_value:
            try:
                return [pickle.dumps(value, 5, buffer_callback=keep_inside), *(buffer.raw() for buffer in buffers)]
            except _PLAIN_PICKLE_CANNOT:
                buffers.clear()  # cloudpickle can do more
        return [dumps_by_value(value, keep_inside), *(buffer.raw() for buffer in buffers)]
    except MpirddError:
        raise
    except Exception as error:  # the user's __reduce__ may raise anything
        problem = _unpicklable(value, error)
        if problem is None:
            raise
        raise UsageError(problem) from error


def _unpicklable(value: Any, error: Exception) -> str | None:
    from mpirdd.store.unpicklable import unpicklable

    return unpicklable(value, error)


def inside(frames: Frames) -> list[Any]:
    """Frames as part of a larger value to encode; large buffers in them are still not copied."""
    return [pickle.PickleBuffer(frame) for frame in frames]


def decode(frames: Frames) -> Any:
    """The value given to ``encode``. Arrays share memory with the frames, and are writable if the frames are."""
    return pickle.loads(frames[0], buffers=frames[1:])


def pickle_function(function: Any, label: str) -> bytes:
    """A user's function pickled by value, to be run on other ranks.

    Args:
        label: the operation, for messages.

    Raises:
        UsageError: the function refers to an object that cannot be pickled; the message names it and the path to it.
    """
    try:
        return dumps_by_value(function)
    except MpirddError:
        raise
    except Exception as error:  # the __reduce__ of objects that the function refers to may raise anything
        problem = _unpicklable(function, error)
        if problem is None:
            raise
        raise UsageError(f"{label}: {problem}") from error
