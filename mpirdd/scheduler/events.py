"""The scheduler's events, which come in, and its commands, which go out: frozen values.

Events are all that the scheduler ever learns, so the events of a run, played again, give the same
commands. A command holds all that the driver needs to carry it out.
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
    """Nobody wants the job any more."""

    job: JobId


@dataclass(frozen=True, slots=True)
class NodeKept:
    """The program persists a node: executors keep its partitions from now on."""

    node: NodeId
    copies: int = 1
    """How many executors are to hold each partition."""


@dataclass(frozen=True, slots=True)
class NodeReleased:
    """The program persists the node no longer."""

    node: NodeId


@dataclass(frozen=True, slots=True)
class NodesForgotten:
    """No handle of the program refers to these nodes, so no later job can read them."""

    nodes: tuple[NodeId, ...]


@dataclass(frozen=True, slots=True)
class DataDropped:
    """The program frees data that jobs may need again; then it is computed again."""

    kept: tuple[NodeId, ...] = ()
    """Nodes whose kept partitions go."""
    shuffles: tuple[NodeId, ...] = ()
    """Shuffles whose map outputs and reduce inputs go."""


@dataclass(frozen=True, slots=True)
class RootsChanged:
    """Later jobs will read only what these nodes are made from. What they would not look at
    goes."""

    roots: tuple[Node, ...]
    outputs: frozenset[NodeId]
    """The kept nodes that may go; others were persisted by the program."""


# --- events from executors ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ExecutorJoined:
    """The executor has started, and tells its host."""

    executor: Rank
    host: str


@dataclass(frozen=True, slots=True)
class SpareStarted:
    """A spare has started, and tells its host. It is no executor until a ``SpareJoins`` names it."""

    executor: Rank
    host: str


@dataclass(frozen=True, slots=True)
class ExecutorLost:
    """The executor, or the spare, is dead for good. If several are, each has an event of its own."""

    executor: Rank
    why: str = "it died"


class TaskFinished(NamedTuple):
    """A tuple, since there are many: a dataclass takes 0.6 us longer to make."""

    executor: Rank
    stage: StageId
    partition: int
    made: tuple[BlockId, ...]
    """Blocks that the executor now holds because of the task."""
    seconds: float
    """How long the task ran."""


@dataclass(frozen=True, slots=True)
class TaskFailed:
    executor: Rank
    stage: StageId
    partition: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class TaskRunning:
    """From heartbeats: how long a task has been running."""

    executor: Rank
    stage: StageId
    partition: int
    seconds: float


@dataclass(frozen=True, slots=True)
class BlocksGone:
    """An executor does not hold these blocks (any more); the named tasks could not run without
    them."""

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
    """One task each."""
    splits: dict[NodeId, tuple[int, ...]]
    """The splits that the tasks read, by source, to send along."""
    tried: dict[int, int]
    """How often tasks were tried before, by partition; only those that were."""
    suspects: tuple[int, ...]
    """Tasks that executors ran, or may have run, when they died."""
    total: int
    """How many tasks the stage has in all."""
    jobs: tuple[JobId, ...]
    """The jobs that the stage runs for now, oldest first."""
    barrier: tuple[Rank, ...] = ()
    """Barrier stages only: where each of its tasks runs, in the order of their partitions."""


@dataclass(frozen=True, slots=True)
class StopTask:
    """The task is not wanted there any more: a second attempt elsewhere has won."""

    executor: Rank
    stage: StageId
    partition: int


@dataclass(frozen=True, slots=True)
class StopStage:
    """The stage's tasks are not wanted there any more."""

    executor: Rank
    stage: StageId


@dataclass(frozen=True, slots=True)
class CloseStage:
    """No task of the stage will be started any more."""

    stage: StageId


@dataclass(frozen=True, slots=True)
class StartExchange:
    """All living executors trade bytes: a shuffle's buckets go to the owners of their reduce
    partitions, and copies of blocks go to other executors."""

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
class DropBlocks:
    """Nobody wants these blocks, or an exchange or barrier stage that is void may have left
    them."""

    executor: Rank
    blocks: tuple[BlockId, ...]


@dataclass(frozen=True, slots=True)
class DropNodes:
    """All living executors drop what they hold of some nodes."""

    executors: tuple[Rank, ...]
    nodes: tuple[NodeId, ...] = ()
    """Nodes of which everything goes."""
    kept: tuple[NodeId, ...] = ()
    """Nodes whose kept partitions go."""
    shuffles: tuple[NodeId, ...] = ()
    """Shuffles whose map outputs and reduce inputs go."""


@dataclass(frozen=True, slots=True)
class NewEpoch:
    """The living executors leave all exchanges under way; later ones are among them. An executor
    drops what such an exchange has brought it: a ``DropBlocks`` follows for each that was to get
    something."""

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
    left: int
    """How many executors live, with the spare that takes the place of the lost one."""
    why: str = "it died"
    joins: Rank = 0
    """That spare; 0: there was none."""
    spares: int = 0
    """How many spares wait from now on."""


@dataclass(frozen=True, slots=True)
class SpareJoins:
    """The spare is an executor from now on. A ``NewEpoch`` with it follows."""

    executor: Rank
    instead: Rank
    """The lost executor whose place it takes."""


@dataclass(frozen=True, slots=True)
class SpareGone:
    """A spare was lost while it waited. For the line that tells the user."""

    lost: Rank
    left: int
    """How many spares wait."""
    why: str


@dataclass(frozen=True, slots=True)
class TaskSlow:
    """A task runs far longer than its siblings did; told once for each attempt."""

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
class JobEnded:
    job: JobId
    failure: Failure | None
    """None: all partitions are done."""


Command = (
    StartTasks | StopTask | StopStage | CloseStage | StartExchange | DropBlocks | DropNodes
    | NewEpoch | Recovering | SpareJoins | SpareGone | TaskSlow | JobEnded
)
