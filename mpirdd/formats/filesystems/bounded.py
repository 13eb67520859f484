"""Calls into a library that may never come back: a helper thread makes each, and whoever asks waits so long and no longer.

A library that waits in C or Rust lets no signal through, so that a silent server would hold the program for ever, Ctrl-C or
not. The one who waits here gets signals at once. A helper whose call is given up is left behind: a daemon, which ends with
its call or with the process. (If its call comes back in the few ms in which Python ends, Python before 3.14 unwinds the
thread through Rust, which aborts the process.)

Cost: 0.025 ms a call (median of 7 x 2000 on a busy machine, 0.015 to 0.067; a NameNode takes 0.5 ms for an answer).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")
_Call = Callable[[], Any]
_Outcome = tuple[Any, "BaseException | None"]


class NoAnswer(Exception):
    """The call did not come back in its time."""


class BoundedCalls:
    """Makes calls in helpers of its own, as many at a time as there are callers. Safe for several threads."""

    def __init__(self) -> None:
        self._idle: deque[_Helper] = deque()

    def __call__(self, seconds: float, function: Callable[..., T], *arguments: Any, **more: Any) -> T:
        """What ``function`` gives or raises.

        Raises:
            NoAnswer: it has done neither after ``seconds``.
        """
        try:
            helper = self._idle.pop()
        except IndexError:
            helper = _Helper()
        helper.calls.put(lambda: function(*arguments, **more))
        try:
            given, error = helper.outcomes.get(timeout=seconds)
        except BaseException as waited:  # also Ctrl-C: this helper is still busy, and its outcome is nobody's
            helper.calls.put(None)
            if isinstance(waited, Empty):
                raise NoAnswer(f"no answer within {seconds:g} s") from None
            raise
        self._idle.append(helper)
        if error is not None:
            try:
                raise error
            finally:
                del error  # else it and this frame hold each other
        result: T = given
        return result


class _Helper:
    """A thread that makes one call after the other."""

    __slots__ = ("calls", "outcomes")

    def __init__(self) -> None:
        self.calls: SimpleQueue[_Call | None] = SimpleQueue()
        self.outcomes: SimpleQueue[_Outcome] = SimpleQueue()
        Thread(target=_work, args=(self.calls, self.outcomes), name="mpirdd-filesystem", daemon=True).start()


def _work(calls: SimpleQueue[_Call | None], outcomes: SimpleQueue[_Outcome]) -> None:
    while (call := calls.get()) is not None:
        outcome: _Outcome
        try:
            outcome = call(), None
        except BaseException as error:  # panics of Rust are no Exception
            outcome = None, error
        outcomes.put(outcome)
        del call, outcome  # not held until the next one
