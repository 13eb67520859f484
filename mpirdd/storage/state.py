"""Named values on disk that outlive a run: whole generations of them, of which the last good one counts.

    FOLDER/lock                          held by the one run that uses the folder, and says who that is
    FOLDER/generation-00000012/          one save, whole
        manifest.json                    iteration, and for each value its files with size and checksum
        weights.00000, ranks.00000 ...   a value has one file; an RDD one for each partition

A generation is written under another name, forced to disk, and renamed; so it is there as a whole or not at all,
whenever the process dies. The last two are kept: should the newest turn out to be damaged, the one before it counts.
Values are pickled (``storage.checkpoint``), and unpickled only when they are asked for by name.
"""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from shutil import rmtree
from typing import Any
from uuid import uuid4

from xxhash import xxh3_64_hexdigest

from mpirdd.storage.checkpoint import Part, damage
from mpirdd.words.errors import ClusterError, InputError, UsageError

_MANIFEST = "manifest.json"
_VERSION = 1
_KEPT = 2
_PREFIX, _UNFINISHED = "generation-", ".saving-"


@dataclass(frozen=True, slots=True)
class Generation:
    """What one save has left."""

    folder: str
    number: int
    iteration: int
    saved: str
    """Local time, for people."""
    about: Mapping[str, Any]
    values: Mapping[str, Sequence[Part]]
    partitioned: Mapping[str, Part | None]
    """The values that are RDDs, each with the file of its partitioner, if it has one."""

    def parts(self) -> list[Part]:
        """All files that belong to it."""
        partitioners = [part for part in self.partitioned.values() if part is not None]
        return [*(part for parts in self.values.values() for part in parts), *partitioners]


class FolderLock:
    """Held by one process at a time; the system frees it when that dies, however it dies.

    Raises:
        UsageError: another process holds it, and still does after ``patience_s``; the message says who.
        ClusterError: the folder cannot be written.
    """

    def __init__(self, folder: str, patience_s: float) -> None:
        path = os.path.join(folder, "lock")
        try:
            self._file = open(path, "a+")  # noqa: SIM115  closed by release
        except OSError as error:
            raise ClusterError(f"cannot write the state folder {folder}: {error.strerror}") from error
        deadline = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    self._file.seek(0)
                    holder = self._file.read().strip() or "another run"
                    self._file.close()
                    raise UsageError(
                        f"the state in {folder} is in use by {holder}. "
                        "Wait until that run has ended, or end it; two runs need two folders."
                    ) from None
                time.sleep(0.1)
            except OSError as error:
                self._file.close()
                raise ClusterError(
                    f"the file system of {folder} cannot lock files ({error.strerror}), so nothing would keep two runs "
                    "from spoiling each other's state; choose a folder on another file system"
                ) from error
        self._file.truncate(0)
        self._file.write(_who())
        self._file.flush()

    def release(self) -> None:
        """Let others have the folder."""
        self._file.close()


def _who() -> str:
    job = os.environ.get("SLURM_JOB_ID")
    process = f"process {os.getpid()} on {socket.gethostname()}"
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    return f"job {job} ({process}), since {since}" if job else f"{process}, since {since}"


def generations(folder: str) -> list[int]:
    """The numbers of all generations that are there, good or not, newest first."""
    found = [name.removeprefix(_PREFIX) for name in os.listdir(folder) if name.startswith(_PREFIX)]
    return sorted((int(number) for number in found if number.isdigit()), reverse=True)


def name_of(number: int) -> str:
    """The name of a generation's folder."""
    return f"{_PREFIX}{number:08d}"


def open_generation(folder: str, number: int) -> Generation:
    """Read the manifest; the values' files are not looked at.

    Raises:
        InputError: the manifest is missing or damaged.
    """
    own = _path(folder, number)
    path = os.path.join(own, _MANIFEST)
    try:
        with open(path, encoding="utf-8") as file:
            manifest = json.load(file)
        checksum = manifest.pop("checksum")
        if checksum != xxh3_64_hexdigest(_canonical(manifest)):
            raise InputError(f"{path} is damaged: its checksum does not match")
        if manifest["version"] != _VERSION:
            raise InputError(f"{path} has version {manifest['version']}; this mpirdd reads {_VERSION}")
        return Generation(
            own, number, manifest["iteration"], manifest["saved"], manifest["about"],
            {name: [_part(own, words) for words in parts] for name, parts in manifest["values"].items()},
            {name: words and _part(own, words) for name, words in manifest["partitioned"].items()},
        )
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged: {type(error).__name__}: {error}") from None


def damages(parts: Sequence[Part]) -> list[str]:
    """What is wrong with the files, in words; nothing if all is well. Reads them all."""
    return [problem for part in parts if (problem := damage(part))]


def start_generation(folder: str) -> str:
    """A new private folder to write a generation's files to."""
    path = os.path.join(folder, f"{_UNFINISHED}{uuid4().hex}")
    try:
        os.mkdir(path, mode=0o700)
    except OSError as error:
        raise ClusterError(f"cannot write to the state folder {folder}: {error.strerror}") from error
    return path


def commit_generation(
    folder: str,
    unfinished: str,
    number: int,
    *,
    iteration: int,
    about: Mapping[str, Any],
    values: Mapping[str, Sequence[Part]],
    partitioned: Mapping[str, Part | None],
) -> None:
    """From now on, the generation is there. All its files must be on disk already."""
    manifest: dict[str, Any] = {
        "version": _VERSION, "iteration": iteration, "saved": time.strftime("%Y-%m-%d %H:%M:%S"), "about": dict(about),
        "values": {name: [_words(part) for part in parts] for name, parts in values.items()},
        "partitioned": {name: part and _words(part) for name, part in partitioned.items()},
    }
    manifest["checksum"] = xxh3_64_hexdigest(_canonical(manifest))
    try:
        with open(os.path.join(unfinished, _MANIFEST), "x", encoding="utf-8") as file:
            json.dump(manifest, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        _sync_folder(unfinished)
        os.rename(unfinished, _path(folder, number))
        _sync_folder(folder)
    except OSError as error:
        raise ClusterError(f"cannot save to {folder}: {error.strerror}") from error


def prune(folder: str, good: Sequence[int], in_use: int | None = None) -> None:
    """Remove what older saves and interrupted ones have left; the last two of the ``good`` generations stay, and the one that the
    program goes on from: what it has made of the RDDs in there may have to be made again."""
    kept = [*sorted(good)[-_KEPT:], in_use]
    for number in generations(folder):
        if number not in kept:
            rmtree(_path(folder, number), ignore_errors=True)
    for name in os.listdir(folder):
        if name.startswith(_UNFINISHED):
            rmtree(os.path.join(folder, name), ignore_errors=True)


def _path(folder: str, number: int) -> str:
    return os.path.join(folder, name_of(number))


def _words(part: Part) -> list[Any]:
    return [os.path.basename(part.path), part.size, part.checksum]


def _part(folder: str, words: Sequence[Any]) -> Part:
    file, size, checksum = words
    return Part(os.path.join(folder, os.path.basename(file)), int(size), str(checksum))


def _canonical(manifest: Mapping[str, Any]) -> bytes:
    return json.dumps(manifest, sort_keys=True).encode()


def _sync_folder(folder: str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # some network file systems sync no folders; their rename is on the server at once
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
