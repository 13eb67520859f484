"""The event of the commonest keys of a shuffle."""

from __future__ import annotations

from mpirdd.observe.run_events import Event
from mpirdd.protocol.ids import NodeId
from mpirdd.protocol.values import dataclass


@dataclass(frozen=True, slots=True)
class HotKeys(Event):
    """The commonest keys of a shuffle, if the setting ``hot_keys`` asks for them."""

    KIND = "keys"
    node: NodeId
    label: str
    records: int
    """All records that were counted."""
    keys: tuple[tuple[str, int], ...]
    """Each key, as text, with the number of its records."""
