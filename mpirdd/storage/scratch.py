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
from contextlib import suppress
from shutil import rmtree

from mpirdd.words.errors import ClusterError

_YOUNG_S = 60.0
"""A folder may be this new and not be locked yet."""


class ScratchFolder:
    """Where ``SLURM_TMPDIR``, ``TMPDIR`` or the system says.

    Raises:
        ClusterError: no folder can be made there.
    """

    def __init__(self, purpose: str) -> None:
        parent = os.environ.get("SLURM_TMPDIR") or tempfile.gettempdir()
        prefix = f"mpirdd-{purpose}-"
        _remove_orphans(parent, prefix)
        try:
            self.path = tempfile.mkdtemp(prefix=prefix, dir=parent)
            self._lock = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise ClusterError(
                f"cannot make a scratch folder in {parent} on {os.uname().nodename}: {error.strerror}; "
                "set TMPDIR to a folder on a local disk"
            ) from error
        with suppress(OSError):  # some network file systems lock no folders; then nobody takes it for an orphan either
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def remove(self) -> None:
        """Take the folder away, with all that is in it; never raises."""
        rmtree(self.path, ignore_errors=True)
        with suppress(OSError):
            os.close(self._lock)
            self._lock = -1


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
