"""Cancelling a task that is running.

An executor looks at the control channel between tasks only, so a cancellation would have to wait for the user's
function. In a rank of its own, a *watch* thread therefore looks while a task runs for long: every ``_LOOK_S``
it takes the lock that guards the transport (the task itself makes no MPI calls) and polls. Messages that it
takes are queued for the main thread; for a cancellation of the running stage it also sends the main thread a
signal, whose handler raises ``Interrupted`` there, out of whatever the user's function is doing, sleeping
included.

An executor hosted by the driver has no watch: there the function runs in a thread of the program itself.
"""

from __future__ import annotations

import signal
from collections import deque
from threading import Event, Lock, Thread, main_thread
from typing import Any

from mpirdd.storage.codec import decode
from mpirdd.words import messages
from mpirdd.words.ids import StageId
from mpirdd.words.transport import Frames, Transport

_SIGNAL = signal.SIGURG
"""Ignored by default, used by no MPI and no batch system (MPICH takes SIGUSR1, Slurm is asked for SIGUSR2)."""
_LOOK_S = 0.05


class Interrupted(BaseException):
    """Raised in a task that the driver has cancelled. Not an Exception, so that users' handlers let it pass."""


class Interrupts:
    """The way in which an executor polls; this one never interrupts."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def poll(self) -> tuple[int, Frames] | None:
        """The next message, as ``Transport.poll``."""
        return self._transport.poll()

    def begin(self, stage: StageId) -> None:
        """A task of ``stage`` runs from now on and may be interrupted."""

    def end(self) -> None:
        """No task runs any more."""


class Watch(Interrupts):
    """Polls from a second thread while a task runs for long. For the main thread of a rank of its own."""

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport)
        self._taken: deque[tuple[int, Frames]] = deque()
        self._lock = Lock()
        self._running: StageId | None = None
        self._cancelled: StageId | None = None
        self._began = Event()
        signal.signal(_SIGNAL, self._raise)
        Thread(target=self._look, name="mpirdd watch", daemon=True).start()

    def poll(self) -> tuple[int, Frames] | None:
        with self._lock:
            return self._taken.popleft() if self._taken else self._transport.poll()

    def begin(self, stage: StageId) -> None:
        self._running = stage
        if not self._began.is_set():
            self._began.set()

    def end(self) -> None:
        self._running = None

    def _raise(self, number: int, frame: Any) -> None:
        if self._running is not None and self._running == self._cancelled:
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
                with self._lock:
                    received = self._transport.poll() if self._running is not None else None
                    if received is not None:
                        self._taken.append(received)
                if received is not None:
                    self._interrupt(decode(received[1]))

    def _interrupt(self, message: Any) -> None:
        if isinstance(message, messages.CancelStage) and message.stage == self._running:
            self._cancelled = message.stage
            signal.pthread_kill(main_thread().ident or 0, _SIGNAL)
