"""Which RDDs of a Context are to be checkpointed, and doing it after the job that computed them.

``checkpoint()`` puts a ``Cut`` node behind the handle, so that all RDDs made from it later go through that
node. When a job has used it, the partitions are saved and the cut's parent is replaced by a source that reads
them: the ancestors are free to go.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4
from weakref import WeakKeyDictionary

from mpirdd.decisions.lineage import ONE_TO_ONE, Cut, Node, Source, walk
from mpirdd.storage import checkpoint
from mpirdd.user import steps
from mpirdd.user.base import Handle
from mpirdd.user.callsite import label
from mpirdd.user.storagelevel import StorageLevel
from mpirdd.words.errors import ClusterError, UsageError

if TYPE_CHECKING:
    from mpirdd.user.context import Context


@dataclass(slots=True)
class _Mark:
    local: bool
    folder: str | None = None
    done: bool = False


class Checkpoints:
    """One for each Context."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._folder: str | None = None
        self._marks: WeakKeyDictionary[Node, _Mark] = WeakKeyDictionary()

    def set_folder(self, folder: str) -> None:
        """Make a private folder for this Context below ``folder``, on a file system that all ranks see."""
        if "://" in folder and not folder.startswith("file://"):
            raise UsageError(f"checkpoints go to a folder that all ranks see, not to {folder}")
        own = os.path.join(os.path.abspath(folder.removeprefix("file://")), uuid4().hex)
        os.makedirs(own, mode=0o700)
        self._folder = own

    @property
    def folder(self) -> str | None:
        return self._folder

    def mark(self, rdd: Handle) -> None:
        if self._folder is None:
            raise UsageError("no checkpoint folder: call setCheckpointDir first")
        if not self.is_marked(rdd._node):
            self._cut(rdd, _Mark(local=False))

    def mark_local(self, rdd: Handle) -> None:
        if not self.is_marked(rdd._node):
            asked = rdd._context._levels.get(rdd._node, StorageLevel.MEMORY_AND_DISK)
            # With disk, as what is dropped could not be computed again.
            memory = asked.useMemory and not self._context._disk_mode.on
            level = StorageLevel(True, memory, memory and asked.useOffHeap, memory and asked.deserialized, asked.replication)
            self._cut(rdd, _Mark(local=True))
            self._context._levels[rdd._node] = level
            self._context._driver.keep(rdd._node.id, level.replication, level._for_executors())

    def is_marked(self, node: Node) -> bool:
        return node in self._marks

    def is_local(self, node: Node) -> bool:
        return node in self._marks and self._marks[node].local

    def is_done(self, node: Node) -> bool:
        return node in self._marks and self._marks[node].done

    def folder_of(self, node: Node) -> str | None:
        return self._marks[node].folder if node in self._marks else None

    def after_job(self, target: Node) -> None:
        """Save what the job used and is marked, and cut there."""
        waiting = [node for node in self._marks if not self._marks[node].done]
        if not waiting:
            return
        used = {node.id for node in walk(target)}
        for node in sorted(waiting, key=lambda node: node.id):
            if node.id in used and isinstance(node, Cut):
                self._marks[node].done = True  # first: the saving below is a job, too
                try:
                    self._save(node, self._marks[node])
                except BaseException:
                    self._marks[node].done = False
                    raise

    def _cut(self, rdd: Handle, mark: _Mark) -> None:
        before = rdd._node
        made = self._context._new(lambda id: Cut(
            id, before.label, before.num_partitions, before.partitioner, (), ONE_TO_ONE, _as_they_are, False, [before]))
        rdd._node = made._node
        if before in self._context._levels:
            level = self._context._levels[rdd._node] = self._context._levels[before]
            self._context._keep(rdd._node, level)
        self._marks[rdd._node] = mark

    def _save(self, node: Cut, mark: _Mark) -> None:
        if mark.local:
            everything = self._context._run(node, steps.count_records, label("localCheckpoint"))
            self._replace(node, _lost_local_checkpoint, [None] * len(everything))
            return
        assert self._folder is not None
        folder = os.path.join(self._folder, f"rdd-{node.id}")
        os.mkdir(folder, mode=0o700)
        parts = self._context._run(node, partial(_write, folder), label("checkpoint"))
        checkpoint.commit(folder, parts)
        mark.folder = folder
        self._replace(node, checkpoint.read_part, checkpoint.open_checkpoint(folder))

    def _replace(self, node: Cut, reader: Any, splits: list[Any]) -> None:
        source = self._context._new(lambda id: Source(id, node.label, len(splits), None, reader, splits))
        self._context._driver.adopt(source._node)
        node.parent[0] = source._node


# --- on executors -----------------------------------------------------------------------------------------------------


def _as_they_are(partition: int, records: Iterable[Any]) -> Iterable[Any]:
    return records


def _write(folder: str, partition: int, records: Iterable[Any]) -> checkpoint.Part:
    return checkpoint.write_part(folder, partition, records)


def _lost_local_checkpoint(split: Any) -> Iterable[Any]:
    raise ClusterError(
        "a partition of a localCheckpoint was lost, and its lineage has been cut; use checkpoint(), which survives that"
    )
