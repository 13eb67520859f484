"""Whatever fsspec knows: WebHDFS, HTTP, FTP, SFTP, archives, GitHub, memory, and what programs register with it.

Only byte ranges are read (``cat_file``): fsspec's own file objects copy a block for each line. Its clients raise whatever
their libraries raise, so all of it is translated here.

A class that the program registers (``fsspec.register_implementation``) goes with the options to the executors.
"""

from __future__ import annotations

import errno
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from mpirdd.formats.filesystems.globbing import matches
from mpirdd.formats.filesystems.names import CACHES, cache_of, join
from mpirdd.formats.filesystems.options import Options
from mpirdd.formats.filesystems.protocol import AbortingWriter, FileInfo, failure
from mpirdd.formats.filesystems.readahead import ReadAheadFile
from mpirdd.formats.filesystems.registered import register
from mpirdd.formats.filesystems.streams import Fetched
from mpirdd.protocol.errors import UsageError
from mpirdd.protocol.frames import Buffer

_RENAMING = frozenset({"webhdfs", "webHDFS", "sftp", "ssh", "smb", "ftp", "memory", "dbfs", "arrow_hdfs"})
"""Schemes whose servers rename a file or folder in one step."""
_READ_ONLY = frozenset({"http", "https", "zip", "tar", "libarchive", "github", "gitlab", "git", "reference", *CACHES})
_SYSTEM = re.compile(r"\[Errno -?\d+\] [\w ]+")
_QUOTED = re.compile(r"""["']([\w.-]+(?:\[[\w,-]+\])?)["'](?= |,|$)(?! is the protocol)""")
_INSTALL = re.compile(r"(?:[Ii]nstall (?:the )?|requires )(?!to )([\w-]+)")
_UNNAMED = {"hdfs": ["hdfs-native"], "viewfs": ["hdfs-native"], "libarchive": ["libarchive-c"], "dask": ["dask", "distributed"]}
_HTTP = {401: errno.EACCES, 403: errno.EACCES, 404: errno.ENOENT, 410: errno.ENOENT}


class GenericFileSystem:
    """A client of fsspec's.

    Args:
        scheme: of its URLs.
        root: the first part of its URLs, or the rest of a chain: ``archive.zip`` of ``zip://folder::archive.zip``.
    """

    uploads = None

    def __init__(self, scheme: str, root: str, options: Options) -> None:
        """
        Raises:
            UsageError: fsspec knows no such scheme, or its client takes no such options; or the library that it needs for the
                scheme is not installed.
            ImportError: fsspec is not installed.
            OSError: its server does not answer.
        """
        import fsspec

        for name, data in options.registered.items():
            if name == scheme or f"{name}:" in root:
                register(name, data)
        self._scheme = scheme
        self._chain = "" if root.startswith(f"{scheme}:") else root
        self.can_rename = scheme in _RENAMING and not self._chain
        given = {name: value for name, value in options.given.items() if name != "client"}
        url = f"{scheme}://::{self._chain}" if self._chain else root
        try:
            with self._told(url):
                # Not an instance that fsspec has cached: it may be of a process that has forked this one.
                self._files: Any = fsspec.core.url_to_fs(url, skip_instance_cache=True, **given)[0]
        except OSError as error:
            cause = error.__cause__
            if isinstance(cause, ValueError) and "rotocol not known" in str(cause):
                raise UsageError(
                    f"{scheme}:// is no file system that mpirdd or fsspec knows; check the spelling, or register its class: "
                    f"fsspec.register_implementation({scheme!r}, TheClass). (If the program has done so, the class could not be "
                    "pickled: register it in a module that every rank imports)") from error
            if isinstance(cause, ImportError):
                raise UsageError(_what_is_missing(scheme, cause)) from error
            if isinstance(cause, TypeError):
                raise UsageError(f"{scheme}:// does not take these storage_options: {cause}") from error
            raise

    def info(self, path: str) -> FileInfo | None:
        with self._told(path):
            try:
                return self._found(self._files.info(self._inner(path)), path)
            except FileNotFoundError as error:
                if isinstance(error.__cause__, OSError) and not isinstance(error.__cause__, FileNotFoundError):
                    raise error.__cause__ from error  # fsspec's HTTP says so of a dead server, too
                return None

    def entries(self, folder: str) -> list[FileInfo]:
        inner = self._inner(folder)
        with self._told(folder):
            self._files.invalidate_cache()
            listed = self._files.ls(inner, detail=True)
            found = [self._found(each, join(folder, each["name"].rstrip("/").rpartition("/")[2]))
                     for each in listed if each["name"].rstrip("/") != inner.rstrip("/")]
        return sorted(found, key=lambda each: each.path)

    def glob(self, pattern: str) -> list[FileInfo]:
        return matches(pattern, self.entries, self.info)

    def read_range(self, path: str, start: int, length: int) -> bytes:
        with self._told(path):
            data: bytes = self._files.cat_file(self._inner(path), start=start, end=start + length) if length > 0 else b""
        # A server that knows no ranges sends all of it.
        return data if len(data) <= length else data[start : start + length]

    def open(self, path: str, start: int = 0, end: int | None = None) -> ReadAheadFile:
        found = self.info(path)
        if found is None:
            raise failure(errno.ENOENT, path, "nothing is there; check the spelling")
        if found.is_folder:
            raise failure(errno.EISDIR, path, "it is a folder")
        # Clients that are no asyncio loop of their own are seldom made for several threads.
        depth = 2 if getattr(self._files, "async_impl", False) and self._scheme not in CACHES else 1
        fetch = partial(self._fetch, path, found.size, threading.Lock() if depth == 1 else None)
        return ReadAheadFile(fetch, path, start=start, end=end, size=found.size, depth=depth)

    def _fetch(self, path: str, size: int, lock: threading.Lock | None, start: int, length: int) -> Fetched:
        if lock is None:
            return Fetched(self.read_range(path, start, min(length, size - start)), size)
        with lock:
            return Fetched(self.read_range(path, start, min(length, size - start)), size)

    def create(self, path: str, *, overwrite: bool = False, folders: bool = True) -> GenericWriter:
        self._check_writable(path)
        if not overwrite and self.info(path) is not None:
            raise failure(errno.EEXIST, path, "it exists already")
        inner = self._inner(path)
        with self._told(path):
            above = self._files._parent(inner)
            if above and above != inner:
                self._files.makedirs(above, exist_ok=True)
            file = self._files.open(inner, "wb")
        # Where files are not renamed, another attempt may have put a whole file under this name.
        return GenericWriter(file, partial(self._told, path), partial(self.remove, path), may_discard=not self.can_rename)

    def rename(self, source: str, target: str) -> None:
        self._check_writable(target)
        if self.info(target) is not None:  # WebHDFS would silently do nothing
            raise failure(errno.EEXIST, target, "it exists already")
        with self._told(source):
            self._files.mv(self._inner(source), self._inner(target), recursive=self._files.isdir(self._inner(source)))

    def copy(self, source: str, target: str) -> None:
        self._check_writable(target)
        with self._told(source):
            self._files.cp_file(self._inner(source), self._inner(target))

    def remove(self, path: str, *, recursive: bool = False) -> None:
        with self._told(path):
            try:
                self._files.rm(self._inner(path), recursive=recursive)
            except FileNotFoundError:
                return

    def make_folders(self, path: str) -> None:
        self._check_writable(path)
        with self._told(path):
            self._files.makedirs(self._inner(path), exist_ok=True)

    def block_hosts(self, path: str, start: int, length: int) -> Sequence[str]:
        return ()

    def _check_writable(self, path: str) -> None:
        if self._scheme in _READ_ONLY:
            raise failure(errno.EROFS, path, f"{self._scheme}:// can only be read; write elsewhere")

    def _inner(self, path: str) -> str:
        """The name by which fsspec's client knows it."""
        inner: str = self._files._strip_protocol(path[len(cache_of(path)) :].partition("::")[0])
        return inner

    def _found(self, info: dict[str, Any], path: str) -> FileInfo:
        if info["type"] == "directory":
            return FileInfo(path, 0, True)
        size = info.get("size")
        if size is None:  # an HTTP server that does not tell
            size = len(self._files.cat_file(self._inner(path)))
        return FileInfo(path, size)

    @contextmanager
    def _told(self, path: str) -> Iterator[None]:
        """Turns whatever comes into OSError in words."""
        try:
            yield
        except Exception as error:
            if isinstance(error, OSError) and error.filename is not None and error.filename == path:
                raise
            raise _translated(error, path) from error


class GenericWriter(AbortingWriter):
    """fsspec's own file. Most stores show it when it is closed."""

    def __init__(self, file: Any, told: Any, remove: Any, *, may_discard: bool) -> None:
        self._file, self._told, self._remove, self._may_discard = file, told, remove, may_discard

    def __enter__(self) -> GenericWriter:
        return self

    def write(self, data: Buffer, /) -> int:
        with self._told():
            self._file.write(data)
        return memoryview(data).nbytes

    def close(self) -> None:
        with self._told():
            self._file.close()

    def abort(self) -> None:
        discards = self._may_discard and hasattr(self._file, "discard")
        for step in (self._discard,) if discards else (self._file.close, self._remove):
            try:
                step()
            except Exception:  # it never raises; what is left, nobody reads
                continue

    def _discard(self) -> None:
        """Forget the upload. Closing the file would complete it."""
        try:
            self._file.discard()
        finally:
            self._file.closed = True


def _what_is_missing(scheme: str, error: ImportError) -> str:
    """fsspec's own words name the packages: quoted, or behind "install"."""
    said = " ".join(str(error).split())
    found = _UNNAMED.get(scheme) or _QUOTED.findall(said) or _INSTALL.findall(said)
    packages = " ".join(f"'{each}'" if "[" in each else each for each in dict.fromkeys(found))
    remedy = f"python -m pip install {packages}" if packages else "install what it asks for"
    return f"{scheme}:// needs a package that is not installed here ({said}): {remedy}, on every host"


def _translated(error: Exception, path: str) -> OSError:
    name, text = type(error).__name__, str(error) or type(error).__name__
    text = inner[0] if (inner := _SYSTEM.search(text)) else text  # the wrappers' texts are long, and say the same
    status = getattr(error, "status", None) or getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(status, int):
        number = _HTTP.get(status, errno.EIO)
        words = {errno.EACCES: "access is forbidden", errno.ENOENT: "nothing is there; check the spelling"}
        return failure(number, path, f"{words.get(number, 'the server refuses')} (HTTP status {status})")
    if isinstance(error, FileNotFoundError):
        return failure(errno.ENOENT, path, "nothing is there; check the spelling")
    if isinstance(error, FileExistsError):
        return failure(errno.EEXIST, path, "it exists already")
    if isinstance(error, PermissionError):
        return failure(errno.EACCES, path, f"access is forbidden: {text}")
    if "Name or service not known" in text or "NameResolution" in text or "DNS" in name:
        return failure(errno.ENOENT, path, f"there is no such host ({text})")
    if isinstance(error, ConnectionError | TimeoutError) or "Connect" in name or "Timeout" in name:
        return failure(errno.ECONNREFUSED, path, f"its server does not answer ({text}); check the address and that it runs")
    if isinstance(error, OSError) and error.errno:
        return failure(error.errno, path, error.strerror or text)
    return failure(errno.EIO, path, f"{name}: {text.partition(chr(10))[0]}")
