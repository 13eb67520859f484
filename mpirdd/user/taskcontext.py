"""What a user's function can learn about the task that runs it."""

from __future__ import annotations

from typing import Any

from mpirdd.roles.current import CurrentTask, current_task
from mpirdd.words.errors import UsageError


class TaskContext:
    """The current task. ``TaskContext.get()``, or ``TaskContext()``, inside a function that runs on executors.

    >>> sc.parallelize(range(4), 2).mapPartitions(lambda records: [TaskContext.get().partitionId()]).collect()
    [0, 1]
    """

    _task: CurrentTask

    def __new__(cls, *arguments: Any, **options: Any) -> Any:
        return cls.get()

    @classmethod
    def get(cls) -> TaskContext | None:
        """The context of the running task; None on the driver."""
        task = current_task()
        return None if task is None else cls._of(task)

    @classmethod
    def _of(cls, task: CurrentTask) -> TaskContext:
        context = object.__new__(cls)
        context._task = task
        return context

    def stageId(self) -> int:
        """The id of the stage."""
        return self._task.stage

    def partitionId(self) -> int:
        """The index of the partition."""
        return self._task.partition

    def attemptNumber(self) -> int:
        """How often this task has been tried before: 0 for the first time."""
        return 0

    def taskAttemptId(self) -> int:
        """A number that no other attempt at a task in this Context has."""
        return self._task.attempt

    def getLocalProperty(self, key: str) -> str | None:
        """A local property that the driver's thread had set when it asked for the job."""
        return self._task.properties.get(key)

    def cpus(self) -> int:
        """Cores of a task: one, as an executor is one process."""
        return 1

    def resources(self) -> dict[str, Any]:
        """Accelerators assigned to the task: mpirdd assigns none."""
        raise UsageError("mpirdd assigns no accelerators to tasks; use what the rank sees, such as CUDA_VISIBLE_DEVICES")
