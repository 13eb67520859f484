"""Events about tasks: an attempt finished, failed, is slow, or lacked a block."""

from __future__ import annotations

from dataclasses import replace

from mpirdd.protocol.errors import Failure
from mpirdd.protocol.ids import BlockId, Rank
from mpirdd.protocol.stage import Output
from mpirdd.scheduler.events import (
    BlocksGone,
    Command,
    DropBlocks,
    StopTask,
    TaskFailed,
    TaskFinished,
    TaskRunning,
    TaskSlow,
)
from mpirdd.scheduler.placement import able
from mpirdd.scheduler.state import SchedulerState
from mpirdd.scheduler.task_set import TaskSet

_TELL_S = 10.0
"""The user hears of a slow task once it has run this long: nobody can do much about a task that takes seconds. The user hears
of a second attempt at once."""


class Attempts:
    """Handles the events about tasks.

    Args:
        task_retries: how often a task that raised is started again, if possible on an executor that has not failed it yet.
        speculation: start a second attempt of a slow task on an idle executor.
    """

    def __init__(self, state: SchedulerState, *, task_retries: int, speculation: bool) -> None:
        self._state, self._task_sets, self._locations = state, state.task_sets, state.locations
        self._load = state.task_sets.load
        self._task_retries, self._speculation = task_retries, speculation

    def finished(self, event: TaskFinished) -> list[Command]:
        executor, stage, partition, made, seconds = event
        if executor not in self._load:
            return []  # sent before the driver learned of the sender's loss
        if self._state.silent:
            self._state.silent.discard(executor)
        task_set = self._task_sets.of_attempt(stage, partition, executor)
        if task_set is None:
            return self._late(event)
        commands = self._take_blocks(executor, made) if made else []
        losers = self._task_sets.finish(task_set, partition, executor, seconds)
        for loser in losers:
            self._task_sets.settle(task_set, partition, loser)
            commands.append(StopTask(loser, stage, partition))
        if task_set.plan.barrier:
            task_set.made += [(block, executor) for block in made]
        output = task_set.stage.output
        if output.kind == "result":
            self._state.jobs[output.of].undone.discard(partition)
        if executor in task_set.load and not losers:
            return commands  # this executor has more tasks of the set
        return commands + self._state.go_on(task_set, executor, *losers)

    def _take_blocks(self, executor: Rank, made: tuple[BlockId, ...]) -> list[Command]:
        unwanted = []
        for block in made:
            if block.kind != "rdd":
                self._locations.add(block, executor)
            elif block.of in self._state.kept:
                self._add_made(block, executor)
            else:
                unwanted.append(block)
        return [DropBlocks(executor, tuple(unwanted))] if unwanted else []

    def _add_made(self, block: BlockId, executor: Rank) -> None:
        self._locations.add(block, executor)
        if block.kind == "rdd":
            self._state.exchanges.note_uncopied(block)

    def _late(self, event: TaskFinished) -> list[Command]:
        """The task had been cancelled, or another attempt was faster.

        Its kept partitions are as good as any. Its map outputs are dropped, unless the executor has meanwhile been told to make
        the same ones: it might do so before it hears of the drop, which would then remove blocks that are in the account.
        """
        state = self._state
        if event.stage in state.abandoned:
            return []  # the blocks have been dropped already
        unwanted = []
        for block in event.made:
            if block.kind == "rdd":
                wanted = block.of in state.kept
            else:
                wanted = any(task_set.runs(block.part, event.executor)
                             for task_set in self._task_sets.of_output(Output("map", block.of)).values())
            if wanted or event.executor in self._locations.holders(block):
                self._add_made(block, event.executor)
            else:
                unwanted.append(block)
        drops: list[Command] = [DropBlocks(event.executor, tuple(unwanted))] if unwanted else []
        return drops + state.copy_kept()

    def failed(self, event: TaskFailed) -> list[Command]:
        state, executor, partition = self._state, event.executor, event.partition
        if executor not in self._load:
            return []
        task_set = self._task_sets.of_attempt(event.stage, partition, executor)
        if task_set is None:
            return []
        if self._task_sets.settle(task_set, partition, executor):
            return state.go_on(task_set, executor)  # the other attempt may succeed
        tried = state.failures.setdefault(task_set.stage.output, {}).setdefault(partition, [])
        tried.append(executor)
        can = able(task_set.plan.tasks[partition], self._locations, state.executors)
        elsewhere: list[Rank] = []
        if event.failure.of_host and not task_set.plan.barrier:
            hosts = {state.host_of(rank) for rank in tried}
            elsewhere = [executor for executor in can if state.host_of(executor) not in hosts]
        if len(tried) > self._task_retries and not elsewhere:
            return state.fail(task_set, self._of_all_attempts(event.failure, tried))
        if task_set.plan.barrier:
            return state.restart_barrier(task_set)
        state.count_try(task_set.stage.output, partition)
        can = elsewhere or [executor for executor in can if executor not in tried] or can
        if not can:  # nobody has its input any more: the task is planned again when the task set is over
            return state.go_on(task_set, executor)
        again = self._task_sets.send(task_set, min(can, key=self._load.__getitem__), [partition])
        return [again, *state.go_on(task_set, executor)]

    def _of_all_attempts(self, failure: Failure, tried: list[Rank]) -> Failure:
        """The failure with the ranks of all attempts: the user does not hear of retries."""
        if len(tried) == 1:
            return failure
        return replace(failure, tried=tuple(f"rank {rank} ({self._state.host_of(rank)})" for rank in tried))

    def running(self, event: TaskRunning) -> list[Command]:
        executor, partition = event.executor, event.partition
        if executor not in self._load:
            return []
        task_set = self._task_sets.of_attempt(event.stage, partition, executor)
        self._state.began[executor] = event.stage, partition
        self._state.silent.discard(executor)
        usual = task_set.usual_if_slow(event.seconds) if task_set else None
        if task_set is None or usual is None:
            return []
        other = self._speculate(task_set, partition)
        commands: list[Command] = []
        if other is not None:
            self._state.count_try(task_set.stage.output, partition)
            commands.append(self._task_sets.send(task_set, other, [partition]))
        if (event.seconds > _TELL_S or other is not None) and (partition, executor) not in task_set.slow:
            task_set.slow.add((partition, executor))
            commands.append(TaskSlow(
                executor, event.stage, task_set.stage.label, partition, event.seconds, usual, other))
        return commands

    def _speculate(self, task_set: TaskSet, partition: int) -> Rank | None:
        """Choose an idle executor for a second attempt, if one holds the task's input."""
        if not self._speculation or task_set.plan.barrier or not task_set.alone(partition):
            return None
        idle = self._task_sets.idle
        can = able(task_set.plan.tasks[partition], self._locations, idle)
        return next((executor for executor in can if executor in idle), None)

    def blocks_gone(self, event: BlocksGone) -> list[Command]:
        executor = event.executor
        if executor not in self._load:
            return []
        for block in event.blocks:
            self._locations.discard(block, executor)
            if block.kind == "map":
                self._state.exchanges.forget(block.of)  # an exchange without one of the map outputs is void
                self._state.count_try(Output("map", block.of), block.part)
        task_set = self._task_sets.get(event.stage)
        came_back = [p for p in event.partitions if task_set.runs(p, executor)] if task_set else []
        if task_set is None or not came_back:
            return []
        for partition in came_back:
            self._task_sets.settle(task_set, partition, executor)
        if task_set.plan.barrier:
            return self._state.restart_barrier(task_set)
        return self._state.go_on(task_set, executor)
