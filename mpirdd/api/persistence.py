"""Keeps computed partitions, so iterative and interactive programs compute them once; and cuts
lineage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpirdd.api.base import Handle
from mpirdd.api.storagelevel import StorageLevel
from mpirdd.protocol.errors import InvalidType, UsageError

if TYPE_CHECKING:
    from typing_extensions import Self


class Persistence(Handle):
    def persist(self, storageLevel: StorageLevel = StorageLevel.MEMORY_ONLY) -> Self:
        """Keep each partition on its executor once a job has computed it. Runs nothing by itself;
        returns self.

        Memory keeps the records themselves, not copies: a function that changes a record changes
        the kept one. (Levels that keep bytes, and partitions on disk, give fresh records each time;
        arrays in memory are then read-only.) The engine measures kept partitions against the memory
        budget. When memory is short, the least recently used leave it. A partition never pushes out
        partitions of its own RDD, so part of an RDD larger than memory stays. At ``MEMORY_ONLY``
        later jobs recompute partitions that do not fit. See ``StorageLevel`` for the levels, and
        ``Context.storageInfo`` for the place of each partition. ``--mode mapreduce`` ignores this,
        since Hadoop caches nothing.

        After ``localCheckpoint`` the level may be chosen anew; what it keeps is on disk, too, whatever it says.

        Raises:
            UsageError: it is persisted already, at another level.
            TypeError: it is no storage level.

        >>> squares = sc.parallelize(range(4), 2).map(lambda x: x * x).persist()
        >>> squares.count(), squares.sum(), squares.is_cached
        (4, 14, True)
        """
        self._engine.check_usable()
        if not isinstance(storageLevel, StorageLevel):
            raise InvalidType(f"persist needs a storage level, such as StorageLevel.MEMORY_AND_DISK, not {storageLevel!r}")
        if self._engine.checkpoints.is_local(self._node) and storageLevel != StorageLevel.NONE:
            self._engine.checkpoints.keep_local(self._node, storageLevel)
            return self
        current = self.getStorageLevel()
        if current not in (StorageLevel.NONE, storageLevel):
            raise UsageError(f"the RDD is persisted as {current!r} already; unpersist it before choosing {storageLevel!r}")
        if storageLevel == StorageLevel.NONE:
            return self
        self._engine.capture(self._node)
        self._engine.levels[self._node] = storageLevel
        self._engine.keep(self._node, storageLevel)
        return self

    def cache(self) -> Self:
        """``persist`` in memory.

        >>> sc.parallelize([1, 2]).cache().is_cached
        True
        """
        return self.persist()

    def unpersist(self, blocking: bool = False) -> Self:
        """Drop the kept partitions, and keep no more; returns self. ``blocking`` makes no difference: later
        jobs never see them.

        >>> sc.parallelize([1, 2]).cache().unpersist().is_cached
        False
        """
        self._engine.check_usable()
        self._engine.levels.pop(self._node, None)
        self._engine.unkeep(self._node)
        return self

    @property
    def is_cached(self) -> bool:
        """True if marked for keeping."""
        return self._node in self._engine.levels

    def getStorageLevel(self) -> StorageLevel:
        """The storage level; ``StorageLevel.NONE`` if the RDD is not persisted.

        >>> sc.parallelize([1, 2]).cache().getStorageLevel()
        StorageLevel(False, True, False, False, 1)
        """
        return self._engine.levels.get(self._node, StorageLevel.NONE)

    def checkpoint(self) -> None:
        """Write the partitions below the checkpoint folder at the next job that uses them, and cut the lineage there.

        That computes them a second time, unless the RDD is cached. Call it before other RDDs are
        made from this one.

        Raises:
            UsageError: the program has set no checkpoint folder.

        >>> import tempfile
        >>> sc.setCheckpointDir(tempfile.mkdtemp())
        >>> rdd = sc.parallelize(range(4), 2).map(lambda x: x * x)
        >>> rdd.checkpoint()
        >>> rdd.isCheckpointed(), rdd.count(), rdd.isCheckpointed(), rdd.collect()
        (False, 4, True, [0, 1, 4, 9])
        """
        self._engine.checkpoints.mark(self)
        self._engine.capture(self._node)

    def localCheckpoint(self) -> None:
        """Cut the lineage once the partitions are cached. Faster than ``checkpoint``, but nothing
        can recompute partitions lost afterwards.

        >>> rdd = sc.parallelize(range(4), 2)
        >>> rdd.localCheckpoint()
        >>> rdd.isLocallyCheckpointed(), rdd.sum()
        (True, 6)
        """
        self._engine.checkpoints.mark_local(self)
        self._engine.capture(self._node)

    def isCheckpointed(self) -> bool:
        """True once the checkpoint exists."""
        return self._engine.checkpoints.is_done(self._node)

    def isLocallyCheckpointed(self) -> bool:
        """True if marked for local checkpointing."""
        return self._engine.checkpoints.is_local(self._node)

    def getCheckpointFile(self) -> str | None:
        """The folder of the checkpoint, ``file:`` and its path; None if there is none (yet)."""
        return self._engine.checkpoints.folder_of(self._node)

    @property
    def is_checkpointed(self) -> bool:
        """True if marked for checkpointing."""
        return self._engine.checkpoints.is_marked(self._node)

    def cleanShuffleDependencies(self, blocking: bool = False) -> None:
        """Drop the shuffle data of the lineage; later jobs make it again when they need it.

        >>> sc.parallelize([(1, 2)]).reduceByKey(max).cleanShuffleDependencies()
        """
        self._engine.drop_shuffles(self._node)
