"""The control messages between driver and executors: frozen values, pickled as they are.

    driver -> executor   Start, Join, KeepClosures, BroadcastValue, SharedBroadcast, BroadcastStream, BroadcastPiece, Prepare,
                         OpenStage, RunTasks, CancelTask, CancelStage, BarrierPassed, Exchange, Regroup, Drop, Ping, TellStack,
                         EndProcess, Reset, Stop
    executor -> driver   Started, Report, Failed, Gone, Exchanged, AtBarrier, Alive, StackTold, Exiting, Printed,
                         BroadcastArrived, BroadcastRefused
    executor -> executor BroadcastValue, SharedBroadcast, BroadcastStream, BroadcastPiece

Messages between two ranks arrive in the order of sending: a stage is open before its first task, and
a dropped block is gone before the next exchange.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from mpirdd.protocol.errors import Failure
from mpirdd.protocol.frames import Frames
from mpirdd.protocol.ids import BlockId, NodeId, Rank, StageId
from mpirdd.protocol.owners import Owners
from mpirdd.protocol.settings import Settings
from mpirdd.protocol.stage import ClosureId, Level, Stage, VariableId
from mpirdd.protocol.value import Value
from mpirdd.protocol.values import dataclass, field


@dataclass(frozen=True, slots=True)
class Start(Value):
    """A Context begins."""

    settings: Settings
    folder: str
    """The job's own folder, for importing its modules."""
    argv: tuple[str, ...]
    """The program's ``sys.argv``, for functions that look at it."""
    host: str = ""
    """The driver's host."""
    waits: bool = False
    """The rank is a spare."""
    epoch: int = 0
    members: Sequence[Rank] | None = None
    """The first group of executors; None: all ranks but the driver, in epoch 0."""


@dataclass(frozen=True, slots=True)
class Join(Value):
    """The spare is an executor from now on. A ``Regroup`` follows."""

    memory_bytes: int
    """The spare's memory budget."""


@dataclass(frozen=True, slots=True)
class Started(Value):
    host: str
    sees_folder: bool
    """The job's folder exists here, so the driver need not ship its modules."""
    pid: int
    memory_bytes: int
    """This rank's budget."""


@dataclass(frozen=True, slots=True)
class KeepClosures(Value):
    """Functions to keep until a ``Drop``."""

    pickled: tuple[tuple[ClosureId, bytes], ...]


@dataclass(frozen=True, slots=True)
class Prepare(Value):
    """A function to run now, before any later task: unpack a file, make a module importable."""

    pickled: bytes


@dataclass(frozen=True, slots=True)
class OpenStage(Value):
    stage: Stage
    properties: dict[str, str]
    """Local properties of the thread that called for the job."""
    broadcasts: dict[VariableId, int] = field(default_factory=dict)
    """The broadcast variables that the stage's functions use, with the version of each. Tasks wait for
    these versions."""
    levels: dict[NodeId, Level] = field(default_factory=dict)
    """The storage levels of the stage's persisted nodes."""
    detail_s: float = 0.01
    """Tasks that take at least this long report their figures one by one; shorter ones report sums."""


@dataclass(frozen=True, slots=True)
class BroadcastValue(Value):
    """A value to keep until a ``Drop``."""

    version: int
    """Names this value. Never used twice: after ``unpersist`` a variable gets a new version."""
    frames: Frames
    acknowledge: bool = False
    """Answer with BroadcastArrived."""


class Address(NamedTuple):
    """The place of encoded values in shared memory of this host."""

    path: str
    name: str
    """Part of the name to which the path leads; proves that it is the right memory."""
    sizes: tuple[int, ...]
    """Bytes of each frame."""


@dataclass(frozen=True, slots=True)
class SharedBroadcast(Value):
    """A value to map from the memory of another process on this host, and to keep until a ``Drop``."""

    version: int
    source: Rank
    """The owner of the memory."""
    address: Address


class Route(NamedTuple):
    """A recipient of a value, and the executors to which it passes the value on."""

    to: Rank
    neighbours: tuple[Rank, ...]
    """Executors on its host, which map its memory."""
    branches: tuple[Route, ...]
    """Executors on further hosts, to which it sends the value."""


@dataclass(frozen=True, slots=True)
class BroadcastStream(Value):
    """A large value follows in pieces; pass them on, along the route."""

    version: int
    source: Rank
    attempt: int
    """Grows each time the driver sends again after a loss. Pieces of earlier attempts may still come later."""
    sizes: tuple[int, ...]
    """Bytes of each frame."""
    route: Route


@dataclass(frozen=True, slots=True)
class BroadcastPiece(Value):
    version: int
    source: Rank
    offset: int
    """Bytes of the value before this piece."""
    data: Any
    """Bytes; the sender passes a PickleBuffer."""


@dataclass(frozen=True, slots=True)
class BroadcastArrived(Value):
    version: int


@dataclass(frozen=True, slots=True)
class BroadcastRefused(Value):
    """The memory of ``source`` cannot be mapped here; send the value."""

    version: int
    source: Rank


@dataclass(frozen=True, slots=True)
class RunTasks(Value):
    stage: StageId
    partitions: tuple[int, ...]
    first_attempt: int
    """The attempt id of the first task; the others follow."""
    barrier: tuple[str, ...]
    """Barrier stages only: the hosts of all its tasks, by partition."""
    splits: dict[tuple[NodeId, int], Any]
    """The splits for the tasks' sources, by (source, index)."""
    tried: dict[int, int] = field(default_factory=dict)
    """The number of earlier attempts of each task, by partition; without tasks that had none."""
    suspects: tuple[int, ...] = ()
    """Partitions whose tasks may have killed an executor: announce such a task before it begins."""


@dataclass(frozen=True, slots=True)
class CancelTask(Value):
    """Drop this task here, queued or running."""

    stage: StageId
    partition: int


@dataclass(frozen=True, slots=True)
class CancelStage(Value):
    """Drop all tasks of the stage; interrupt a running one if possible."""

    stage: StageId


@dataclass(frozen=True, slots=True)
class Exchange(Value):
    """Take part in an exchange with all other executors; exchanges begin in the order of these messages."""

    exchange: int
    shuffle: NodeId | None
    maps: tuple[int, ...]
    """Map outputs that this executor contributes."""
    owners: Owners
    """The executor of each reduce partition, by its place among the living ones in the order of ranks."""
    copies: tuple[tuple[BlockId, Rank], ...]
    """Blocks that this executor sends as they are, and their recipients."""
    buffer_bytes: int
    """Bytes that a rank sends in one round, the same for all."""
    levels: dict[NodeId, Level]
    """The storage levels of the nodes of all copied blocks, whoever sends them."""


@dataclass(frozen=True, slots=True)
class Regroup(Value):
    """A rank is lost: leave all exchanges, under way or waiting. Later ones run among ``members``."""

    epoch: int
    members: tuple[Rank, ...]
    lost: tuple[Rank, ...]
    """All ranks lost so far. Some may be alive, but did not answer."""


@dataclass(frozen=True, slots=True)
class Ping(Value):
    """Answer with ``Alive`` at once."""


@dataclass(frozen=True, slots=True)
class TellStack(Value):
    """Answer with ``StackTold`` soon. Only for ranks on other hosts: the driver itself reads the stacks on its own."""

    why: str
    rank: Rank
    pid: int
    """The rank's process: this one or another one on this host."""


@dataclass(frozen=True, slots=True)
class EndProcess(Value):
    """Kill a process on this host: a rank of this run that does not answer any more."""

    pid: int


@dataclass(frozen=True, slots=True)
class Drop(Value):
    """Forget blocks, functions, stages and broadcast values; missing ones are no error."""

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
    """Versions of broadcast variables."""


@dataclass(frozen=True, slots=True)
class Reset(Value):
    """The Context has stopped: forget everything and wait for the next one."""


@dataclass(frozen=True, slots=True)
class Stop(Value):
    """The program has ended: leave."""


class Done(NamedTuple):
    """One finished task. A tuple, since there are many: a dataclass takes 6 us longer to pickle and
    unpickle."""

    stage: StageId
    partition: int
    made: tuple[BlockId, ...]
    seconds: float
    """The task's run time."""
    result: Frames
    """The encoded value of the job's action; empty for map tasks."""
    updates: Frames
    """The task's additions to accumulators, encoded: {accumulator's id: sum}; empty for most tasks."""
    figures: dict[str, float] | None = None
    """The costs of the task alone, ``start`` on the executor's clock, ``peak_memory`` and ``rss`` in
    bytes, ``attempt``; None for a short task."""


@dataclass(frozen=True, slots=True)
class Report(Value):
    """Finished tasks, several at once."""

    done: tuple[Done, ...]
    sizes: dict[BlockId, tuple[int, int]] = field(default_factory=dict)
    """Bytes in memory and on disk of kept partitions that are new here or have changed in size."""
    used_bytes: int = 0
    """Bytes that count against this rank's budget."""
    peak_bytes: int = 0
    """The highest ``used_bytes`` since the last report."""
    gone: tuple[BlockId, ...] = ()
    """Blocks that this rank dropped for lack of memory, perhaps some that a task of this very report made."""
    not_kept: tuple[BlockId, ...] = ()
    """Partitions that tasks should have kept, but had no room for."""
    costs: dict[str, float] = field(default_factory=dict)
    """The costs since the last report: seconds (``..._s``) and bytes, named by ``store/costs.py``."""
    began: float = 0.0
    """When the first task of the report began, on the executor's clock (``perf_counter``)."""
    ended: float = 0.0
    """When the last one ended."""
    clock: float = 0.0
    """When the report was sent."""


@dataclass(frozen=True, slots=True)
class Failed(Value):
    stage: StageId
    partition: int
    failure: Failure


@dataclass(frozen=True, slots=True)
class Gone(Value):
    """Blocks that the driver counts on are not here (any more)."""

    blocks: tuple[BlockId, ...]
    stage: StageId | None = None
    partitions: tuple[int, ...] = ()
    """The tasks of that stage that could not run without them."""


@dataclass(frozen=True, slots=True)
class Exchanged(Value):
    exchange: int
    seconds: float = 0.0
    """From its first piece to its end, on this executor."""
    sent: dict[Rank, int] = field(default_factory=dict)
    """Bytes to each executor, itself included, or only to those that got the most; ``sent_rest`` went to the others."""
    sent_rest: int = 0
    received: int = 0
    clock: float = 0.0
    """The executor's clock (``perf_counter``) at the end."""


@dataclass(frozen=True, slots=True)
class Exiting(Value):
    """A task has called ``os._exit`` with this code, and the rank ends now."""

    code: int


@dataclass(frozen=True, slots=True)
class Alive(Value):
    stage: StageId | None
    """The stage of the running task; None if no task runs."""
    partition: int
    seconds: float
    """Its run time so far."""


@dataclass(frozen=True, slots=True)
class StackTold(Value):
    """The Python stacks of a rank on this host, and the task that it runs."""

    why: str
    rank: Rank
    text: str
    """As faulthandler writes it; empty if the rank does not answer."""
    doing: str


@dataclass(frozen=True, slots=True)
class AtBarrier(Value):
    """A task waits for the other tasks of its barrier stage."""

    stage: StageId
    partition: int
    message: str


@dataclass(frozen=True, slots=True)
class BarrierPassed(Value):
    """All tasks of the stage have come to the barrier."""

    stage: StageId
    said: tuple[str, ...]
    """The tasks' messages, in the order of their partitions."""


@dataclass(frozen=True, slots=True)
class Printed(Value):
    """Whole lines that tasks printed."""

    lines: tuple[str, ...]
