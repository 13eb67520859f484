"""A remote file that reads ahead: while the task computes, a thread fetches the next pieces.

What is promised: the first line of a file costs one small piece (a later split of a store begins with its stream); a file
that is read in order is fetched in pieces that grow to ``piece_bytes``, several at a time, or as one stream (``streams``);
never more than ``depth`` pieces wait (of a stream, as many as ``StreamAhead`` says); after a ``seek`` to elsewhere nothing is
fetched ahead until the file is read in order again.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from sys import maxsize
from time import perf_counter
from typing import TYPE_CHECKING

from mpirdd.formats.filesystems.protocol import RemoteFile, failure
from mpirdd.formats.filesystems.streams import Fetched, Stream, StreamAhead

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

    from _typeshed import WriteableBuffer

FIRST_BYTES = 256 << 10
"""The first piece: enough for ``first()``, a header or a signature."""
_BEFORE_BYTES = 256
"""Readers of lines also look at the bytes before their split."""
_GROWTH = 4
"""Each piece is so many times larger than the one before it, up to the largest."""


Fetch = Callable[[int, int], Fetched]
"""``fetch(start, length)``; must be safe to call from several threads. Raises OSError."""


class ReadAheadFile(RemoteFile):
    """A file for reading. ``read(n)`` gives fewer than n bytes only where the file ends.

    Args:
        fetch: gets a piece.
        start: where reading in order will begin; a hint, the position is 0.
        end: read ahead up to here; None: up to the end.
        size: of the file, where it is known already.
        piece_bytes: the largest piece.
        depth: pieces that are fetched ahead at a time.
        stream: gets a long part as one stream, which is used for what is read in order, in place of ``fetch``.
        beyond_bytes: what is fetched behind ``end``, at most, for one read.
    """

    def __init__(
        self, fetch: Fetch, path: str, *, start: int = 0, end: int | None = None, size: int | None = None,
        piece_bytes: int = 4 << 20, depth: int = 2, beyond_bytes: int = 64 << 10,
        stream: Stream | None = None,
    ) -> None:
        super().__init__()
        self.name = path
        self._fetch, self._position, self._end, self._size = fetch, 0, end, size
        self._hint = max(0, start - _BEFORE_BYTES)
        self._largest, self._depth, self._beyond = piece_bytes, depth, beyond_bytes
        self._piece, self._piece_start = memoryview(b""), 0
        self._next_bytes = min(FIRST_BYTES, piece_bytes)
        self._ahead: deque[Future[Fetched]] = deque()
        """On their way, in order; the first begins where the current piece ends."""
        self._frontier = 0
        """Where the last of them ends."""
        self._pool: ThreadPoolExecutor | None = None
        self._stream = stream
        self._running: StreamAhead | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = 0 if whence == os.SEEK_SET else self._position if whence == os.SEEK_CUR else self.size()
        if base + offset < 0:
            raise failure(22, str(self.name), f"the offset {base + offset} lies before the file's start")
        self._position = base + offset
        return self._position

    def size(self) -> int:
        """Bytes in the file. Where nothing tells it yet, this gets the piece where reading begins."""
        if self._size is None:
            self._load(self._hint)
        assert self._size is not None
        return self._size

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < 0:
            return self.readall()
        self._checkClosed()
        parts = []
        while size and (data := self._some(size)):
            parts.append(data)
            size -= len(data)
        return b"".join(parts) if len(parts) != 1 else bytes(parts[0])

    def readall(self) -> bytes:
        self._end = None
        return self.read(max(0, self.size() - self._position))

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        self._checkClosed()
        done = 0
        while done < len(view) and (data := self._some(len(view) - done)):
            view[done : done + len(data)] = data
            done += len(data)
        return done

    def close(self) -> None:
        if not self.closed:
            self._forget()
            if self._pool is not None:
                self._pool.shutdown(wait=False, cancel_futures=True)
        super().close()

    # --- pieces ---------------------------------------------------------------------------------------------------

    def _some(self, size: int) -> memoryview:
        """1 to ``size`` bytes, from one piece; none at the end."""
        at = self._position - self._piece_start
        if not 0 <= at < len(self._piece):
            if not size or (self._size is not None and self._position >= self._size):
                return memoryview(b"")
            self._load(self._position)
            at = 0
        data = self._piece[at : at + size]
        self._position += len(data)
        return data

    def _load(self, start: int) -> None:
        """Make the piece that begins at ``start`` the current one."""
        began = perf_counter()
        in_order = bool(self._piece) and start == self._piece_start + len(self._piece)
        if not in_order:
            self._forget()
            self._next_bytes = min(FIRST_BYTES, self._largest)
        if not in_order and not 0 < start == self._hint:
            fetched = self._fetch(start, self._length_at(start))
        elif self._stream is not None:
            fetched = self._from_stream(start) or self._fetch(start, self._length_at(start))
        else:
            self._fill(start)
            fetched = self._ahead.popleft().result() if self._ahead else self._fetch(start, self._length_at(start))
        self._piece, self._piece_start, self._size = memoryview(fetched.data), start, fetched.file_bytes
        if self.costs is not None:
            self.costs.add(input_s=perf_counter() - began, input_bytes=len(self._piece))
        if in_order and self._stream is None:
            self._fill(start + len(self._piece))

    def _from_stream(self, start: int) -> Fetched | None:
        """The next piece of the stream, which begins now if there is none; None behind what is read ahead."""
        if self._running is None:
            end = min(maxsize if self._size is None else self._size, maxsize if self._end is None else self._end)
            if start >= end or end == maxsize or self._stream is None:
                return None
            self._running = StreamAhead(self._stream, start, end)
        return self._running.next()

    def _length_at(self, start: int) -> int:
        """Bytes of the next piece, which begins at ``start``. It ends where reading ahead does, or at a multiple of its
        size: stores keep files in pieces, too, so that fewer of theirs are touched."""
        length = self._next_bytes - start % self._next_bytes
        self._next_bytes = min(self._next_bytes * _GROWTH, self._largest)
        if self._end is None:
            return length
        return min(length, self._end - start) if start < self._end else min(length, self._beyond)

    def _fill(self, start: int) -> None:
        """Have ``depth`` pieces on their way, the first of which begins at ``start``."""
        if not self._ahead:
            self._frontier = start
        end = min(self._size if self._size is not None else 0, maxsize if self._end is None else self._end)
        while len(self._ahead) < self._depth and self._frontier < end:
            if self._pool is None:
                from concurrent.futures import ThreadPoolExecutor  # late: 10 ms that only long remote files pay

                self._pool = ThreadPoolExecutor(self._depth, "mpirdd-read-ahead")
            length = min(self._length_at(self._frontier), end - self._frontier)
            self._ahead.append(self._pool.submit(self._fetch, self._frontier, length))
            self._frontier += length

    def _forget(self) -> None:
        if self._running is not None:
            self._running.leave()
            self._running = None
        while self._ahead:
            self._ahead.pop().cancel()
