"""One request for a long part of a file, read by a thread while the task computes.

A request for each piece costs a store more than it seems: SeaweedFS, on a machine with all cores busy, gave 81 MB/s for
pieces of 8 MiB, four at a time, 106 one after the other, and 146 as one stream.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from mpirdd.protocol.frames import Buffer

PIECE_BYTES = 1 << 20
"""Of a stream. 413 MB of S3 cost 0.21 s of CPU, and 0.27 s in pieces of 4 MiB, which leave the processor's cache between two
looks."""
_WAITING = 8
"""So many pieces wait for the task at most."""


class Fetched(NamedTuple):
    """A piece of a file."""

    data: Buffer
    """Fewer bytes than asked for only where the file ends."""
    file_bytes: int
    """The size of the whole file."""


Stream = Callable[[int, int], Iterator[Fetched]]
"""``stream(start, end)``: the bytes from ``start`` to ``end``, or to the file's end, some ``PIECE_BYTES`` at a time.
Raises OSError."""


class StreamAhead:
    """The bytes from ``start`` to ``end``, of which ``_WAITING`` pieces wait at most.

    A stream that breaks off after some pieces (a task that computes for long outlives the server's patience) is taken up
    again where it broke off.
    """

    def __init__(self, stream: Stream, start: int, end: int) -> None:
        self._stream, self._position, self._end = stream, start, end
        self._pieces: deque[Fetched] = deque()
        self._error: BaseException | None = None
        self._over = self._left = False
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="mpirdd-read-ahead", daemon=True).start()

    def next(self) -> Fetched | None:
        """The next piece; None when all have come."""
        with self._changed:
            self._changed.wait_for(lambda: self._pieces or self._over)
            if self._pieces:
                piece = self._pieces.popleft()
                self._changed.notify_all()
                return piece
            if self._error is not None:
                raise self._error
            return None

    def leave(self) -> None:
        """Nobody will ask for more."""
        with self._changed:
            self._left = True
            self._pieces.clear()
            self._changed.notify_all()

    def _run(self) -> None:
        error: BaseException | None = None
        try:
            while self._position < self._end and not self._left and self._read_on():
                continue
        except BaseException as raised:  # whatever it is: the reader raises it
            error = raised
        with self._changed:
            self._error, self._over = error, True
            self._changed.notify_all()

    def _read_on(self) -> bool:
        """Read one stream to its end; True if it broke off after some pieces."""
        began = self._position
        try:
            for piece in self._stream(self._position, self._end):
                self._position += memoryview(piece.data).nbytes
                with self._changed:
                    self._pieces.append(piece)
                    self._changed.notify_all()
                    self._changed.wait_for(lambda: len(self._pieces) < _WAITING or self._left)
                if self._left:
                    return False
        except OSError:
            if self._position == began:
                raise
            return True
        return False
