"""The storage levels of persisted RDDs."""

from __future__ import annotations

from typing import ClassVar

from mpirdd.protocol.stage import Level


class StorageLevel:
    """Flags, as in Spark; compared by value.

    Args:
        useDisk: keep on disk what does not fit in memory, or everything if not ``useMemory``.
        useMemory: keep in memory.
        useOffHeap: keep in memory as bytes rather than as objects. Slower to read, since each read
            unpickles records (not arrays), but smaller for most records, exactly measured, and safe
            from functions that change them.
        deserialized: accepted; without ``useOffHeap`` memory keeps the records themselves.
        replication: the number of executors that keep each partition.

    The levels: ``MEMORY_ONLY`` keeps what fits and computes the rest again; ``MEMORY_ONLY_SER`` does so with bytes;
    ``MEMORY_AND_DISK`` writes to the scratch folder what does not fit, and reads it back; ``DISK_ONLY`` writes everything;
    ``OFF_HEAP`` is bytes in memory, then disk. The ends ``_2`` and ``_3`` keep copies on other executors.

    >>> StorageLevel.MEMORY_ONLY
    StorageLevel(False, True, False, False, 1)
    """

    NONE: ClassVar[StorageLevel]
    DISK_ONLY: ClassVar[StorageLevel]
    DISK_ONLY_2: ClassVar[StorageLevel]
    DISK_ONLY_3: ClassVar[StorageLevel]
    MEMORY_ONLY: ClassVar[StorageLevel]
    MEMORY_ONLY_2: ClassVar[StorageLevel]
    MEMORY_ONLY_SER: ClassVar[StorageLevel]
    MEMORY_AND_DISK: ClassVar[StorageLevel]
    MEMORY_AND_DISK_2: ClassVar[StorageLevel]
    MEMORY_AND_DISK_DESER: ClassVar[StorageLevel]
    OFF_HEAP: ClassVar[StorageLevel]

    def __init__(
        self, useDisk: bool, useMemory: bool, useOffHeap: bool, deserialized: bool, replication: int = 1
    ) -> None:
        self.useDisk, self.useMemory, self.useOffHeap = useDisk, useMemory, useOffHeap
        self.deserialized, self.replication = deserialized, replication

    def _for_executors(self) -> Level:
        return Level(self.useMemory, self.useDisk or not self.useMemory, self.useMemory and self.useOffHeap)

    def _flags(self) -> tuple[bool, bool, bool, bool, int]:
        return self.useDisk, self.useMemory, self.useOffHeap, self.deserialized, self.replication

    def __repr__(self) -> str:
        return f"StorageLevel{self._flags()}"

    def __str__(self) -> str:
        words = ["Disk"] * self.useDisk + ["Memory"] * self.useMemory + ["OffHeap"] * self.useOffHeap
        words += ["Deserialized" if self.deserialized else "Serialized", f"{self.replication}x Replicated"]
        return " ".join(words)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StorageLevel) and self._flags() == other._flags()

    def __hash__(self) -> int:
        return hash(self._flags())


StorageLevel.NONE = StorageLevel(False, False, False, False)
StorageLevel.DISK_ONLY = StorageLevel(True, False, False, False)
StorageLevel.DISK_ONLY_2 = StorageLevel(True, False, False, False, 2)
StorageLevel.DISK_ONLY_3 = StorageLevel(True, False, False, False, 3)
StorageLevel.MEMORY_ONLY = StorageLevel(False, True, False, False)
StorageLevel.MEMORY_ONLY_2 = StorageLevel(False, True, False, False, 2)
StorageLevel.MEMORY_ONLY_SER = StorageLevel(False, True, True, False)
StorageLevel.MEMORY_AND_DISK = StorageLevel(True, True, False, False)
StorageLevel.MEMORY_AND_DISK_2 = StorageLevel(True, True, False, False, 2)
StorageLevel.MEMORY_AND_DISK_DESER = StorageLevel(True, True, False, True)
StorageLevel.OFF_HEAP = StorageLevel(True, True, True, False, 1)
