"""The barriers, at which the tasks of a barrier stage wait for each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mpirdd.driver.channel import Channel
from mpirdd.protocol import messages
from mpirdd.protocol.errors import Failure
from mpirdd.protocol.ids import Rank, StageId
from mpirdd.protocol.values import dataclass, field
from mpirdd.scheduler import events


@dataclass(slots=True)
class _Stage:
    label: str
    tasks: int
    waiting: dict[int, tuple[Rank, str]] = field(default_factory=dict)
    """Tasks at the barrier, by partition: their ranks, and their messages to the other tasks."""
    ended: bool = False
    """A task has ended, and will come to no further barrier."""


class Barriers:
    """All barrier stages under way.

    Args:
        fail: takes the event of a task that has failed.
    """

    def __init__(self, channel: Channel, hosts: Mapping[Rank, str], fail: Callable[[events.TaskFailed], None]) -> None:
        self._channel, self._hosts, self._fail = channel, hosts, fail
        self._stages: dict[StageId, _Stage] = {}

    def tasks_started(self, command: events.StartTasks) -> None:
        stage = command.stage
        if command.barrier and stage.id not in self._stages:
            self._stages[stage.id] = _Stage(stage.label, len(command.barrier))

    def arrived(self, sender: Rank, message: messages.AtBarrier) -> None:
        """A task waits at the barrier. Once all tasks of the stage wait, let them go on."""
        stage = self._stages.get(message.stage)
        if stage is None:
            return  # the stage was given up meanwhile
        waiting = stage.waiting
        waiting[message.partition] = sender, message.message
        if len(waiting) == stage.tasks:
            said = tuple(text for _, (_, text) in sorted(waiting.items()))
            for rank, _ in waiting.values():
                self._channel.send(rank, messages.BarrierPassed(message.stage, said))
            waiting.clear()
        self._check(message.stage, stage)

    def task_finished(self, stage_id: StageId) -> None:
        stage = self._stages.get(stage_id)
        if stage is not None:
            stage.ended = True
            self._check(stage_id, stage)

    def stage_closed(self, stage: StageId) -> None:
        self._stages.pop(stage, None)

    def executor_lost(self, rank: Rank) -> None:
        for stage in self._stages.values():
            for partition in [partition for partition, (waiting, _) in stage.waiting.items() if waiting == rank]:
                del stage.waiting[partition]

    def _check(self, stage_id: StageId, stage: _Stage) -> None:
        """Fail a task that waits at a barrier to which another task, which has ended, will not come."""
        if not stage.waiting or not stage.ended:
            return
        partition, (rank, _) = min(stage.waiting.items())
        summary = ("UsageError: this task waits at a barrier, but another task of its stage has ended without coming there. All "
                   "tasks of a barrier stage must call barrier() and allGather() equally often: do not leave them out in some "
                   "partitions, and do not unite or coalesce barrier RDDs with others before a shuffle.")
        self._channel.send(rank, messages.CancelTask(stage_id, partition))  # it would wait on: nobody stops a failed task
        failure = Failure(summary, "", rank, self._hosts[rank], stage.label, partition, None)
        self._fail(events.TaskFailed(rank, stage_id, partition, failure))
