"""Cancels a running task.

An executor looks at the control channel only between tasks, so a cancellation would have to wait for the user's function. In a
rank of its own, a *watch* thread therefore looks while a task runs for long. Every ``_LOOK_S`` it takes the lock that guards the
transport (the task itself makes no MPI calls) and polls. It queues the messages for the main thread. For a cancellation of the
running task it also sends the main thread a signal, whose handler raises ``Interrupted`` there, out of whatever the user's
function is doing, even sleeping. A signal may have no effect: it may come just before the function begins to sleep in the system,
or where Python drops exceptions (such as in a ``__del__``). So the thread sends it again, at growing intervals, while the task
runs. The thread also answers the driver's pings, by which the driver tells a long task from a stopped rank, and notices the
driver's death.

An executor hosted by the driver has no watch: there the function runs in a thread of the program itself.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from collections.abc import Callable
from threading import Event, Lock, Thread, main_thread
from time import perf_counter, sleep
from typing import Any, NamedTuple

from mpirdd.comm.transport import Transport
from mpirdd.executor.stacks import Seen, main_stack
from mpirdd.protocol import messages
from mpirdd.protocol.frames import Frames
from mpirdd.protocol.ids import DRIVER, StageId
from mpirdd.store.codec import decode, encode

_SIGNAL = signal.SIGURG
"""Ignored by default, and used by no MPI and no batch system (MPICH uses SIGUSR1, Slurm is asked to send SIGUSR2)."""
_LOOK_S = 0.05
_AGAIN_S = 2.0
"""A cancelled task that still runs gets the signal again after this time, then after twice as long, and so on. Not sooner, as the
task may be busy with its own ``finally``."""
_LAST_WORDS_S = 0.1
"""A rank that a task ends lives this long after it has told the driver."""


class DriverLost(Exception):
    """The driver has died, and the run with it."""


class Interrupted(BaseException):
    """Raised in a task that the driver has cancelled. Not an Exception, so that users' handlers let it pass."""


class Interrupts:
    """An executor's polling. This class never interrupts; ``Watch`` does."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def poll(self) -> tuple[int, Frames] | None:
        """The next message, as ``Transport.poll``."""
        return self._transport.poll()

    def check_driver(self) -> None:
        """Raise DriverLost if the driver is dead. Only the rank's own loop and its waiting tasks call this."""
        if DRIVER in self._transport.lost():
            raise DriverLost

    def last_words(self, message: Any) -> None:
        """Send the driver a message before this process ends."""
        self._transport.send(DRIVER, encode(message))
        deadline = perf_counter() + _LAST_WORDS_S
        while perf_counter() < deadline:  # the driver ignores messages of ranks that it knows to be dead
            self._transport.poll()
            sleep(0.01)

    def say(self, message: Any) -> None:
        """Send the driver a message soon; any thread may call this."""
        self._transport.send(DRIVER, encode(message))

    def tell_stacks(self, question: messages.TellStack) -> None:
        """Answer a driver on another host, which cannot reach the files of ranks here (``executor/stacks.py``).

        A thread of its own looks: that takes 60 ms, and 2 s for a rank that does not answer.
        """
        Thread(target=self._look_at_stacks, args=(question,), name="mpirdd stack", daemon=True).start()

    def _look_at_stacks(self, question: messages.TellStack) -> None:
        seen = Seen.of(question.pid)
        if seen is not None:
            text, running = seen.stacks(), seen.running()
            doing = f"{running} for {running.seconds:.1f} s" if running is not None else ""
        else:
            text, doing = main_stack() if question.pid == os.getpid() else "", ""
        self.say(messages.StackTold(question.why, question.rank, text, doing))

    def begin(self, stage: StageId, partition: int) -> None:
        """A task begins, which may be interrupted."""

    def end(self) -> None:
        """The task has ended."""


class _Running(NamedTuple):
    stage: StageId
    partition: int
    since: float


class Watch(Interrupts):
    """Polls in a second thread while a task runs for long. For the main thread of a rank of its own.

    Args:
        driver_lost: called in the second thread when the driver has died, whatever the task is doing.
        look: called in the second thread at every look while a task runs.
    """

    def __init__(
        self, transport: Transport, driver_lost: Callable[[], None], look: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(transport)
        self._look_too = look
        self._driver_lost = driver_lost
        self._taken: deque[tuple[int, Frames]] = deque()
        self._said: deque[Any] = deque()
        """Messages for the driver from other threads."""
        self._lock = Lock()
        self._running: _Running | None = None
        self._cancelled: _Running | None = None
        self._again_at = self._again_s = 0.0
        """When the cancelled task gets the signal again, and the interval after that."""
        self._began = Event()
        signal.signal(_SIGNAL, self._raise)
        Thread(target=self._look, name="mpirdd watch", daemon=True).start()

    def poll(self) -> tuple[int, Frames] | None:
        with self._lock:
            if self._said:
                self._send_what_was_said()
            return self._taken.popleft() if self._taken else self._transport.poll()

    def say(self, message: Any) -> None:
        self._said.append(message)

    def _send_what_was_said(self) -> None:
        while self._said:
            self._transport.send(DRIVER, encode(self._said.popleft()))

    def last_words(self, message: Any) -> None:
        held = self._lock.acquire(timeout=1.0)
        if held:  # and never released: the other thread has nothing more to say
            super().last_words(message)

    def begin(self, stage: StageId, partition: int) -> None:
        self._running = _Running(stage, partition, perf_counter())
        if not self._began.is_set():
            self._began.set()

    def end(self) -> None:
        self._running = None
        with self._lock:  # MPI allows one thread at a time, and the other may still be in it
            pass

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
                self._look_too()
                self._look_once()
                self._interrupt_again()

    def _look_once(self) -> None:
        with self._lock:
            running = self._running
            received = self._transport.poll() if running is not None else None
            if running is None:
                return
            self._send_what_was_said()
            if received is None:
                if DRIVER in self._transport.lost():
                    self._driver_lost()
                return
            message = decode(received[1])
            if isinstance(message, messages.Ping):
                alive = messages.Alive(running.stage, running.partition, perf_counter() - running.since)
                self._transport.send(DRIVER, encode(alive))
                return
            if isinstance(message, messages.TellStack):
                self.tell_stacks(message)
                return
            self._taken.append(received)
        cancelled = isinstance(message, messages.CancelStage) and message.stage == running.stage
        if cancelled or message == messages.CancelTask(running.stage, running.partition):
            self._cancelled, self._again_s = running, _AGAIN_S
            self._interrupt()

    def _interrupt_again(self) -> None:
        cancelled = self._cancelled
        if cancelled is not None and cancelled is self._running and perf_counter() >= self._again_at:
            self._interrupt()

    def _interrupt(self) -> None:
        self._again_at, self._again_s = perf_counter() + self._again_s, 2 * self._again_s
        signal.pthread_kill(main_thread().ident or 0, _SIGNAL)
