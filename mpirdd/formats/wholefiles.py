"""Files and folders that appear whole or not at all, wherever they lie: ``store/atomic`` for the local file system, and the
same through ``filesystems`` for all others.

Where the file system renames, a file or folder is written aside and renamed. An object store shows a file when it is
complete, and has no folders: a folder is filled under its own name there, and whatever says that it is whole (a manifest)
is written last.
"""

from __future__ import annotations

import errno
import os
from contextlib import AbstractContextManager
from io import BufferedReader, FileIO
from types import TracebackType
from typing import Any, Protocol
from uuid import uuid4

from mpirdd.formats.filesystems import Options, filesystem_of, is_remote, join, name_of, parent
from mpirdd.formats.filesystems.protocol import Writer, failure
from mpirdd.protocol.frames import Buffer
from mpirdd.store import atomic
from mpirdd.store.atomic import Failed, SummedFile, WholeFile, WholeFolder

_BUFFER_BYTES = 1 << 20


class NewFile(Protocol):
    """A file that is being written; see ``atomic.WholeFile``."""

    size: int

    @property
    def checksum(self) -> str: ...

    def write(self, data: Buffer) -> int: ...

    def __enter__(self) -> NewFile: ...

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def new_file(path: str, options: Options, *, failed: Failed) -> NewFile:
    """A context manager; a file of this name is replaced when its block ends well."""
    return _RemoteFile(path, options, failed) if is_remote(path) else WholeFile(path, failed=failed)


def new_folder(
    path: str, options: Options, *, failed: Failed, prefix: str = ".unfinished-"
) -> AbstractContextManager[str]:
    """A context manager that gives the path of a folder to fill; the arguments are those of ``atomic.WholeFolder``."""
    if is_remote(path):
        return _RemoteFolder(path, options, failed, prefix)
    return WholeFolder(path, prefix=prefix, failed=failed)


def open_file(path: str, options: Options) -> BufferedReader:
    """The file for reading. Raises OSError."""
    raw = filesystem_of(path, options).open(path) if is_remote(path) else FileIO(path)
    return BufferedReader(raw, _BUFFER_BYTES)


def names_in(folder: str, options: Options) -> list[str]:
    """The names in a folder, in no order; none where an object store has nothing below it. Raises OSError."""
    if not is_remote(folder):
        return os.listdir(folder)
    try:
        return [name_of(each.path) for each in filesystem_of(folder, options).entries(folder)]
    except FileNotFoundError:
        return []


def make_folder(path: str, options: Options) -> None:
    """The folder, and those above it, for this user alone where that can be said. Raises OSError."""
    if is_remote(path):
        filesystem_of(path, options).make_folders(path)
    else:
        os.makedirs(path, mode=0o700, exist_ok=True)


def remove_file(path: str, options: Options) -> None:
    """Raises OSError."""
    if is_remote(path):
        filesystem_of(path, options).remove(path)
    else:
        os.unlink(path)


def remove_folder(folder: str, options: Options) -> None:
    """Remove a folder and all that is in it; never raises."""
    if not is_remote(folder):
        atomic.remove_folder(folder)
        return
    try:
        filesystem_of(folder, options).remove(folder, recursive=True)
    except OSError:
        return  # readers pass over what is left: it is not whole


def write_manifest(path: str, content: dict[str, Any], options: Options, *, failed: Failed) -> None:
    """As ``atomic.write_manifest``."""
    with new_file(path, options, failed=failed) as file:
        file.write(atomic.manifest_bytes(content))


def read_manifest(path: str, options: Options, *, version: int) -> dict[str, Any]:
    """As ``atomic.read_manifest``."""
    with open_file(path, options) as file:
        return atomic.manifest_from(file.read(), path, version=version)


class _RemoteFile(SummedFile):
    """``WholeFile`` for a URL."""

    _file: Writer

    def __init__(self, path: str, options: Options, failed: Failed) -> None:
        super().__init__(failed)
        self._path, self._options = path, options

    def __enter__(self) -> _RemoteFile:
        try:
            self._files = filesystem_of(self._path, self._options)
            renamed = self._files.can_rename
            self._aside = join(parent(self._path), f".{name_of(self._path)}.{uuid4().hex}") if renamed else self._path
            self._file = self._files.create(self._aside, overwrite=True)
        except OSError as error:
            raise self._failed(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if value is not None:
            self._file.abort()
            return
        try:
            self._file.close()
            if self._aside != self._path:
                self._take_name()
        except OSError as error:
            self._file.abort()
            raise self._failed(error) from error

    def _take_name(self) -> None:
        try:
            self._files.rename(self._aside, self._path)
        except FileExistsError:
            self._files.remove(self._path)
            self._files.rename(self._aside, self._path)


class _RemoteFolder:
    """``WholeFolder`` for a URL."""

    def __init__(self, path: str, options: Options, failed: Failed, prefix: str) -> None:
        self._path, self._options, self._failed, self._prefix = path, options, failed, prefix

    def __enter__(self) -> str:
        try:
            files = filesystem_of(self._path, self._options)
            if files.info(self._path) is not None:
                raise failure(errno.EEXIST, self._path, "it exists already; perhaps another run writes there, too")
            self._aside = join(parent(self._path), f"{self._prefix}{uuid4().hex}") if files.can_rename else self._path
            files.make_folders(self._aside)
        except OSError as error:
            raise self._failed(error) from error
        return self._aside

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if value is not None:
            remove_folder(self._aside, self._options)
            return
        if self._aside == self._path:
            return
        try:
            filesystem_of(self._path, self._options).rename(self._aside, self._path)
        except OSError as error:
            remove_folder(self._aside, self._options)
            raise self._failed(error) from error
