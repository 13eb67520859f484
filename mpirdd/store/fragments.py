"""Fragments: encoded values, in memory or on disk.

A bucket that a map task wrote for one reduce partition is a fragment. So is a chunk of a kept partition that is held as bytes.
The holder that counts a fragment against the budget (a pack, a reduce input, a kept partition) *owns* it and may move it to
disk. Others only refer to it, and read it without knowing where it lies.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mpirdd.protocol.errors import ScratchError
from mpirdd.protocol.frames import Buffer, Frames
from mpirdd.store.codec import decode
from mpirdd.store.scratch import Scratch
from mpirdd.store.spill import Segment, SpillFile

_FRAME_BYTES = 120
"""The memory of a frame besides its data: the object, its fragment, and their places in lists."""


class Fragment:
    """One encoded value, in memory until ``SpillFiles.move`` takes it to disk."""

    __slots__ = ("_file", "_place", "owned")

    def __init__(self, frames: Frames) -> None:
        # A single frame, the usual case, without its list, which would take as much memory as the fragment.
        self._place: Frames | Buffer | Segment = frames[0] if len(frames) == 1 else frames
        self._file: SpillFile | None = None
        self.owned = False
        """A pack or a reduce input counts this fragment against the budget, and may move it."""

    @classmethod
    def on_disk(cls, file: SpillFile, segment: Segment) -> Fragment:
        """A value that has been written to ``file``."""
        fragment = cls([])
        fragment.moved(file, segment)
        return fragment

    @property
    def in_memory(self) -> bool:
        return self._file is None

    @property
    def frames(self) -> Frames:
        """The frames of a fragment in memory."""
        assert not isinstance(self._place, Segment)
        return self._place if isinstance(self._place, list) else [self._place]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Bytes of each frame."""
        if isinstance(self._place, Segment):
            return self._place.sizes
        return tuple([memoryview(frame).nbytes for frame in self.frames])

    @property
    def memory_bytes(self) -> int:
        """The bytes that it counts in memory; 0 on disk."""
        return memory_bytes(self.frames) if self.in_memory else 0

    @property
    def disk_bytes(self) -> int:
        return self._place.length if isinstance(self._place, Segment) else 0

    @property
    def nbytes(self) -> int:
        """The bytes of the value, in memory or on disk."""
        return self._place.nbytes if isinstance(self._place, Segment) else sum(map(len, self.frames))

    def read(self) -> Frames:
        """The frames, from memory or from disk.

        Raises:
            CorruptSpill: the frames on disk are damaged.
            ScratchError: they cannot be read from disk.
        """
        if isinstance(self._place, Segment):
            assert self._file is not None
            return self._file.read(self._place)
        return self.frames

    def decoded(self) -> Any:
        """The value itself."""
        if self._file is None:
            return decode(self.frames)
        return self._file.costs.decode(self.read())  # costs of values on disk are counted

    def offset(self) -> int:
        """The place in its file of a fragment on disk."""
        assert isinstance(self._place, Segment)
        return self._place.offset

    def moved(self, file: SpillFile, segment: Segment) -> None:
        """The value now lies in ``file``."""
        self._file, self._place = file, segment

    def take_back(self) -> None:
        """Nobody will read the value any more: free its space on disk."""
        if isinstance(self._place, Segment):
            assert self._file is not None
            self._file.take_back(self._place)


class SpillFiles:
    """The spill files of a store: one to write to, until it is large enough."""

    def __init__(self, scratch: Scratch, file_bytes: int) -> None:
        self._scratch, self._file_bytes = scratch, file_bytes
        self._current: SpillFile | None = None
        self.written_bytes = 0
        """All bytes written to disk so far."""

    def write(self, frames: Frames) -> Fragment:
        """Write one value to disk at once. Raises ScratchError."""
        fragment = Fragment(frames)
        self.move([fragment])
        return fragment

    def move(self, fragments: Iterable[Fragment]) -> None:
        """Move those fragments that are in memory to disk, side by side. Raises ScratchError; then none has moved."""
        moving = [fragment for fragment in fragments if fragment.in_memory]
        if not moving:
            return
        file = self._current
        if file is None or file.size >= self._file_bytes:
            file = self._current = SpillFile(self._scratch)
        before = file.size
        try:
            segments = file.write_all(fragment.frames for fragment in moving)
        except ScratchError:
            self._current = None  # the data that the failed task has written there goes with the file
            raise
        for fragment, segment in zip(moving, segments, strict=True):
            fragment.moved(file, segment)
        self.written_bytes += file.size - before

    def forget(self) -> None:
        """Nothing in the files is needed any more."""
        self._current = None


def memory_bytes(frames: Frames) -> int:
    """The bytes that frames count in memory."""
    return sum(map(len, frames)) + _FRAME_BYTES * len(frames)


def take_back(fragments: Iterable[object]) -> None:
    """Free the disk space of those objects among ``fragments`` that are fragments on disk. The last one in its file comes first,
    as a file shrinks only from its end."""
    on_disk = [each for each in fragments if isinstance(each, Fragment) and not each.in_memory]
    for fragment in sorted(on_disk, key=Fragment.offset, reverse=True):
        fragment.take_back()


def afresh(error: ScratchError) -> ScratchError:
    """A copy of the error without its traceback, whose frames would keep the block and its spill file alive."""
    return type(error)(*error.args)
