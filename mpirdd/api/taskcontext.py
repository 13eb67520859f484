"""The running task, as the user's function sees it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NoReturn

from mpirdd.ops.current_task import CurrentTask, current_task
from mpirdd.protocol.errors import NotSupported, UsageError


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
        """The context of the running task, in a barrier stage a BarrierTaskContext; None on the driver."""
        task = current_task()
        if task is None:
            return None
        return cls._of(task) if task.barrier is None else BarrierTaskContext.get()

    @classmethod
    def _of(cls, task: CurrentTask) -> TaskContext:
        context = object.__new__(cls)
        context._task = task
        return context

    def __reduce__(self) -> tuple[Any, ...]:
        task = self._task
        return _as_it_was, (
            type(self), task.stage, task.partition, task.attempt, task.tried, task.properties, task.addresses)

    def stageId(self) -> int:
        """The id of the stage."""
        return self._task.stage

    def partitionId(self) -> int:
        """The index of the partition."""
        return self._task.partition

    def attemptNumber(self) -> int:
        """The number of earlier attempts at this task: 0 for the first."""
        return self._task.tried

    def taskAttemptId(self) -> int:
        """A number that no other attempt at a task in this Context has."""
        return self._task.attempt

    def getLocalProperty(self, key: str) -> str | None:
        """A local property of the driver's thread at the time of its call for the job."""
        return self._task.properties.get(key)

    def cpus(self) -> int:
        """Cores of a task: one, since an executor is one process."""
        return 1

    def cpuAmount(self) -> Decimal:
        """Cores of a task: one, as a decimal number."""
        return Decimal(1)

    def resources(self) -> dict[str, Any]:
        """Accelerators assigned to the task: none. Use what the rank sees, such as CUDA_VISIBLE_DEVICES."""
        return {}

    @classmethod
    def from_json(cls, json: dict[str, Any]) -> NoReturn:
        """Raises NotSupported: contexts come from executors, not from a JVM's messages. Use ``get``."""
        raise NotSupported(f"{cls.__name__}.from_json reads a message of a JVM; use {cls.__name__}.get() inside a task")


class BarrierTaskInfo:
    """One task of a barrier stage.

    Attributes:
        address: ``host:0``: the task's host, in the form that programs split; executors open no
            port.
    """

    def __init__(self, address: str) -> None:
        self.address = address


class BarrierTaskContext(TaskContext):
    """The current task of a barrier stage, whose tasks run at the same time and can wait for each other."""

    @classmethod
    def get(cls) -> BarrierTaskContext:
        """The context of the running task. Raises UsageError on the driver and in ordinary stages."""
        task = current_task()
        if task is None or task.barrier is None:
            raise UsageError("a BarrierTaskContext exists in tasks of a barrier stage only: rdd.barrier().mapPartitions(...)")
        context = cls._of(task)
        assert isinstance(context, BarrierTaskContext)
        return context

    def barrier(self) -> None:
        """Wait until all tasks of the stage have called this."""
        self.allGather()

    def allGather(self, message: str = "") -> list[str]:
        """Wait for all tasks, and return their messages, in the order of their partitions."""
        if not isinstance(message, str):
            raise TypeError(f"allGather takes a str, not {type(message).__name__}")
        assert self._task.barrier is not None
        return list(self._task.barrier(message))

    def getTaskInfos(self) -> list[BarrierTaskInfo]:
        """The place of each task of the stage, by partition."""
        return [BarrierTaskInfo(f"{host}:0") for host in self._task.addresses]


def _as_it_was(
    kind: type[TaskContext], stage: int, partition: int, attempt: int, tried: int,
    properties: dict[str, str], hosts: tuple[str, ...],
) -> TaskContext:
    """A context taken out of its task, which it still names."""
    return kind._of(CurrentTask(stage, partition, attempt, properties, None, hosts, _over, tried=tried))


def _over(broadcast: int) -> NoReturn:
    raise UsageError("the task is over")
