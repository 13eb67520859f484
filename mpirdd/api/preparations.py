"""Jobs that a transformation needs before it can run: the sample of a sort, the counts of ``zipWithIndex``.

They run just before the first job that uses the transformation, as transformations themselves run nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from weakref import WeakKeyDictionary

from mpirdd.protocol.values import dataclass, field
from mpirdd.scheduler.lineage import Cut, Node, walk


@dataclass(slots=True)
class _Waiting:
    make: Callable[[], Node]
    """Runs jobs; must not refer to the stand-in, which could not be forgotten then."""
    lock: Lock = field(default_factory=Lock)
    """Held while ``make`` runs: other threads wait for it."""
    done: bool = False


class Preparations:
    """Of one Context: the stand-ins for nodes that are still to be made.

    Args:
        replace: puts a node where a stand-in has led to another one.
    """

    def __init__(self, replace: Callable[[Cut, Node], None]) -> None:
        self._replace = replace
        self._waiting: WeakKeyDictionary[Cut, _Waiting] = WeakKeyDictionary()

    def add(self, stand_in: Cut, make: Callable[[], Node]) -> None:
        """Call ``make`` once before the first job that needs the stand-in, which then leads to the node that it gives."""
        self._waiting[stand_in] = _Waiting(make)

    def make_ready(self, target: Node) -> None:
        """A job on ``target`` is to run: make what it needs, ancestors first. What fails is tried again by the next job."""
        if not self._waiting:
            return
        needed = [node for node in walk(target) if isinstance(node, Cut) and node in self._waiting]
        for stand_in in sorted(needed, key=lambda node: node.id):  # a parent's id is smaller
            waiting = self._waiting.get(stand_in)
            if waiting is None:
                continue  # another thread was faster
            with waiting.lock:
                if not waiting.done:
                    self._replace(stand_in, waiting.make())
                    waiting.done = True
            self._waiting.pop(stand_in, None)
