"""Input files: what the driver found, and opening one for reading, wherever it lies; and what goes wrong, in words.

All formats come here for files. Local files are plain ``FileIO``, without any library or seam in between; all others come
from ``filesystems``, read ahead, and have the same methods.
"""

from __future__ import annotations

import glob
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import SEEK_END, SEEK_SET, FileIO, RawIOBase
from typing import Protocol

from mpirdd.formats.counted import CountedFile
from mpirdd.formats.filesystems import BLOCK_BYTES, NO_OPTIONS, Options, filesystem_of, is_remote
from mpirdd.formats.filesystems.protocol import RemoteFile
from mpirdd.protocol.errors import InputError
from mpirdd.protocol.values import dataclass
from mpirdd.store.costs import counting

_PART = re.compile(r"(?<![^/])part-(?:[mr]-)?(\d{6,})[^/]*$")
"""A part file of ours, or of a Hadoop job (``part-r-00000``)."""

Identity = tuple[int, int]
"""What is the same for two paths of one folder."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """An input file, as the driver found it."""

    path: str
    """Absolute, so it does not depend on a rank's working directory; or a URL."""
    size: int
    """Bytes on disk (compressed, if the file is)."""
    block_bytes: int = BLOCK_BYTES
    """No split is much larger: the block size that its file system tells."""
    options: Options = NO_OPTIONS
    """How to reach its file system."""
    folders: tuple[tuple[str, str], ...] = ()
    """Of the folders named ``column=text`` between the one that the program gave and the file; where they are asked for."""


class Placed(Protocol):
    """A file, or a part of one, and where it is."""

    @property
    def path(self) -> str: ...

    @property
    def options(self) -> Options: ...


def host() -> str:
    """The name of this host, for messages."""
    return os.uname().nodename


# --- look ---------------------------------------------------------------------------------------------------------


def is_there(path: str) -> bool:
    """True also for a link that leads nowhere: reading it then says so."""
    return os.path.lexists(path)


def is_folder(path: str) -> bool:
    return os.path.isdir(path)


def identity(path: str) -> Identity:
    """Raises OSError."""
    status = os.stat(path)
    return status.st_dev, status.st_ino


def matches(pattern: str) -> list[str]:
    """The paths that match a glob, in no order."""
    return glob.glob(pattern)


def has_magic(pattern: str) -> bool:
    """Does ``pattern`` hold any character that means something in a glob?"""
    return glob.has_magic(pattern)


def names_in(folder: str) -> list[str]:
    """The names in a folder, in the order in which they are read."""
    return sorted(os.listdir(folder), key=reading_order)


def reading_order(path: str) -> str:
    """The key by which names and paths are sorted: as text, but a part file of six digits or more goes behind all of five, so
    that an output of over 100,000 parts is read in the order in which it was written. (Hadoop and Spark read part-100000
    before part-99999.)

    >>> sorted(["out/part-100000", "out/part-99999", "out/part-10000"], key=reading_order)
    ['out/part-10000', 'out/part-99999', 'out/part-100000']
    """
    found = _PART.search(path)
    return path if found is None else f"{path[:found.start(1)]}99999{'~' * (len(found[1]) - 5)}{path[found.start(1):]}"


def input_file(path: str, folders: tuple[tuple[str, str], ...] = ()) -> InputFile:
    """
    Raises:
        InputError: there is something else than a file.
        OSError: there is nothing, or it cannot be looked at.
    """
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"input path {path} is neither a file nor a folder; copy what it gives into a file")
    return InputFile(path, status.st_size, folders=folders)


# --- open ---------------------------------------------------------------------------------------------------------


@contextmanager
def opened(place: Placed, start: int = 0, end: int | None = None, *, counted: bool = True) -> Iterator[RawIOBase]:
    """The file of an ``InputFile`` or a ``FileSplit``, for reading, unbuffered. ``read(n)`` gives fewer than n bytes only
    where the file ends.

    Args:
        start, end: the part that will be read, for files that must be read ahead; the rest can be read, too.
        counted: what is read counts among the costs of the task; False: its reader counts it.

    Raises:
        InputError: for every OSError, also one within the ``with`` block: the file is gone, or cannot be read.
        UsageError: the library for its file system is not installed on this host.
    """
    path = place.path
    try:
        with _opened(place, start, end, counted) as file:
            yield file
    except OSError as error:
        if is_remote(path):
            raise cannot_read(path, error) from error
        if isinstance(error, FileNotFoundError):
            raise InputError(
                f"{path} is not there on {host()} ({error.strerror}), though the driver saw it; either it was "
                "removed since, or it is not on a file system that every rank sees"
            ) from error
        raise InputError(f"cannot read {path} on {host()}: {error.strerror or error}") from error


def _opened(place: Placed, start: int, end: int | None, counted: bool) -> RawIOBase:
    path = place.path
    if not is_remote(path):
        return CountedFile(path, counting()) if counted else FileIO(path)
    file = filesystem_of(path, place.options).open(path, start, end)
    if counted and isinstance(file, RemoteFile):
        file.costs = counting()
    return file


def cannot_read(path: str, error: OSError) -> InputError:
    """The error about a file of a remote file system, which has said why."""
    return InputError(f"cannot read {path} from {host()}: {error.strerror or error}")


def size_of(file: RawIOBase) -> int:
    """Bytes in an open file, now. Leaves its position where it is."""
    position = file.tell()
    size = file.seek(0, SEEK_END)
    file.seek(position, SEEK_SET)
    return size


def shrunk(path: str, size: int, planned: int) -> InputError:
    """The error about a file that ends at ``size``, where the driver saw ``planned`` bytes or more."""
    return InputError(
        f"{path} has become shorter: {size} bytes now, {planned} or more when the job was planned; "
        "input files must not change while a job reads them"
    )
