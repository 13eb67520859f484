"""What is going on in this thread now: the task it runs, or the broadcasts that a function being pickled refers to.

Context variables, because users' functions and ``__reduce__`` methods are called from deep inside and take no
such argument.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from typing import Any

from mpirdd.storage.workspace import Workspace


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
    """Barrier stages only: wait for the other tasks; gives what each of them said, by partition."""
    addresses: tuple[str, ...]
    """Barrier stages only: where each task runs."""
    broadcast: Callable[[int], Any]
    """The value of a broadcast variable, by its id."""
    workspace: Workspace = field(default_factory=Workspace.unbounded)
    """Memory and spill files for the task's steps."""
    updates: dict[int, Any] = field(default_factory=dict)
    """What the task has added to accumulators, by their id."""
    _token: Token[CurrentTask | None] | None = None

    def __enter__(self) -> CurrentTask:
        """Within, it is the current task. (A class, as ``contextmanager`` would cost an empty task a tenth of
        its time.)"""
        self._token = _CURRENT.set(self)
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._token is not None
        _CURRENT.reset(self._token)


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
    """A broadcast variable is being pickled."""
    used = _USED.get()
    if used is not None:
        used.add(broadcast)
