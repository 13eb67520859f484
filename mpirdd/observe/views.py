"""The account of a run's jobs, stages, executors, tasks and kept partitions: values that ``run_view`` fills."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Event = Mapping[str, Any]
ODD = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""What a reader raises for an event that lacks a field, or has one of a wrong kind."""

SUMS = ("records_in", "bytes_in", "records_out", "bytes_out", "shuffle_read", "shuffle_written", "spilled", "gc_s", "cpu_s")
"""The counts of a task that add up over tasks."""
OK, FAILED, STOPPED, LOST = "ok", "failed", "stopped", "lost"


class TaskRow(NamedTuple):
    """A finished attempt; or several short tasks of one executor in one row."""

    stage: int
    partition: int
    attempt: int
    executor: int
    start: float
    seconds: float
    """From the start to the end of the row; for several tasks, more than the sum of their run times."""
    status: str
    tasks: int
    counts: Event
    """The event itself, for its counts."""


@dataclass(slots=True)
class JobView:
    id: int
    label: str
    start: float
    group: str | None = None
    end: float | None = None
    status: str = "RUNNING"
    error: str = ""
    stages: list[int] = field(default_factory=list)


@dataclass(slots=True)
class StageView:
    id: int
    label: str
    kind: str = "result"
    tasks: int = 0
    jobs: tuple[int, ...] = ()
    nodes: tuple[int, ...] = ()
    shuffles: tuple[int, ...] = ()
    """The shuffles that it reads."""
    writes: int | None = None
    """The shuffle that it writes."""
    start: float = 0.0
    last: float = 0.0
    """The end of its last task so far."""
    ended: bool = False
    done: int = 0
    failed: int = 0
    stopped: int = 0
    busy_s: float = 0.0
    longest_s: float = 0.0
    longest_partition: int | None = None
    seconds: list[tuple[float, int]] = field(default_factory=list)
    """Run times, each with the number of its tasks; for tasks that share a line, their mean."""
    sums: Counter[str] = field(default_factory=Counter)
    costs: Counter[str] = field(default_factory=Counter)
    peak_bytes: int = 0

    @property
    def over(self) -> bool:
        return self.ended or self.done >= self.tasks > 0

    @property
    def attempts(self) -> int:
        return self.done + self.failed + self.stopped

    def quantiles(self, *shares: float) -> list[float]:
        """For each share (0 to 1), the run time that this share of the tasks does not exceed. Sorts: O(n log n)."""
        ordered = sorted(self.seconds)
        total = sum(count for _, count in ordered)
        found: list[float] = []
        for share in shares:
            rank, seen = share * (total - 1), 0
            value = 0.0
            for value, count in ordered:  # noqa: B007  (the last one serves where none is left)
                seen += count
                if seen > rank:
                    break
            found.append(value)
        return found


@dataclass(slots=True)
class ExecutorView:
    rank: int
    host: str = ""
    pid: int | None = None
    limit_bytes: int = 0
    joined: float = 0.0
    instead: int | None = None
    """It was a spare, and took the place of this executor."""
    lost: float | None = None
    cause: str = ""
    tasks: int = 0
    busy_s: float = 0.0
    exchange_s: float = 0.0
    spilled: int = 0
    used_bytes: int = 0
    peak_bytes: int = 0
    rss_bytes: int = 0
    memory: list[tuple[float, int, int]] = field(default_factory=list)
    """Its memory in use: (time in s, peak bytes since the entry before, bytes at that time)."""
    now: dict[tuple[int, int], float] = field(default_factory=dict)
    """Tasks that it has got and not ended, (stage, partition), each with the time when it got the task."""
    last: tuple[int, int, float] | None = None
    """Its last finished task: stage, partition, time."""

    @property
    def since(self) -> float:
        """When the first of its tasks under way began: the executor had got it, and had ended the task before it."""
        handed = next(iter(self.now.values()), self.joined)
        return max(handed, self.last[2] if self.last else 0.0)


@dataclass(slots=True)
class KeptView:
    """A persisted node."""

    level: str = ""
    parts: dict[int, tuple[int, int]] = field(default_factory=dict)
    most: tuple[int, int, int] = (0, 0, 0)
    """Partitions, bytes in memory, and bytes on disk, when it was largest."""
    evicted: int = 0
    refused: int = 0
    """How often there was no room for a partition."""
    again: int = 0
    """How often a partition was computed again."""


def replaced(loss: Event) -> str:
    """The end of a sentence about a lost executor: the spare that took its place."""
    return f"; spare {loss['joins']} took its place" if loss.get("joins") else ""


def partitions_of(ranges: str) -> list[int]:
    """The partitions that a text of ranges names.

    >>> partitions_of("0-2,7")
    [0, 1, 2, 7]
    """
    found: list[int] = []
    for piece in filter(None, str(ranges).split(",")):
        first, _, last = piece.partition("-")
        if first.isdigit() and (not last or last.isdigit()):
            found.extend(range(int(first), int(last or first) + 1))
    return found


def operation_and_line(label: str) -> tuple[str, str]:
    """The two parts of a label.

    >>> operation_and_line("map at job.py:12")
    ('map', 'job.py:12')
    """
    operation, at, line = label.rpartition(" at ")
    return (operation, line) if at else (label, "")
