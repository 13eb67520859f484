"""The driver's loop: executors' messages become events for the scheduler, and its commands become messages.

One turn handles one message, or looks for lost executors if there is none. Nothing here waits or locks: ``Driver`` does both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from mpirdd.comm.broadcast import BroadcastSender
from mpirdd.comm.transport import Transport
from mpirdd.driver.barriers import Barriers
from mpirdd.driver.channel import Channel
from mpirdd.driver.closures import Closures
from mpirdd.driver.commands import Commands
from mpirdd.driver.failure_detector import FailureDetector
from mpirdd.driver.losses import Losses
from mpirdd.driver.results import Results
from mpirdd.driver.spares import Spares
from mpirdd.driver.task_reports import TaskReports
from mpirdd.driver.told import Told
from mpirdd.observe import data_events, run_events
from mpirdd.observe.executor_memory import ExecutorMemory
from mpirdd.observe.observers import Observers
from mpirdd.protocol import messages
from mpirdd.protocol.frames import Frames
from mpirdd.protocol.ids import NodeId, Rank
from mpirdd.protocol.settings import Settings
from mpirdd.protocol.stage import Level
from mpirdd.protocol.tracebacks import with_cells
from mpirdd.scheduler import events
from mpirdd.scheduler.scheduler import Scheduler
from mpirdd.store.codec import decode


class Loop:
    """One for each driver. Called under the driver's lock.

    Args:
        lost: ranks that earlier Contexts have lost, with the reasons.
        epoch: the number of the first group of executors.
    """

    def __init__(
        self, transport: Transport, settings: Settings, observers: Observers, *, lost: Mapping[Rank, str], epoch: int
    ) -> None:
        self.channel = Channel(transport, spares=settings.spares, lost=lost)
        self.bus = observers.bus
        self._reports = TaskReports(self.bus, observers.zero)
        observers.before_end.append(self._reports.run_ends)
        self.memory = ExecutorMemory()
        self.costs: Counter[str] = Counter()
        """The executors' costs so far, of files, tasks and exchanges."""
        self.levels: dict[NodeId, Level] = {}
        """The storage level of each persisted node."""
        self.sees_folder: list[bool] = []
        """For each executor or spare that has started: does the job's folder exist on its host?"""
        self.hosts: dict[Rank, str] = {}
        """The hosts of all executors that have started, lost ones included."""
        self._transport = transport
        executors = self.channel.executors
        self.scheduler = Scheduler(
            executors, task_retries=settings.task_retries, speculation=settings.speculation,
            most_losses=settings.most_losses, epoch=epoch)
        self.detector = FailureDetector(transport, settings, [*executors, *self.channel.spares], self.channel.send, lost)
        hosts = self.hosts
        told = Told(self.bus, self.channel)
        self.broadcasts = BroadcastSender(
            self.channel.send, host=transport.host, hosts=hosts, shared_bytes=settings.broadcast_bytes)
        self.closures = Closures(
            self.channel, self.broadcasts, settings.broadcast_bytes, told.node, told.function)
        self.results = Results(settings.max_result_bytes, hosts, self.tell)
        self.barriers = Barriers(self.channel, hosts, self._fail)
        self.commands = Commands(
            self.channel, settings, hosts=hosts, levels=self.levels, closures=self.closures,
            broadcasts=self.broadcasts, barriers=self.barriers, results=self.results, bus=self.bus,
            reports=self._reports, memory=self.memory)
        self.losses = Losses(
            self.channel, self.detector, tell=self.tell, bus=self.bus, epoch=epoch, log=observers.events_path,
            forget=[
                self.closures.executor_lost, self.broadcasts.executor_lost, self.memory.executor_lost,
                self.commands.executor_lost, self.barriers.executor_lost, self._reports.data.executor_lost])
        self._spares = Spares(
            self.channel, hosts, self.memory, home=transport.host, fixed_memory=bool(settings.memory), bus=self.bus,
            tell=self.tell)
        self.commands.on({
            events.SpareJoins: self._spares.joins,
            events.SpareGone: self._spares.gone,
            events.NewEpoch: self.losses.regroup,
            events.Recovering: self.losses.recovering,
            events.TaskSlow: self.losses.task_slow,
        })
        self._handlers: dict[type, Callable[[Rank, Any], None]] = {
            messages.Started: self._started,
            messages.Report: self._take_report,
            messages.Failed: self._task_failed,
            messages.Gone: self._blocks_gone,
            messages.Exchanged: self._exchanged,
            messages.AtBarrier: self.barriers.arrived,
            messages.Alive: self._alive,
            messages.StackTold: self.losses.stack_told,
            messages.Exiting: self._exiting,
            messages.Printed: self._printed,
            messages.BroadcastArrived: self.broadcasts.receive,
            messages.BroadcastRefused: self.broadcasts.receive,
        }

    def turn(self) -> bool:
        """Handle one message if there is one; otherwise look for lost executors. Returns True if there was a message."""
        received = self._transport.poll()
        if received is not None:
            self._receive(*received)
            return True
        if self._reports.waiting:
            self._reports.idle()
        self.bus.idle()
        self.losses.look()
        return False

    def tell(self, event: events.Event) -> None:
        """Pass an event to the scheduler, and carry out its commands."""
        self.commands.carry_out(self.scheduler.handle(event))

    def _receive(self, sender: Rank, frames: Frames) -> None:
        if self.detector.heard(sender):
            message = decode(frames)
            self._handlers[type(message)](sender, message)

    # --- messages ---------------------------------------------------------------------------------

    def _started(self, sender: Rank, message: messages.Started) -> None:
        self.detector.joined(sender, message.host, message.pid)
        self.sees_folder.append(message.sees_folder)
        self._reports.joined(sender, near=message.host == self._transport.host)
        if sender in self.channel.spares:
            self._spares.started(sender, message)
            return
        self._spares.executor_started(message.host)
        self.hosts[sender] = message.host
        self.memory.limit_bytes[sender] = message.memory_bytes
        self.bus.emit(run_events.ExecutorJoined(sender, message.host, message.pid, message.memory_bytes))
        self.tell(events.ExecutorJoined(sender, message.host))

    def _take_report(self, sender: Rank, message: messages.Report) -> None:
        sizes = {block: size for block, size in message.sizes.items() if block.of in self.levels}
        self.memory.reported(sender, sizes, message.used_bytes)
        self.costs.update(message.costs)
        self._reports.take(sender, message)
        for done in message.done:
            self._task_finished(sender, done)
        if message.gone:
            self._blocks_gone(sender, messages.Gone(message.gone))

    def _task_finished(self, sender: Rank, done: messages.Done) -> None:
        event = self.results.take(sender, done)
        if isinstance(event, events.TaskFailed):
            self._fail(event)
        elif event is not None:
            self.tell(event)
            self.barriers.task_finished(done.stage)

    def _task_failed(self, sender: Rank, message: messages.Failed) -> None:
        self._fail(events.TaskFailed(sender, message.stage, message.partition, message.failure))

    def _fail(self, event: events.TaskFailed) -> None:
        failure = event.failure
        self.bus.emit(run_events.TaskFailed(
            event.stage, event.partition, event.executor, failure.host, failure.stage, failure.summary,
            with_cells(failure.traceback)))
        self.tell(event)

    def _blocks_gone(self, sender: Rank, message: messages.Gone) -> None:
        self.memory.gone(sender, message.blocks)
        if message.blocks:
            self.bus.emit(data_events.Evicted(sender, message.blocks))
        if message.stage is not None:
            for partition in message.partitions:
                self.bus.emit(run_events.TaskStopped(message.stage, partition, sender, "input missing"))
        self.tell(events.BlocksGone(sender, message.blocks, message.stage, message.partitions))

    def _exchanged(self, sender: Rank, message: messages.Exchanged) -> None:
        self._reports.exchanged(sender, message)
        self.commands.exchange_finished(message.exchange, sender)
        self.tell(events.ExchangeFinished(sender, message.exchange))

    def _alive(self, sender: Rank, message: messages.Alive) -> None:
        if message.stage is not None:
            self.bus.emit(run_events.TaskRunning(message.stage, message.partition, sender, message.seconds))
            self.tell(events.TaskRunning(sender, message.stage, message.partition, message.seconds))

    def _exiting(self, sender: Rank, message: messages.Exiting) -> None:
        self.detector.exiting(sender, message.code)

    def _printed(self, sender: Rank, message: messages.Printed) -> None:
        self.bus.emit(run_events.Printed(sender, message.lines))
