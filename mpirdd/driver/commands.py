"""Carries out the scheduler's commands: most become messages to executors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mpirdd.comm.broadcast import BroadcastSender
from mpirdd.driver.barriers import Barriers
from mpirdd.driver.channel import Channel
from mpirdd.driver.closures import Closures
from mpirdd.driver.results import Results
from mpirdd.driver.task_reports import TaskReports
from mpirdd.observe import data_events, run_events
from mpirdd.observe.bus import Bus
from mpirdd.observe.executor_memory import ExecutorMemory
from mpirdd.protocol import messages
from mpirdd.protocol.ids import NodeId, Rank, StageId
from mpirdd.protocol.owners import owners_of
from mpirdd.protocol.settings import MIB, Settings
from mpirdd.protocol.stage import Level, Pipe
from mpirdd.scheduler import events
from mpirdd.scheduler.lineage import Source

_log = logging.getLogger("mpirdd")
_EXCHANGE_PART = 16
"""The two buffers of an exchange take at most two of this many parts of the smallest budget (but 1 MiB each in any case)."""


class Commands:
    """``carry_out`` each command, in order.

    Args:
        hosts: of the executors.
        levels: of the persisted nodes.
    """

    def __init__(
        self,
        channel: Channel,
        settings: Settings,
        *,
        hosts: Mapping[Rank, str],
        levels: Mapping[NodeId, Level],
        closures: Closures,
        broadcasts: BroadcastSender,
        barriers: Barriers,
        results: Results,
        bus: Bus,
        reports: TaskReports,
        memory: ExecutorMemory,
    ) -> None:
        self.attempts = 0
        """The number of tasks started so far, second attempts included."""
        self._channel, self._settings = channel, settings
        self._hosts, self._levels = hosts, levels
        self._closures, self._broadcasts, self._barriers = closures, broadcasts, barriers
        self._results, self._bus, self._reports, self._memory = results, bus, reports, memory
        self._opened: dict[StageId, dict[Rank, None]] = {}
        """By stage under way, the executors that know it."""
        self._copying: dict[int, set[Rank]] = {}
        """By exchange under way that copies kept blocks, the executors that have not finished it."""
        self._handlers: dict[type, Callable[[Any], None]] = {
            events.StartTasks: self._start_tasks,
            events.StopTask: self._stop_task,
            events.StopStage: self._stop_stage,
            events.CloseStage: self._close_stage,
            events.StartExchange: self._start_exchange,
            events.DropBlocks: self._drop_blocks,
            events.DropNodes: self._drop_nodes,
            events.JobEnded: results.job_ended,
        }

    def on(self, handlers: Mapping[type, Callable[[Any], None]]) -> None:
        """Let other objects handle some commands."""
        self._handlers.update(handlers)

    def carry_out(self, commands: Iterable[events.Command]) -> None:
        for command in commands:
            self._handlers[type(command)](command)

    # --- stages -----------------------------------------------------------------------------------

    def _start_tasks(self, command: events.StartTasks) -> None:
        rank, stage = command.executor, command.stage
        _log.debug("stage %d (%s): %d tasks to rank %d", stage.id, stage.label, len(command.partitions), rank)
        if stage.id not in self._opened:
            self._tell_stage(command)
            self._closures.spread(stage, command.total)
        self._results.tasks_started(command)
        self._barriers.tasks_started(command)
        broadcasts = self._broadcasts.provide(self._closures.broadcasts_of(stage), stage.id, rank)
        self._closures.send(rank, stage)
        opened = self._opened.setdefault(stage.id, {})
        if rank not in opened:
            opened[rank] = None
            properties = self._results.jobs[command.jobs[0]].request.properties if command.jobs else {}
            self._channel.send(rank, messages.OpenStage(
                stage, properties, broadcasts, self._levels_of(stage.pipes), self._reports.detail_s(command.total)))
        splits = {}
        for node, indexes in command.splits.items():
            source = command.nodes[node]
            assert isinstance(source, Source)
            for index in indexes:
                splits[node, index] = source.splits[index]
        hosts = tuple(self._hosts[place] for place in command.barrier)
        partitions, tried = command.partitions, command.tried
        message = messages.RunTasks(stage.id, partitions, self.attempts, hosts, splits, tried, command.suspects)
        self._bus.emit(run_events.TasksStarted(stage.id, rank, partitions, self.attempts, bool(tried), command.jobs))
        self.attempts += len(partitions)
        self._channel.send(rank, message, by_value=bool(splits))

    def _tell_stage(self, command: events.StartTasks) -> None:
        stage, pipes = command.stage, command.stage.pipes.values()
        self._bus.emit(run_events.StageStarted(
            stage=stage.id, label=stage.label, kind=stage.output.kind, of=stage.output.of, tasks=command.total,
            jobs=command.jobs, target=stage.target,
            nodes=tuple(sorted({node for pipe in pipes for node in (pipe.head, *pipe.steps)})),
            shuffles=tuple(sorted({pipe.head for pipe in pipes if pipe.kind == "shuffle"})),
            keeps=tuple(sorted(pipe.node for pipe in pipes if pipe.keep)),
            closure_bytes=self._closures.bytes_of(stage), barrier=bool(command.barrier)))

    def _levels_of(self, pipes: Mapping[NodeId, Pipe]) -> dict[NodeId, Level]:
        return {node: self._levels[node] for node, pipe in pipes.items() if pipe.keep and node in self._levels}

    def _stop_task(self, command: events.StopTask) -> None:
        self._bus.emit(run_events.TaskStopped(command.stage, command.partition, command.executor, "other attempt won"))
        self._channel.send(command.executor, messages.CancelTask(command.stage, command.partition))

    def _stop_stage(self, command: events.StopStage) -> None:
        self._channel.send(command.executor, messages.CancelStage(command.stage))

    def _close_stage(self, command: events.CloseStage) -> None:
        stage = command.stage
        self._barriers.stage_closed(stage)
        self._results.stage_closed(stage)
        self._reports.stage_ends(stage)
        self._bus.emit(run_events.StageEnded(stage))
        self._broadcasts.stage_closed(stage)
        self._channel.send_all(messages.Drop(stages=(stage,)), self._opened.pop(stage, ()))

    # --- data -------------------------------------------------------------------------------------

    def _start_exchange(self, command: events.StartExchange) -> None:
        most_bytes = self._settings.exchange_bytes
        buffer_bytes = max(min(most_bytes, self._memory.least_bytes() // _EXCHANGE_PART), min(most_bytes, MIB))
        _log.debug("exchange %d among %d executors", command.exchange, len(command.executors))
        self._bus.emit(run_events.ExchangeStarted(
            command.exchange, command.shuffle, len(command.executors), sum(map(len, command.owners.values())),
            sum(map(len, command.copies.values()))))
        nodes = {block.of for copies in command.copies.values() for block, _ in copies}
        levels = {node: self._levels[node] for node in nodes if node in self._levels}
        if nodes:
            self._copying[command.exchange] = set(command.executors)
        owners = owners_of(command.owners, sorted(command.executors))
        for rank in command.executors:
            self._channel.send(rank, messages.Exchange(
                command.exchange, command.shuffle, command.maps.get(rank, ()), owners,
                command.copies.get(rank, ()), buffer_bytes, levels))

    def _drop_blocks(self, command: events.DropBlocks) -> None:
        self._channel.send(command.executor, messages.Drop(blocks=command.blocks))

    def _drop_nodes(self, command: events.DropNodes) -> None:
        for node in (*command.nodes, *command.kept):
            self._memory.forget(node)
        self._reports.data.forget((*command.nodes, *command.kept))
        self._bus.emit(data_events.Dropped((*command.nodes, *command.kept), command.shuffles))
        message = messages.Drop(nodes=command.nodes, kept=command.kept, shuffles=command.shuffles)
        self._channel.send_all(message, command.executors)

    # --- copies -----------------------------------------------------------------------------------

    @property
    def copying(self) -> bool:
        """Are copies of kept blocks under way?"""
        return bool(self._copying)

    def exchange_finished(self, exchange: int, rank: Rank) -> None:
        if exchange in self._copying:
            self._copying[exchange].discard(rank)
            if not self._copying[exchange]:
                del self._copying[exchange]

    def executor_lost(self, rank: Rank) -> None:
        self._copying.clear()  # a loss voids all exchanges
        for opened in self._opened.values():
            opened.pop(rank, None)
