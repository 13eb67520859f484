"""Failures of tasks, in a form that can be sent."""

from __future__ import annotations

import pickle
import traceback
from typing import Any

from mpirdd.executor.breakpoints import WHAT_TO_DO
from mpirdd.ops.current_task import STOPPED
from mpirdd.protocol.errors import ClusterError, Failure, HostError, UsageError
from mpirdd.protocol.tracebacks import debugging, users_part, users_report
from mpirdd.store.codec import encode

_MOST_CHARACTERS = 400_000
"""The summary and the traceback of a failure are each cut to this length, so that its message stays below 1 MB."""
_MOST_BYTES = 1_000_000
"""A larger pickled exception stays on the executor."""


def failure_of(error: BaseException, *, rank: int, host: str, stage: str, partition: int) -> Failure:
    """The failure to report for ``error``, which a task of ``stage`` raised."""
    summary = _cut(_summary(error))
    # Our own error about the user's call explains everything; frames of the engine would bury it.
    lines = "" if isinstance(error, UsageError | ClusterError) else _cut(users_traceback(error))
    pickled, problem = _pickled(error)
    if problem:
        lines += f"(The exception itself stays on the executor, as it cannot be sent: {_cut(problem)})\n"
    return Failure(summary, lines, rank, host, stage, partition, pickled, of_host=isinstance(error, HostError))


def users_traceback(error: BaseException) -> str:
    """The traceback with only the user's frames. If there are none (Python itself raised on the user's records, as ``sum`` does
    for strings; or we have a bug), the last three frames; with ``MPIRDD_DEBUG=1``, all frames."""
    if debugging():
        return "".join(traceback.format_exception(type(error), error, error.__traceback__))
    if str(error).startswith(STOPPED) and users_part(error.__traceback__) is None and error.__cause__ is None:
        return ""  # the message names the function, and the frames are those of our own check
    return users_report(error)


def _summary(error: BaseException) -> str:
    if isinstance(error, SyntaxError):  # format_exception_only would begin with the file and the line
        return f"{type(error).__name__}: {error}"
    told = "".join(traceback.format_exception_only(error)).strip()
    return f"{told}: {WHAT_TO_DO}" if type(error).__name__ == "BdbQuit" and not str(error) else told


def _cut(text: str) -> str:
    """The text; without its middle if it is very long, so that the driver need not hold it for each failure."""
    if len(text) <= _MOST_CHARACTERS:
        return text
    half = _MOST_CHARACTERS // 2
    return f"{text[:half]}\n... ({len(text) - 2 * half:,} characters are left out here) ...\n{text[-half:]}"


def _pickled(error: BaseException) -> tuple[bytes | None, str]:
    """The exception as bytes that can be loaded again; or the nearest substitute, with a line that says why."""
    try:
        return _loadable(error), ""
    except Exception:  # the user's __reduce__ and __init__ may raise anything
        pass
    try:  # an __init__ may take other arguments than it passes on to Exception's: rebuild without __init__
        return _loadable(_Parts(type(error), error.args, vars(error))), ""
    except Exception as problem:
        why = "".join(traceback.format_exception_only(problem)).strip()
    try:
        return _loadable(_Parts(type(error).__qualname__, tuple(map(_portable, error.args)), {})), why
    except Exception:  # the user's repr raises
        return None, why


def _loadable(value: Any) -> bytes:
    """The pickled value. Raises if it cannot be loaded again, or is too long."""
    pickled = bytes(encode(value)[0])
    if len(pickled) > _MOST_BYTES:
        raise ValueError(f"it takes {len(pickled):,} bytes")
    pickle.loads(pickled)
    return pickled


def _portable(argument: Any) -> Any:
    """An argument of an exception, or a text that shows it."""
    if isinstance(argument, str):
        return _cut(argument)
    try:
        _loadable(argument)
    except Exception:  # the user's __reduce__ may raise anything
        return _cut(repr(argument))
    return argument


class _Parts:
    """Pickles as the parts of an exception, and arrives as that exception.

    Args:
        kind: its class; or the name of a class that cannot be sent, for which a new class stands in.
    """

    def __init__(self, kind: type[BaseException] | str, arguments: tuple[Any, ...], state: dict[str, Any]) -> None:
        self._parts = kind, arguments, state

    def __reduce__(self) -> tuple[Any, ...]:
        return rebuilt, self._parts


def rebuilt(kind: type[BaseException] | str, arguments: tuple[Any, ...], state: dict[str, Any]) -> BaseException:
    """An exception made without its ``__init__``."""
    if isinstance(kind, str):
        kind = type(kind.rpartition(".")[2], (Exception,), {"__qualname__": kind, "__module__": "mpirdd"})
    error = kind.__new__(kind, *arguments)
    error.args = arguments
    vars(error).update(state)
    return error
