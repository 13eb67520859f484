"""Events with the Python stacks of ranks."""

from __future__ import annotations

from mpirdd.observe.run_events import Event
from mpirdd.protocol.ids import Rank
from mpirdd.protocol.values import dataclass

REQUEST = ".stack-request"
"""``mpirdd stack`` asks through a file beside the event log, whose name ends so."""
ASKED = "mpirdd stack "
"""The ``why`` of an answer begins so; the token of the request follows."""


@dataclass(frozen=True, slots=True)
class Stack(Event):
    """The stack of an executor that is lost, or whose task is slow. Follows the event about the loss or the task."""

    KIND = "stack"
    OPTIONAL = frozenset({"doing"})
    executor: Rank
    why: str
    text: str
    """Lines like those of a traceback, the last call last."""
    doing: str = ""
    """The task that it runs, and for how long."""


@dataclass(frozen=True, slots=True)
class StackAskedFor(Event):
    """The stack of any rank, the driver included, for which ``mpirdd stack`` has asked. Not for the run's own stderr."""

    KIND = "stack"
    OPTIONAL = frozenset({"doing"})
    executor: Rank
    why: str
    text: str
    doing: str
