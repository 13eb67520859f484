"""Cancelling a task that is running.

An executor looks at the control channel between tasks only, so a cancellation would have to wait for the user's
function. In a rank of its own, a *watch* thread therefore looks while a task runs for long: every ``_LOOK_S``
it takes the lock that guards the transport (the task itself makes no MPI calls) and polls. Messages that it
takes are queued for the main thread; for a cancellation of the running task it also sends the main thread a
signal, whose handler raises ``Interrupted`` there, out of whatever the user's function is doing, sleeping
included. It also answers the driver's pings, which are how the driver knows a long task from a stopped rank, and
notices when the driver dies.

An executor hosted by the driver has no watch: there the function runs in a thread of the program itself.
"""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable
from threading import Event, Lock, Thread, main_thread
from time import perf_counter
from typing import Any, NamedTuple

from mpirdd.storage.codec import decode, encode
from mpirdd.words import messages
from mpirdd.words.ids import Rank, StageId
from mpirdd.words.transport import Frames, Transport

_SIGNAL = signal.SIGURG
"""Ignored by default, used by no MPI and no batch system (MPICH takes SIGUSR1, Slurm is asked for SIGUSR2)."""
_LOOK_S = 0.05
_DRIVER: Rank = 0


class Interrupted(BaseException):
    """Raised in a task that the driver has cancelled. Not an Exception, so that users' handlers let it pass."""


class Interrupts:
    """The way in which an executor polls; this one never interrupts."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def poll(self) -> tuple[int, Frames] | None:
        """The next message, as ``Transport.poll``."""
        return self._transport.poll()

    def begin(self, stage: StageId, partition: int) -> None:
        """A task runs from now on and may be interrupted."""

    def end(self) -> None:
        """No task runs any more."""


class _Running(NamedTuple):
    stage: StageId
    partition: int
    since: float


class Watch(Interrupts):
    """Polls from a second thread while a task runs for long. For the main thread of a rank of its own.

    Args:
        driver_lost: called in the second thread when the driver has died, whatever the task is doing.
    """

    def __init__(self, transport: Transport, driver_lost: Callable[[], None]) -> None:
        super().__init__(transport)
        self._driver_lost = driver_lost
        self._taken: deque[tuple[int, Frames]] = deque()
        self._lock = Lock()
        self._running: _Running | None = None
        self._cancelled: _Running | None = None
        self._began = Event()
        signal.signal(_SIGNAL, self._raise)
        Thread(target=self._look, name="mpirdd watch", daemon=True).start()

    def poll(self) -> tuple[int, Frames] | None:
        with self._lock:
            return self._taken.popleft() if self._taken else self._transport.poll()

    def begin(self, stage: StageId, partition: int) -> None:
        self._running = _Running(stage, partition, perf_counter())
        if not self._began.is_set():
            self._began.set()

    def end(self) -> None:
        self._running = None

    def _raise(self, number: int, frame: Any) -> None:
        if self._running is not None and self._running is self._cancelled:
            raise Interrupted

    def _look(self) -> None:
        while True:
            self._began.wait()
            seen = self._running
            Event().wait(_LOOK_S)
            if seen is None and self._running is None:
                self._began.clear()  # idle: sleep until the next task
                if self._running is not None:
                    self._began.set()
            elif self._running is not None:
                self._look_once()

    def _look_once(self) -> None:
        with self._lock:
            running = self._running
            received = self._transport.poll() if running is not None else None
            if running is None:
                return
            if received is None:
                if _DRIVER in self._transport.lost():
                    self._driver_lost()
                return
            message = decode(received[1])
            if isinstance(message, messages.Ping):
                alive = messages.Alive(running.stage, running.partition, perf_counter() - running.since)
                self._transport.send(_DRIVER, encode(alive))
                return
            self._taken.append(received)
        cancelled = isinstance(message, messages.CancelStage) and message.stage == running.stage
        if cancelled or message == messages.CancelTask(running.stage, running.partition):
            self._cancelled = running
            signal.pthread_kill(main_thread().ident or 0, _SIGNAL)
