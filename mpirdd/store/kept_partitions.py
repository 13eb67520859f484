"""Kept partitions: the ``rdd`` blocks of an executor, in chunks.

By the storage level of its node, a chunk lies in memory as the computed objects (reading it costs nothing) or as bytes, or it
lies on disk. The store measures a partition while a task computes it, so it never holds a whole partition that does not fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple

from mpirdd.protocol.errors import ScratchError
from mpirdd.protocol.ids import BlockId
from mpirdd.protocol.stage import Level
from mpirdd.store.batches import batches
from mpirdd.store.chunks import Chunks
from mpirdd.store.codec import decode, encode
from mpirdd.store.fragments import Fragment, SpillFiles, afresh, take_back
from mpirdd.store.measure import size_of
from mpirdd.store.memory import Evictable, Memory
from mpirdd.store.pieces import bounded
from mpirdd.store.scratch import Scratch
from mpirdd.store.spill import SpillFile
from mpirdd.store.task_memory import TaskMemory

Sizes = tuple[int, int]
"""Bytes in memory, bytes on disk."""

_CHUNK_BYTES = 8 << 20
"""Records are measured, encoded and written in chunks of about this size, or of a sixteenth of the budget if that is less."""


class Objects(NamedTuple):
    """A chunk as computed: objects in memory."""

    records: list[Any]
    memory_bytes: int

    def pieces(self, chunk_bytes: int) -> list[Objects]:
        """The records in chunks of about ``chunk_bytes``: such a piece is in memory twice while it is encoded or decoded."""
        pieces = list(bounded(*self, chunk_bytes))
        if len(pieces) <= 1:
            return [self]
        sizes = list(map(size_of, pieces))
        seen = self.memory_bytes / sum(sizes)  # not all can be measured
        return [Objects(piece, int(size * seen)) for piece, size in zip(pieces, sizes, strict=True)]


Chunk = Objects | Fragment


class KeptPartition(Evictable):
    """The chunks of one kept partition."""

    kept = True

    def __init__(self, block: BlockId, level: Level, memory: Memory, files: SpillFiles, chunk_bytes: int,
                 changed: set[BlockId]) -> None:
        super().__init__(block.of)
        self.block, self.level = block, level
        self.failed: ScratchError | None = None
        """An arriving chunk could not be stored: a reader of the partition gets this error."""
        self.chunks: list[Chunk] = []
        self.gone = False
        """The partition was dropped for lack of memory."""
        self._memory, self._files, self._chunk_bytes, self._changed = memory, files, chunk_bytes, changed

    @property
    def disk_bytes(self) -> int:
        return sum(chunk.disk_bytes for chunk in self.chunks if isinstance(chunk, Fragment))

    @property
    def owned(self) -> list[Chunk]:
        return self.chunks

    def records(self) -> Chunks:
        if self.failed is not None:
            raise afresh(self.failed)
        return Chunks(_Opened(self.chunks))

    def add(self, source: int, fragment: Fragment) -> None:
        """Add a chunk from another executor; ``source`` is 1 if its records are objects there. Raises ScratchError."""
        if not self.level.memory:
            self._files.move([fragment])
            self.chunks.append(fragment)
            return
        records = decode(fragment.frames) if source else None
        chunk = fragment if records is None else Objects(records, size_of(records))
        if not self._memory.hold(self, chunk.memory_bytes):
            self._files.move([fragment])
            chunk = fragment
        self.chunks.append(chunk)

    def take_back(self) -> None:
        """Nobody will read the partition: free its space on disk."""
        take_back(self.chunks)
        self.chunks = []

    def evict(self) -> None:
        self._changed.add(self.block)
        if not self.level.disk:
            self.gone = True
            self.chunks = []
            return
        chunks: list[Chunk] = []
        written: list[Fragment] = []
        moved_bytes = 0
        try:
            for chunk in self.chunks:
                if isinstance(chunk, Objects):
                    for piece in chunk.pieces(self._chunk_bytes):
                        written.append(self._files.write(encode(piece.records)))
                        chunks.append(written[-1])
                else:
                    size = chunk.memory_bytes
                    self._files.move([chunk])
                    moved_bytes += size
                    chunks.append(chunk)
        except BaseException:
            take_back(written)
            self._memory.let_go(self, moved_bytes)  # these have left memory all the same
            raise
        self.chunks = chunks


class KeptPartitions:
    """The ``rdd`` blocks of one executor.

    Args:
        through_files: write arriving copies to files at once, however much memory there is.
    """

    def __init__(self, memory: Memory, scratch: Scratch, files: SpillFiles, *, through_files: bool) -> None:
        self._memory, self._scratch, self._files, self._through_files = memory, scratch, files, through_files
        self._chunk_bytes = max(min(_CHUNK_BYTES, memory.limit_bytes // 16), 1 << 12)
        self._kept: dict[BlockId, KeptPartition] = {}
        self._pinned: list[KeptPartition] = []
        self._changed: set[BlockId] = set()
        self._refused: list[BlockId] = []
        """Partitions that did not fit; still unreported."""

    def __contains__(self, block: BlockId) -> bool:
        kept = self._kept.get(block)
        return kept is not None and not kept.gone

    def __iter__(self) -> Iterator[BlockId]:
        return (block for block, kept in self._kept.items() if not kept.gone)

    def blocks(self) -> list[BlockId]:
        """All known blocks, including those dropped for lack of memory."""
        return list(self._kept)

    def records(self, block: BlockId) -> Chunks:
        """The records of a kept partition. Raises KeyError if it is not here."""
        return self._kept[block].records()

    def counts(self, block: BlockId) -> tuple[tuple[str, int], ...]:
        """The figures for ``Costs.note`` when the partition is read: its bytes, and the number of its records held as objects."""
        kept = self._kept[block]
        records = sum([len(chunk.records) for chunk in kept.chunks if isinstance(chunk, Objects)])
        return ("cached_bytes", kept.memory_bytes + kept.disk_bytes), ("cached_records", records)

    # --- while a task runs --------------------------------------------------------------------------------------------

    def pin(self, block: BlockId) -> None:
        """The task will read this partition: it stays in place until the task has ended."""
        kept = self._kept[block]
        self._memory.used(kept)
        self._pin(kept)

    def end_task(self) -> None:
        """The task has ended and reads no blocks any more."""
        for kept in self._pinned:
            kept.pinned = False
            if self._kept.get(kept.block) is not kept:
                self._memory.let_go(kept)  # a partition that did not fit, and was not read to its end
        self._pinned.clear()

    def keep(
        self, block: BlockId, level: Level, records: Iterable[Any], memory: TaskMemory | None = None
    ) -> tuple[Iterable[Any], bool]:
        """Keep a partition while it is computed, as far as the level and the memory allow.

        Args:
            memory: notices records that are larger than those before them.

        Returns:
            The records (the kept ones; or those gathered so far, and then the rest), and whether they are kept.

        Raises:
            ScratchError: the level requires the disk, and writing fails.
        """
        self.drop(block)
        kept = self._new(block, level)
        self._pin(kept)
        source = iter(records)
        missed: list[Objects] = []
        if level.memory:
            missed = self._fill_memory(kept, source, memory)
            if missed and not level.disk:
                self._refused.append(block)
                return self._taken_back(kept, missed, source), False
        try:
            if missed:
                kept.evict()
                self._memory.let_go(kept)
            if missed or not level.memory:
                self._write_rest(kept, missed, source, memory)
        except BaseException:  # even an interrupted task leaves no half-kept partition
            kept.take_back()
            raise
        self._kept[block] = kept
        self._changed.add(block)
        return kept.records(), True

    def _fill_memory(self, kept: KeptPartition, source: Iterator[Any], memory: TaskMemory | None) -> list[Objects]:
        """Hold chunks while they fit; return those that were taken from ``source`` and did not."""
        encoded = kept.level.encoded
        for batch in self._batches(source, memory) if encoded else batches(source, self._chunk_bytes, memory):
            pieces = Objects(*batch).pieces(self._chunk_bytes)
            for done, piece in enumerate(pieces):
                chunk = self._encoded(piece.records) if encoded else piece
                if not self._memory.hold(kept, chunk.memory_bytes):
                    return pieces[done:]
                kept.chunks.append(chunk)
        return []

    def _encoded(self, records: list[Any]) -> Fragment:
        """Read-only: later readers of the partition must find it unchanged."""
        return Fragment([memoryview(frame).toreadonly() for frame in self._scratch.costs.encode(records)])

    def _write_rest(
        self, kept: KeptPartition, missed: list[Objects], source: Iterator[Any], memory: TaskMemory | None
    ) -> None:
        """Write the records that are not in memory to disk, chunk by chunk."""
        rest = (piece for batch in self._batches(source, memory) for piece in Objects(*batch).pieces(self._chunk_bytes))
        encoded = (self._scratch.costs.encode(piece.records) for piece in chain(missed, rest))
        if not kept.level.committed:
            for frames in encoded:
                kept.chunks.append(self._files.write(frames))
            return
        file = SpillFile(self._scratch, named=True)
        for frames in encoded:
            kept.chunks.append(Fragment.on_disk(file, file.write(frames)))
        file.commit(f"rdd-{kept.block.of}-part-{kept.block.part:05}-")

    def _taken_back(self, kept: KeptPartition, missed: list[Objects], source: Iterator[Any]) -> Iterator[Any]:
        """The records of a partition that does not fit. Its chunks are released one by one, as they are used up."""

        def chunks() -> Iterator[Iterable[Any]]:
            kept.chunks.reverse()
            while kept.chunks:
                chunk = kept.chunks.pop()
                yield opened(chunk)
                self._memory.let_go(kept, chunk.memory_bytes)

        return chain(chain.from_iterable(chunks()), chain.from_iterable(piece.records for piece in missed), source)

    def _batches(self, records: Iterable[Any], memory: TaskMemory | None) -> Iterator[tuple[list[Any], int]]:
        """(records, bytes) in lists of about ``_chunk_bytes``."""
        batch: list[Any] = []
        size = 0
        for chunk, nbytes in batches(iter(records), self._chunk_bytes, memory):
            batch += chunk
            size += nbytes
            if size >= self._chunk_bytes // 2:
                yield batch, size
                batch, size = [], 0
        if batch:
            yield batch, size

    # --- copies from and for other executors --------------------------------------------------------------------------

    def new_copy(self, block: BlockId, level: Level) -> KeptPartition:
        """An empty partition for a copy from another executor; not here before ``put``. It is never dropped for lack of
        memory: even without a disk in its level it goes to disk, because the scheduler counts on the copy."""
        return self._new(block, level._replace(disk=True, memory=level.memory and not self._through_files))

    def put(self, block: BlockId, arrived: KeptPartition) -> None:
        """The copy that an exchange brought is complete."""
        self.drop(block)
        self._kept[block] = arrived
        self._changed.add(block)

    def fragments(self, block: BlockId) -> Iterator[tuple[int, Fragment]]:
        """The chunks of a whole partition, as ``KeptPartition.add`` takes them on another executor."""
        for chunk in self._kept[block].chunks:
            if isinstance(chunk, Fragment):
                yield 0, chunk
                continue
            pieces = chunk.pieces(self._chunk_bytes)
            for piece in pieces:
                frames = encode(piece.records)
                # Arrays are sent without a copy. Pickles made for sending would gather here as a second copy.
                copied = len(pieces) > 1 and len(frames[0]) > self._chunk_bytes // 8
                yield 1, self._files.write(frames) if copied else Fragment(frames)

    # --- blocks -------------------------------------------------------------------------------------------------------

    def drop(self, block: BlockId) -> None:
        """Forget the block; a missing one is no error."""
        kept = self._kept.pop(block, None)
        if kept is not None:
            self._memory.let_go(kept)
        self._changed.discard(block)

    def failed(self) -> list[BlockId]:
        """Blocks that could not be stored on arrival."""
        return [block for block, kept in self._kept.items() if kept.failed is not None]

    def take_changes(self) -> tuple[dict[BlockId, Sizes], list[BlockId]]:
        """Changes since the last call: (sizes of kept partitions, partitions dropped for lack of memory)."""
        sizes: dict[BlockId, Sizes] = {}
        gone: list[BlockId] = []
        for block in sorted(self._changed):
            kept = self._kept.get(block)
            if kept is None or kept.gone:
                gone.append(block)
            else:
                sizes[block] = kept.memory_bytes, kept.disk_bytes
        for block in gone:
            self.drop(block)
        self._changed.clear()
        return sizes, gone

    def take_refused(self) -> tuple[BlockId, ...]:
        """Partitions that were to be kept since the last call, and did not fit."""
        refused = tuple(self._refused)
        self._refused.clear()
        return refused

    def _new(self, block: BlockId, level: Level) -> KeptPartition:
        return KeptPartition(block, level, self._memory, self._files, self._chunk_bytes, self._changed)

    def _pin(self, kept: KeptPartition) -> None:
        kept.pinned = True
        self._pinned.append(kept)


class _Opened(Iterable[Any]):
    """The records of each chunk, decoded when its turn comes."""

    def __init__(self, chunks: list[Chunk]) -> None:
        self._chunks = chunks

    def __iter__(self) -> Iterator[Iterable[Any]]:
        return map(opened, self._chunks)


def opened(chunk: Chunk) -> Iterable[Any]:
    """The records of a chunk."""
    if isinstance(chunk, Objects):
        return chunk.records
    records: Iterable[Any] = chunk.decoded()
    return records

