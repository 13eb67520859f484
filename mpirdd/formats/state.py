"""Named values in files that outlive a run: whole generations of them, of which the last good one counts.

    FOLDER/lock                          held by the one run that uses the folder, and says who that is (local ones only)
    FOLDER/generation-00000012/          one save, whole
        manifest.json                    iteration, and for each value its files with size and checksum
        weights.00000-4f1c09ab ...       a value has one file; an RDD one for each partition

A generation is a folder that appears whole (``wholefiles``). The last two are kept: should the newest turn out to
be damaged, the one before it counts. Values are pickled (``checkpoint``), and unpickled only when the program
asks for them by name.

Other file systems than the local one cannot lock. There a second run is noticed when it saves: the generation that it
would write is there already.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from stat import S_ISREG
from typing import Any

from mpirdd.formats.checkpoint import Part, damage, remove_others
from mpirdd.formats.filesystems import Options, is_remote
from mpirdd.formats.wholefiles import names_in, new_folder, read_manifest, remove_folder, write_manifest
from mpirdd.protocol.errors import ClusterError, InputError, MpirddError, UsageError

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
            # Never through a symbolic link: who holds the lock is written into the file, over what is in it.
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise UsageError(
                    f"{path} is a symbolic link, and is not followed. Remove it, or choose another folder.") from error
            raise ClusterError(f"cannot write the state folder {folder}: {error.strerror}") from error
        if not S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise UsageError(f"{path} is no regular file. Remove it, or choose another folder.")
        self._file = os.fdopen(descriptor, "r+")
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
        self._file.seek(0)
        self._file.truncate()
        self._file.write(_who())
        self._file.flush()

    def release(self) -> None:
        """Let others have the folder."""
        self._file.close()


def _who() -> str:
    job = os.environ.get("SLURM_JOB_ID")
    import socket

    process = f"process {os.getpid()} on {socket.gethostname()}"
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    return f"job {job} ({process}), since {since}" if job else f"{process}, since {since}"


def lock(folder: str, patience_s: float) -> FolderLock | None:
    """The lock of a folder; None where its file system has none."""
    return None if is_remote(folder) else FolderLock(folder, patience_s)


def generations(folder: str, options: Options) -> list[int]:
    """The numbers of all generations that are there, good or not, newest first."""
    found = [name.removeprefix(_PREFIX) for name in names_in(folder, options) if name.startswith(_PREFIX)]
    return sorted((int(number) for number in found if number.isdigit()), reverse=True)


def name_of(number: int) -> str:
    """The name of a generation's folder."""
    return f"{_PREFIX}{number:08d}"


def open_generation(folder: str, number: int, options: Options) -> Generation:
    """Read the manifest; the values' files are not looked at.

    Raises:
        InputError: the manifest is missing or damaged.
    """
    own = _path(folder, number)
    path = os.path.join(own, _MANIFEST)
    try:
        manifest = read_manifest(path, options, version=_VERSION)
        return Generation(
            own, number, manifest["iteration"], manifest["saved"], manifest["about"],
            {name: [_part(own, words, options) for words in parts] for name, parts in manifest["values"].items()},
            {name: words and _part(own, words, options) for name, words in manifest["partitioned"].items()},
        )
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is damaged: {type(error).__name__}: {error}") from None


def damages(parts: Sequence[Part]) -> list[str]:
    """What is wrong with the files, in words; nothing if all is well. Reads them all."""
    return [problem for part in parts if (problem := damage(part))]


def new_generation(folder: str, number: int, options: Options) -> AbstractContextManager[str]:
    """A context manager that gives the folder to write the files and the manifest of a generation to. When it ends well
    the generation is there; else nothing of it is."""
    return new_folder(_path(folder, number), options, prefix=_UNFINISHED, failed=partial(_cannot_save, folder))


def commit_generation(
    unfinished: str,
    options: Options,
    *,
    iteration: int,
    about: Mapping[str, Any],
    values: Mapping[str, Sequence[Part]],
    partitioned: Mapping[str, Part | None],
) -> None:
    """Write the manifest: the files in ``unfinished`` are all there. Files of attempts that do not count go."""
    files = [*(part for parts in values.values() for part in parts), *filter(None, partitioned.values())]
    remove_others(unfinished, files, options)
    manifest: dict[str, Any] = {
        "version": _VERSION, "iteration": iteration, "saved": time.strftime("%Y-%m-%d %H:%M:%S"), "about": dict(about),
        "values": {name: [_words(part) for part in parts] for name, parts in values.items()},
        "partitioned": {name: part and _words(part) for name, part in partitioned.items()},
    }
    write_manifest(os.path.join(unfinished, _MANIFEST), manifest, options, failed=partial(_cannot_save, unfinished))


def prune(folder: str, options: Options, good: Sequence[int], in_use: int | None = None) -> None:
    """Remove what older saves and interrupted ones have left. The last two of the ``good`` generations stay, and so does the
    one that the program goes on from: RDDs that come from it may have to be recomputed."""
    kept = [*sorted(good)[-_KEPT:], in_use]
    for number in generations(folder, options):
        if number not in kept:
            remove_folder(_path(folder, number), options)
    remove_unfinished(folder, options)


def remove_unfinished(folder: str, options: Options) -> None:
    """Remove what saves that were interrupted have left: without it, later ones might find no space. Only for the run that
    holds the folder's lock."""
    for name in names_in(folder, options):
        if name.startswith(_UNFINISHED):
            remove_folder(os.path.join(folder, name), options)


def _path(folder: str, number: int) -> str:
    return os.path.join(folder, name_of(number))


def _words(part: Part) -> list[Any]:
    return [os.path.basename(part.path), part.size, part.checksum]


def _part(folder: str, words: Sequence[Any], options: Options) -> Part:
    file, size, checksum = words
    return Part(os.path.join(folder, os.path.basename(file)), int(size), str(checksum), options)


def _cannot_save(folder: str, error: OSError) -> MpirddError:
    if isinstance(error, FileExistsError) and is_remote(folder):
        return UsageError(
            f"cannot save to {folder}: another run has saved there since this one began. Two runs need two folders.")
    return ClusterError(f"cannot save to {folder}: {error.strerror}")
