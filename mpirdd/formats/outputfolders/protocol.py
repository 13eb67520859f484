"""What the kinds of output folders have in common: their interface, the names in them, and errors in words."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeAlias

from mpirdd.formats.filesystems import NO_OPTIONS, FileSystem, Options, Upload, UploadedPart, name_of
from mpirdd.formats.filesystems.protocol import OutOfReach
from mpirdd.protocol.errors import ClusterError, HostError, MpirddError, UsageError
from mpirdd.protocol.values import dataclass

SUCCESS = "_SUCCESS"
TEMPORARY = "_temporary-"
"""Readers of a folder pass over names with an underscore, here and in Hadoop."""
_OURS = re.compile(r"part-.*|_SUCCESS|_temporary-.*|_temporary|\.part-.*|\.?_SUCCESS\.crc|\._SUCCESS.*|_(common_)?metadata")
_WHY_NOT = (PermissionError, FileExistsError, NotADirectoryError, IsADirectoryError, FileNotFoundError)


class Token(str):
    """Names one output, and is unique. It travels to the tasks."""

    __slots__ = ("left", "options", "replaces")

    options: Options
    """How to reach the file system."""
    replaces: bool
    """The folder holds an older output, which goes when this one is complete."""
    left: tuple[str, ...]
    """What killed commits had left in the folder when this output was started. Only the driver knows."""

    def __new__(cls, name: str, options: Options = NO_OPTIONS, replaces: bool = False) -> Token:
        token = super().__new__(cls, name)
        token.options, token.replaces, token.left = options, replaces, ()
        return token

    def __reduce__(self) -> tuple[Any, ...]:
        return Token, (str(self), self.options, self.replaces)


@dataclass(frozen=True, slots=True)
class UploadedFile:
    """A part file that is uploaded but not yet visible."""

    name: str
    upload: Upload
    parts: tuple[UploadedPart, ...]


Part: TypeAlias = "str | UploadedFile"
"""What a task reports of its part: the name of the file, or what is needed to make it appear."""


class OutputFolder(Protocol):
    """One output. The driver calls ``start``, and ``commit`` or ``abandon``; tasks call ``write``."""

    def start(self) -> None: ...

    def write(self, name: str, attempt_id: int | str, data: Iterable[bytes]) -> Part:
        """A part file. Another attempt may write it again, also at the same time."""
        ...

    def commit(self, parts: Collection[Part] | None) -> None: ...

    def abandon(self) -> None:
        """Never raises."""
        ...


def replaces(fs: FileSystem, folder: str, overwrite: bool) -> bool:
    """Is there an older output, to be replaced? False: there is nothing.

    Raises:
        UsageError: something is there that must stay.
    """
    found = fs.info(folder)
    if found is None:
        return False
    names = [name_of(each.path) for each in fs.entries(folder)] if found.is_folder else []
    if found.is_folder and overwrite:
        check_replaceable(folder, names)
        return True
    if not fs.can_rename and names and all(name.startswith(TEMPORARY) for name in names):
        return False  # of jobs that were killed. (An object store has an empty folder only where someone put its marker.)
    raise UsageError(refusal(folder, SUCCESS in names) if found.is_folder else no_folder(folder))


def refusal(folder: str, complete: bool) -> str:
    state = "" if complete else f" (without a {SUCCESS} file: perhaps the output of a job that failed)"
    return (f"output folder {folder} exists already{state}; choose another, or remove it if nobody needs it: "
            "overwrite=True replaces an older output, and nothing is ever appended to one")


def no_folder(path: str) -> str:
    return f"{path} exists already and is a file, which overwrite=True keeps; choose another name for the output folder"


def check_replaceable(folder: str, names: Iterable[str]) -> None:
    """``overwrite`` removes what jobs write, and nothing else."""
    strange = sorted(name for name in names if not _OURS.fullmatch(name))
    if strange:
        raise UsageError(
            f"output folder {folder} holds {strange[0]}, which is no file of an output, so overwrite=True leaves the folder "
            "alone; choose another, or remove it by hand if nobody needs it")


def taken(path: str) -> UsageError:
    return UsageError(f"{path} was written by someone else while the job ran")


def missing(parts: Collection[str], absent: list[str], where: str) -> ClusterError:
    return ClusterError(
        f"{len(absent)} of {len(parts)} parts of the output are missing, such as {where}/{absent[0]}; somebody removed them")


@contextmanager
def in_words(path: str) -> Iterator[None]:
    """Turns an ``OSError`` of another file system into an error that says what, where, and what to do."""
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error) from error


def cannot_write(path: str, error: OSError) -> MpirddError:
    kind = UsageError if isinstance(error, _WHY_NOT) else HostError if isinstance(error, OutOfReach) else ClusterError
    return kind(f"cannot write {error.filename or path}: {error.strerror or error}")


def in_parallel(function: Any, items: Iterable[Any]) -> None:
    """Call ``function`` for each item by a few threads: a request takes 1 to 50 ms, and there may be thousands."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(function, items):
            pass
