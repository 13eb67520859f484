"""The events of spares: ranks that wait, and join as executors when others are lost."""

from __future__ import annotations

from mpirdd.observe.run_events import Event
from mpirdd.protocol.ids import Rank
from mpirdd.protocol.values import dataclass


@dataclass(frozen=True, slots=True)
class SpareWaits(Event):
    """A rank has started as a spare: it will take the place of a lost executor."""

    KIND = "spare"
    spare: Rank
    host: str
    pid: int


@dataclass(frozen=True, slots=True)
class SpareLost(Event):
    """A spare was lost while it waited."""

    KIND = "spare_lost"
    spare: Rank
    host: str
    why: str
    left: int
    """The number of spares that still wait."""
