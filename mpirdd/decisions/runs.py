"""What the scheduler remembers of what is under way: runs of stages, and exchanges."""

from __future__ import annotations

from array import array
from collections import deque
from dataclasses import dataclass, field
from statistics import median

from mpirdd.decisions.events import StartExchange
from mpirdd.decisions.plan import Need, Work
from mpirdd.words.ids import BlockId, NodeId, Rank
from mpirdd.words.stage import Stage

_LEAST_S = 0.005
"""Free tasks are given out in portions that take at least this long: a round trip costs some 0.2 ms on a busy
machine."""
_LEAST_FINISHED = 2
"""So many tasks of a stage, and half of them all, must have finished before it is known how long one usually takes."""


@dataclass(slots=True)
class Run:
    """A stage with tasks under way. Its need's ``work`` holds the tasks that have not finished."""

    stage: Stage
    need: Need
    free: deque[int]
    """Tasks that any executor can run and none was given yet."""
    tasks: int
    """In all."""
    attempts: dict[int, tuple[Rank, ...]] = field(default_factory=dict)
    """Where each task under way runs; at two executors when a second attempt was started."""
    load: dict[Rank, int] = field(default_factory=dict)
    """Attempts at each executor that has any."""
    slow: set[tuple[int, Rank]] = field(default_factory=set)
    """Attempts that were reported as slow."""
    whole: dict[int, Work] = field(default_factory=dict)
    """Barrier stages only: all tasks, as they may have to run again together."""
    made: list[tuple[BlockId, Rank]] = field(default_factory=list)
    """Barrier stages only: what the finished tasks made."""
    finished: int = 0
    seconds: float = 0.0
    """How long the finished tasks ran, in all."""
    times: array[float] = field(default_factory=lambda: array("d"))
    """How long each of them ran, in seconds."""
    usual: tuple[int, float] = (0, 0.0)
    """Their median when it was last computed: of how many tasks, in seconds."""

    def done(self) -> bool:
        """Nothing is under way; tasks that came back for lack of a block are planned again."""
        return not self.attempts and not self.free

    def finish(self, seconds: float) -> None:
        self.finished += 1
        self.seconds += seconds
        self.times.append(seconds)

    def share(self, executors: int) -> int:
        """How many free tasks to give out at once: half of an even share of what is left, for balance, or as many as
        take ``_LEAST_S``, for few messages."""
        even = -(-len(self.free) // executors)
        quick = int(_LEAST_S * self.finished / self.seconds) if self.seconds else 0
        return max(1, even // 2, min(quick, even))

    def usual_seconds(self) -> float | None:
        """The median of the finished tasks; None while too few have finished."""
        if self.finished < max(_LEAST_FINISHED, self.tasks / 2):
            return None
        if self.finished > 1.1 * self.usual[0]:  # not for each heartbeat of each executor
            self.usual = self.finished, median(self.times)
        return self.usual[1]


@dataclass(slots=True)
class Exchange:
    plan: StartExchange
    waiting: set[Rank]
    forgotten: set[NodeId] = field(default_factory=set)
    """Nodes whose blocks were dropped meanwhile: what arrives of them may be incomplete, or wanted by nobody."""
