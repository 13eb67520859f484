"""``--mode mapreduce``: runs a program as Hadoop MapReduce would. Not a second engine.

Each wide operation is a map-reduce job of its own. Its reduce tasks write what they give to a committed file for each
partition, as if it were persisted at such a level: ``Handle._shuffle`` and ``Handle._narrow`` say which node that is.
Whatever comes next reads these files, in the same job or in a later one. Narrow operations are computed again each
time, and ``cache()`` does not change that.

The mode deletes files as a Hadoop program does. After each job it looks at what the program's
handles can still ask for: map output goes when all of its reduce partitions are written, and
written partitions go when no handle leads to them other than through later ones. So a loop that
carries an RDD along holds the files of its last iterations only.

The other half of the mode lies below: ``ops.sort_merge_shuffle`` sorts map output, and ``BlockStore(through_files=True)``
always writes it to files.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Protocol, TypeVar
from weakref import WeakSet, WeakValueDictionary

from mpirdd.driver.driver import Driver
from mpirdd.protocol.ids import NodeId
from mpirdd.protocol.stage import Level
from mpirdd.scheduler.lineage import Node, walk

_FILE = Level(memory=False, disk=True, committed=True)
_log = logging.getLogger("mpirdd")


class HasNode(Protocol):
    """A handle."""

    _node: Node


AnyHandle = TypeVar("AnyHandle", bound=HasNode)


class DiskMode:
    """The mode of one Context. In memory mode it does nothing."""

    def __init__(self, driver: Driver) -> None:
        self.on = driver.settings.mode == "mapreduce"
        self._driver = driver
        self._handles: WeakSet[HasNode] = WeakSet()
        self._running: list[Node] = []
        """Of jobs: threads may run several at once."""
        self._outputs: WeakValueDictionary[NodeId, Node] = WeakValueDictionary()
        self._lock = Lock()
        self._said = False

    def watched(self, handle: AnyHandle) -> AnyHandle:
        """The handle; its data stay while the program has it."""
        if self.on:
            with self._lock:
                self._handles.add(handle)
        return handle

    def write(self, node: Node) -> None:
        """The node holds the results of reduce tasks."""
        if self.on:
            self._outputs[node.id] = node
            self._driver.keep(node.id, level=_FILE)

    def write_again(self, node: Node) -> None:
        """The program has let the node's kept partitions go; a later computation writes them
        again."""
        if node.id in self._outputs:
            self._driver.keep(node.id, level=_FILE)

    def outputs_of(self, node: Node) -> list[NodeId]:
        """What is written in the lineage of the node."""
        return [ancestor.id for ancestor in walk(node) if ancestor.id in self._outputs] if self.on else []

    @contextmanager
    def job(self, node: Node) -> Iterator[None]:
        """Wraps a job on ``node``: frees files that nothing needs any more."""
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
        """The program asked to keep partitions; says once that the mode keeps none."""
        if not self._said:
            self._said = True
            _log.warning("mode mapreduce: cache() and persist() are accepted, and ignored")
