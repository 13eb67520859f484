"""The events of a run, as frozen values: the driver emits them, the readers of ``observe/`` take them.

Each class is one kind of line in the event log; ``event_lines.as_line`` gives the line. docs/OBSERVE.md lists kinds and fields.
``data_events`` has the events of kept partitions. Two kinds would fill a file, and are only for readers in this process:
``TasksFinished`` and ``Printed``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from mpirdd.protocol.ids import JobId, NodeId, Rank, StageId
from mpirdd.protocol.values import dataclass

PACKED = (".gz", ".bz2", ".zst", ".xz", ".lz4", ".deflate", ".snappy", ".Z")
"""The endings of names of files that are compressed as a whole."""
Figures = Mapping[str, Any]
"""Counts and seconds by the names of ``figures.py``, without zeros."""


@dataclass(frozen=True, slots=True)
class Event:
    KIND: ClassVar[str] = ""
    """The ``event`` of its line; empty for an event that is not written."""
    OPTIONAL: ClassVar[frozenset[str]] = frozenset()  # fields that the line leaves out where they say nothing
    UNWRITTEN: ClassVar[frozenset[str]] = frozenset()  # fields that no line has


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    KIND = "run"
    context: int
    """1 for the first Context of the process, 2 for the next one, which continues the run."""
    version: int
    """Of the schema."""
    unix: float
    """The time of ``t`` = 0, in seconds since 1970."""
    app: str
    program: tuple[str, ...]
    folder: str
    mpirdd: str
    python: str
    mpi: str
    platform: str
    host: str
    pid: int
    ranks: int
    mode: str
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RunEnded(Event):
    KIND = "end"
    OPTIONAL = frozenset({"error"})
    status: str
    """ok, failed or terminated."""
    error: str = ""


@dataclass(frozen=True, slots=True)
class ExecutorJoined(Event):
    KIND = "executor"
    OPTIONAL = frozenset({"instead"})
    executor: Rank
    host: str
    pid: int
    memory: int
    """Its budget, in bytes."""
    instead: Rank = 0
    """The lost executor whose place it takes; 0: it was no spare."""


@dataclass(frozen=True, slots=True)
class ExecutorLost(Event):
    KIND = "executor_lost"
    OPTIONAL = frozenset({"joins", "spares"})
    executor: Rank
    host: str
    why: str
    blocks: Mapping[str, int]
    """The number of lost blocks without a copy on another executor, by kind."""
    tasks: int
    """The number of tasks under way there."""
    left: int
    """The number of living executors, with the spare that takes the place of the lost one."""
    joins: Rank = 0
    """That spare; 0: there is none."""
    spares: int = 0
    """The number of spares that wait from now on."""


@dataclass(frozen=True, slots=True)
class MemoryUsed(Event):
    KIND = "memory"
    executor: Rank
    used: int
    """Bytes of its budget."""
    peak: int
    """The most that was in use since the executor's last such event."""


# --- lineage and data -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NodeKnown(Event):
    """A job uses a lineage node for the first time."""

    KIND = "node"
    OPTIONAL = frozenset({"input", "gzip"})
    node: NodeId
    label: str
    kind: str
    """source, narrow or shuffled."""
    parents: tuple[NodeId, ...]
    partitions: int
    input: str = ""
    gzip: bool = False
    """An input file is one partition that cannot be cut: it is compressed, or it is large and its format is not cut."""


@dataclass(frozen=True, slots=True)
class ClosurePickled(Event):
    """A large function."""

    KIND = "closure"
    label: str
    kind: str
    of: int
    bytes: int
    copies: int
    """The number of executors that get it."""


@dataclass(frozen=True, slots=True)
class BroadcastMade(Event):
    KIND = "broadcast"
    broadcast: int
    bytes: int


@dataclass(frozen=True, slots=True)
class BroadcastDropped(Event):
    KIND = "broadcast_dropped"
    broadcast: int


# --- jobs and stages ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class JobStarted(Event):
    KIND = "job"
    job: JobId
    label: str
    node: NodeId
    partitions: int
    group: str | None


@dataclass(frozen=True, slots=True)
class JobEnded(Event):
    KIND = "job_end"
    OPTIONAL = frozenset({"error"})
    job: JobId
    status: str
    """SUCCEEDED, FAILED or CANCELLED."""
    seconds: float
    driver_cpu_s: float
    error: str = ""


@dataclass(frozen=True, slots=True)
class StageStarted(Event):
    KIND = "stage"
    OPTIONAL = frozenset({"barrier"})
    stage: StageId
    label: str
    kind: str
    """map or result."""
    of: int
    tasks: int
    jobs: tuple[JobId, ...]
    target: NodeId
    nodes: tuple[NodeId, ...]
    shuffles: tuple[NodeId, ...]
    keeps: tuple[NodeId, ...]
    closure_bytes: int
    barrier: bool = False


@dataclass(frozen=True, slots=True)
class StageEnded(Event):
    KIND = "stage_end"
    stage: StageId


# --- tasks ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TasksStarted(Event):
    """Tasks go to an executor's queue."""

    KIND = "started"
    OPTIONAL = frozenset({"retry"})
    UNWRITTEN = frozenset({"jobs"})
    stage: StageId
    executor: Rank
    partitions: tuple[int, ...]
    attempt: int
    """The id of the first; the others follow."""
    retry: bool = False
    """Some of the tasks were tried before."""
    jobs: tuple[JobId, ...] = ()


@dataclass(frozen=True, slots=True)
class TasksFinished(Event):
    """An executor reports tasks that have ended well."""

    stage: StageId
    executor: Rank
    partitions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TaskMeasured(Event):
    """A finished task that took long enough for a line of its own."""

    KIND = "task"
    OPTIONAL = frozenset({"attempt"})
    stage: StageId
    partition: int
    executor: Rank
    start: float
    """On the clock of the field ``t``."""
    seconds: float
    figures: Figures
    attempt: int = 0
    """How often the task was tried before."""


@dataclass(frozen=True, slots=True)
class TasksMeasured(Event):
    """The finished tasks of one report, summed."""

    KIND = "tasks"
    stage: StageId
    executor: Rank
    count: int
    start: float
    until: float
    seconds: float
    longest: float
    partition: int
    """The partition of the longest task."""
    partitions: tuple[int, ...]
    figures: Figures


@dataclass(frozen=True, slots=True)
class TaskFailed(Event):
    KIND = "task_failed"
    stage: StageId
    partition: int
    executor: Rank
    host: str
    label: str
    error: str
    traceback: str


@dataclass(frozen=True, slots=True)
class TaskStopped(Event):
    """An attempt is over, without a result."""

    KIND = "task_stopped"
    stage: StageId
    partition: int
    executor: Rank
    why: str


@dataclass(frozen=True, slots=True)
class TaskSlow(Event):
    KIND = "task_slow"
    stage: StageId
    label: str
    partition: int
    executor: Rank
    seconds: float
    usual_seconds: float
    speculated: Rank | None


@dataclass(frozen=True, slots=True)
class TaskRunning(Event):
    KIND = "running"
    stage: StageId
    partition: int
    executor: Rank
    seconds: float


@dataclass(frozen=True, slots=True)
class Printed(Event):
    """Tasks have printed lines."""

    executor: Rank
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Profiled(Event):
    """Where the Python code of a node's tasks has spent its time so far."""

    KIND = "profile"
    node: NodeId
    label: str
    unit: str
    stacks: Mapping[str, float]
    """Collapsed stacks, outermost function first."""


@dataclass(frozen=True, slots=True)
class SamplingChanged(Event):
    """From now on, tasks shorter than ``detail_s`` share lines."""

    KIND = "sampling"
    detail_s: float


# --- exchanges ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ExchangeStarted(Event):
    KIND = "exchange"
    exchange: int
    shuffle: NodeId | None
    executors: int
    partitions: int
    copies: int


@dataclass(frozen=True, slots=True)
class Exchanged(Event):
    """An executor's part in an exchange has ended."""

    KIND = "exchanged"
    OPTIONAL = frozenset({"sent_rest"})
    exchange: int
    executor: Rank
    start: float
    seconds: float
    sent: Mapping[str, int]
    """Bytes to the ranks that got the most; ``sent_rest`` went to the others."""
    sent_rest: int
    received: int
