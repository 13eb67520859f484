"""What a file system does for us, and what it says when it cannot.

Formats, outputs and checkpoints use these few methods. They never learn where a file lies. Every path is whole:
``/a/b`` on the local file system, ``hdfs://host/a/b`` or ``s3://bucket/a/b`` elsewhere.

Every method raises ``OSError`` and nothing else for what goes wrong outside. ``strerror`` is a text for people: what
happened, and what to do. ``filename`` is the path. The subclass says the kind, whatever client library is behind:

    FileNotFoundError   nothing is there; also the bucket or the host's name
    PermissionError     forbidden, a wrong key, an expired token
    FileExistsError     something is there already
    ConnectionError, TimeoutError    the server does not answer; told within 10 s
    OSError             all else

So code that handles the errors of local files handles all of them.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from types import TracebackType
from typing import Protocol

from mpirdd.protocol.frames import Buffer
from mpirdd.protocol.values import dataclass
from mpirdd.store.costs import Costs

BLOCK_BYTES = 32 << 20
"""The block size that Hadoop reports for local files and for S3; no split of a file is much larger than a block."""


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file or a folder, as a file system lists it."""

    path: str
    """Whole."""
    size: int
    """Bytes; 0 for a folder."""
    is_folder: bool = False
    block_bytes: int = BLOCK_BYTES
    """Splits are cut at multiples of it."""


class RemoteFile(io.RawIOBase):
    """A file that a client reads."""

    costs: Costs | None = None
    """What the bytes that come, and the wait for them, count among."""


class Writer(Protocol):
    """A file that is being written. It appears whole with ``close``, or not at all.

    As a context manager it closes itself when the block ends well, else it aborts.
    """

    def write(self, data: Buffer, /) -> int: ...

    def close(self) -> None: ...

    def abort(self) -> None:
        """Leave nothing behind; never raises."""
        ...

    def __enter__(self) -> Writer: ...

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Upload:
    """An unfinished multi-part upload. Any process may go on with it."""

    path: str
    id: str


@dataclass(frozen=True, slots=True)
class UploadedPart:
    """A part that the store has received."""

    number: int
    tag: str
    """What the store calls its content."""


class Uploads(Protocol):
    """Uploads that one process begins and another completes: the way to commit without a rename."""

    part_bytes: int
    """The least size of a part, but for the last one."""

    def begin(self, path: str) -> Upload: ...

    def put(self, upload: Upload, number: int, data: Buffer) -> UploadedPart:
        """
        Args:
            number: from 1; a part that is put again replaces the one before it.
        """
        ...

    def complete(self, upload: Upload, parts: Sequence[UploadedPart]) -> None:
        """The file appears, whole, and replaces what was there."""
        ...

    def abort(self, upload: Upload) -> None:
        """Forget it, and what was uploaded; no error if it is gone."""
        ...

    def pending(self, folder: str) -> list[Upload]:
        """All unfinished ones below ``folder``."""
        ...


class FileSystem(Protocol):
    """A client of one file system. One for each process; it is never pickled."""

    @property
    def can_rename(self) -> bool:
        """Is ``rename`` one step, also of a folder, that others see as a whole?"""
        ...

    @property
    def uploads(self) -> Uploads | None: ...

    def info(self, path: str) -> FileInfo | None:
        """None: nothing is there."""
        ...

    def entries(self, folder: str) -> list[FileInfo]:
        """All that is directly in a folder, by name."""
        ...

    def glob(self, pattern: str) -> list[FileInfo]:
        """What matches ``*``, ``?`` and ``[a-z]``, by path; braces are not known. Nothing is no error."""
        ...

    def read_range(self, path: str, start: int, length: int) -> bytes:
        """So many bytes; fewer only where the file ends."""
        ...

    def open(self, path: str, start: int = 0, end: int | None = None) -> io.RawIOBase:
        """The file for reading, seekable. ``read(n)`` gives fewer than n bytes only where the file ends.

        Args:
            start: where reading in order will begin; a hint, nothing is read yet, and the position is 0.
            end: a thread reads ahead up to here, by pieces of some MiB, while the file is read in order. None: up to
                the file's end. Reading beyond is allowed.
        """
        ...

    def create(self, path: str, *, overwrite: bool = False, folders: bool = True) -> Writer:
        """A new file. FileExistsError, here or from ``close``, if there is one.

        Args:
            folders: make the folders above it; else FileNotFoundError without them, on a file system that has folders.
        """
        ...

    def rename(self, source: str, target: str) -> None:
        """FileExistsError if ``target`` exists. Where ``can_rename`` is False: files only, by a copy on the server."""
        ...

    def copy(self, source: str, target: str) -> None:
        """One file; replaces ``target``."""
        ...

    def remove(self, path: str, *, recursive: bool = False) -> None:
        """No error if nothing is there."""
        ...

    def make_folders(self, path: str) -> None:
        """No error if they exist. Object stores have no folders to make."""
        ...

    def block_hosts(self, path: str, start: int, length: int) -> Sequence[str]:
        """The hosts that hold these bytes, those with most of them first; empty where it is not known."""
        ...


class NoRoot(FileNotFoundError):
    """There is no bucket or host, so that nothing below it can be there: more than a folder that is missing."""


class OutOfReach(ConnectionRefusedError):
    """The cluster answers, and a part of it cannot be reached from this host; from another one it may."""


def failure(number: int, path: str, text: str) -> OSError:
    """An ``OSError`` of the subclass that belongs to ``number``, of ``errno``."""
    return OSError(number, text, path)


class AbortingWriter:
    """The context manager's part of a ``Writer``."""

    def close(self) -> None:
        raise NotImplementedError

    def abort(self) -> None:
        raise NotImplementedError

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if value is not None:
            self.abort()
            return
        try:
            self.close()
        except BaseException:  # whatever it is: nothing half stays
            self.abort()
            raise
