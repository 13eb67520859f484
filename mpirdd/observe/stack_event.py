"""The events of Python stacks that ranks have told."""

from __future__ import annotations

from mpirdd.observe.run_events import Event
from mpirdd.protocol.ids import Rank
from mpirdd.protocol.values import dataclass

REQUEST = ".stack-request"
"""The end of the name of the file, beside the event log, through which ``mpirdd stack`` asks."""
ASKED = "mpirdd stack "
"""``why`` of what it gets; its token follows."""


@dataclass(frozen=True, slots=True)
class Stack(Event):
    """Of an executor that is lost, or whose task is slow. Follows the event about that."""

    KIND = "stack"
    OPTIONAL = frozenset({"doing"})
    executor: Rank
    why: str
    text: str
    """Lines as those of a traceback, the last call last."""
    doing: str = ""
    """The task that it runs, and for how long."""


@dataclass(frozen=True, slots=True)
class StackAskedFor(Event):
    """Of any rank, the driver included, as ``mpirdd stack`` has asked. Not for the run's own stderr."""

    KIND = "stack"
    OPTIONAL = frozenset({"doing"})
    executor: Rank
    why: str
    text: str
    doing: str
