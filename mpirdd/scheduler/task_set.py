"""A stage with tasks under way: its free tasks, and the executors of the others.

It holds no object for a task: one byte, and the data of its attempts while they run.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from statistics import median

from mpirdd.protocol.ids import BlockId, Rank
from mpirdd.protocol.stage import Stage
from mpirdd.scheduler.partition_set import PartitionSet
from mpirdd.scheduler.placement import FreeTasks
from mpirdd.scheduler.stage_plan import StagePlan

_LEAST_S = 0.005
"""A portion of free tasks takes at least this long: a round trip costs some 0.2 ms on a busy machine."""
_LEAST_FINISHED = 2
"""The usual run time is known once this many tasks, and half of the stage, have finished."""
_SLOW_S = 1.0
"""A task that takes less than this is never slow: a second attempt would not pay."""
_SLOW_TIMES = 3.0
"""A task is slow if it runs longer than this many times the median of its siblings. Spark takes 1.5, but also waits for three
quarters of them."""


class TaskSet:
    """A stage with tasks under way."""

    __slots__ = (
        "barrier", "free", "left", "load", "made", "plan", "running", "second", "seconds", "slow", "stage",
        "times", "total", "usual")

    def __init__(self, stage: Stage, plan: StagePlan, free: FreeTasks) -> None:
        self.stage, self.plan = stage, plan
        self.free = free
        """Tasks that any executor can run and that no executor has got yet."""
        self.left = PartitionSet(plan.target.node.num_partitions, plan.tasks.partitions)
        """The tasks that have not finished."""
        self.total = len(plan.tasks)
        """The number of tasks of the stage."""
        self.running: dict[int, Rank] = {}
        """The executor of each task under way, in the order in which they were sent."""
        self.second: dict[int, Rank] = {}
        """The executors of second attempts."""
        self.load: dict[Rank, int] = {}
        """By executor, its number of attempts, if it has any."""
        self.slow: set[tuple[int, Rank]] = set()
        """Attempts that were reported as slow."""
        self.barrier: tuple[Rank, ...] = ()
        """Barrier stages only: the executor of each task."""
        self.made: list[tuple[BlockId, Rank]] = []
        """Barrier stages only: the blocks that finished tasks made."""
        self.seconds = 0.0
        """The sum of the run times of finished tasks."""
        self.times = array("d")
        """The run time of each finished task, in seconds."""
        self.usual = 0, 0.0
        """The last computed median of these: (number of tasks, seconds)."""

    # --- attempts ---------------------------------------------------------------------------------

    def runs(self, partition: int, executor: Rank) -> bool:
        """Does an attempt at the task run there?"""
        return self.running.get(partition) == executor or self.second.get(partition) == executor

    def of_executor(self, executor: Rank) -> list[int]:
        """The tasks with an attempt there, in the order in which they were sent."""
        return [partition for attempts in (self.running, self.second)
                for partition, where in attempts.items() if where == executor]

    def alone(self, partition: int) -> bool:
        """Does this running task have no second attempt?"""
        return partition not in self.second

    def send(self, partitions: Sequence[int], executor: Rank) -> None:
        """Record first or second attempts at tasks."""
        second = not self.running.keys().isdisjoint(partitions)
        (self.second if second else self.running).update(dict.fromkeys(partitions, executor))
        self.load[executor] = self.load.get(executor, 0) + len(partitions)

    def settle(self, partition: int, executor: Rank) -> tuple[Rank, ...]:
        """An attempt is over; return the executor of the other attempt at the same task, if there is one."""
        load = self.load
        if load[executor] == 1:
            del load[executor]
        else:
            load[executor] -= 1
        if partition not in self.second:
            del self.running[partition]
            return ()
        other = self.second.pop(partition)
        if other == executor:
            return (self.running[partition],)
        self.running[partition] = other
        return (other,)

    def finish(self, partition: int, executor: Rank, seconds: float) -> tuple[Rank, ...]:
        """An attempt has finished the task; return the executor of the other attempt, if there is one."""
        self.seconds += seconds
        self.times.append(seconds)
        self.left.discard(partition)
        return self.settle(partition, executor)

    # --- run times --------------------------------------------------------------------------------

    @property
    def finished(self) -> int:
        """The number of finished tasks."""
        return len(self.times)

    def share(self, executors: int) -> int:
        """How many free tasks to give out at once: half of an even share of the rest, for balance, or as many as take
        ``_LEAST_S``, for few messages."""
        even = -(-len(self.free) // executors)
        quick = int(_LEAST_S * self.finished / self.seconds) if self.seconds else 0
        return max(1, even // 2, min(quick, even))

    def usual_if_slow(self, seconds: float) -> float | None:
        """The usual run time of the stage's tasks, in seconds, if a task that has run for ``seconds`` is slow; otherwise None."""
        if seconds < _SLOW_S or self.finished < max(_LEAST_FINISHED, self.total / 2):
            return None
        if self.finished > 1.1 * self.usual[0]:  # not at each heartbeat of each executor
            self.usual = self.finished, median(self.times)
        return self.usual[1] if seconds > _SLOW_TIMES * self.usual[1] else None
