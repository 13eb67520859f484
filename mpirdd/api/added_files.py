"""How a file, folder or archive that the program adds is packed, sent and unpacked.

What is sent is a file's bytes, or an archive's, which each executor unpacks; a folder travels as a tar archive.
"""

from __future__ import annotations

import importlib
import io
import os
import stat
import sys
import zlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from threading import Lock
from typing import Literal
from urllib.parse import quote

from mpirdd.formats import filesystems
from mpirdd.formats.filesystems import NO_OPTIONS, Options, filesystem_of, is_remote
from mpirdd.formats.inputfiles import cannot_read
from mpirdd.formats.paths import OnePath, full_path
from mpirdd.protocol.errors import ClusterError, InputError, UsageError
from mpirdd.store.scratch import ScratchFolder

# --- what is sent, and how it is made -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Packed:
    name: str
    """The name of the resulting file or folder."""
    kind: Literal["file", "zip", "tar"]
    data: bytes
    mode: int
    """Permissions of a file."""
    origin: str
    """For messages."""


def existing(path: OnePath, options: Options = NO_OPTIONS) -> str:
    """The whole path of what is there, or its URL.

    Raises:
        InputError: nothing is there, or it cannot be looked at.
    """
    found = full_path(path, options)
    if is_remote(found):
        return _existing_remote(found, options)
    if not os.path.exists(found):
        raise InputError(f"{found} does not exist on {os.uname().nodename}, the driver's host")
    return os.path.normpath(found) if os.path.isdir(found) else found


def _existing_remote(url: str, options: Options) -> str:
    try:
        there = filesystem_of(url, options).info(url)
    except OSError as error:
        raise cannot_read(url, error) from error
    if there is None:
        raise InputError(f"{url} does not exist; check the spelling")
    if there.is_folder:
        raise UsageError(f"{url} is a folder; only single files are sent from there: pack it into an archive, for addArchive")
    return url


def name_of(path: str) -> str:
    return filesystems.name_of(path)


def address_of(path: str) -> str:
    if is_remote(path):
        return path
    return "file:" + quote(path) + ("/" if os.path.isdir(path) else "")


def packed_from(
    path: str, name: str, kind: Literal["zip", "tar"] | None = None, options: Options = NO_OPTIONS
) -> Packed:
    if name in ("", ".", "..") or "/" in name:
        raise UsageError(f"{path} cannot be added by the name {name!r}; that must be a plain file name")
    try:
        if is_remote(path):
            with filesystem_of(path, options).open(path) as remote:
                return Packed(name, kind or "file", remote.readall(), 0o644, path)
        if os.path.isdir(path):
            return Packed(name, "tar", _tar_of(path), 0, path)
        with open(path, "rb") as file:
            return Packed(name, kind or "file", file.read(), stat.S_IMODE(os.fstat(file.fileno()).st_mode), path)
    except OSError as error:
        raise InputError(f"cannot read {error.filename or path}: {error.strerror}") from error


def _tar_of(folder: str) -> bytes:
    buffer = io.BytesIO()
    import tarfile

    with tarfile.open(fileobj=buffer, mode="w", dereference=True) as archive:
        archive.add(folder, arcname=".")
    return buffer.getvalue()


# --- on every rank --------------------------------------------------------------------------------------------------------


class Folder:
    """The added files of a process. One for each process: ``SparkFiles`` asks without naming a Context, and a module can
    be imported from one place only."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._scratch: ScratchFolder | None = None
        self.failures: dict[str, str] = {}
        """The reason why a sent file is not here, by its name."""

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

    def import_from(self, name: str) -> None:
        """Let Python import from the file or folder of this name."""
        entry = os.path.join(self.path(), name)
        if entry not in sys.path:
            sys.path.insert(1, entry)
        importlib.invalidate_caches()

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


def install(packed: Packed, folder: str) -> None:
    """Write or unpack it there, under another name first, so that nobody finds half of it."""
    final = os.path.join(folder, packed.name)
    from secrets import token_hex

    unfinished = os.path.join(folder, f".{token_hex(8)}")
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


def _unpack(packed: Packed, folder: str) -> None:
    import tarfile
    import zipfile

    try:
        if packed.kind == "zip":
            _unpack_zip(packed.data, folder)
        else:
            _unpack_tar(packed.data, folder)
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, ValueError, RuntimeError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of this host's disk, not of the archive
        raise InputError(f"{packed.origin} cannot be unpacked: {type(error).__name__}: {error}") from error


def _unpack_zip(data: bytes, folder: str) -> None:
    import zipfile

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for member in archive.infolist():
            _check_name(member.filename)
            path = archive.extract(member, folder)
            permissions = member.external_attr >> 16 & 0o777  # 0 where it was not made on Unix
            if permissions and not member.is_dir():
                os.chmod(path, permissions | 0o600)


def _unpack_tar(data: bytes, folder: str) -> None:
    import tarfile

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
    from filecmp import cmp

    return os.path.isfile(first) and os.path.isfile(second) and cmp(first, second, shallow=False)


def _discard(path: str) -> None:
    with suppress(OSError):
        if os.path.isdir(path):
            from shutil import rmtree

            rmtree(path, ignore_errors=True)
        else:
            os.remove(path)
