"""The lock that the driver holds for one turn at a time.

Signal handlers of the program run in the main thread, at any point of it. A handler that ran in the middle of a turn could raise
there and leave the turn half done; or it could run a job itself, and wait for ever for the lock that its own thread holds.
So while a Context exists, one of our handlers stands in front of each of the program's. It calls that handler at once, except
during a turn of the main thread: then it notes the signal, and the end of the turn calls the handler, well below a millisecond
later. (Blocking the signals instead is not enough: the kernel gives a signal for the whole process to any thread that does not
block it, and Python then runs the handler in the main thread all the same.) In a world of one rank the main thread also works as
the executor; a signal that arrives there between two tasks is sent again a moment later. Ctrl-C is delayed in the same way,
because the program may be a shell, which goes on. Handlers of SIGTERM, which ends the program, are left alone.
"""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock, Timer, get_ident, main_thread
from types import FrameType
from typing import Any

from mpirdd.protocol.errors import UsageError

_MAY_WAIT = (
    signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGCHLD,
    signal.SIGWINCH, signal.SIGIO, signal.SIGINT,
)

_AGAIN_S = 0.005


class TurnLock:
    """A context manager, for all threads of the program.

    Args:
        in_engine: is the calling thread working in an executor that it hosts, but not in one of its tasks? No job can run there.
    """

    def __init__(self, in_engine: Callable[[], bool] = lambda: False) -> None:
        self._lock = Lock()
        self._in_engine = in_engine
        self._owner = 0
        self._main = main_thread().ident
        self._in_turn = False
        """Is the main thread in a turn?"""
        self._waiting: deque[tuple[Callable[..., Any], int, FrameType | None]] = deque()

    def look_for_handlers(self) -> None:
        """A job begins: put our handler in front of those that the program has set since the last job. This takes some 10 us,
        too long for every turn."""
        if get_ident() == self._main:
            for number in _MAY_WAIT:
                handler: Any = signal.getsignal(number)
                if _is_the_programs(handler):
                    signal.signal(number, _Before(self, handler))

    def give_handlers_back(self) -> None:
        """The Context stops: restore the program's handlers."""
        if get_ident() == self._main:
            for number in _MAY_WAIT:
                handler = signal.getsignal(number)
                if isinstance(handler, _Before) and handler.lock is self:
                    signal.signal(number, handler.__wrapped__)

    def __enter__(self) -> None:
        me = get_ident()
        if me == self._owner:
            raise UsageError(
                "a signal handler has interrupted mpirdd where no job can run, and runs one: note in the handler that the "
                "signal has come, and run the job later")
        if me == self._main:
            self._in_turn = True
        try:
            self._lock.acquire()
        except BaseException:  # Ctrl-C, while it waits
            self._in_turn = False
            raise
        self._owner = me

    def __exit__(self, *exception: object) -> None:
        me, self._owner = self._owner, 0
        self._lock.release()
        if me == self._main:
            self._end_of_turn()

    def signal_came(self, handler: Callable[..., Any], number: int, frame: FrameType | None) -> Any:
        """Handle a signal. Python calls this in the main thread."""
        if self._in_turn:
            self._waiting.append((handler, number, frame))
            return None
        if self._in_engine():  # a task may begin in a moment and last for minutes; the signal comes again within it
            again = Timer(_AGAIN_S, self._send_again, (number,))
            again.daemon = True
            again.start()
            return None
        return handler(number, frame)

    def _send_again(self, number: int) -> None:
        if isinstance(signal.getsignal(number), _Before) and self._main is not None:
            signal.pthread_kill(self._main, number)

    def _end_of_turn(self) -> None:
        self._in_turn = False
        while self._waiting:
            handler, number, frame = self._waiting.popleft()
            handler(number, frame)

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """A part of a turn in which the program's own code runs. It may take long, and handlers may raise out of it."""
        if get_ident() != self._main:
            yield
            return
        self._end_of_turn()
        try:
            yield
        finally:
            self._in_turn = True


class _Before:
    """Our handler, in front of one of the program's."""

    def __init__(self, lock: TurnLock, handler: Callable[..., Any]) -> None:
        self.lock = lock
        self.__wrapped__ = handler

    def __call__(self, number: int, frame: FrameType | None) -> Any:
        return self.lock.signal_came(self.__wrapped__, number, frame)


def _is_the_programs(handler: Any) -> bool:
    """Is this a handler of the program? mpirdd's own handlers only make a note."""
    module = getattr(handler, "__module__", None) or type(handler).__module__
    return callable(handler) and not str(module).startswith("mpirdd.")
