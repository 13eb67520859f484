"""A private folder on this host's local disk, for as long as a process needs it.

It has mode 0700 and a name that cannot be guessed. ``remove`` takes it away; a process that is killed cannot,
so the next one that makes a folder of the same purpose on this host does it. It knows by a lock: the system
frees a dead process's.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
import weakref
from contextlib import suppress
from shutil import rmtree

from mpirdd.storage.costs import Costs
from mpirdd.words.errors import ClusterError

_YOUNG_S = 60.0
"""A folder may be this new and not be locked yet."""


def scratch_parent(given: str = "") -> str:
    """The folder to make scratch folders in: the one given, else ``SLURM_TMPDIR``, ``TMPDIR``, or the system's."""
    return given or os.environ.get("SLURM_TMPDIR") or tempfile.gettempdir()


class ScratchFolder:
    """Made in ``parent``, or where ``SLURM_TMPDIR``, ``TMPDIR`` or the system says.

    Raises:
        ClusterError: no folder can be made there.
    """

    def __init__(self, purpose: str, parent: str = "") -> None:
        parent = scratch_parent(parent)
        prefix = f"mpirdd-{purpose}-"
        _remove_orphans(parent, prefix)
        try:
            self.path = tempfile.mkdtemp(prefix=prefix, dir=parent)
            self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise ClusterError(
                f"cannot make a scratch folder in {parent} on {os.uname().nodename}: {error.strerror}; "
                "choose a folder on a local disk with --scratch (for tasks) or TMPDIR"
            ) from error
        with suppress(OSError):  # some network file systems lock no folders; then nobody takes it for an orphan either
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def remove(self) -> None:
        """Take the folder away, with all that is in it; never raises."""
        if self._lock == -1:
            return
        rmtree(self.path, ignore_errors=True)
        with suppress(OSError):
            os.close(self._lock)
        self._lock = -1


class Scratch:
    """A rank's scratch folder, made when it is first needed; removed at the end of the process, at the latest."""

    def __init__(self, parent: str = "") -> None:
        self.parent = scratch_parent(parent)
        self.costs = Costs()
        """Of the files that are made in it."""
        self._folder: ScratchFolder | None = None

    def path(self) -> str:
        """The folder. Raises ClusterError where none can be made."""
        if self._folder is None:
            self._folder = ScratchFolder("spill", self.parent)
            weakref.finalize(self, _remove_as, os.getpid(), self._folder)
        return self._folder.path

    def remove(self) -> None:
        """Take the folder away, if there is one. Spill files that are open stay readable."""
        if self._folder is not None:
            self._folder.remove()
            self._folder = None


def _remove_as(process: int, folder: ScratchFolder) -> None:
    """At the end of ``process``, but not of those that it forked."""
    if os.getpid() == process:
        folder.remove()


def _remove_orphans(parent: str, prefix: str) -> None:
    with suppress(OSError):
        for entry in os.scandir(parent):
            if entry.name.startswith(prefix) and entry.is_dir(follow_symlinks=False):
                with suppress(OSError):
                    _remove_if_orphan(entry)


def _remove_if_orphan(entry: os.DirEntry[str]) -> None:
    status = entry.stat(follow_symlinks=False)
    if status.st_uid != os.getuid() or time.time() - status.st_mtime < _YOUNG_S:
        return
    lock = os.open(entry.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: its process lives
        rmtree(entry.path, ignore_errors=True)
    finally:
        os.close(lock)
