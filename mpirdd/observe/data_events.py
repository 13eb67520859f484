"""What becomes of kept partitions, as events of a run (``run_events``)."""

from __future__ import annotations

from mpirdd.observe.run_events import Event
from mpirdd.protocol.ids import BlockId, NodeId, Rank
from mpirdd.protocol.values import dataclass


@dataclass(frozen=True, slots=True)
class Persisted(Event):
    KIND = "persist"
    node: NodeId
    level: str
    copies: int


@dataclass(frozen=True, slots=True)
class Unpersisted(Event):
    KIND = "unpersist"
    node: NodeId


@dataclass(frozen=True, slots=True)
class Kept(Event):
    KIND = "kept"
    executor: Rank
    blocks: tuple[tuple[NodeId, int, int, int], ...]
    """Node, partition, bytes in memory, bytes on disk."""


@dataclass(frozen=True, slots=True)
class NotKept(Event):
    """A task has computed partitions that were to be kept, and found no room for them."""

    KIND = "not_kept"
    executor: Rank
    blocks: tuple[tuple[NodeId, int], ...]
    """Node, partition."""


@dataclass(frozen=True, slots=True)
class Recomputed(Event):
    """Partitions to be kept that a task has computed before: they had found no room, were evicted, or lost."""

    KIND = "recomputed"
    executor: Rank
    blocks: tuple[tuple[NodeId, int], ...]


@dataclass(frozen=True, slots=True)
class Evicted(Event):
    """Blocks were dropped for want of memory."""

    KIND = "evicted"
    executor: Rank
    blocks: tuple[BlockId, ...]


@dataclass(frozen=True, slots=True)
class Dropped(Event):
    KIND = "dropped"
    nodes: tuple[NodeId, ...]
    shuffles: tuple[NodeId, ...] = ()
