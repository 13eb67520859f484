"""Handles signals that tell the program to end: Slurm's some time before the walltime is over
(SIGUSR2), or anybody's at once (SIGTERM).

A signal may arrive anywhere, in the middle of the engine too, where no job can run. So its handler
calls the program's callbacks only when nothing of the engine is on the stack. Otherwise it leaves a
note, and the engine calls them at its next safe point: before a job, or in a turn of the driver's
loop while one runs.

After SIGTERM the engine calls all callbacks, also behind one that fails. Together they have the
grace period of the settings; then the process ends. stderr reports callbacks that fail or are cut
off, since nothing else would.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread, current_thread, main_thread
from types import FrameType
from typing import Any

from mpirdd.protocol.settings import Settings
from mpirdd.protocol.signals import ToldToEnd, die_of_it

_CALLS_PROGRAM = "__mpirdd_calls_program__"
"""A function that has a local variable of this name calls the program: neither it nor its callers count as the engine."""
_TOLD_AT = 0.9
"""stderr reports the end of the time after this part of the grace period, since the launcher ends
everything after all of it."""


class EarlyNotice:
    """The handler of SIGUSR2 until the program has registered what it saves then; remembers that one has come."""

    def __init__(self) -> None:
        self.arrived = False
        self._begun = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.arrived = True
        self._say()

    def begin(self) -> None:
        """This is the driver, and its program begins."""
        self._begun = True
        if self.arrived:
            self._say()

    def _say(self) -> None:
        if self._begun:
            _tell("the walltime ends soon (SIGUSR2), and the program has nothing to be saved so far: see Context.resumable")


class Termination:
    """The callbacks that a program has registered for its end. Handles the signals from the first
    registration on."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[], Any]] = []
        self._before: dict[signal.Signals, Any] = {}
        self._asked: signal.Signals | None = None
        self._program = os.getpid()

    def add(self, callback: Callable[[], Any]) -> None:
        """Register a callback for the program's end."""
        if not self._before and current_thread() is main_thread():  # Python lets no other thread set handlers
            for number in (signal.SIGUSR2, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._on_signal)
            early = self._before[signal.SIGUSR2]
            if isinstance(early, EarlyNotice) and early.arrived:
                self._asked = signal.SIGUSR2
        self._callbacks.append(callback)

    def remove(self, callback: Callable[[], Any]) -> None:
        """Do not call it any more."""
        self._callbacks.remove(callback)

    def close(self) -> None:
        """Handle no signals any more."""
        if current_thread() is main_thread():
            for number, handler in self._before.items():
                signal.signal(number, handler)
            self._before.clear()
        self._callbacks.clear()

    def check(self) -> None:
        """The engine is at a safe point: act now on a signal. Called often, by any thread."""
        if self._asked is not None and current_thread() is main_thread():
            self._obey()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._program:  # a process that the program has forked; launchers send SIGUSR2 to all
            if number == signal.SIGTERM:
                die_of_it(number)
            return
        if self._asked is not signal.SIGTERM:  # the stronger wish; it is repeated by mpirun and Slurm
            self._asked = signal.Signals(number)
        if not _engine_is_running(frame):
            self._obey()

    def _obey(self) -> None:
        number, self._asked = self._asked, None
        if number is not signal.SIGTERM:
            for callback in list(self._callbacks):
                callback()
            return
        signal.signal(number, signal.SIG_IGN)  # it is repeated, and the callbacks are not to be called inside of themselves
        with _limited(Settings.read().grace_s) as under_way:
            for callback in list(self._callbacks):
                under_way[:] = [_name_of(callback)]
                try:
                    callback()
                except (Exception, SystemExit) as error:  # the next one may still save something
                    if not isinstance(error, SystemExit):
                        _tell(f"{under_way[0]}, called as the program is ended (SIGTERM), failed: "
                              f"{type(error).__name__}: {error}")
        before = self._before.get(number)
        if callable(before):
            before(int(number), None)  # ends the program, and soon
        signal.signal(number, signal.SIG_DFL)  # a plain Python: a second one ends what does not unwind
        raise ToldToEnd(128 + signal.SIGTERM)


@contextmanager
def _limited(grace_s: float) -> Iterator[list[str]]:
    """End the process if the block takes longer. The block keeps its current callback in the
    list."""
    under_way: list[str] = []
    done = Event()

    def watch() -> None:
        if not done.wait(_TOLD_AT * grace_s):
            _tell(f"{', '.join(under_way)} has not finished {grace_s:g} s after SIGTERM, and is cut off: MPIRDD_GRACE_S is "
                  "how long it may take")
            if not done.wait((1 - _TOLD_AT) * grace_s):
                os._exit(128 + signal.SIGTERM)

    Thread(target=watch, daemon=True).start()
    try:
        yield under_way
    finally:
        done.set()


def _name_of(callback: Callable[[], Any]) -> str:
    return f"the callback {getattr(callback, '__qualname__', None) or repr(callback)}"


def _tell(text: str) -> None:
    # Not print: the signal may have come in the middle of one, whose buffer then is locked.
    with suppress(OSError):
        os.write(2, f"mpirdd: {text}\n".encode(errors="replace"))


def _engine_is_running(frame: FrameType | None) -> bool:
    """Whether the program has called something of mpirdd's that has not returned."""
    while frame is not None and _CALLS_PROGRAM not in frame.f_code.co_varnames:
        if frame.f_globals.get("__name__", "").startswith("mpirdd."):
            return True
        frame = frame.f_back
    return False
