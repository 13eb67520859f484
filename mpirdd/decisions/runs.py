"""Stages under way: which of their tasks are free, where the others run, and how busy that keeps each executor.

Free tasks are handed out as executors ask for more (guided self-scheduling: a share of what is left, so that many
small tasks cost few messages and few large ones still balance).
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Container, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from itertools import count
from statistics import median

from mpirdd.decisions.events import CancelStage, CloseStage, Command, StartTasks, Task
from mpirdd.decisions.placement import able
from mpirdd.decisions.plan import Have, Need, Work
from mpirdd.words.ids import BlockId, Rank, StageId
from mpirdd.words.stage import Output, Stage

_LEAST_S = 0.005
"""Free tasks are given out in portions that take at least this long: a round trip costs some 0.2 ms on a busy
machine."""
_LEAST_FINISHED = 2
"""So many tasks of a stage, and half of them all, must have finished before it is known how long one usually takes."""
_SLOW_S = 1.0
"""Nothing that takes less is slow, so that a second attempt would pay."""
_SLOW_TIMES = 3.0
"""A task is slow when it runs longer than so many times the median of its siblings. Spark takes 1.5, but also waits for
three quarters of them."""


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

    def usual_if_slow(self, seconds: float) -> float | None:
        """How long tasks of the stage usually take, in seconds, if one that has run for ``seconds`` is slow beside that."""
        if seconds <= _SLOW_S or self.finished < max(_LEAST_FINISHED, self.tasks / 2):
            return None
        if self.finished > 1.1 * self.usual[0]:  # not for each heartbeat of each executor
            self.usual = self.finished, median(self.times)
        return self.usual[1] if seconds > _SLOW_TIMES * self.usual[1] else None


class Runs:
    """All runs of one scheduler."""

    def __init__(self, executors: Iterable[Rank]) -> None:
        self.load: dict[Rank, int] = dict.fromkeys(executors, 0)
        """Attempts under way at each living executor."""
        self.idle: dict[Rank, None] = dict.fromkeys(self.load)
        """Those with none, the longest idle first."""
        self._runs: dict[StageId, Run] = {}
        self._outputs: dict[Output, dict[StageId, Run]] = {}
        self._making: set[BlockId] = set()
        self._ids = count(1)

    def __iter__(self) -> Iterator[Run]:
        """As they are now; they may end meanwhile."""
        return iter(list(self._runs.values()))

    # --- questions ----------------------------------------------------------------------------------------------------

    def get(self, stage: StageId | None) -> Run | None:
        return self._runs.get(stage) if stage is not None else None

    def of_attempt(self, stage: StageId, partition: int, executor: Rank) -> Run | None:
        """The run of an attempt under way; None when it is over, or was never."""
        run = self._runs.get(stage)
        return run if run is not None and executor in run.attempts.get(partition, ()) else None

    def of_output(self, output: Output) -> Mapping[StageId, Run]:
        """A stage may have several runs under way, each with partitions of its own."""
        return self._outputs.get(output, {})

    def partitions(self, output: Output) -> Set[int]:
        """Partitions that tasks make, or will when they are given out."""
        runs = list(self.of_output(output).values())
        if len(runs) == 1:
            return runs[0].need.work.keys()
        return {partition for run in runs for partition in run.need.work}

    @property
    def making(self) -> Container[BlockId]:
        """The ``rdd`` blocks that tasks will keep."""
        return self._making

    def at_barrier(self) -> bool:
        return any(run.need.barrier for run in self._runs.values())

    # --- what happens to them -----------------------------------------------------------------------------------------

    def begin(self, need: Need, places: Mapping[int, Rank | None]) -> list[Command]:
        """A stage: tasks with a place go there, free ones are handed out."""
        stage = Stage(next(self._ids), need.goal.label, need.goal.node.id, need.goal.output, need.pipes)
        run = Run(stage, need, deque(p for p in need.work if places[p] is None), len(need.work))
        if need.barrier:
            run.whole = dict(need.work)
        self._runs[stage.id] = run
        self._outputs.setdefault(stage.output, {})[stage.id] = run
        placed: dict[Rank, list[int]] = {}
        for partition, work in need.work.items():
            self._making.update(work.makes)
            place = places[partition]
            if place is not None:
                placed.setdefault(place, []).append(partition)
        commands: list[Command] = [self.send(run, executor, partitions) for executor, partitions in placed.items()]
        return commands + self.hand_out(run, self.load)

    def hand_out(self, run: Run, executors: Iterable[Rank]) -> list[Command]:
        """Free tasks for those that have none of the run's."""
        commands: list[Command] = []
        for executor in executors:
            if not run.free:
                break
            if executor not in run.load:
                share = run.share(len(self.load))
                commands.append(self.send(run, executor, [run.free.popleft() for _ in range(share)]))
        return commands

    def send(self, run: Run, executor: Rank, partitions: list[int]) -> Command:
        for partition in partitions:
            run.attempts[partition] = (*run.attempts.get(partition, ()), executor)
        run.load[executor] = run.load.get(executor, 0) + len(partitions)
        self.load[executor] += len(partitions)
        self.idle.pop(executor, None)
        tasks = tuple(Task(p, run.need.work[p].splits) for p in partitions)
        return StartTasks(executor, run.stage, run.need.nodes, tasks, run.tasks if run.need.barrier else 0)

    def settle(self, run: Run, partition: int, executor: Rank) -> tuple[Rank, ...]:
        """An attempt is over; where others of the task are under way."""
        attempts = run.attempts.pop(partition)
        left = tuple(other for other in attempts if other != executor) if len(attempts) > 1 else ()
        if left:
            run.attempts[partition] = left
        run.load[executor] -= 1
        if not run.load[executor]:
            del run.load[executor]
        self._unload(executor, 1)
        return left

    def let_go(self, run: Run, partition: int) -> None:
        """The task is not the run's any more."""
        self._making.difference_update(run.need.work.pop(partition).makes)

    def cancel(self, run: Run) -> list[Command]:
        commands: list[Command] = [
            CancelStage(executor, run.stage.id) for executor in run.load if executor in self.load]
        return [*commands, self.close(run)]

    def close(self, run: Run) -> Command:
        del self._runs[run.stage.id]
        of_output = self._outputs[run.stage.output]
        del of_output[run.stage.id]
        if not of_output:
            del self._outputs[run.stage.output]
        for executor, tasks in run.load.items():
            self._unload(executor, tasks)
        for partition in list(run.need.work):
            self.let_go(run, partition)
        return CloseStage(run.stage.id)

    def _unload(self, executor: Rank, tasks: int) -> None:
        if executor in self.load:
            self.load[executor] -= tasks
            if not self.load[executor]:
                self.idle[executor] = None

    # --- losses -------------------------------------------------------------------------------------------------------

    def lose(self, executor: Rank) -> int:
        """It gets no more tasks; how many were under way there."""
        self.idle.pop(executor, None)
        return self.load.pop(executor)

    def lose_tasks(self, run: Run, lost: Rank, have: Have) -> list[Command]:
        """Those that were under way on the lost executor alone are free again if they read only splits, or go to one that
        has what they read. If nobody has, they are not the run's any more, so that a new plan has them at once."""
        del run.load[lost]
        again: dict[Rank, list[int]] = {}
        for partition in [partition for partition, attempts in run.attempts.items() if lost in attempts]:
            left = tuple(executor for executor in run.attempts.pop(partition) if executor != lost)
            work = run.need.work[partition]
            if left:
                run.attempts[partition] = left
            elif not work.reads:
                run.free.append(partition)
            elif holders := list(able(work, have, ())):
                again.setdefault(holders[partition % len(holders)], []).append(partition)
            else:
                run.tasks -= 1
                self.let_go(run, partition)
        return [self.send(run, executor, partitions) for executor, partitions in again.items()]
