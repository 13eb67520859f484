"""The events of a run about kept partitions (the others are in ``run_events``)."""

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
    """A task has computed partitions to keep, and found no room for them."""

    KIND = "not_kept"
    executor: Rank
    blocks: tuple[tuple[NodeId, int], ...]
    """Node, partition."""


@dataclass(frozen=True, slots=True)
class Recomputed(Event):
    """A task has computed partitions to keep once more: they had found no room, were evicted, or were lost."""

    KIND = "recomputed"
    executor: Rank
    blocks: tuple[tuple[NodeId, int], ...]


@dataclass(frozen=True, slots=True)
class Evicted(Event):
    """An executor has dropped blocks for lack of memory."""

    KIND = "evicted"
    executor: Rank
    blocks: tuple[BlockId, ...]


@dataclass(frozen=True, slots=True)
class Dropped(Event):
    KIND = "dropped"
    nodes: tuple[NodeId, ...]
    shuffles: tuple[NodeId, ...] = ()
