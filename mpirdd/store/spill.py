"""Spill files: encoded values on local disk for as long as a task or a block needs them.

A spill file has no name: it is unlinked as soon as it is open, so the system frees it when the process ends, however it ends.
Each value is appended as a *segment*: a header, then the frames, compressed with lz4 if a sample of them shows that it pays.
The header has the sizes and a checksum of the bytes on disk. Reading back anything else raises, so damaged data is never taken
for records. (No fsync: a spill file does not outlive its process.)

    header   magic, flags, bytes on disk, bytes in memory, xxh3_64 of the bytes on disk

Reads are positioned and may come from several threads. So may writes; each reserves its place in the file first.
"""

from __future__ import annotations

import errno
import os
import struct
import weakref
from collections.abc import Iterable
from contextlib import suppress
from threading import Lock
from time import perf_counter
from typing import NamedTuple

from mpirdd.protocol.errors import CorruptSpill, ScratchError, ScratchFull
from mpirdd.protocol.frames import Buffer, Frames
from mpirdd.protocol.shown import shown_size
from mpirdd.store.buffers import writable_memory
from mpirdd.store.scratch import Scratch, new_name

_HEADER = struct.Struct("<4sIQQQ")
_MAGIC = b"mpSF"
_UNFINISHED = ".unfinished-"
_LZ4 = 1
_TRIED_BYTES = 4096
"""The size of each sample that is compressed to see whether it pays; segments below two samples are never compressed."""
_PAYS = 0.75
"""Compress if the sample shrinks to this or less. lz4 takes in 0.5 GB/s, a local disk 1-2: compressing less is not worth it."""
_LARGEST_LZ4 = 1 << 30
_MARGIN_BYTES = 64 << 20
"""Space on the disk left to others; a twentieth of the disk if that is less."""
_LOOK_EVERY_BYTES = 8 << 20
"""The free space is checked after this many written bytes (a check takes 2 us)."""
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_VECTOR = 512
"""Buffers in one system call; Linux takes 1,024."""


class Segment(NamedTuple):
    """The place of one value in a spill file."""

    offset: int
    length: int
    """Bytes on disk, header included."""
    sizes: tuple[int, ...]
    """The size of each frame."""

    @property
    def nbytes(self) -> int:
        """The bytes in memory once it is read."""
        return sum(self.sizes)


class SpillFile:
    """One nameless file; closed when it is garbage collected, at the latest.

    Args:
        named: the file has a name until it is closed, so that it can be committed.

    Raises:
        ScratchError: the file cannot be made.
    """

    def __init__(self, scratch: Scratch, *, named: bool = False) -> None:
        self.folder = scratch.path()
        self.costs = scratch.costs
        self.size = 0
        """Bytes written. They stay on disk until the file is closed, unless taken back at its end."""
        self._looked_at = -_LOOK_EVERY_BYTES
        self._lock = Lock()
        try:
            self._name = new_name(_UNFINISHED, self.folder)
            self._file = os.open(self._name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            if not named:
                os.unlink(self._name)
        except OSError as error:
            raise _translated(error, self.folder, "cannot make a spill file") from error
        self._names = [self._name] if named else []
        self.close = weakref.finalize(self, _close, self._file, self._names, os.getpid())
        """Free the space. May be called again."""

    def commit(self, name: str) -> None:
        """All is written: force the content to disk, give the file its name, and force the name to disk. Only for a named file,
        once, after its last write.

        Raises:
            ScratchError: the disk fails.
        """
        from mpirdd.store.atomic import rename_whole  # late: it imports json

        began = perf_counter()
        final = os.path.join(self.folder, name + os.path.basename(self._name).removeprefix(_UNFINISHED))
        try:
            rename_whole(self._name, final, descriptor=self._file)
            self._names[:] = [final]
        except OSError as error:
            raise _translated(error, self.folder, "cannot commit a file") from error
        self.costs.add(commit_s=perf_counter() - began)

    def write(self, frames: Frames) -> Segment:
        """Append one value.

        Raises:
            ScratchFull: there is no space.
            ScratchError: the disk fails.
        """
        return self.write_all([frames])[0]

    def write_all(self, values: Iterable[Frames]) -> list[Segment]:
        """Append several values, side by side, with few system calls. Raises as ``write`` does."""
        began, counted_s = perf_counter(), self.costs.counted_s
        buffers: list[Buffer] = []
        shapes: list[tuple[int, tuple[int, ...]]] = []
        for frames in values:
            sizes = tuple(memoryview(frame).nbytes for frame in frames)
            flags, payload = _packed(frames, sum(sizes))
            stored, checksum = _sum_of(payload)
            buffers.append(_HEADER.pack(_MAGIC, flags, stored, sum(sizes), checksum))
            buffers += payload
            shapes.append((_HEADER.size + stored, sizes))
        total = sum(length for length, _ in shapes)
        with self._lock:
            at = self.size
            self._check_space(total)
            self.size += total
        self._append(buffers, at, total)
        self.costs.add(written_bytes=total)
        self.costs.add_rest("write_s", began, counted_s)  # taking ``values`` may encode them
        segments = []
        for length, sizes in shapes:
            segments.append(Segment(at, length, sizes))
            at += length
        return segments

    def take_back(self, segment: Segment) -> None:
        """Nobody will read the value: free its space now if it is at the end of the file, otherwise with the file."""
        with self._lock:
            self._cut(segment.offset, segment.length)

    def read(self, segment: Segment) -> Frames:
        """The value. Its frames are writable memory of their own.

        Raises:
            CorruptSpill: the bytes on disk are not those that were written.
            ScratchError: the disk fails.
        """
        began = perf_counter()
        header = bytearray(_HEADER.size)
        raw = segment.nbytes
        stored_length = segment.length - _HEADER.size
        compressed = stored_length != raw
        payload: Frames = [writable_memory(size) for size in ((stored_length,) if compressed else segment.sizes)]
        self._fill([header, *payload], segment.offset)
        magic, flags, stored, inside, checksum = _HEADER.unpack(header)
        if (magic, flags, stored, inside) != (_MAGIC, _LZ4 if compressed else 0, stored_length, raw):
            raise self._corrupt(segment, "its header is damaged")
        if _sum_of(payload)[1] != checksum:
            raise self._corrupt(segment, "its checksum does not fit")
        frames = _unpacked(payload[0], segment.sizes) if compressed else payload
        self.costs.add(read_s=perf_counter() - began, read_bytes=segment.length)
        return frames

    def _check_space(self, wanted: int) -> None:
        if self.size + wanted - self._looked_at < _LOOK_EVERY_BYTES:
            return
        status = os.fstatvfs(self._file)
        free = status.f_bavail * status.f_frsize
        margin = min(_MARGIN_BYTES, status.f_blocks * status.f_frsize // 20)
        if free - margin < wanted:
            raise ScratchFull(_full(self.folder, wanted, free, margin))
        self._looked_at = self.size

    def _append(self, buffers: list[Buffer], at: int, total: int) -> None:
        views = [memoryview(buffer).cast("B") for buffer in buffers if memoryview(buffer).nbytes]
        began, first = at, 0
        try:
            while first < len(views):
                written = os.pwritev(self._file, views[first : first + _VECTOR], at)
                at += written
                while first < len(views) and written >= views[first].nbytes:
                    written -= views[first].nbytes
                    first += 1
                if written:
                    views[first] = views[first][written:]
        except OSError as error:
            with self._lock:
                self._cut(began, total)
            raise _translated(error, self.folder, "cannot write a spill file", needed=total, file=self._file) from error

    def _cut(self, at: int, length: int) -> None:
        if at + length == self.size:
            with suppress(OSError):
                os.ftruncate(self._file, at)
            self.size, self._looked_at = at, at - _LOOK_EVERY_BYTES

    def _fill(self, buffers: Frames, at: int) -> None:
        views = [view for buffer in buffers if (view := memoryview(buffer).cast("B")).nbytes]
        first = 0
        while first < len(views):
            try:
                got = os.preadv(self._file, views[first : first + _VECTOR], at)
            except OSError as error:
                raise _translated(error, self.folder, "cannot read a spill file") from error
            if not got:
                raise self._corrupt(Segment(at, 0, ()), "the file ends early")
            at += got
            while first < len(views) and got >= views[first].nbytes:
                got -= views[first].nbytes
                first += 1
            if got:
                views[first] = views[first][got:]

    def _corrupt(self, segment: Segment, what: str) -> CorruptSpill:
        return CorruptSpill(
            f"a spill file in {self.folder} on {os.uname().nodename} does not hold what was written to it "
            f"({what}, at byte {segment.offset}): the disk or the memory of that host is failing. "
            "Run on another host, or with --scratch on another disk."
        )


def _close(file: int, names: list[str], made_by: int) -> None:
    os.close(file)
    for name in names if os.getpid() == made_by else ():  # not in a process that a task has forked
        with suppress(OSError):  # the whole folder may be gone
            os.unlink(name)


def _packed(frames: Frames, size: int) -> tuple[int, Frames]:
    """The flags, and the buffers to write to disk."""
    if not 2 * _TRIED_BYTES <= size <= _LARGEST_LZ4:
        return 0, frames
    import lz4.block

    largest = memoryview(max(frames, key=lambda frame: memoryview(frame).nbytes)).cast("B")
    step = max(largest.nbytes // 3, 1)
    tried = b"".join(largest[at : at + _TRIED_BYTES] for at in range(0, largest.nbytes, step))
    if len(lz4.block.compress(tried, store_size=False)) > _PAYS * len(tried):
        return 0, frames
    joined = frames[0] if len(frames) == 1 else b"".join(memoryview(frame).cast("B") for frame in frames)
    compressed = lz4.block.compress(joined, store_size=False)
    return (_LZ4, [compressed]) if len(compressed) < size else (0, frames)


def _unpacked(payload: Buffer, sizes: tuple[int, ...]) -> Frames:
    import lz4.block

    whole = lz4.block.decompress(payload, uncompressed_size=sum(sizes), return_bytearray=True)
    if len(sizes) == 1:
        return [whole]
    frames: Frames = []
    view, at = memoryview(whole), 0
    for size in sizes:
        frame = writable_memory(size)
        frame[:] = view[at : at + size]
        frames.append(frame)
        at += size
    return frames


def _sum_of(payload: Frames) -> tuple[int, int]:
    """Number of bytes, and checksum."""
    from xxhash import xxh3_64, xxh3_64_intdigest  # late: a rank that never spills does without it

    if len(payload) == 1:
        return memoryview(payload[0]).nbytes, xxh3_64_intdigest(payload[0])
    state, size = xxh3_64(), 0
    for frame in payload:
        state.update(frame)
        size += memoryview(frame).nbytes
    return size, state.intdigest()


def _translated(error: OSError, folder: str, what: str, *, needed: int = 0, file: int | None = None) -> ScratchError:
    if error.errno in _FULL:
        try:
            status = os.statvfs(folder if file is None else file)
            free = status.f_bavail * status.f_frsize
        except OSError:
            free = 0
        return ScratchFull(_full(folder, needed, free) + f" ({error.strerror})")
    return ScratchError(
        f"{what} in {folder} on {os.uname().nodename}: {error.strerror or error}. The disk is failing or not "
        "writable: choose another with --scratch."
    )


def _full(folder: str, needed: int, free: int, margin: int = 0) -> str:
    left = f" (of which {shown_size(margin)} are left to others)" if margin and free else ""
    wanted = f"{shown_size(needed)} more are to be spilled" if needed else "a spill file is to be made there"
    return (
        f"the scratch disk is full: {folder} on {os.uname().nodename} has {shown_size(free)} free{left}, and {wanted}. "
        "Choose a larger disk with --scratch DIR, give ranks more memory (--memory), or spread the data over more ranks and "
        "hosts."
    )
