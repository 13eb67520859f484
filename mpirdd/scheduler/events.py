"""The scheduler's events (input) and commands (output): frozen values.

The scheduler learns everything from events, so replaying the events of a run gives the same commands. A command holds all that
the driver needs to carry it out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mpirdd.protocol.errors import Failure
from mpirdd.protocol.ids import BlockId, JobId, NodeId, Rank, StageId
from mpirdd.protocol.stage import Stage
from mpirdd.protocol.values import dataclass
from mpirdd.scheduler.lineage import Node

# --- events from the program ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class JobSubmitted:
    job: JobId
    node: Node
    partitions: Sequence[int]
    label: str


@dataclass(frozen=True, slots=True)
class JobWithdrawn:
    """The program does not want the job any more."""

    job: JobId


@dataclass(frozen=True, slots=True)
class NodeKept:
    """The program persists a node: from now on executors keep its partitions."""

    node: NodeId
    copies: int = 1
    """How many executors are to hold each partition."""


@dataclass(frozen=True, slots=True)
class NodeReleased:
    """The program no longer persists the node."""

    node: NodeId


@dataclass(frozen=True, slots=True)
class NodesForgotten:
    """No handle of the program refers to these nodes, so no later job can read them."""

    nodes: tuple[NodeId, ...]


@dataclass(frozen=True, slots=True)
class DataDropped:
    """The program frees data. Jobs that need it again recompute it."""

    kept: tuple[NodeId, ...] = ()
    """Nodes whose kept partitions are dropped."""
    shuffles: tuple[NodeId, ...] = ()
    """Shuffles whose map outputs and reduce inputs are dropped."""


@dataclass(frozen=True, slots=True)
class RootsChanged:
    """Later jobs will read only these nodes and their ancestors. Data that such jobs would not read is dropped."""

    roots: tuple[Node, ...]
    outputs: frozenset[NodeId]
    """The kept nodes that may be dropped; the program persisted the others."""


# --- events from executors ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ExecutorJoined:
    """The executor has started, and tells its host name."""

    executor: Rank
    host: str


@dataclass(frozen=True, slots=True)
class SpareStarted:
    """A spare has started, and tells its host name. It becomes an executor when a ``SpareJoins`` names it."""

    executor: Rank
    host: str


@dataclass(frozen=True, slots=True)
class ExecutorLost:
    """The executor, or the spare, is dead for good. Each lost rank has an event of its own."""

    executor: Rank
    why: str = "it died"
    ran: tuple[str, int] | None = None
    """The task that it ran when it died: its stage's label, and its partition. None: nobody has seen it."""


class TaskFinished(NamedTuple):
    """A tuple, since there are many: making a dataclass takes 0.6 us longer."""

    executor: Rank
    stage: StageId
    partition: int
    made: tuple[BlockId, ...]
    """Blocks that the task has left on the executor."""
    seconds: float
    """The run time of the task."""


@dataclass(frozen=True, slots=True)
class TaskFailed:
    executor: Rank
    stage: StageId
    partition: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class TaskRunning:
    """From heartbeats: the task has been running for ``seconds``."""

    executor: Rank
    stage: StageId
    partition: int
    seconds: float


@dataclass(frozen=True, slots=True)
class BlocksGone:
    """The executor does not hold these blocks (any more). The named tasks could not run without them."""

    executor: Rank
    blocks: tuple[BlockId, ...]
    stage: StageId | None = None
    partitions: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ExchangeFinished:
    executor: Rank
    exchange: int


Event = (
    JobSubmitted | JobWithdrawn | NodeKept | NodeReleased | NodesForgotten | DataDropped | RootsChanged
    | ExecutorJoined | SpareStarted | ExecutorLost | TaskFinished | TaskFailed | TaskRunning | BlocksGone | ExchangeFinished
)

# --- commands -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartTasks:
    executor: Rank
    stage: Stage
    nodes: dict[NodeId, Node]
    """Driver-side: the lineage nodes whose functions and splits the stage uses."""
    partitions: tuple[int, ...]
    """One task for each."""
    splits: dict[NodeId, tuple[int, ...]]
    """By source, the splits that the tasks read; they are sent along."""
    tried: dict[int, int]
    """By partition, the number of earlier attempts, for tasks that had any."""
    suspects: tuple[int, ...]
    """Tasks that executors ran, or may have run, when they died."""
    total: int
    """The number of tasks of the whole stage."""
    jobs: tuple[JobId, ...]
    """The jobs that need the stage now, oldest first."""
    barrier: tuple[Rank, ...] = ()
    """Barrier stages only: the executor of each task, in the order of the partitions."""


@dataclass(frozen=True, slots=True)
class StopTask:
    """The executor is to stop this attempt: another one has won."""

    executor: Rank
    stage: StageId
    partition: int


@dataclass(frozen=True, slots=True)
class StopStage:
    """The executor is to stop all tasks of the stage."""

    executor: Rank
    stage: StageId


@dataclass(frozen=True, slots=True)
class CloseStage:
    """The scheduler will start no more tasks of the stage."""

    stage: StageId


@dataclass(frozen=True, slots=True)
class StartExchange:
    """All living executors exchange data: a shuffle's buckets go to the owners of their reduce partitions, and copies of blocks
    go to other executors."""

    exchange: int
    executors: tuple[Rank, ...]
    shuffle: NodeId | None
    maps: dict[Rank, tuple[int, ...]]
    """By executor, the map outputs that it contributes."""
    owners: dict[Rank, tuple[int, ...]]
    """By executor, the reduce partitions that it gets."""
    copies: dict[Rank, tuple[tuple[BlockId, Rank], ...]]
    """By executor, the blocks that it sends as they are: (block, receiver)."""


@dataclass(frozen=True, slots=True)
class DropBlocks:
    """The executor drops these blocks: nobody wants them, or a void exchange or barrier stage may have left them."""

    executor: Rank
    blocks: tuple[BlockId, ...]


@dataclass(frozen=True, slots=True)
class DropNodes:
    """All living executors drop their data of some nodes."""

    executors: tuple[Rank, ...]
    nodes: tuple[NodeId, ...] = ()
    """Nodes of which all data is dropped."""
    kept: tuple[NodeId, ...] = ()
    """Nodes whose kept partitions are dropped."""
    shuffles: tuple[NodeId, ...] = ()
    """Shuffles whose map outputs and reduce inputs are dropped."""


@dataclass(frozen=True, slots=True)
class NewEpoch:
    """The living executors leave all exchanges under way; later exchanges are among them. An executor drops the data that such
    an exchange has brought it: for each executor that was to get some, a ``DropBlocks`` follows."""

    epoch: int
    executors: tuple[Rank, ...]


@dataclass(frozen=True, slots=True)
class Recovering:
    """An executor was lost, and the others go on. For the message to the user."""

    lost: Rank
    blocks: dict[str, int]
    """By kind, the number of lost blocks of which no other executor has a copy."""
    tasks: int
    """The number of tasks under way there."""
    left: int
    """The number of living executors, including the spare that replaces the lost one."""
    why: str = "it died"
    joins: Rank = 0
    """That spare; 0 if there was none."""
    spares: int = 0
    """The number of spares that still wait."""


@dataclass(frozen=True, slots=True)
class SpareJoins:
    """The spare becomes an executor. A ``NewEpoch`` with it follows."""

    executor: Rank
    instead: Rank
    """The lost executor that it replaces."""


@dataclass(frozen=True, slots=True)
class SpareGone:
    """A waiting spare was lost. For the message to the user."""

    lost: Rank
    left: int
    """The number of spares that still wait."""
    why: str


@dataclass(frozen=True, slots=True)
class TaskSlow:
    """A task runs far longer than its siblings did; told once for each attempt."""

    executor: Rank
    stage: StageId
    label: str
    partition: int
    seconds: float
    """Its run time so far."""
    usual_seconds: float
    """The median of the stage's finished tasks."""
    speculated: Rank | None
    """The executor of the second attempt, if there is one."""


@dataclass(frozen=True, slots=True)
class JobEnded:
    job: JobId
    failure: Failure | None
    """None: all partitions are done."""


Command = (
    StartTasks | StopTask | StopStage | CloseStage | StartExchange | DropBlocks | DropNodes
    | NewEpoch | Recovering | SpareJoins | SpareGone | TaskSlow | JobEnded
)
