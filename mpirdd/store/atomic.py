"""Files and folders that appear whole or not at all, even if the process that writes them dies.

A file is written aside (in the same file system, under a name of its own), forced to disk, and renamed. Then its folder is forced
to disk too, so the new name survives a power cut. A *manifest* is a small JSON file written in this way, with a checksum of its
own content. Checkpoints, resumable state, outputs and committed partitions are all written like this.

This module does not decide what to write, nor what to tell the user: the caller gives a function that translates an ``OSError``
of the file, and errors of the caller's own code pass unchanged.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from io import BufferedWriter
from shutil import rmtree
from types import TracebackType
from typing import Any, Protocol
from uuid import uuid4

from xxhash import xxh3_64, xxh3_64_hexdigest

from mpirdd.protocol.errors import ClusterError, InputError
from mpirdd.protocol.frames import Buffer

Failed = Callable[[OSError], Exception]
"""Makes the error that the user sees from an error of the file system."""

_CHECKSUM = "checksum"


class Target(Protocol):
    def write(self, data: Buffer, /) -> int: ...


class SummedFile:
    """Writes to ``_file``, which a subclass opens, and keeps size and checksum of that.

    Attributes:
        size: bytes written so far.
    """

    _file: Target

    def __init__(self, failed: Failed) -> None:
        self.size = 0
        self._failed = failed
        self._digest = xxh3_64()

    @property
    def checksum(self) -> str:
        """xxh3-64 of all bytes written so far, in hexadecimal digits."""
        return self._digest.hexdigest()

    def write(self, data: Buffer) -> int:
        """Append ``data``; return the number of its bytes, as files do. Raises what ``failed`` makes of an OSError."""
        try:
            self._file.write(data)
        except OSError as error:
            raise self._failed(error) from error
        self._digest.update(data)
        count = memoryview(data).nbytes
        self.size += count
        return count


class WholeFile(SummedFile):
    """A file to write in a ``with`` block. It takes its name when the block ends without an error; otherwise nothing stays.

    Args:
        path: the name that it takes. An existing file of that name is replaced.
        aside: where it is written first, on the same file system; by default beside ``path``, under a hidden name.
        forced: force the file and its folder to disk. If not, it survives the death of a process, but not a power cut.
        failed: translates an ``OSError`` of this file.
    """

    _file: BufferedWriter

    def __init__(
        self, path: str, *, aside: str | None = None, forced: bool = True, failed: Failed | None = None
    ) -> None:
        super().__init__(failed or (lambda error: cannot_write(path, error)))
        self.path = path
        folder, name = os.path.split(path)
        self._aside = aside or os.path.join(folder, f".{name}.{uuid4().hex}")
        self._forced = forced

    def __enter__(self) -> WholeFile:
        try:
            self._file = open(self._aside, "xb")
        except OSError as error:
            raise self._failed(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if value is None:
                self._file.flush()
                if self._forced:
                    os.fsync(self._file.fileno())
                self._file.close()
                os.replace(self._aside, self.path)
                if self._forced:
                    force_folder(os.path.dirname(self.path))
        except OSError as error:
            self._remove()
            raise self._failed(error) from error
        except BaseException:  # an interrupt during fsync: leave nothing behind, and let it pass
            self._remove()
            raise
        if value is not None:
            self._remove()

    def _remove(self) -> None:
        with suppress(OSError):  # close writes buffered data, which may fail as an earlier write did
            self._file.close()
        with suppress(OSError):
            os.unlink(self._aside)


class WholeFolder:
    """A folder to fill in a ``with`` block, which gives the path to write to. The folder takes its name when the block ends
    without an error; otherwise nothing stays. The name must not exist before.

    Args:
        path: the name that it takes.
        prefix: the beginning of the name under which it is filled, beside ``path``; a killed process leaves that folder behind.
        failed: translates an ``OSError`` of this folder.
    """

    def __init__(self, path: str, *, prefix: str = ".unfinished-", failed: Failed | None = None) -> None:
        self.path = path
        self._aside = os.path.join(os.path.dirname(path), f"{prefix}{uuid4().hex}")
        self._failed = failed or (lambda error: cannot_write(path, error))

    def __enter__(self) -> str:
        try:
            os.makedirs(self._aside, mode=0o700)  # and its parent, which somebody may have removed to gain space
        except OSError as error:
            raise self._failed(error) from error
        return self._aside

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if value is None:
            try:
                rename_whole(self._aside, self.path)
            except OSError as error:
                remove_folder(self._aside)
                raise self._failed(error) from error
            except BaseException:  # an interrupt during fsync
                remove_folder(self._aside)
                raise
        else:
            remove_folder(self._aside)


def remove_folder(folder: str) -> None:
    """Remove a folder and its content; never raises. Tries several times, because a task that still runs may add a file."""
    for _ in range(3):
        rmtree(folder, ignore_errors=True)
        if not os.path.lexists(folder):
            return


def rename_whole(aside: str, path: str, *, descriptor: int | None = None) -> None:
    """Give a complete file or folder its name, and force the name to disk. Raises OSError.

    Args:
        descriptor: of the file, to force its content to disk first. The files in a folder must have been forced before.
    """
    if descriptor is not None:
        os.fsync(descriptor)
    elif os.path.isdir(aside):
        force_folder(aside)
    os.rename(aside, path)
    force_folder(os.path.dirname(path))


def force_folder(folder: str) -> None:
    """Force the names in ``folder`` to disk. Raises OSError when the folder cannot be opened."""
    descriptor = os.open(folder or os.curdir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # some network file systems cannot force folders; there a rename reaches the server at once
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_manifest(path: str, content: Mapping[str, Any], *, failed: Failed | None = None) -> None:
    """Write ``content`` (without a key ``checksum``) as JSON with a checksum. Raises what ``failed`` makes of an OSError."""
    with WholeFile(path, failed=failed) as file:
        file.write(manifest_bytes(content))


def read_manifest(path: str, *, version: int) -> dict[str, Any]:
    """The content given to ``write_manifest``. Its ``version`` must be the one given here.

    Raises:
        InputError: the manifest is damaged or of another version.
        OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        return manifest_from(file.read(), path, version=version)


def manifest_bytes(content: Mapping[str, Any]) -> bytes:
    """The content as the bytes of a manifest."""
    return json.dumps({**content, _CHECKSUM: xxh3_64_hexdigest(_canonical(content))}, indent=1).encode()


def manifest_from(text: bytes, path: str, *, version: int) -> dict[str, Any]:
    """The content of the manifest ``text``, read from ``path``. Raises InputError as ``read_manifest`` does."""
    try:
        content = json.loads(text)
        checksum = content.pop(_CHECKSUM)
        found = content["version"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged: {type(error).__name__}: {error}") from None
    if checksum != xxh3_64_hexdigest(_canonical(content)):
        raise InputError(f"{path} is damaged: its checksum does not match")
    if found != version:
        raise InputError(f"{path} has version {found}; this mpirdd reads {version}")
    return dict(content)


def cannot_write(path: str, error: OSError) -> ClusterError:
    """The error for a file or folder that the file system refused to write."""
    return ClusterError(f"cannot write {path} on {os.uname().nodename}: {error.strerror or error}")


def _canonical(content: Mapping[str, Any]) -> bytes:
    return json.dumps(dict(content), sort_keys=True).encode()
