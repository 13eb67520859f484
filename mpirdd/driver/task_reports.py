"""Executors' reports about tasks and exchanges, as events for the readers in ``observe``.

Executors report times on their own clocks. All processes of a host share one. For another host, the message with the least delay
so far, sent at ``clock`` there, gives the best estimate of the difference between the two clocks.

Short tasks share lines of the event log: an executor measures a task alone if it took ``detail_s`` (which the driver sends with
the stage), and sums up the others. This bound begins at 0 for stages of up to ``_SMALL_STAGE`` tasks, at ``_SHORT_S`` for others.
It grows when lines of single tasks become many, so a log of a million tasks stays below 200 MB, whatever they do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from math import inf
from operator import attrgetter
from time import perf_counter

from mpirdd.driver.data_reports import DataReports
from mpirdd.observe import run_events
from mpirdd.observe.bus import Bus
from mpirdd.observe.figures import figures_of, less
from mpirdd.protocol import messages
from mpirdd.protocol.ids import Rank, StageId

_SMALL_STAGE = 200
"""In a stage of up to this many tasks each task has a line of its own, however short."""
_SHORT_S = 0.01
_LINES = 100_000
"""After this many lines of single tasks the bound grows fourfold. A line takes 250 to 350 bytes: 120 MB when the bound has grown
to 2.5 s."""
_TOGETHER_S = 0.1
"""Reports of short tasks within this time share a line; once the bound has grown, within 10 times the bound."""
_SAME_CLOCK_S = 60.0
"""A message from the driver's own host is never under way for longer."""


class _Together:
    """Short tasks of one stage on one executor that share a line. It only collects; ``event`` sums up."""

    __slots__ = ("_costs", "_partitions", "_seconds", "began", "ended")

    def __init__(self, began: float) -> None:
        self.began = self.ended = began
        """On the executor's clock."""
        self._partitions: list[int] = []
        self._seconds: list[float] = []
        self._costs: list[dict[str, float]] = []

    def add(self, partitions: Sequence[int], seconds: Sequence[float], ended: float, costs: dict[str, float]) -> float:
        """Add tasks. Returns the seconds that the line covers."""
        self._partitions += partitions  # numbers instead of tasks, which the garbage collector would walk
        self._seconds += seconds
        self._costs.append(costs)
        self.ended = ended
        return ended - self.began

    def event(self, stage: StageId, executor: Rank, here: float) -> run_events.TasksMeasured:
        """``here``: the difference to add to the executor's clock."""
        seconds, partitions = self._seconds, self._partitions
        longest = max(seconds)
        sums: dict[str, float] = {}
        for costs in self._costs:
            for name, value in costs.items():
                sums[name] = sums.get(name, 0) + value
        return run_events.TasksMeasured(
            stage=stage, executor=executor, count=len(seconds), start=self.began + here, until=self.ended + here,
            seconds=sum(seconds), longest=longest, partition=partitions[seconds.index(longest)],
            partitions=tuple(partitions), figures=figures_of(sums))


class TaskReports:
    """The task reports of one driver's executors.

    Args:
        zero: ``perf_counter`` at the run's start.
        lines: the bound grows after this many lines of single tasks, and again after as many more.
    """

    def __init__(self, bus: Bus, zero: float, lines: int = _LINES) -> None:
        self._bus, self._zero = bus, zero
        self._near: set[Rank] = set()
        """Executors on the driver's host."""
        self._delays: dict[Rank, float] = {}
        """By executor, the difference to add to its clock."""
        self.data = DataReports(bus)
        """The handler of what the reports say about data."""
        self._together: dict[StageId, dict[Rank, _Together]] = {}
        self._look_at = 0.0
        """The time of the next look at waiting lines."""
        self._least_s = 0.0
        self._together_s = _TOGETHER_S
        self._lines, self._step, self._next_lines = 0, lines, lines

    def joined(self, executor: Rank, *, near: bool) -> None:
        """An executor has started. ``near``: on this host."""
        if near:
            self._near.add(executor)

    def detail_s(self, tasks: int) -> float:
        """In a stage of ``tasks`` tasks, the log has a line of its own for each task that ran at least this long."""
        return max(self._least_s, 0.0 if tasks <= _SMALL_STAGE else _SHORT_S)

    def take(self, sender: Rank, report: messages.Report) -> None:
        """Handle a report; the scheduler has not seen it yet."""
        done = report.done
        if done and done[0].stage == done[-1].stage:  # executors send reports of one stage
            of_stages: Iterable[tuple[messages.Done, ...]] = (done,)
        else:
            of_stages = (tuple(of_stage) for _, of_stage in groupby(done, attrgetter("stage")))
        recorded = self._bus.recorded
        if recorded:
            self._heard(sender, report.clock)
        for tasks in of_stages:
            partitions = tuple([each.partition for each in tasks])
            self._bus.emit(run_events.TasksFinished(tasks[0].stage, sender, partitions))
            if recorded:
                self._measured(sender, report, tasks, partitions)
        if recorded:
            self.data.take(sender, report)

    def _measured(
        self, sender: Rank, report: messages.Report, done: tuple[messages.Done, ...], partitions: Sequence[int]
    ) -> None:
        stage, sums = done[0].stage, report.costs
        together = [each for each in done if each.figures is None]
        if len(together) < len(done):
            for each in done:
                if each.figures is not None:
                    self._alone(sender, each, each.figures)
                    if together:
                        sums = less(sums, each.figures)
            if not together:
                return
            partitions = [each.partition for each in together]
        of_executors = self._together.get(stage)
        if of_executors is None:
            of_executors = self._together[stage] = {}
        waiting = of_executors.get(sender)
        if waiting is None:
            waiting = of_executors[sender] = _Together(report.began)
        if waiting.add(partitions, [each.seconds for each in together], report.ended, sums) > self._together_s:
            self._flush(stage, sender)

    @property
    def waiting(self) -> bool:
        """Do short tasks wait for their line?"""
        return bool(self._together)

    def idle(self) -> None:
        """There is nothing else to do: write the lines that have waited long enough."""
        now = perf_counter() - self._zero
        if now < self._look_at:
            return
        self._look_at = now + _TOGETHER_S
        for stage, of_executors in list(self._together.items()):
            for executor, tasks in list(of_executors.items()):
                if now - self._here(executor, tasks.began) > self._together_s:
                    self._flush(stage, executor)

    def stage_ends(self, stage: StageId) -> None:
        """The stage will start no more tasks."""
        for executor in list(self._together.get(stage, ())):
            self._flush(stage, executor)
        self._together.pop(stage, None)
        self.data.stage_ends()

    def run_ends(self) -> None:
        """No more reports will come."""
        for stage in list(self._together):
            self.stage_ends(stage)
        self.data.run_ends()

    def _flush(self, stage: StageId, executor: Rank) -> None:
        self._bus.emit(self._together[stage].pop(executor).event(stage, executor, self._delays[executor] - self._zero))

    def _alone(self, sender: Rank, done: messages.Done, sums: dict[str, float]) -> None:
        figures = figures_of(sums)
        for name in ("peak_memory", "rss"):
            if sums.get(name):
                figures[name] = int(sums[name])
        self._bus.emit(run_events.TaskMeasured(
            stage=done.stage, partition=done.partition, executor=sender, start=self._here(sender, sums["start"]),
            seconds=done.seconds, figures=figures, attempt=int(sums.get("attempt", 0))))
        self._lines += 1
        if self._lines >= self._next_lines:
            self._next_lines += self._step
            self._least_s = 4 * max(self._least_s, _SHORT_S)
            self._together_s = max(_TOGETHER_S, 10 * self._least_s)
            self._bus.emit(run_events.SamplingChanged(self._least_s))

    def exchanged(self, sender: Rank, message: messages.Exchanged) -> None:
        """An executor has finished its part in an exchange."""
        if not self._bus.recorded:
            return
        self._heard(sender, message.clock)
        self._bus.emit(run_events.Exchanged(
            exchange=message.exchange, executor=sender, start=self._here(sender, message.clock - message.seconds),
            seconds=message.seconds, sent={str(rank): size for rank, size in sorted(message.sent.items())},
            sent_rest=message.sent_rest, received=message.received))

    def _heard(self, sender: Rank, clock: float) -> None:
        delay = perf_counter() - clock
        if sender in self._near and abs(delay) < _SAME_CLOCK_S:  # otherwise two hosts have the same name
            delay = 0.0
        if delay < self._delays.get(sender, inf):
            self._delays[sender] = delay

    def _here(self, sender: Rank, clock: float) -> float:
        """A time on the executor's clock, in seconds since the run's start."""
        return clock + self._delays[sender] - self._zero
