"""The scheduler: ``handle(event) -> commands``. Pure: no I/O, no clock, no MPI, no randomness.

It learns everything from events, so a recorded run can be replayed. The driver's loop carries out the commands.

The scheduler handles an event in two steps. First it updates the account (``SchedulerState``): ends, drops, and gives up what
the event affects. Then, if that made a difference to jobs, it advances them until nothing more can start or end. So all drops
come before anything is made anew. The scheduler plans a job (``planner.missing``) when it is submitted, and again after a loss.
In between, when a stage or an exchange ends, it looks only at the outputs that waited for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from mpirdd.protocol.ids import Rank
from mpirdd.protocol.stage import Output
from mpirdd.scheduler.attempts import Attempts
from mpirdd.scheduler.events import (
    BlocksGone,
    Command,
    DataDropped,
    DropNodes,
    Event,
    ExchangeFinished,
    ExecutorJoined,
    ExecutorLost,
    JobSubmitted,
    JobWithdrawn,
    NodeKept,
    NodeReleased,
    NodesForgotten,
    RootsChanged,
    SpareStarted,
    TaskFailed,
    TaskFinished,
    TaskRunning,
)
from mpirdd.scheduler.job_state import JobState
from mpirdd.scheduler.losses import LostExecutors
from mpirdd.scheduler.partition_set import PartitionSet
from mpirdd.scheduler.planner import needed
from mpirdd.scheduler.stage_starter import StageStarter
from mpirdd.scheduler.state import SchedulerState, nobody_left


class Scheduler:
    """One for each driver. ``handle`` is its only entry.

    Args:
        executors: their ranks.
        task_retries: how often a task that raised is started again, if possible on an executor that has not failed it yet.
        speculation: start a second attempt of a slow task on an idle executor.
        most_losses: a task fails its job once this many executors have died while it was under way there, because it may be what
            kills them; 0 for no limit.
        epoch: the number of the first group of executors.
    """

    def __init__(
        self, executors: Iterable[Rank], *, task_retries: int = 0, speculation: bool = False, most_losses: int = 0,
        epoch: int = 0,
    ) -> None:
        state = self._state = SchedulerState(executors, epoch)
        self._starter = StageStarter(state)
        attempts = Attempts(state, task_retries=task_retries, speculation=speculation)
        losses = LostExecutors(state, most_losses=most_losses)
        self._handlers: dict[type, Callable[[Any], list[Command]]] = {
            JobSubmitted: self._job_submitted,
            JobWithdrawn: self._job_withdrawn,
            NodeKept: self._node_kept,
            NodeReleased: self._node_released,
            NodesForgotten: self._nodes_forgotten,
            DataDropped: self._data_dropped,
            RootsChanged: self._roots_changed,
            ExecutorJoined: self._executor_joined,
            SpareStarted: losses.spare_started,
            ExecutorLost: losses.executor_lost,
            TaskFinished: attempts.finished,
            TaskFailed: attempts.failed,
            TaskRunning: attempts.running,
            BlocksGone: attempts.blocks_gone,
            ExchangeFinished: self._exchange_finished,
        }

    def handle(self, event: Event) -> list[Command]:
        commands = self._handlers[type(event)](event)
        state = self._state
        while state.move_on:
            state.move_on = False
            for job in list(state.jobs.values()):
                commands += self._starter.advance(job)
            commands += state.copy_kept()
        return commands

    # --- the program ------------------------------------------------------------------------------

    def _job_submitted(self, event: JobSubmitted) -> list[Command]:
        undone = PartitionSet(event.node.num_partitions, event.partitions)
        job = JobState(event.job, event.node, event.label, undone, asked=event.partitions)
        if job.undone and not self._state.executors:
            return [nobody_left(job)]
        self._state.jobs[event.job] = job
        return self._starter.advance(job)

    def _job_withdrawn(self, event: JobWithdrawn) -> list[Command]:
        return self._state.end_job(event.job, None)[1:]  # without JobEnded: whoever withdrew the job knows

    def _node_kept(self, event: NodeKept) -> list[Command]:
        self._state.kept[event.node] = event.copies
        return []

    def _node_released(self, event: NodeReleased) -> list[Command]:
        self._state.kept.pop(event.node, None)
        return self._drop(kept=(event.node,))

    def _nodes_forgotten(self, event: NodesForgotten) -> list[Command]:
        for node in event.nodes:
            self._state.kept.pop(node, None)
            self._state.tried.pop(Output("map", node), None)
            self._state.deaths.pop(Output("map", node), None)
            self._state.locations.forget(node)
            self._state.exchanges.forget(node)
        return [DropNodes(tuple(self._state.executors), nodes=event.nodes)]

    def _data_dropped(self, event: DataDropped) -> list[Command]:
        return self._drop(event.kept, event.shuffles)

    def _roots_changed(self, event: RootsChanged) -> list[Command]:
        """Drop the shuffles behind nodes of which all partitions are kept; and of the kept nodes in ``event.outputs``, those
        behind other such nodes. Cost: the lineage between the roots and the kept nodes."""
        locations = self._state.locations
        shuffles = locations.nodes("map") | locations.nodes("in")
        kept = {node for node in locations.nodes("rdd") if node in event.outputs}
        if not shuffles and not kept:
            return []
        unfinished, whole = needed(event.roots, locations)
        return self._drop(tuple(sorted(kept - unfinished - whole)), tuple(sorted(shuffles - unfinished)))

    def _drop(self, kept: tuple[int, ...] = (), shuffles: tuple[int, ...] = ()) -> list[Command]:
        for node in kept:
            self._state.locations.forget_kept(node)
        for node in shuffles:
            self._state.locations.forget_shuffle(node)
            self._state.exchanges.forget(node)
        if not kept and not shuffles:
            return []
        return [DropNodes(tuple(self._state.executors), kept=kept, shuffles=shuffles)]

    # --- executors --------------------------------------------------------------------------------

    def _executor_joined(self, event: ExecutorJoined) -> list[Command]:
        self._state.hosts[event.executor] = event.host
        return []

    def _exchange_finished(self, event: ExchangeFinished) -> list[Command]:
        if event.executor not in self._state.task_sets.load:
            return []  # sent before the driver learned of the sender's loss
        drops = self._state.exchanges.finished(event)
        if drops is None:
            return []
        self._state.move_on = True
        return drops
