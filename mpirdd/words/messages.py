"""The control messages between driver and executors: frozen values, pickled as they are.

    driver -> executor   Start, Closures, Broadcast, SharedBroadcast, BroadcastStream, BroadcastPiece, Prepare, OpenStage,
                         RunTasks, CancelTask, CancelStage, BarrierPassed, Exchange, Regroup, Drop, Ping, EndProcess, Reset, Stop
    executor -> driver   Started, Report, Failed, Lacking, Gone, Exchanged, AtBarrier, Alive, Printed, BroadcastArrived,
                         BroadcastRefused
    executor -> executor Broadcast, SharedBroadcast, BroadcastStream, BroadcastPiece

Messages between two ranks arrive in the order in which they were sent: a stage is open before its first task, and a
block that was dropped is gone before the next exchange.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from mpirdd.words.errors import Failure
from mpirdd.words.ids import BlockId, NodeId, Rank, StageId
from mpirdd.words.settings import Settings
from mpirdd.words.stage import ClosureId, Level, Stage
from mpirdd.words.transport import Frames


@dataclass(frozen=True, slots=True)
class Start:
    """A Context begins."""

    settings: Settings
    folder: str
    """The job's own folder, to import its modules from."""
    argv: tuple[str, ...]
    """The program's ``sys.argv``, for functions that look at it."""


@dataclass(frozen=True, slots=True)
class Started:
    host: str
    sees_folder: bool
    """The job's folder exists here, so its modules need not be shipped."""
    pid: int
    memory_bytes: int
    """This rank's budget."""


@dataclass(frozen=True, slots=True)
class Closures:
    """Functions to keep until they are dropped."""

    pickled: tuple[tuple[ClosureId, bytes], ...]


@dataclass(frozen=True, slots=True)
class Prepare:
    """A function to run now, before any later task: unpack a file, make a module importable."""

    pickled: bytes


@dataclass(frozen=True, slots=True)
class OpenStage:
    stage: Stage
    properties: dict[str, str]
    """Local properties of the thread that asked for the job."""
    broadcasts: dict[int, int] = field(default_factory=dict)
    """The broadcast variables that its functions use, and which copy of each: its tasks wait until these are there."""
    levels: dict[NodeId, Level] = field(default_factory=dict)
    """How the stage's persisted nodes are kept."""


@dataclass(frozen=True, slots=True)
class Broadcast:
    """A value to keep until it is dropped."""

    copy: int
    """Which value this is: a variable's id and, after ``unpersist``, which time it is sent. Never used twice."""
    frames: Frames
    acknowledge: bool = False
    """Answer with BroadcastArrived."""


class Address(NamedTuple):
    """Where encoded values lie in shared memory of this host."""

    path: str
    name: str
    """Is part of what the path leads to."""
    sizes: tuple[int, ...]
    """Bytes of each frame."""


@dataclass(frozen=True, slots=True)
class SharedBroadcast:
    """A value to map from the memory of another process on this host, until it is dropped."""

    copy: int
    source: Rank
    """Whose memory it is."""
    address: Address


class Route(NamedTuple):
    """Whom a value goes to, and whom that executor passes it on to."""

    to: Rank
    neighbours: tuple[Rank, ...]
    """Executors on its host, who map its memory."""
    branches: tuple[Route, ...]
    """Executors on further hosts, who are sent the value."""


@dataclass(frozen=True, slots=True)
class BroadcastStream:
    """A large value follows in pieces; pass on what comes, along the route."""

    copy: int
    source: Rank
    attempt: int
    """Sent again after a loss, with a higher number; what is left of earlier attempts may come later still."""
    sizes: tuple[int, ...]
    """Bytes of each frame."""
    route: Route


@dataclass(frozen=True, slots=True)
class BroadcastPiece:
    copy: int
    source: Rank
    offset: int
    """Bytes of the value before this piece."""
    data: Any
    """Bytes; a PickleBuffer where the message is made."""


@dataclass(frozen=True, slots=True)
class BroadcastArrived:
    copy: int


@dataclass(frozen=True, slots=True)
class BroadcastRefused:
    """The memory of ``source`` cannot be mapped here; send the value."""

    copy: int
    source: Rank


@dataclass(frozen=True, slots=True)
class RunTasks:
    stage: StageId
    partitions: tuple[int, ...]
    first_attempt: int
    """The attempt id of the first task; the others follow."""
    barrier: tuple[str, ...]
    """Barrier stages only: the hosts of all its tasks, by partition."""
    splits: dict[tuple[NodeId, int], Any]
    """What the tasks' sources read, by (source, index)."""


@dataclass(frozen=True, slots=True)
class CancelTask:
    """The task is not wanted any more here, queued or running."""

    stage: StageId
    partition: int


@dataclass(frozen=True, slots=True)
class CancelStage:
    """Tasks of the stage are not wanted any more; one that is running is interrupted where that is possible."""

    stage: StageId


@dataclass(frozen=True, slots=True)
class Exchange:
    """Take part in an exchange with all other executors; begun in the order of these messages."""

    exchange: int
    shuffle: NodeId | None
    maps: tuple[int, ...]
    """Map outputs that this executor contributes."""
    owners: dict[Rank, tuple[int, ...]]
    """Which reduce partitions each executor gets."""
    copies: tuple[tuple[BlockId, Rank], ...]
    """Blocks that this executor sends as they are, and to whom."""
    buffer_bytes: int
    """What a rank sends in one round, the same for all."""
    levels: dict[NodeId, Level]
    """Of the nodes of the copied blocks, anybody's."""


@dataclass(frozen=True, slots=True)
class Regroup:
    """Somebody is lost: leave all exchanges that are under way or waiting; later ones are among ``members``."""

    epoch: int
    members: tuple[Rank, ...]
    lost: tuple[Rank, ...]
    """All that are lost so far. Some may be alive: they did not answer."""


@dataclass(frozen=True, slots=True)
class Ping:
    """Answer with ``Alive``, whatever you are doing."""


@dataclass(frozen=True, slots=True)
class EndProcess:
    """Kill a process on this host: a rank of this run that did not answer any more."""

    pid: int


@dataclass(frozen=True, slots=True)
class Drop:
    """Forget blocks, functions and stages; those that are not there are no error."""

    blocks: tuple[BlockId, ...] = ()
    nodes: tuple[NodeId, ...] = ()
    """All blocks and functions of these nodes."""
    kept: tuple[NodeId, ...] = ()
    """The persisted partitions of these nodes."""
    shuffles: tuple[NodeId, ...] = ()
    """All data of these shuffles, but not their functions."""
    closures: tuple[ClosureId, ...] = ()
    stages: tuple[StageId, ...] = ()
    broadcasts: tuple[int, ...] = ()
    """Copies of broadcast variables."""


@dataclass(frozen=True, slots=True)
class Reset:
    """The Context has stopped: forget everything and wait for the next one."""


@dataclass(frozen=True, slots=True)
class Stop:
    """The program has ended: leave."""


class Done(NamedTuple):
    """One finished task. A tuple, as there are many: a dataclass takes 6 us longer to pickle and unpickle."""

    stage: StageId
    partition: int
    made: tuple[BlockId, ...]
    seconds: float
    """How long the task ran."""
    result: Frames
    """The encoded value of the job's action; empty for map tasks."""
    updates: Frames
    """What the task added to accumulators, encoded: {accumulator's id: sum}; empty for most tasks."""


@dataclass(frozen=True, slots=True)
class Report:
    """Finished tasks, several at once."""

    done: tuple[Done, ...]
    sizes: dict[BlockId, tuple[int, int]] = field(default_factory=dict)
    """Bytes in memory and on disk of the kept partitions that are new here or whose size has changed."""
    used_bytes: int = 0
    """What counts against this rank's budget."""
    gone: tuple[BlockId, ...] = ()
    """Blocks that have been dropped since they were made, for want of memory; possibly by a task of this very report."""
    costs: dict[str, float] = field(default_factory=dict)
    """What files cost since the last report: seconds (``..._s``) and bytes, as ``storage/costs.py`` names them."""


@dataclass(frozen=True, slots=True)
class Failed:
    stage: StageId
    partition: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class Lacking:
    """A task could not run because blocks it reads are not here (any more)."""

    stage: StageId
    partition: int
    blocks: tuple[BlockId, ...]


@dataclass(frozen=True, slots=True)
class Gone:
    """Blocks that the driver counts on are not here (any more)."""

    blocks: tuple[BlockId, ...]


@dataclass(frozen=True, slots=True)
class Exchanged:
    exchange: int


@dataclass(frozen=True, slots=True)
class Alive:
    stage: StageId | None
    """Of the task that is running; None when none is."""
    partition: int
    seconds: float
    """How long it has been running."""


@dataclass(frozen=True, slots=True)
class AtBarrier:
    """A task waits for the other tasks of its barrier stage."""

    stage: StageId
    partition: int
    message: str


@dataclass(frozen=True, slots=True)
class BarrierPassed:
    """All tasks of the stage are there."""

    stage: StageId
    said: tuple[str, ...]
    """The tasks' messages, in the order of their partitions."""


@dataclass(frozen=True, slots=True)
class Printed:
    """Whole lines that tasks printed."""

    lines: tuple[str, ...]
