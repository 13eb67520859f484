"""``--mode mapreduce``: what makes a program run as Hadoop MapReduce would run it. Not a second engine.

Each wide operation is a map-reduce job of its own. What its reduce tasks give (``Handle._written``) is kept on disk, in a
committed file for each partition, and read from there by whatever comes next, in the same job or in a later one, as if it
were persisted at such a level. What is narrow is computed again each time, and ``cache()`` changes nothing about that.

Files go as a Hadoop program deletes them. After each job we look at what the program can still ask for, which is what its
handles refer to: map output goes when all of its reduce partitions are written, and written partitions go when no handle
leads to them other than through later ones. So a loop that carries an RDD along holds the files of its last iterations only.

The other half of the mode is in ``storage``: map output that is sorted (``sortmerge``) and always in files
(``BlockStore(through_files=True)``).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import TypeVar
from weakref import WeakSet, WeakValueDictionary

from mpirdd.decisions.lineage import Node, walk
from mpirdd.roles.driver import Driver
from mpirdd.user.base import Handle
from mpirdd.words.ids import NodeId
from mpirdd.words.stage import Level

_FILE = Level(memory=False, disk=True, committed=True)
_log = logging.getLogger("mpirdd")
AnyHandle = TypeVar("AnyHandle", bound=Handle)


class DiskMode:
    """Of one Context. In memory mode it does nothing."""

    def __init__(self, driver: Driver) -> None:
        self.on = driver.settings.mode == "mapreduce"
        self._driver = driver
        self._handles: WeakSet[Handle] = WeakSet()
        self._running: list[Node] = []
        """Of jobs: threads may run several at once."""
        self._outputs: WeakValueDictionary[NodeId, Node] = WeakValueDictionary()
        self._lock = Lock()
        self._said = False

    def watched(self, handle: AnyHandle) -> AnyHandle:
        """The handle, whose data stay as long as the program has it."""
        if self.on:
            with self._lock:
                self._handles.add(handle)
        return handle

    def write(self, node: Node) -> None:
        """The node is what reduce tasks give."""
        if self.on:
            self._outputs[node.id] = node
            self._driver.keep(node.id, level=_FILE)

    def write_again(self, node: Node) -> None:
        """The program has let go of what is kept of the node; if it comes to be computed again, it is written again."""
        if node.id in self._outputs:
            self._driver.keep(node.id, level=_FILE)

    def outputs_of(self, node: Node) -> list[NodeId]:
        """What is written in the lineage of the node."""
        return [ancestor.id for ancestor in walk(node) if ancestor.id in self._outputs] if self.on else []

    @contextmanager
    def job(self, node: Node) -> Iterator[None]:
        """Around a job on ``node``: frees what is not needed any more."""
        if not self.on:
            yield
            return
        with self._lock:
            self._running.append(node)
        try:
            yield
        finally:
            with self._lock:
                self._running.remove(node)
                roots = [*self._running, *(handle._node for handle in self._handles)]
            self._driver.drop_unneeded(roots, self._outputs)

    def ignore_persist(self) -> None:
        """The program asked for a partition to be kept; says once that nothing is."""
        if not self._said:
            self._said = True
            _log.warning("mode mapreduce: cache() and persist() are accepted, and ignored")
