"""The blocks of one executor, by id, in memory and on disk.

* A ``map`` block is what one map task wrote: *packs*, one for each time that it wrote out what it had gathered. A pack
  holds one encoded bucket for each reduce partition, and goes to a spill file as a whole; buckets are read back one by one.
* An ``in`` block is what all map tasks wrote for one reduce partition: buckets in the order of the map tasks. Those of
  this executor refer to the packs; those that arrived are held here, and go to a spill file when memory is short.
* An ``rdd`` block is a kept partition, in chunks: as objects (reading it costs nothing), as bytes, or on disk, as its
  level says. It is measured while it is computed, so that one that does not fit is never held whole.

Buckets are encoded once, when they are written: their size is then known exactly, and reading one twice gives fresh
records, whatever the first reader did to its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from operator import itemgetter
from typing import Any, NamedTuple

from mpirdd.storage.codec import decode, encode
from mpirdd.storage.measure import size_of
from mpirdd.storage.memory import Holding, Memory
from mpirdd.storage.scratch import Scratch
from mpirdd.storage.spill import Segment, SpillFile
from mpirdd.words.errors import ScratchError
from mpirdd.words.ids import BlockId, NodeId
from mpirdd.words.stage import Level
from mpirdd.words.transport import Frames

Buckets = Sequence[Frames | None]
"""By reduce partition; None where a map task had nothing for it."""
Sizes = tuple[int, int]
"""Bytes in memory, bytes on disk."""

_FRAME_BYTES = 120
"""What a frame takes beside its bytes: the object, and its place in lists."""
_FILE_BYTES = 256 << 20
"""A spill file is shared by blocks up to this size (or the budget's): its space comes back when all of them are gone."""
_CHUNK_BYTES = 8 << 20
"""Records are measured, encoded and written in chunks of about this size, or a sixteenth of the budget."""


class Stored(NamedTuple):
    """One encoded value on disk."""

    file: SpillFile
    segment: Segment

    @property
    def sizes(self) -> tuple[int, ...]:
        return self.segment.sizes

    def read(self) -> Frames:
        return self.file.read(self.segment)

    def take_back(self) -> None:
        """Nobody will read it."""
        self.file.take_back(self.segment)


class Bucket(NamedTuple):
    """One bucket of a pack, wherever that is by the time it is read."""

    pack: Pack
    partition: int

    @property
    def sizes(self) -> tuple[int, ...]:
        return self.pack.sizes(self.partition)

    def read(self) -> Frames:
        return self.pack.read(self.partition)


class SpillFiles:
    """The spill files of a store: one to write to, until it is large."""

    def __init__(self, scratch: Scratch, file_bytes: int) -> None:
        self._scratch, self._file_bytes = scratch, file_bytes
        self._current: SpillFile | None = None
        self.written_bytes = 0
        """On disk, in all."""

    def write(self, values: Iterable[Frames]) -> list[Stored]:
        """Raises ScratchError."""
        file = self._current
        if file is None or file.size >= self._file_bytes:
            file = self._current = SpillFile(self._scratch)
        before = file.size
        try:
            stored = [Stored(file, segment) for segment in file.write_all(values)]
        except ScratchError:
            self._current = None  # what the failed task has written there goes with it
            raise
        self.written_bytes += file.size - before
        return stored

    def forget(self) -> None:
        """Nothing is in the file any more."""
        self._current = None


class Pack(Holding):
    """What a map task had gathered for all reduce partitions when it wrote it out."""

    def __init__(self, of: NodeId, buckets: Buckets, files: SpillFiles) -> None:
        super().__init__(of)
        self._places: list[Frames | Stored | None] = list(buckets)
        self._files = files
        self.nbytes = _nbytes(list(chain.from_iterable(filter(None, buckets))))

    def __len__(self) -> int:
        return len(self._places)

    def has(self, partition: int) -> bool:
        return self._places[partition] is not None

    def sizes(self, partition: int) -> tuple[int, ...]:
        place = self._places[partition]
        assert place is not None
        return place.sizes if isinstance(place, Stored) else _sizes(place)

    def read(self, partition: int) -> Frames:
        place = self._places[partition]
        assert place is not None
        return place.read() if isinstance(place, Stored) else place

    def take_back(self) -> None:
        """Nobody will read it: its space on disk is free again."""
        _take_back(self._places)
        self._places.clear()

    def evict(self) -> None:
        inside = [at for at, place in enumerate(self._places) if isinstance(place, list)]
        stored = self._files.write(self._places[at] for at in inside)  # type: ignore[misc]
        for at, place in zip(inside, stored, strict=True):
            self._places[at] = place


class Gathered(Holding):
    """An ``in`` block: the buckets for one reduce partition, in the order of (map task, pack)."""

    def __init__(self, of: NodeId, memory: Memory, files: SpillFiles) -> None:
        super().__init__(of)
        self._memory, self._files = memory, files
        self._pieces: list[tuple[int, Frames | Stored | Bucket]] = []
        self.failed: ScratchError | None = None
        """What arrived could not be stored: whoever reads the block is told."""

    def __len__(self) -> int:
        return len(self._pieces)

    def take_back(self) -> None:
        """Nobody will read it: its space on disk is free again."""
        _take_back([piece for _, piece in self._pieces])
        self._pieces.clear()

    def __iter__(self) -> Iterator[Frames]:
        """The buckets, each read when its turn comes."""
        if self.failed is not None:
            raise _afresh(self.failed)
        self._memory.used(self)
        for at in range(len(self._pieces)):
            piece = self._pieces[at][1]
            yield piece if isinstance(piece, list) else piece.read()

    def refer(self, source: int, bucket: Bucket) -> None:
        """Add a bucket that a map task of this executor wrote."""
        self._pieces.append((source, bucket))

    def add(self, source: int, frames: Frames) -> None:
        """Add a bucket that has arrived."""
        if self._memory.hold(self, _nbytes(frames)):
            self._pieces.append((source, frames))
        else:
            self._pieces.append((source, self._files.write([frames])[0]))

    def finish(self) -> None:
        """All is there: put it in order. What one task sent stays in the order in which it came."""
        self._pieces.sort(key=itemgetter(0))

    def pieces(self) -> Iterator[Frames | Stored | Bucket]:
        return (piece for _, piece in self._pieces)

    def evict(self) -> None:
        inside = [at for at, (_, piece) in enumerate(self._pieces) if isinstance(piece, list)]
        stored = self._files.write(self._pieces[at][1] for at in inside)  # type: ignore[misc]
        for at, piece in zip(inside, stored, strict=True):
            self._pieces[at] = self._pieces[at][0], piece


class Kept(Holding):
    """An ``rdd`` block: its records in chunks, each as a list of objects, as bytes, or on disk."""

    kept = True

    def __init__(
        self, block: BlockId, level: Level, files: SpillFiles, chunk_bytes: int, changed: set[BlockId]
    ) -> None:
        super().__init__(block.of)
        self.block, self.level = block, level
        self.failed: ScratchError | None = None
        self.chunks: list[_Objects | Frames | Stored] = []
        self.gone = False
        """It was dropped for want of memory."""
        self._files, self._chunk_bytes, self._changed = files, chunk_bytes, changed

    @property
    def disk_bytes(self) -> int:
        return sum(chunk.segment.length for chunk in self.chunks if isinstance(chunk, Stored))

    def records(self) -> Iterator[Any]:
        if self.failed is not None:
            raise _afresh(self.failed)
        if len(self.chunks) == 1:
            return iter(_opened(self.chunks[0]))
        return chain.from_iterable(map(_opened, self.chunks))

    def take_back(self) -> None:
        """Nobody will read it: its space on disk is free again."""
        _take_back(self.chunks)
        self.chunks = []

    def evict(self) -> None:
        self._changed.add(self.block)
        if not self.level.disk:
            self.gone = True
            self.chunks = []
            return
        chunks: list[_Objects | Frames | Stored] = []
        written: list[Stored] = []
        try:
            for chunk in self.chunks:
                if isinstance(chunk, Stored):
                    chunks.append(chunk)
                    continue
                for stored in self._write(chunk):
                    written.append(stored)
                    chunks.append(stored)
        except ScratchError:
            _take_back(written)
            raise
        self.chunks = chunks

    def _write(self, chunk: _Objects | Frames) -> Iterator[Stored]:
        if not isinstance(chunk, _Objects):
            yield from self._files.write([chunk])
            return
        pieces = max(1, chunk.nbytes // self._chunk_bytes)
        length = -(-len(chunk.records) // pieces)
        for at in range(0, len(chunk.records), length):
            yield from self._files.write([encode(chunk.records[at : at + length])])


class _Objects(NamedTuple):
    """A chunk of a kept partition as it was computed."""

    records: list[Any]
    nbytes: int


class BlockStore:
    """Owned by one executor; not shared.

    Args:
        memory: the budget to count in; by default, one without end.
        through_files: what map tasks write, and copies of kept partitions, go to files at once, however much memory there
            is (``--mode mapreduce``).
    """

    def __init__(
        self, memory: Memory | None = None, scratch: Scratch | None = None, *, through_files: bool = False
    ) -> None:
        self.memory = memory or Memory(1 << 60)
        self._through_files = through_files
        self._scratch = scratch or Scratch()
        limit = self.memory.limit_bytes
        self.files = SpillFiles(self._scratch, max(_FILE_BYTES, min(limit, 1 << 40)))
        self._chunk_bytes = max(min(_CHUNK_BYTES, limit // 16), 1 << 12)
        self._maps: dict[BlockId, list[Pack]] = {}
        self._ins: dict[BlockId, Gathered] = {}
        self._kept: dict[BlockId, Kept] = {}
        self._arriving: dict[BlockId, Gathered | Kept] = {}
        self._pinned: list[Kept] = []
        self._changed: set[BlockId] = set()
        self.levels_of_copies: Mapping[NodeId, Level] = {}
        """Of the kept nodes that the exchange under way copies."""

    def __contains__(self, block: BlockId) -> bool:
        kept = self._kept.get(block)
        return block in self._maps or block in self._ins or (kept is not None and not kept.gone)

    def __iter__(self) -> Iterator[BlockId]:
        yield from (*self._maps, *self._ins, *(block for block, kept in self._kept.items() if not kept.gone))

    def drop(self, block: BlockId) -> None:
        """Forget the block; one that is not here is no error."""
        for pack in self._maps.pop(block, ()):
            self.memory.let_go(pack)
        for holding in (self._ins.pop(block, None), self._kept.pop(block, None)):
            if holding is not None:
                self.memory.let_go(holding)
        self._changed.discard(block)

    def drop_node(self, node: NodeId, *, kinds: tuple[str, ...] = ("rdd", "map", "in")) -> None:
        held: tuple[dict[BlockId, Any], ...] = (self._maps, self._ins, self._kept)
        for block in [block for blocks in held for block in blocks if block.of == node and block.kind in kinds]:
            self.drop(block)

    def clear(self) -> None:
        for block in [*self._maps, *self._ins, *self._kept]:
            self.drop(block)
        self.abandon_arrivals()
        self.end_task()
        self.files.forget()

    # --- shuffles -------------------------------------------------------------------------------------------------

    def write_map(self, block: BlockId, packs: Iterable[Buckets]) -> None:
        """Take the packs of a map task, each as it comes.

        Raises:
            ScratchError: they fit neither in memory nor on disk.
        """
        self.drop(block)
        written: list[Pack] = []
        try:
            for buckets in packs:
                pack = Pack(block.of, buckets, self.files)
                if self._through_files or not self.memory.hold(pack, pack.nbytes):
                    pack.evict()
                written.append(pack)
        except BaseException:
            for pack in reversed(written):
                self.memory.let_go(pack)
                pack.take_back()
            raise
        self._maps[block] = written

    def packs(self, block: BlockId) -> list[Pack]:
        """Of a ``map`` block. KeyError when it is not here."""
        return self._maps[block]

    def gathered(self, block: BlockId) -> Gathered:
        """An ``in`` block. KeyError when it is not here."""
        return self._ins[block]

    def expect(self, block: BlockId) -> None:
        """An exchange will bring the block, though perhaps nothing for it."""
        self._arriving[block] = (
            Gathered(block.of, self.memory, self.files) if block.kind == "in"
            else self._new(block, self.levels_of_copies.get(block.of, Level())._replace(disk=True)))

    def arrive(self, block: BlockId, source: int, frames: Frames | Bucket) -> None:
        """A piece of an expected block is here. For ``in`` blocks ``source`` is the map task, for ``rdd`` blocks 1 when
        records were objects where they come from, 0 when they were bytes."""
        if block not in self._arriving:
            self.expect(block)
        arriving = self._arriving[block]
        if type(frames) is Bucket and isinstance(arriving, Gathered):
            arriving.refer(source, frames)
            return
        if arriving.failed is not None:
            return
        try:
            self._add(arriving, source, frames)
        except ScratchError as error:  # the other ranks go on, and so does this one; a task that needs the block fails
            arriving.failed = _afresh(error)
            self.memory.let_go(arriving)
            arriving.take_back()

    def _add(self, arriving: Gathered | Kept, source: int, frames: Frames | Bucket) -> None:
        assert not isinstance(frames, Bucket)
        if isinstance(arriving, Gathered):
            arriving.add(source, frames)
        else:
            if self._through_files or not arriving.level.memory:
                arriving.chunks += self.files.write([frames])
                return
            records = decode(frames) if source else None
            chunk: _Objects | Frames = frames if records is None else _Objects(records, size_of(records))
            nbytes = _nbytes(frames) if isinstance(chunk, list) else chunk.nbytes
            if self.memory.hold(arriving, nbytes):
                arriving.chunks.append(chunk)
            else:
                arriving.chunks += self.files.write([frames])

    def complete_arrivals(self) -> None:
        """The exchange is over: what has arrived is whole. Blocks that were copied are where their level says, but never
        dropped for want of memory: those of a level without disk go there, as who asked for the copy counts on it."""
        for block, arrived in self._arriving.items():
            self.drop(block)
            if isinstance(arrived, Gathered):
                arrived.finish()
                self._ins[block] = arrived
            else:
                self._kept[block] = arrived
                self._changed.add(block)
        self._arriving.clear()

    def abandon_arrivals(self) -> None:
        """The exchange is void."""
        for arriving in self._arriving.values():
            self.memory.let_go(arriving)
        self._arriving.clear()

    # --- kept partitions ------------------------------------------------------------------------------------------

    def pin(self, block: BlockId) -> None:
        """The task will read the kept partition: it stays where it is until the task has ended."""
        kept = self._kept[block]
        self.memory.used(kept)
        self._pin(kept)

    def records(self, block: BlockId) -> Iterator[Any]:
        """Of a kept partition. KeyError when it is not here."""
        return self._kept[block].records()

    def keep(self, block: BlockId, level: Level, records: Iterable[Any]) -> tuple[Iterator[Any], bool]:
        """Keep what is computed, as far as the level and the memory allow.

        Returns the records (the kept ones, or those gathered so far and then the rest), and whether they are kept.

        Raises:
            ScratchError: the level says disk, and that fails.
        """
        self.drop(block)
        kept = self._new(block, level)
        self._pin(kept)
        source = iter(records)
        rest: Iterable[Any] = source
        if level.memory:
            missed = self._fill_memory(kept, source)
            if missed is not None and not level.disk:
                return self._taken_back(kept, missed, source), False
            if missed is not None:
                kept.evict()
                self.memory.let_go(kept)
            rest = () if missed is None else chain(missed, source)
        try:
            if level.committed:
                self._write_committed(kept, rest)
            else:
                for chunk, _ in self._batches(rest):
                    kept.chunks += self.files.write([self._scratch.costs.encode(chunk)])
        except BaseException:
            kept.take_back()
            raise
        self._kept[block] = kept
        self._changed.add(block)
        return kept.records(), True

    def _write_committed(self, kept: Kept, records: Iterable[Any]) -> None:
        file = SpillFile(self._scratch, named=True)
        for chunk, _ in self._batches(records):
            kept.chunks.append(Stored(file, file.write(self._scratch.costs.encode(chunk))))
        file.commit(f"rdd-{kept.block.of}-part-{kept.block.part:05}-")

    def _new(self, block: BlockId, level: Level) -> Kept:
        return Kept(block, level, self.files, self._chunk_bytes, self._changed)

    def _fill_memory(self, kept: Kept, source: Iterator[Any]) -> list[Any] | None:
        """Hold chunks as long as they fit; the one that did not, or None when all did."""
        for records, nbytes in self._batches(source) if kept.level.encoded else _measured(source, self._chunk_bytes):
            chunk: _Objects | Frames = _Objects(records, nbytes)
            if kept.level.encoded:
                # Read-only, as who reads a partition again must find what was kept.
                chunk = [memoryview(frame).toreadonly() for frame in self._scratch.costs.encode(records)]
                nbytes = _nbytes(chunk)
            if not self.memory.hold(kept, nbytes):
                return records
            kept.chunks.append(chunk)
        return None

    def _taken_back(self, kept: Kept, missed: list[Any], source: Iterator[Any]) -> Iterator[Any]:
        """The records of a partition that does not fit. Its chunks are let go one by one, as they are used up."""

        def chunks() -> Iterator[Iterable[Any]]:
            kept.chunks.reverse()
            while kept.chunks:
                chunk = kept.chunks.pop()
                yield _opened(chunk)
                self.memory.let_go(kept, chunk.nbytes if isinstance(chunk, _Objects) else _nbytes(chunk))  # type: ignore[arg-type]

        return chain(chain.from_iterable(chunks()), missed, source)

    def _batches(self, records: Iterable[Any]) -> Iterator[tuple[list[Any], int]]:
        """The records in lists of about ``_chunk_bytes``."""
        batch: list[Any] = []
        size = 0
        for chunk, nbytes in _measured(iter(records), self._chunk_bytes):
            batch += chunk
            size += nbytes
            if size >= self._chunk_bytes // 2:
                yield batch, size
                batch, size = [], 0
        if batch:
            yield batch, size

    def _pin(self, kept: Kept) -> None:
        kept.pinned = True
        self._pinned.append(kept)

    def end_task(self) -> None:
        """The task reads no blocks any more."""
        for kept in self._pinned:
            kept.pinned = False
            if self._kept.get(kept.block) is not kept:
                self.memory.let_go(kept)  # a partition that did not fit, and was not used up
        self._pinned.clear()

    def drop_failed(self) -> None:
        """Forget blocks that could not be stored when they arrived, so that they are sent again."""
        blocks = [*((block, held.failed) for block, held in self._ins.items()),
                  *((block, kept.failed) for block, kept in self._kept.items())]
        for block, failed in blocks:
            if failed is not None:
                self.drop(block)
                self._changed.add(block)

    def parcels(self, block: BlockId) -> Iterator[tuple[int, Frames | Stored | Bucket]]:
        """A whole ``in`` or ``rdd`` block in pieces, as ``arrive`` takes them."""
        if block.kind == "in":
            yield from enumerate(self._ins[block].pieces())
            return
        kept = self._kept[block]
        for chunk in kept.chunks:
            if not isinstance(chunk, _Objects):
                yield 0, chunk
                continue
            pieces = max(1, chunk.nbytes // self._chunk_bytes)
            length = max(1, -(-len(chunk.records) // pieces))
            for at in range(0, len(chunk.records), length):
                frames = encode(chunk.records[at : at + length])
                # Arrays are sent as they are; of what is pickled for it a second copy would gather here.
                copied = pieces > 1 and len(frames[0]) > self._chunk_bytes // 8
                yield 1, self.files.write([frames])[0] if copied else frames

    def take_changes(self) -> tuple[dict[BlockId, Sizes], tuple[BlockId, ...]]:
        """What has changed since the last call: the sizes of kept partitions, and the blocks that are gone, dropped for
        want of memory or because they could not be stored."""
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
        return sizes, tuple(gone)


def _take_back(pieces: Iterable[object]) -> None:
    """Give back the space of those that are on disk."""
    for stored in reversed([piece for piece in pieces if isinstance(piece, Stored)]):
        stored.take_back()


def _afresh(error: ScratchError) -> ScratchError:
    """The error without its traceback, which holds on to all that its frames hold: the block, and its spill file."""
    return type(error)(*error.args)


def _measured(source: Iterator[Any], chunk_bytes: int) -> Iterator[tuple[list[Any], int]]:
    """The records in lists, with what each takes: small ones first, until it is known how large a record is."""
    step = 1
    while chunk := list(islice(source, step)):
        nbytes = size_of(chunk)
        yield chunk, nbytes
        step = max(1, min(64 * step, chunk_bytes * len(chunk) // nbytes))


def _opened(chunk: _Objects | Frames | Stored) -> Iterable[Any]:
    if isinstance(chunk, _Objects):
        return chunk.records
    records: Iterable[Any] = chunk.file.costs.decode(chunk.read()) if isinstance(chunk, Stored) else decode(chunk)
    return records


def _nbytes(frames: Frames) -> int:
    return sum(map(len, frames)) + _FRAME_BYTES * len(frames)


def _sizes(frames: Frames) -> tuple[int, ...]:
    return tuple(map(len, frames))


