"""The local file system. Its methods are those of the module ``os``; no library is imported."""

from __future__ import annotations

import errno
import glob
import os
from collections.abc import Sequence
from io import FileIO
from uuid import uuid4

from mpirdd.formats.filesystems.protocol import AbortingWriter, FileInfo, failure
from mpirdd.protocol.frames import Buffer


class LocalFileSystem:
    """Whatever the kernel mounts: local disks, NFS, Lustre."""

    can_rename = True
    uploads = None

    def info(self, path: str) -> FileInfo | None:
        """Raises OSError for a link that leads nowhere."""
        if not os.path.lexists(path):
            return None
        folder = os.path.isdir(path)
        return FileInfo(path, 0 if folder else os.stat(path).st_size, folder)

    def entries(self, folder: str) -> list[FileInfo]:
        with os.scandir(folder) as entries:
            found = [FileInfo(os.path.join(folder, entry.name), 0 if entry.is_dir() else entry.stat().st_size, entry.is_dir())
                     for entry in entries]
        return sorted(found, key=lambda each: each.path)

    def glob(self, pattern: str) -> list[FileInfo]:
        return [found for path in sorted(glob.glob(pattern)) if (found := self.info(path)) is not None]

    def read_range(self, path: str, start: int, length: int) -> bytes:
        with FileIO(path) as file:
            return os.pread(file.fileno(), length, start)

    def open(self, path: str, start: int = 0, end: int | None = None) -> FileIO:
        return FileIO(path)

    def create(self, path: str, *, overwrite: bool = False, folders: bool = True) -> LocalWriter:
        if not overwrite and os.path.lexists(path):
            raise failure(errno.EEXIST, path, "it exists already")
        if folders:
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        return LocalWriter(path, overwrite)

    def rename(self, source: str, target: str) -> None:
        if os.path.lexists(target):
            raise failure(errno.EEXIST, target, "it exists already")
        os.rename(source, target)

    def copy(self, source: str, target: str) -> None:
        import shutil

        shutil.copyfile(source, target)

    def remove(self, path: str, *, recursive: bool = False) -> None:
        try:
            if not os.path.isdir(path) or os.path.islink(path):
                os.unlink(path)
            elif recursive:
                import shutil

                shutil.rmtree(path)
            else:
                os.rmdir(path)
        except FileNotFoundError:
            return

    def make_folders(self, path: str) -> None:
        os.makedirs(path, exist_ok=True)

    def block_hosts(self, path: str, start: int, length: int) -> Sequence[str]:
        return ()


class LocalWriter(AbortingWriter):
    """Writes aside, under a hidden name in the same folder, and renames."""

    def __init__(self, path: str, overwrite: bool) -> None:
        folder, name = os.path.split(path)
        self._path, self._overwrite = path, overwrite
        self._aside = os.path.join(folder, f".{name}.{uuid4().hex}")
        self._file = FileIO(self._aside, "x")

    def __enter__(self) -> LocalWriter:
        return self

    def write(self, data: Buffer, /) -> int:
        view = memoryview(data).cast("B")
        while len(view):
            view = view[self._file.write(view) :]
        return memoryview(data).nbytes

    def close(self) -> None:
        self._file.close()
        if not self._overwrite and os.path.lexists(self._path):
            raise failure(errno.EEXIST, self._path, "it exists already")
        os.replace(self._aside, self._path)

    def abort(self) -> None:
        try:
            self._file.close()
            os.unlink(self._aside)
        except OSError:
            return
