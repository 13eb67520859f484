"""The driver's part in the loss of an executor: it tells everybody concerned, and the others go on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import monotonic

from mpirdd.driver.channel import Channel
from mpirdd.driver.failure_detector import GIVEN_UP, FailureDetector
from mpirdd.driver.stack_requests import StackInbox
from mpirdd.executor.stacks import main_stack, readable
from mpirdd.observe import run_events
from mpirdd.observe.bus import Bus
from mpirdd.observe.stack_event import ASKED, Stack, StackAskedFor
from mpirdd.protocol import messages
from mpirdd.protocol.ids import DRIVER, Rank
from mpirdd.scheduler import events


class Losses:
    """Looks for lost executors, and carries out the scheduler's commands about them.

    Args:
        forget: called with each lost rank, before the scheduler is told.
        tell: passes an event to the scheduler.
        bus: for the readers of losses and slow tasks.
        log: the path of the event log; None if there is none.
    """

    def __init__(
        self,
        channel: Channel,
        detector: FailureDetector,
        *,
        forget: Iterable[Callable[[Rank], None]],
        tell: Callable[[events.Event], None],
        bus: Bus,
        epoch: int,
        log: str | None,
    ) -> None:
        self.epoch = epoch
        """The number of the current group of executors."""
        self._channel, self._detector = channel, detector
        self._forget, self._tell, self._bus = tuple(forget), tell, bus
        self._inbox = StackInbox(log)

    def look(self) -> None:
        for rank in self._detector.newly_lost():
            self.lose(rank)
        for rank, why, lines in self._detector.witnesses.answered():
            self._take_stack(rank, why, lines)
        self._detector.stacks.look(now := monotonic())
        if (asked := self._inbox.taken(now)) is not None:
            self._take_stack(DRIVER, asked, list(readable(main_stack())))
            for rank in (*self._channel.executors, *self._channel.spares):
                self._detector.stacks.ask(rank, asked)

    def lose(self, rank: Rank) -> None:
        self._channel.lost(rank)
        for forget in self._forget:
            forget(rank)
        running = self._detector.witnesses.running(rank)
        self._tell(events.ExecutorLost(rank, self._detector.lost.get(rank, "it died"), running and running[:2]))

    def regroup(self, command: events.NewEpoch) -> None:
        """Name the members of the new epoch. Nobody waits: messages of the new epoch wait for ranks that do not know it yet."""
        self.epoch = command.epoch
        message = messages.Regroup(command.epoch, command.executors, tuple(self._detector.lost))
        self._channel.send_all(message, command.executors)

    def recovering(self, command: events.Recovering) -> None:
        host = self._detector.hosts.get(command.lost, "unknown")
        self._bus.emit(run_events.ExecutorLost(
            command.lost, host, command.why, command.blocks, command.tasks, command.left, command.joins, command.spares))
        stack = self._detector.last_stacks.pop(command.lost, []) or self._detector.witnesses.last_stack(command.lost)
        self._emit_stack(command.lost, command.why, stack)

    def task_slow(self, command: events.TaskSlow) -> None:
        self._bus.emit(run_events.TaskSlow(
            command.stage, command.label, command.partition, command.executor, command.seconds, command.usual_seconds,
            command.speculated))
        self._detector.stacks.ask(command.executor, f"task {command.partition} of {command.label} is slow")

    def stack_told(self, sender: Rank, message: messages.StackTold) -> None:
        if self._detector.stacks.answered(message.rank, message.why, message.text):
            self._take_stack(message.rank, message.why, list(readable(message.text)), message.doing)

    def _take_stack(self, rank: Rank, why: str, lines: list[str], doing: str = "") -> None:
        if why.startswith(ASKED):
            self._bus.emit(StackAskedFor(rank, why, "\n".join(lines), doing))
        elif why != GIVEN_UP or rank in self._detector.lost:
            self._emit_stack(rank, why, lines)
        elif rank in self._detector.last_stacks:
            self._detector.last_stacks[rank] = lines

    def _emit_stack(self, rank: Rank, why: str, lines: list[str]) -> None:
        if lines:
            self._bus.emit(Stack(rank, why, "\n".join(lines)))
