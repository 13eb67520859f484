"""What this thread is doing: the task that it runs, or the broadcast variables of the function that it pickles.

These are context variables, because users' functions and ``__reduce__`` methods are called from deep inside, and take no such
argument.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from typing import Any

from mpirdd.protocol.errors import RecordError
from mpirdd.protocol.package import is_engine
from mpirdd.store.costs import COUNTING, Costs
from mpirdd.store.task_memory import TaskMemory

STOPPED = "Caught StopIteration thrown from user's code; failing the task"
"""PySpark's words, which programs look for."""


@dataclass(slots=True)
class CurrentTask:
    """One attempt at one task."""

    stage: int
    partition: int
    attempt: int
    """Unique among all attempts of the Context."""
    properties: dict[str, str]
    """The local properties of the thread that submitted the job."""
    barrier: Callable[[str], tuple[str, ...]] | None
    """Barrier stages only: waits for the other tasks; returns the message of each task, by partition."""
    addresses: tuple[str, ...]
    """Barrier stages only: the host of each task."""
    broadcast: Callable[[int], Any]
    """Id of a broadcast variable -> its value."""
    memory: TaskMemory = field(default_factory=TaskMemory.unbounded)
    """Memory and spill files for the task's steps."""
    tried: int = 0
    """How many attempts there were before this one."""
    updates: dict[int, Any] = field(default_factory=dict)
    """The task's additions to accumulators, by accumulator id."""
    flat_maps: list[tuple[str, Callable[..., Any]]] = field(default_factory=list)
    """The flatMaps of the task: their names in messages, and their functions. They loop in C, so no frame shows which of them
    failed."""
    _token: Token[CurrentTask | None] | None = None
    _counting: Token[Costs | None] | None = None

    def __enter__(self) -> CurrentTask:
        """Make this the current task. (A class, because ``contextmanager`` would add a tenth to the time of an empty task.)"""
        self._token = _CURRENT.set(self)
        self._counting = COUNTING.set(self.memory.costs)
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        assert self._token is not None and self._counting is not None
        _CURRENT.reset(self._token)
        COUNTING.reset(self._counting)
        if isinstance(error, StopIteration):
            raise RuntimeError(stopped_by(error)) from error
        if isinstance(error, RuntimeError) and _left_a_generator_of_ours(error.__cause__):
            raise RuntimeError(stopped_by(error.__cause__)) from error.__cause__
        if self.flat_maps and isinstance(error, TypeError):
            check_iterable(self.flat_maps, error)


def stopped_by(error: BaseException | None) -> str:
    """The message about a StopIteration from the user's function, which a loop would take for the end of its input."""
    names = [name for name, file in _functions(error) if not is_engine(file)]
    who = f": {names[-1]} raised it" if names else ""
    return f"{STOPPED}{who}; give next() a default, or catch it"


def _left_a_generator_of_ours(error: BaseException | None) -> bool:
    """Python turns a StopIteration that leaves a generator into a RuntimeError, whose message helps nobody."""
    return isinstance(error, StopIteration) and all(is_engine(file) for _, file in list(_functions(error))[:1])


def _functions(error: BaseException | None) -> Iterator[tuple[str, str]]:
    """Name and file of the functions that an error has passed, outermost first."""
    trace = error.__traceback__ if error is not None else None
    while trace is not None:
        code = trace.tb_frame.f_code
        yield code.co_name, code.co_filename
        trace = trace.tb_next


def check_iterable(flat_maps: Iterable[tuple[str, Callable[..., Any]]], error: TypeError) -> None:
    """Raise RecordError from ``error`` if it says that the result of one of the functions is not iterable."""
    trace = error.__traceback__
    while trace is not None and is_engine(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    if trace is None and str(error).endswith("object is not iterable"):
        each = " or ".join(dict.fromkeys(f"{where} ({name_of(function)})" for where, function in flat_maps))
        raise RecordError(f"{each} must return an iterable of records: {error}") from error


def name_of(function: Callable[..., Any]) -> str:
    """The name of the user's function, for messages."""
    return str(getattr(function, "__qualname__", None) or repr(function))


_CURRENT: ContextVar[CurrentTask | None] = ContextVar("mpirdd task", default=None)


def current_task() -> CurrentTask | None:
    """The running task; None on the driver."""
    return _CURRENT.get()


_USED: ContextVar[set[int] | None] = ContextVar("mpirdd broadcasts used", default=None)


@contextmanager
def collecting_broadcasts() -> Iterator[set[int]]:
    """The ids of the broadcast variables that are pickled within."""
    used: set[int] = set()
    token = _USED.set(used)
    try:
        yield used
    finally:
        _USED.reset(token)


def note_broadcast(broadcast: int) -> None:
    """Record that a broadcast variable is being pickled."""
    used = _USED.get()
    if used is not None:
        used.add(broadcast)
