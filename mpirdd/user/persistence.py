"""Keeping computed partitions, so that iterative and interactive programs compute them once; and cutting lineage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mpirdd.user.base import Handle
from mpirdd.user.storagelevel import StorageLevel
from mpirdd.words.errors import UsageError

if TYPE_CHECKING:
    from mpirdd.user.rdd import RDD


class Persistence(Handle):
    def persist(self, storageLevel: StorageLevel = StorageLevel.MEMORY_ONLY) -> RDD:
        """Keep each partition on its executor once it has been computed. Runs nothing by itself; returns self.

        In memory, records are kept as they are, not as copies: a function that changes a record it is given changes the kept
        one. (Levels that keep bytes, and what lies on disk, give fresh records each time; arrays read-only where they are in
        memory.) What counts against the memory budget is measured. When memory is short, what was used least recently leaves
        it; a partition never pushes out partitions of its own RDD, so that of data larger than memory a part stays.
        At ``MEMORY_ONLY`` what does not fit is computed again when it is needed. See ``StorageLevel`` for the levels, and
        ``Context.storageInfo`` for what is kept where. In ``--mode mapreduce`` this is ignored, as Hadoop caches nothing.

        Raises:
            UsageError: it is persisted already, at another level.

        >>> squares = sc.parallelize(range(4), 2).map(lambda x: x * x).persist()
        >>> squares.count(), squares.sum(), squares.is_cached
        (4, 14, True)
        """
        self._context._check_usable()
        current = self.getStorageLevel()
        if current not in (StorageLevel.NONE, storageLevel):
            raise UsageError(f"the RDD is persisted as {current!r} already; unpersist it before choosing {storageLevel!r}")
        if storageLevel == StorageLevel.NONE:
            return self._same()
        self._context._levels[self._node] = storageLevel
        self._context._keep(self._node, storageLevel)
        return self._same()

    def cache(self) -> RDD:
        """``persist`` in memory.

        >>> sc.parallelize([1, 2]).cache().is_cached
        True
        """
        return self.persist()

    def unpersist(self, blocking: bool = False) -> RDD:
        """Drop the kept partitions, and keep no more; returns self. ``blocking`` makes no difference: later
        jobs never see them.

        >>> sc.parallelize([1, 2]).cache().unpersist().is_cached
        False
        """
        self._context._check_usable()
        self._context._levels.pop(self._node, None)
        self._context._unkeep(self._node)
        return self._same()

    @property
    def is_cached(self) -> bool:
        """Marked to be kept."""
        return self._node in self._context._levels

    def getStorageLevel(self) -> StorageLevel:
        """The level at which it is persisted; ``StorageLevel.NONE`` if it is not.

        >>> sc.parallelize([1, 2]).cache().getStorageLevel()
        StorageLevel(False, True, False, False, 1)
        """
        return self._context._levels.get(self._node, StorageLevel.NONE)

    def checkpoint(self) -> None:
        """Write the partitions below the checkpoint folder at the next job that uses them, and cut the lineage there.

        Computes them a second time for that, unless the RDD is cached. Call it before other RDDs are made from
        this one.

        Raises:
            UsageError: no checkpoint folder has been set.

        >>> import tempfile
        >>> sc.setCheckpointDir(tempfile.mkdtemp())
        >>> rdd = sc.parallelize(range(4), 2).map(lambda x: x * x)
        >>> rdd.checkpoint()
        >>> rdd.isCheckpointed(), rdd.count(), rdd.isCheckpointed(), rdd.collect()
        (False, 4, True, [0, 1, 4, 9])
        """
        self._context._checkpoints.mark(self)

    def localCheckpoint(self) -> None:
        """Cut the lineage once the partitions are cached. Faster than ``checkpoint``, but what is lost then
        cannot be made again.

        >>> rdd = sc.parallelize(range(4), 2)
        >>> rdd.localCheckpoint()
        >>> rdd.isLocallyCheckpointed(), rdd.sum()
        (True, 6)
        """
        self._context._checkpoints.mark_local(self)

    def isCheckpointed(self) -> bool:
        """True once the checkpoint is really there."""
        return self._context._checkpoints.is_done(self._node)

    def isLocallyCheckpointed(self) -> bool:
        """Marked for local checkpointing."""
        return self._context._checkpoints.is_local(self._node)

    def getCheckpointFile(self) -> str | None:
        """The folder of the checkpoint; None if there is none (yet)."""
        return self._context._checkpoints.folder_of(self._node)

    @property
    def is_checkpointed(self) -> bool:
        """Marked for checkpointing."""
        return self._context._checkpoints.is_marked(self._node)

    def cleanShuffleDependencies(self, blocking: bool = False) -> None:
        """Drop the shuffle data of the lineage; it is made again when needed.

        >>> sc.parallelize([(1, 2)]).reduceByKey(max).cleanShuffleDependencies()
        """
        self._context._drop_shuffles(self._node)
