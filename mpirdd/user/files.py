"""Files that the program adds for its tasks: data, modules, archives.

The driver keeps a copy in a private folder of its own, so that its functions find the file in the same way, and
sends the file to every executor once. There it lies in a private folder too, one for each process, that goes
when the Context stops.

What is sent is a file's bytes, or an archive's, which each executor unpacks; a folder travels as a tar archive.
"""

from __future__ import annotations

import atexit
import importlib
import io
import logging
import os
import stat
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from filecmp import cmp
from functools import cache, partial
from pathlib import PurePosixPath
from secrets import token_hex
from shutil import rmtree
from threading import Lock
from typing import Literal
from urllib.parse import quote

from mpirdd.roles.driver import Driver
from mpirdd.storage.scratch import ScratchFolder
from mpirdd.storage.text import local_path
from mpirdd.words.errors import ClusterError, InputError, MpirddError, UsageError

_log = logging.getLogger("mpirdd")
_PACKAGES = (".zip", ".egg", ".jar")
_KINDS: dict[str, Literal["zip", "tar"]] = {
    ".zip": "zip", ".jar": "zip", ".tar": "tar", ".tar.gz": "tar", ".tgz": "tar",
}


class SparkFiles:
    """Where added files are; the same calls on the driver and within tasks. Has class methods only."""

    def __init__(self) -> None:
        raise NotImplementedError("SparkFiles has class methods only: SparkFiles.get(name)")

    @classmethod
    def get(cls, filename: str) -> str:
        """The path of a file that was added by ``addFile``, ``addPyFile`` or ``addArchive`` (a folder then), by
        its name.

        Raises:
            ClusterError: the file was sent, but could not be written on this host.

        >>> import os, tempfile
        >>> from mpirdd import SparkFiles
        >>> path = os.path.join(tempfile.mkdtemp(), "factor.txt")
        >>> _ = open(path, "w").write("100")
        >>> sc.addFile(path)
        >>> sc.parallelize([1, 2]).map(lambda x: x * int(open(SparkFiles.get("factor.txt")).read())).collect()
        [100, 200]
        """
        _folder().check(filename)
        return os.path.abspath(os.path.join(cls.getRootDirectory(), filename))

    @classmethod
    def getRootDirectory(cls) -> str:
        """The folder of this process's added files.

        >>> import os
        >>> from mpirdd import SparkFiles
        >>> SparkFiles.get("a") == os.path.join(SparkFiles.getRootDirectory(), "a")
        True
        """
        return _folder().path()


class Files:
    """The part of a Context that ships files. None of these runs a job; executors have a file before their next
    task."""

    _driver: Driver

    def __init__(self) -> None:
        self._files: list[str] = []
        self._archives: list[str] = []

    def addFile(self, path: str, recursive: bool = False) -> None:
        """Send a file to all executors; there and here, ``SparkFiles.get(its name)`` says where it is.

        A path that was added before is passed over, with a warning.

        Args:
            path: a file that the driver can read, or a ``file://`` URL; with ``recursive`` also a folder.

        Raises:
            InputError: it does not exist, or is on another kind of file system (``http://``, ``hdfs://``).
            UsageError: it is a folder, without ``recursive``; or another file of this name has been added.

        >>> import os, tempfile
        >>> from mpirdd import SparkFiles
        >>> path = os.path.join(tempfile.mkdtemp(), "numbers.txt")
        >>> _ = open(path, "w").write("1 2 3")
        >>> sc.addFile(path)
        >>> sc.parallelize([0]).map(lambda _: open(SparkFiles.get("numbers.txt")).read()).first()
        '1 2 3'
        """
        found = _existing(path)
        if os.path.isdir(found) and not recursive:
            raise UsageError(f"addFile: {found} is a folder; pass recursive=True to send all that is in it")
        self._add(self._files, _address(found), lambda: _packed(found, _name_of(found)))

    def addPyFile(self, path: str) -> None:
        """Send a ``.py`` file, or a package as ``.zip`` or ``.egg``, to all executors, for tasks and this
        program to import.

        Raises:
            InputError, UsageError: as ``addFile``.

        >>> import os, tempfile
        >>> path = os.path.join(tempfile.mkdtemp(), "seven_for_all.py")
        >>> _ = open(path, "w").write("SEVEN = 7")
        >>> sc.addPyFile(path)
        >>> sc.parallelize([1]).map(lambda x: x + __import__("seven_for_all").SEVEN).collect()
        [8]
        """
        self.addFile(path)
        name = _name_of(_existing(path))
        if name[-4:].lower() in _PACKAGES:
            _import_from(name)
            self._driver.on_every_executor(partial(_import_from, name))

    def addArchive(self, path: str) -> None:
        """Send an archive to all executors, unpacked there: ``SparkFiles.get(its name)`` is the folder.

        Args:
            path: a ``.zip``, ``.jar``, ``.tar``, ``.tar.gz`` or ``.tgz`` file; anything else is sent as it is.
                ``path#name`` gives the folder that name.

        Raises:
            InputError: it does not exist, is no archive of its kind, or holds names that lead out of the folder.
            UsageError: another file of this name has been added.

        >>> import os, tempfile, zipfile
        >>> from mpirdd import SparkFiles
        >>> path = os.path.join(tempfile.mkdtemp(), "data.zip")
        >>> with zipfile.ZipFile(path, "w") as archive: archive.writestr("deep/answer", "42")
        >>> sc.addArchive(path)
        >>> sc.parallelize([0]).map(lambda _: open(SparkFiles.get("data.zip/deep/answer")).read()).first()
        '42'
        """
        bare, mark, name = path.rpartition("#") if "#" in path and not os.path.lexists(path) else (path, "", "")
        found = _existing(bare)
        kind = next((kind for suffix, kind in _KINDS.items() if found.lower().endswith(suffix)), None)
        if kind is None:
            _log.warning("%s is no archive that can be unpacked; it is sent as it is", found)
        self._add(self._archives, _address(found) + mark + name, lambda: _packed(found, name or _name_of(found), kind))

    @property
    def listFiles(self) -> list[str]:
        """The addresses of the added files, ``file:`` and a path, in the order in which they were added."""
        return list(self._files)

    @property
    def listArchives(self) -> list[str]:
        """The addresses of the added archives, in the order in which they were added."""
        return list(self._archives)

    def _add(self, known: list[str], address: str, pack: Callable[[], _Packed]) -> None:
        self._check_usable()
        if address in known:
            _log.warning("%s has been added before; the first one stays", address)
            return
        packed = pack()
        if not self._files and not self._archives:
            atexit.register(self._remove_files)
        _install(packed)
        known.append(address)
        self._driver.on_every_executor(partial(_receive, packed))

    def _remove_files(self) -> None:
        """Take all added files away, here and on the executors. For the end of the Context."""
        if self._files or self._archives:
            self._files, self._archives = [], []
            atexit.unregister(self._remove_files)
            self._driver.on_every_executor(_remove)
        _remove()

    def _check_usable(self) -> None:
        raise NotImplementedError


# --- what is sent, and how it is made -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Packed:
    name: str
    """Of the file or folder that becomes of it."""
    kind: Literal["file", "zip", "tar"]
    data: bytes
    mode: int
    """Permissions of a file."""
    origin: str
    """For messages."""


def _existing(path: str) -> str:
    found = local_path(os.fspath(path))
    if not os.path.exists(found):
        raise InputError(f"{found} does not exist on {os.uname().nodename}, the driver's host")
    return os.path.normpath(found) if os.path.isdir(found) else found


def _name_of(path: str) -> str:
    return os.path.basename(path)


def _address(path: str) -> str:
    return "file:" + quote(path) + ("/" if os.path.isdir(path) else "")


def _packed(path: str, name: str, kind: Literal["zip", "tar"] | None = None) -> _Packed:
    if name in ("", ".", "..") or "/" in name:
        raise UsageError(f"{path} cannot be added by the name {name!r}; that must be a plain file name")
    try:
        if os.path.isdir(path):
            return _Packed(name, "tar", _tar_of(path), 0, path)
        with open(path, "rb") as file:
            return _Packed(name, kind or "file", file.read(), stat.S_IMODE(os.fstat(file.fileno()).st_mode), path)
    except OSError as error:
        raise InputError(f"cannot read {error.filename or path}: {error.strerror}") from error


def _tar_of(folder: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", dereference=True) as archive:
        archive.add(folder, arcname=".")
    return buffer.getvalue()


# --- on every rank --------------------------------------------------------------------------------------------------------


class _Folder:
    """This process's added files. One a process, for ``SparkFiles`` asks without naming a Context, and a module can be
    imported from one place only. In a world of one, driver and executor share it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._scratch: ScratchFolder | None = None
        self.failures: dict[str, str] = {}
        """Why a file that was sent is not here, by its name."""

    def check(self, filename: str) -> None:
        reason = self.failures.get(filename.partition("/")[0])
        if reason is not None:
            raise ClusterError(reason)

    def path(self) -> str:
        with self._lock:
            if self._scratch is None:
                self._scratch = ScratchFolder("files")
                sys.path.insert(1, self._scratch.path)
            return self._scratch.path

    def remove(self) -> None:
        with self._lock:
            scratch, self._scratch, self.failures = self._scratch, None, {}
        if scratch is None:
            return
        sys.path[:] = [entry for entry in sys.path if not _is_below(entry, scratch.path)]
        for name, module in list(sys.modules.items()):  # else the next Context would get this one's modules
            if _is_below(getattr(module, "__file__", None) or "", scratch.path):
                del sys.modules[name]
        scratch.remove()


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + os.sep)


@cache
def _folder() -> _Folder:
    return _Folder()


def _remove() -> None:
    _folder().remove()


def _import_from(name: str) -> None:
    entry = os.path.join(_folder().path(), name)
    if entry not in sys.path:
        sys.path.insert(1, entry)
    importlib.invalidate_caches()


def _receive(packed: _Packed) -> None:
    """On an executor. No task runs yet that could be told of a failure; the one that asks for the file is."""
    try:
        _install(packed)
    except MpirddError as error:
        _folder().failures[packed.name] = str(error)
        raise


def _install(packed: _Packed) -> None:
    """Write or unpack it, under another name first, so that nobody finds half of it."""
    final = os.path.join(_folder().path(), packed.name)
    unfinished = os.path.join(_folder().path(), f".{token_hex(8)}")
    try:
        if packed.kind == "file":
            with open(unfinished, "xb") as file:
                file.write(packed.data)
            os.chmod(unfinished, packed.mode)
        else:
            os.mkdir(unfinished)
            _unpack(packed, unfinished)
        if not os.path.lexists(final):
            os.rename(unfinished, final)
        elif not _same(unfinished, final):
            raise UsageError(
                f"{packed.origin} cannot be added: another file of the name {packed.name} has been added, with other content"
            )
    except OSError as error:
        raise ClusterError(f"cannot write {final} on {os.uname().nodename}: {error.strerror or error}") from error
    finally:
        _discard(unfinished)
    importlib.invalidate_caches()


_DAMAGES = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, ValueError, RuntimeError)
"""What damaged, encrypted, and otherwise unusual archives raise, besides an OSError without a number."""


def _unpack(packed: _Packed, folder: str) -> None:
    try:
        if packed.kind == "zip":
            _unpack_zip(packed.data, folder)
        else:
            _unpack_tar(packed.data, folder)
    except (*_DAMAGES, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of this host's disk, not of the archive
        raise InputError(f"{packed.origin} cannot be unpacked: {type(error).__name__}: {error}") from error


def _unpack_zip(data: bytes, folder: str) -> None:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for member in archive.infolist():
            _check_name(member.filename)
            path = archive.extract(member, folder)
            permissions = member.external_attr >> 16 & 0o777  # 0 where it was not made on Unix
            if permissions and not member.is_dir():
                os.chmod(path, permissions | 0o600)


def _unpack_tar(data: bytes, folder: str) -> None:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        if hasattr(tarfile, "data_filter"):  # not in the first releases of Python 3.10 and 3.11
            archive.extractall(folder, filter="data")
            return
        for member in archive.getmembers():
            _check_name(member.name)
            if not (member.isfile() or member.isdir()):
                raise ValueError(f"{member.name} is a link or device; this Python cannot unpack these safely")
        archive.extractall(folder)


def _check_name(name: str) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"it holds {name!r}, which leads out of the folder")


def _same(first: str, second: str) -> bool:
    """The same content, in files or in folders."""
    if os.path.isdir(first) and os.path.isdir(second):
        names = sorted(os.listdir(first))
        pairs = ((os.path.join(first, name), os.path.join(second, name)) for name in names)
        return names == sorted(os.listdir(second)) and all(_same(*pair) for pair in pairs)
    return os.path.isfile(first) and os.path.isfile(second) and cmp(first, second, shallow=False)


def _discard(path: str) -> None:
    with suppress(OSError):
        if os.path.isdir(path):
            rmtree(path, ignore_errors=True)
        else:
            os.remove(path)
