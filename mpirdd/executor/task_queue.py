"""The tasks that wait on an executor, and their stages."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Any, NamedTuple

from mpirdd.protocol import messages
from mpirdd.protocol.ids import NodeId, StageId


class QueuedTask(NamedTuple):
    """One attempt at one task."""

    stage: messages.OpenStage
    partition: int
    attempt: int
    tried: int
    """The number of earlier attempts at the task."""
    suspect: bool
    """The task may have ended an executor."""
    barrier: tuple[str, ...]
    """Barrier stages only: the hosts of all its tasks, by partition."""
    splits: dict[tuple[NodeId, int], Any]


class TaskQueue:
    """Waiting tasks, in the order in which the driver sent them."""

    def __init__(self) -> None:
        self._stages: dict[StageId, messages.OpenStage] = {}
        self._tasks: deque[QueuedTask] = deque()

    def __len__(self) -> int:
        return len(self._tasks)

    def open_stage(self, message: messages.OpenStage) -> None:
        self._stages[message.stage.id] = message

    def add(self, message: messages.RunTasks) -> None:
        stage = self._stages[message.stage]
        for attempt, partition in enumerate(message.partitions, message.first_attempt):
            self._tasks.append(QueuedTask(
                stage, partition, attempt, message.tried.get(partition, 0), partition in message.suspects,
                message.barrier, message.splits))

    def take(self, ready: Callable[[Collection[int]], bool]) -> QueuedTask | None:
        """The first task whose broadcast variables are here. ``ready`` tells that of their versions."""
        if self._tasks and not self._tasks[0].stage.broadcasts:
            return self._tasks.popleft()
        for place, task in enumerate(self._tasks):
            if ready(task.stage.broadcasts.values()):
                del self._tasks[place]
                return task
        return None

    def put_back(self, task: QueuedTask) -> None:
        """The task has not run to its end: it is the next one again, if its stage goes on."""
        if task.stage.stage.id in self._stages:
            self._tasks.appendleft(task)

    def cancel_task(self, message: messages.CancelTask) -> None:
        self._keep(task for task in self._tasks
                   if (task.stage.stage.id, task.partition) != (message.stage, message.partition))

    def cancel_stage(self, message: messages.CancelStage) -> None:
        self._keep(task for task in self._tasks if task.stage.stage.id != message.stage)
        self._stages.pop(message.stage, None)

    def close_stages(self, stages: Iterable[StageId]) -> None:
        """No more tasks of these stages will come."""
        for stage in stages:
            self._stages.pop(stage, None)

    def clear(self) -> None:
        self._tasks.clear()
        self._stages.clear()

    def _keep(self, wanted: Iterable[QueuedTask]) -> None:
        self._tasks = deque(wanted)
