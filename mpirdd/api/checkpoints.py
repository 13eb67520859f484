"""Checkpoints of a Context: which RDDs to save, and saving them after the job that computed them.

``checkpoint()`` puts a ``Cut`` node behind the handle, so that all RDDs made from it later go
through that node. When a job has used it, executors save the partitions, and a source that reads
them replaces the cut's parent. The ancestors are then free to go.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Protocol
from uuid import uuid4
from weakref import WeakKeyDictionary

from mpirdd.api.callsite import label
from mpirdd.api.diskmode import DiskMode, HasNode
from mpirdd.api.storagelevel import StorageLevel
from mpirdd.driver.driver import Driver
from mpirdd.formats import checkpoint
from mpirdd.formats.filesystems import NO_OPTIONS, Options, is_remote, join
from mpirdd.formats.paths import OnePath, full_path
from mpirdd.formats.wholefiles import make_folder
from mpirdd.ops import operators as steps
from mpirdd.protocol.errors import ClusterError, UsageError
from mpirdd.protocol.settings import Settings
from mpirdd.protocol.values import dataclass
from mpirdd.scheduler.lineage import Cut, Node, Source, walk
from mpirdd.store.trust import check_folder


class Engine(Protocol):
    """What checkpoints need of the Context's engine."""

    driver: Driver
    disk_mode: DiskMode
    levels: WeakKeyDictionary[Node, StorageLevel]

    @property
    def settings(self) -> Settings: ...

    def add(self, make: Callable[[int], Source]) -> Source: ...

    def stand_in(self, for_node: Node) -> Cut: ...

    def replace(self, stand_in: Cut, node: Node) -> None: ...

    def keep(self, node: Node, level: StorageLevel) -> None: ...

    def run(self, node: Node, action: Callable[..., Any], operation: str) -> list[Any]: ...


@dataclass(slots=True)
class _Mark:
    local: bool
    folder: str | None = None
    done: bool = False


class Checkpoints:
    """One for each Context."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._folder: str | None = None
        self._options = NO_OPTIONS
        self._marks: WeakKeyDictionary[Node, _Mark] = WeakKeyDictionary()

    def set_folder(self, folder: OnePath, options: Options) -> None:
        """Make a private folder for this Context below ``folder``, on a file system that all ranks see."""
        parent = full_path(folder, options)
        own = join(parent, uuid4().hex)
        if is_remote(parent):  # who may write there is for its file system to say
            self._make_remote(own, options)
        else:
            parent = os.path.abspath(parent)
            own = os.path.join(parent, uuid4().hex)
            os.makedirs(parent, mode=0o700, exist_ok=True)
            check_folder(parent, trusted=self._engine.settings.trust_folders, only_inside=True)
            os.mkdir(own, mode=0o700)
        self._folder, self._options = own, options

    def _make_remote(self, folder: str, options: Options) -> None:
        try:
            make_folder(folder, options)
        except OSError as error:
            raise UsageError(f"cannot make the checkpoint folder {folder}: {error.strerror}") from error

    @property
    def folder(self) -> str | None:
        return self._folder

    def mark(self, rdd: HasNode) -> None:
        if self._folder is None:
            raise UsageError("no checkpoint folder: call setCheckpointDir first")
        if not self.is_marked(rdd._node):
            self._cut(rdd, _Mark(local=False))

    def mark_local(self, rdd: HasNode) -> None:
        if not self.is_marked(rdd._node):
            asked = self._engine.levels.get(rdd._node, StorageLevel.MEMORY_AND_DISK)
            self._cut(rdd, _Mark(local=True))
            self.keep_local(rdd._node, asked)

    def keep_local(self, node: Node, asked: StorageLevel) -> None:
        """Keep the partitions of a local checkpoint as asked, and on disk, as what is dropped could not be computed again."""
        memory = asked.useMemory and not self._engine.disk_mode.on
        level = StorageLevel(True, memory, memory and asked.useOffHeap, memory and asked.deserialized, asked.replication)
        self._engine.levels[node] = level
        self._engine.driver.keep(node.id, level.replication, level._for_executors())

    def is_marked(self, node: Node) -> bool:
        return node in self._marks

    def is_local(self, node: Node) -> bool:
        return node in self._marks and self._marks[node].local

    def is_done(self, node: Node) -> bool:
        return node in self._marks and self._marks[node].done

    def folder_of(self, node: Node) -> str | None:
        """As an address: ``file:`` and the path, or a URL."""
        folder = self._marks[node].folder if node in self._marks else None
        return folder if folder is None or is_remote(folder) else "file:" + folder

    def after_job(self, target: Node) -> None:
        """Save the marked RDDs that the job used, and cut there."""
        waiting = [node for node in self._marks if not self._marks[node].done]
        if not waiting:
            return
        used = {node.id for node in walk(target)}
        for node in sorted(waiting, key=lambda node: node.id):
            if node.id in used and isinstance(node, Cut):
                self._marks[node].done = True  # first: the saving below is a job, too
                try:
                    self._save(node, self._marks[node])
                except BaseException:  # whatever it is: the next job tries again
                    self._marks[node].done = False
                    raise

    def _cut(self, rdd: HasNode, mark: _Mark) -> None:
        before = rdd._node
        rdd._node = made = self._engine.stand_in(before)
        if before in self._engine.levels:
            level = self._engine.levels[made] = self._engine.levels[before]
            self._engine.keep(made, level)
        self._marks[made] = mark

    def _save(self, node: Cut, mark: _Mark) -> None:
        if mark.local:
            everything = self._engine.run(node, steps.count_records, label("localCheckpoint"))
            self._replace(node, _lost_local_checkpoint, [None] * len(everything))
            return
        assert self._folder is not None
        folder, options = join(self._folder, f"rdd-{node.id}"), self._options
        with checkpoint.new_checkpoint(folder, options) as unfinished:
            parts = self._engine.run(node, partial(_write, unfinished, options), label("checkpoint"))
            checkpoint.commit(unfinished, parts, options)
        mark.folder = folder
        self._replace(node, checkpoint.read_part, checkpoint.open_checkpoint(folder, options))

    def _replace(self, node: Cut, reader: Any, splits: list[Any]) -> None:
        source = self._engine.add(lambda id: Source(id, node.label, len(splits), None, reader, splits))
        self._engine.replace(node, source)


# --- on executors -----------------------------------------------------------------------------------------------------


def _write(folder: str, options: Options, partition: int, records: Iterable[Any]) -> checkpoint.Part:
    return checkpoint.write_part(folder, partition, records, options=options, memory=steps.task_memory())


def _lost_local_checkpoint(split: Any) -> Iterable[Any]:
    raise ClusterError(
        "a partition of a localCheckpoint was lost, and its lineage has been cut; use checkpoint(), which survives that"
    )
