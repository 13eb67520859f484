"""What the scheduler is told (events) and what it says (commands): frozen values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mpirdd.decisions.lineage import Node
from mpirdd.words.errors import Failure
from mpirdd.words.ids import BlockId, JobId, NodeId, Rank, StageId
from mpirdd.words.stage import Stage

# --- events -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class JobSubmitted:
    job: JobId
    node: Node
    partitions: Sequence[int]
    label: str


@dataclass(frozen=True, slots=True)
class TaskFinished:
    executor: Rank
    stage: StageId
    partition: int
    made: tuple[BlockId, ...]
    """Blocks that the executor now holds because of the task."""
    seconds: float
    """How long it ran."""


@dataclass(frozen=True, slots=True)
class TaskFailed:
    executor: Rank
    stage: StageId
    partition: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class BlocksGone:
    """An executor does not hold these blocks (any more); the named tasks could not run for lack of them."""

    executor: Rank
    blocks: tuple[BlockId, ...]
    stage: StageId | None = None
    partitions: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ExchangeFinished:
    executor: Rank
    exchange: int


@dataclass(frozen=True, slots=True)
class JobCancelled:
    job: JobId


@dataclass(frozen=True, slots=True)
class ExecutorLost:
    """The executor is dead for good; several are told of one after the other."""

    executor: Rank


@dataclass(frozen=True, slots=True)
class TaskRunning:
    """From heartbeats: how long a task has been running."""

    executor: Rank
    stage: StageId
    partition: int
    seconds: float


Event = (
    JobSubmitted | TaskFinished | TaskFailed | TaskRunning | BlocksGone | ExchangeFinished | JobCancelled
    | ExecutorLost
)

# --- commands ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Task:
    partition: int
    splits: tuple[tuple[NodeId, int], ...]
    """Splits to send along: (source, index)."""


@dataclass(frozen=True, slots=True)
class StartTasks:
    executor: Rank
    stage: Stage
    nodes: dict[NodeId, Node]
    """Driver-side: the lineage nodes whose functions and splits the stage uses."""
    tasks: tuple[Task, ...]
    barrier: int = 0
    """How many tasks of the stage wait for each other; 0 if they do not."""


@dataclass(frozen=True, slots=True)
class StartExchange:
    """All living executors trade bytes: a shuffle's buckets go to their reduce partitions' owners, and copies
    of blocks."""

    exchange: int
    executors: tuple[Rank, ...]
    shuffle: NodeId | None
    maps: dict[Rank, tuple[int, ...]]
    """Which map outputs each executor contributes."""
    owners: dict[Rank, tuple[int, ...]]
    """Which reduce partitions each executor gets."""
    copies: dict[Rank, tuple[tuple[BlockId, Rank], ...]]
    """Blocks that each executor sends as they are: (block, to)."""


@dataclass(frozen=True, slots=True)
class CancelStage:
    executor: Rank
    stage: StageId


@dataclass(frozen=True, slots=True)
class CancelTask:
    """A second attempt elsewhere has won, or the task is not wanted any more."""

    executor: Rank
    stage: StageId
    partition: int


@dataclass(frozen=True, slots=True)
class TaskSlow:
    """A task runs far longer than its siblings did; said once for each attempt."""

    executor: Rank
    stage: StageId
    label: str
    partition: int
    seconds: float
    """How long it has been running."""
    usual_seconds: float
    """The median of the stage's finished tasks."""
    speculated: Rank | None
    """Where a second attempt was started."""


@dataclass(frozen=True, slots=True)
class Regroup:
    """The living executors leave all exchanges under way; those that follow are among them. What an executor had
    got of such an exchange by then is dropped: a ``DropBlocks`` follows for those that were to get something."""

    epoch: int
    executors: tuple[Rank, ...]


@dataclass(frozen=True, slots=True)
class Recovering:
    """An executor was lost. For the line that tells the user."""

    lost: Rank
    blocks: dict[str, int]
    """How many blocks were lost of which no other executor has a copy, by kind."""
    tasks: int
    """How many tasks were under way there."""


@dataclass(frozen=True, slots=True)
class JobEnded:
    job: JobId
    failure: Failure | None
    """None: all partitions are done."""


@dataclass(frozen=True, slots=True)
class DropBlocks:
    """Blocks that nobody wants, or that an exchange or a barrier stage which is void may have left."""

    executor: Rank
    blocks: tuple[BlockId, ...]


@dataclass(frozen=True, slots=True)
class CloseStage:
    """No task of the stage will be started any more."""

    stage: StageId


Command = (
    StartTasks | StartExchange | CancelStage | CancelTask | CloseStage | DropBlocks | JobEnded
    | Regroup | Recovering | TaskSlow
)
