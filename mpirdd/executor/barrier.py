"""A task's wait for the other tasks of its barrier stage."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from mpirdd.comm.waiting import Waiting
from mpirdd.executor.context_state import ContextState
from mpirdd.executor.interrupt import Interrupted, Interrupts
from mpirdd.executor.reports import Reports, Tell
from mpirdd.protocol import messages
from mpirdd.protocol.frames import Frames
from mpirdd.protocol.ids import StageId
from mpirdd.store.codec import decode

Received = tuple[int, Frames]
"""A message and its sender."""


class BarrierWait:
    """The only place where a task waits for a message.

    Args:
        at_once: handlers of messages that cannot wait for the end of the task: pings, requests about ranks of this host, and
            broadcast values that this rank must pass on.
        put_off: collects all other messages, in order.
    """

    def __init__(
        self,
        state: ContextState,
        interrupts: Interrupts,
        reports: Reports,
        tell: Tell,
        *,
        at_once: Mapping[type, Callable[[Any], None]],
        put_off: deque[Received],
    ) -> None:
        self._state, self._interrupts, self._reports, self._tell = state, interrupts, reports, tell
        self._at_once, self._put_off = at_once, put_off

    def wait(self, stage: StageId, partition: int, tasks: int, message: str) -> tuple[str, ...]:
        """Wait until all ``tasks`` tasks of the stage are at the barrier; return their messages by partition.

        Raises:
            Interrupted: the driver has cancelled the task.
            DriverLost: the driver has died.
        """
        if tasks == 1:
            return (message,)
        self._reports.send()
        self._tell(messages.AtBarrier(stage, partition, message))
        settings = self._state.settings
        waiting = Waiting(spin_s=settings.spin_s, poll_sleep_s=settings.poll_sleep_s)
        while True:
            received = self._interrupts.poll()
            if received is None:
                self._interrupts.check_driver()
                waiting.pause()
                continue
            answer = decode(received[1])
            if isinstance(answer, messages.BarrierPassed) and answer.stage == stage:
                return answer.said
            if type(answer) in self._at_once:
                self._at_once[type(answer)](answer)
                continue
            self._put_off.append(received)
            cancelled = isinstance(answer, messages.CancelStage) and answer.stage == stage
            if cancelled or answer == messages.CancelTask(stage, partition):
                raise Interrupted
