"""A stage with tasks under way: which of them are free, and where the others run.

It holds no object for a task: a byte, and what its attempts take while they run.
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
"""A portion of free tasks takes at least this long: a round trip costs some 0.2 ms on a busy
machine."""
_LEAST_FINISHED = 2
"""So many tasks of a stage, and half of them all, must have finished before it is known how long
one usually takes."""
_SLOW_S = 1.0
"""A task that takes less than this is never slow: a second attempt would not pay."""
_SLOW_TIMES = 3.0
"""A task is slow when it runs longer than so many times the median of its siblings. Spark takes
1.5, but also waits for three quarters of them."""


class TaskSet:
    """A stage with tasks under way."""

    __slots__ = (
        "barrier", "free", "left", "load", "made", "plan", "running", "second", "seconds", "slow", "stage",
        "times", "total", "usual")

    def __init__(self, stage: Stage, plan: StagePlan, free: FreeTasks) -> None:
        self.stage, self.plan = stage, plan
        self.free = free
        """Tasks that any executor can run and that none has been given yet."""
        self.left = PartitionSet(plan.target.node.num_partitions, plan.tasks.partitions)
        """The tasks that have not finished."""
        self.total = len(plan.tasks)
        """How many tasks it has in all."""
        self.running: dict[int, Rank] = {}
        """Where each task under way runs, in the order in which they were sent."""
        self.second: dict[int, Rank] = {}
        """Where second attempts run."""
        self.load: dict[Rank, int] = {}
        """Attempts at each executor that has any."""
        self.slow: set[tuple[int, Rank]] = set()
        """Attempts that were reported as slow."""
        self.barrier: tuple[Rank, ...] = ()
        """Barrier stages only: where each task runs."""
        self.made: list[tuple[BlockId, Rank]] = []
        """Barrier stages only: what the finished tasks made."""
        self.seconds = 0.0
        """How long the finished tasks ran, in all."""
        self.times = array("d")
        """How long each of them ran, in seconds."""
        self.usual = 0, 0.0
        """Their median when it was last computed: of how many tasks, in seconds."""

    # --- attempts ---------------------------------------------------------------------------------

    def runs(self, partition: int, executor: Rank) -> bool:
        """Is an attempt at the task under way there?"""
        return self.running.get(partition) == executor or self.second.get(partition) == executor

    def of_executor(self, executor: Rank) -> list[int]:
        """The tasks with an attempt under way there, in the order in which they were sent."""
        return [partition for attempts in (self.running, self.second)
                for partition, where in attempts.items() if where == executor]

    def alone(self, partition: int) -> bool:
        """Has the task, which is under way, no second attempt?"""
        return partition not in self.second

    def send(self, partitions: Sequence[int], executor: Rank) -> None:
        """Enter first or second attempts at tasks."""
        second = not self.running.keys().isdisjoint(partitions)
        (self.second if second else self.running).update(dict.fromkeys(partitions, executor))
        self.load[executor] = self.load.get(executor, 0) + len(partitions)

    def settle(self, partition: int, executor: Rank) -> tuple[Rank, ...]:
        """An attempt is over; return where the other one of the same task is under way."""
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
        """An attempt has finished the task; return where the other one of it is under way."""
        self.seconds += seconds
        self.times.append(seconds)
        self.left.discard(partition)
        return self.settle(partition, executor)

    # --- run times --------------------------------------------------------------------------------

    @property
    def finished(self) -> int:
        """How many of its tasks have."""
        return len(self.times)

    def share(self, executors: int) -> int:
        """How many free tasks to give out at once: half of an even share of what is left, for
        balance, or as many as take ``_LEAST_S``, for few messages."""
        even = -(-len(self.free) // executors)
        quick = int(_LEAST_S * self.finished / self.seconds) if self.seconds else 0
        return max(1, even // 2, min(quick, even))

    def usual_if_slow(self, seconds: float) -> float | None:
        """How long the stage's tasks usually take, in seconds, if one that has run for ``seconds``
        is slow beside them."""
        if seconds < _SLOW_S or self.finished < max(_LEAST_FINISHED, self.total / 2):
            return None
        if self.finished > 1.1 * self.usual[0]:  # not for each heartbeat of each executor
            self.usual = self.finished, median(self.times)
        return self.usual[1] if seconds > _SLOW_TIMES * self.usual[1] else None
