"""A file that is being written to HDFS, also when a DataNode dies meanwhile.

``hdfs-native`` goes on with the other DataNodes of a block that it is writing. But it cannot begin a block on a DataNode that
is dead, and until the NameNode has noticed (10 minutes by default) it is offered that one again and again. Hadoop's own client
then asks for others; the library has no such call. So the writer begins the file anew, under the same name:

* It copies what the failed file has in whole blocks. The rest of what was written is still in memory: the last ``_KEPT_BYTES``,
  more than the library and the network hold without an answer.
* For each new file the NameNode chooses DataNodes again. From try to try it is asked for fewer replicas, since one dead
  DataNode among them spoils all, and for large blocks, so that it chooses once. When the file is whole, the writer tells the
  NameNode how many replicas there should be, and it makes them.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from functools import partial
from typing import Any, Protocol

from mpirdd.formats.filesystems.bounded import BoundedCalls
from mpirdd.formats.filesystems.protocol import AbortingWriter
from mpirdd.protocol.frames import Buffer

WRITE_BYTES = 1 << 20
"""Written at a time: a call into the library costs some 20 us."""
DATA_S = 60.0
"""A call that moves data, a few MiB at most, must end in this time: DataNodes wait for disks and for each other."""
_KEPT_BYTES = 24 << 20
"""The library holds 200 packets of 64 KiB, and the network some MiB."""
_COPIED_BYTES = 4 << 20
_LARGE_BLOCK_BYTES = 1 << 30
_TRIES = 20
"""Of two DataNodes the dead one is met by all tries with one replica once in 100,000 times. A try takes some 10 ms."""
_TRYING_S = 150.0
"""Where a dead host does not even refuse, each try takes as long as the system waits for a connection."""
_CLOSE_S = 8.0


class HdfsFile(Protocol):
    """What the writer needs of a cluster, about one file."""

    def create(self, replicas: int | None = None, block_bytes: int | None = None) -> Any:
        """The library's writer of a new file, which replaces the one of an earlier call. None: as the cluster has it."""
        ...

    def layout(self) -> tuple[int, int]:
        """Replicas and bytes of a block."""
        ...

    def whole_bytes(self) -> int:
        """What the file has in whole blocks."""
        ...

    def set_aside(self) -> None:
        """Give it another name, in place of what was set aside before."""
        ...

    def read_aside(self, start: int, length: int) -> bytes: ...

    def set_replicas(self, replicas: int) -> None: ...

    def remove(self) -> None:
        """And what was set aside."""
        ...

    def remove_aside(self) -> None: ...

    def is_about_data(self, error: BaseException) -> bool:
        """Did a DataNode fail, or is it away? Not: the NameNode refuses."""
        ...

    def told(self) -> AbstractContextManager[None]:
        """Turns the library's errors into words."""
        ...


class HdfsWriter(AbortingWriter):
    """Writes a MiB at a time. HDFS shows the file at once, and its content as it grows."""

    def __init__(self, file: HdfsFile, calls: BoundedCalls) -> None:
        """Raises OSError."""
        self._file, self._calls = file, calls
        with file.told():
            self._writer = file.create()
        self._waiting = bytearray()
        self._size = 0
        """Bytes that the library was given."""
        self._kept: deque[bytes] = deque()
        """The last of them."""
        self._kept_bytes = 0
        self._aside_bytes = 0
        """Of the file that was set aside."""
        self._tries = 0
        self._replicas: tuple[int, int] | None = None
        """That the file has, and should have; None: it has not been begun anew."""

    def __enter__(self) -> HdfsWriter:
        return self

    def write(self, data: Buffer, /) -> int:
        self._waiting += data
        if len(self._waiting) >= WRITE_BYTES:
            self._flush()
        return memoryview(data).nbytes

    def close(self) -> None:
        if self._waiting:
            self._flush()
        with self._file.told():
            try:
                self._calls(DATA_S, self._writer.close)
            except BaseException as error:  # the library's panics are no Exception
                self._write_again(error, closing=True)
        with suppress(OSError):  # it is whole
            if self._replicas is not None and self._replicas[0] < self._replicas[1]:
                self._file.set_replicas(self._replicas[1])
            if self._aside_bytes:
                self._file.remove_aside()

    def abort(self) -> None:
        for step in (partial(self._calls, _CLOSE_S, self._writer.close), self._file.remove):
            try:
                step()
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException:  # it never raises; what is left, nobody reads
                continue

    def _flush(self) -> None:
        data = bytes(self._waiting)
        self._waiting.clear()
        self._kept.append(data)
        self._kept_bytes += len(data)
        self._size += len(data)
        while self._kept_bytes - len(self._kept[0]) >= _KEPT_BYTES:
            self._kept_bytes -= len(self._kept.popleft())
        with self._file.told():
            try:
                self._calls(DATA_S, self._writer.write, data)
            except BaseException as error:  # the library's panics are no Exception
                self._write_again(error, closing=False)

    # --- a DataNode dies ------------------------------------------------------------------------------------------

    def _write_again(self, first: BaseException, *, closing: bool) -> None:
        """Write a new file, as far as this one has come.

        Raises:
            BaseException: ``first``, where this is no remedy, or no try succeeds.
        """
        if isinstance(first, KeyboardInterrupt | SystemExit) or not self._file.is_about_data(first):
            raise first
        whole = self._file.whole_bytes()
        if max(whole, self._aside_bytes) < self._size - self._kept_bytes:
            raise first  # bytes are lost with their only replicas
        replicas, block_bytes = self._file.layout()
        if self._replicas is None:
            self._replicas = replicas, replicas
        if whole > self._aside_bytes:
            self._file.set_aside()
            self._aside_bytes = whole
        deadline = time.monotonic() + _TRYING_S
        while self._tries < _TRIES and time.monotonic() < deadline:
            usual = self._replicas[1]
            self._replicas = max(1, usual - self._tries // 2), usual
            self._tries += 1
            # A DataNode without room for a large block may have it for a usual one.
            larger = None if (self._size <= block_bytes and closing) or self._tries % 4 == 0 else _LARGE_BLOCK_BYTES
            try:
                self._writer = self._file.create(self._replicas[0], larger)
                for data in self._written():
                    self._calls(DATA_S, self._writer.write, data)
                if closing:
                    self._calls(DATA_S, self._writer.close)
                return
            except (KeyboardInterrupt, SystemExit):
                raise
            except BaseException as error:
                if not self._file.is_about_data(error):
                    raise
        raise first

    def _written(self) -> Iterator[bytes]:
        """All that was written so far."""
        for start in range(0, self._aside_bytes, _COPIED_BYTES):
            yield self._file.read_aside(start, min(_COPIED_BYTES, self._aside_bytes - start))
        passed = self._aside_bytes - (self._size - self._kept_bytes)
        for data in self._kept:
            if passed < len(data):
                yield data[max(passed, 0) :]
            passed -= len(data)
