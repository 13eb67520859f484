"""A private folder on this host's local disk, for as long as a process needs it.

It has mode 0700 and a name that cannot be guessed. ``remove`` deletes it. A killed process cannot, so the next process that makes
a folder of the same purpose on this host does. It recognises the folders of dead processes by their locks, which the system has
freed.
"""

from __future__ import annotations

import fcntl
import os
import time
import weakref
from collections.abc import Callable
from contextlib import suppress

from mpirdd.protocol.errors import ClusterError

_YOUNG_S = 60.0
"""A folder this new that has another name until it is locked may be so soon."""
_SPILL = "spill"


def scratch_parent(given: str = "") -> str:
    """The parent of scratch folders: ``given``, otherwise ``SLURM_TMPDIR``, ``TMPDIR``, or the system's temporary folder."""
    return given or os.environ.get("SLURM_TMPDIR") or temporary_folder()


def temporary_folder() -> str:
    """``TMPDIR``, ``TEMP`` or ``TMP`` if it is writable, otherwise the system's temporary folder. As ``tempfile.gettempdir``, but
    that module would make every rank import 17 others."""
    named = [os.environ.get(name, "") for name in ("TMPDIR", "TEMP", "TMP")]
    for folder in (*filter(None, named), "/tmp", "/var/tmp", "/usr/tmp"):
        if os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK):
            return os.path.abspath(folder)
    return os.getcwd()


def new_name(prefix: str, parent: str) -> str:
    """A path in ``parent`` that nobody can guess."""
    return os.path.join(parent, prefix + os.urandom(8).hex())


def make_private_folder(prefix: str, parent: str) -> str:
    """A new folder of mode 0700 with a name that cannot be guessed. Raises OSError."""
    path = new_name(prefix, parent)
    os.mkdir(path, 0o700)
    return path


def remove_tree(path: str) -> None:
    """Remove a folder and its content; never raises."""
    from shutil import rmtree  # late: it imports the modules of all compressions

    rmtree(path, ignore_errors=True)


Clear = Callable[[str], bool]


class ScratchFolder:
    """A folder in ``parent``, or where ``SLURM_TMPDIR``, ``TMPDIR`` or the system says. Folders that killed processes have left
    there are removed.

    Args:
        purpose: a part of the folder's name; folders of killed processes with the same purpose are removed.
        clear: called with the path of each such folder before; if it returns False, the folder stays.

    Raises:
        ClusterError: no folder can be made there.
    """

    def __init__(self, purpose: str, parent: str = "", *, clear: Clear | None = None) -> None:
        parent = scratch_parent(parent)
        prefix = f"mpirdd-{purpose}-"
        remove_orphans(parent, prefix, clear or _nothing_more)
        self._made_by = os.getpid()
        try:
            # Hidden until it is locked, so that a folder by this name without a lock is an orphan, however new.
            made = make_private_folder(f".{prefix}", parent)
            self._lock = os.open(made, os.O_RDONLY | os.O_DIRECTORY)
            with suppress(OSError):  # some network file systems cannot lock folders; then nobody takes it for an orphan either
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.path = os.path.join(parent, os.path.basename(made)[1:])
            os.rename(made, self.path)
        except OSError as error:
            raise ClusterError(
                f"cannot make a scratch folder in {parent} on {os.uname().nodename}: {error.strerror}; "
                "choose a folder on a local disk with --scratch (for tasks) or TMPDIR"
            ) from error

    def remove(self) -> None:
        """Remove the folder and its content; never raises. Does nothing in a process forked from the folder's."""
        if self._lock == -1 or os.getpid() != self._made_by:
            return
        remove_tree(self.path)
        with suppress(OSError):
            os.close(self._lock)
        self._lock = -1


class Scratch:
    """A rank's scratch folder: made when it is first needed, removed at the end of the process at the latest."""

    def __init__(self, parent: str = "") -> None:
        self.parent = scratch_parent(parent)
        from mpirdd.store.costs import Costs  # late: it imports the pickler, which launchers do without

        self.costs = Costs()
        """The costs of the files in the folder."""
        self._folder: ScratchFolder | None = None

    def path(self) -> str:
        """The folder. Raises ClusterError if none can be made."""
        if self._folder is None:
            self._folder = ScratchFolder(_SPILL, self.parent)
            weakref.finalize(self, _remove_as, os.getpid(), self._folder)
        return self._folder.path

    def remove(self) -> None:
        """Remove the folder, if there is one. Open spill files stay readable."""
        if self._folder is not None:
            self._folder.remove()
            self._folder = None


def _remove_as(process: int, folder: ScratchFolder) -> None:
    """Remove the folder at the end of ``process``, but not at the end of processes that it forked."""
    if os.getpid() == process:
        folder.remove()


def _nothing_more(folder: str) -> bool:
    return True


def remove_spilled(parent: str) -> None:
    """Remove the spill files that killed processes have left in ``parent``; never raises."""
    remove_orphans(scratch_parent(parent), f"mpirdd-{_SPILL}-")


def remove_orphans(parent: str, prefix: str, clear: Clear = _nothing_more, *, locked_late: bool = False) -> None:
    """Remove this user's folders whose names begin with ``prefix`` and that no living process has locked; never raises.

    Args:
        locked_late: whoever makes such folders locks them when they have their names already.
    """
    with suppress(OSError):
        for entry in os.scandir(parent):
            name = entry.name.removeprefix(".")
            if name.startswith(prefix) and entry.is_dir(follow_symlinks=False):
                with suppress(OSError):
                    _remove_if_orphan(entry, clear, _YOUNG_S if locked_late or name != entry.name else 0.0)


def _remove_if_orphan(entry: os.DirEntry[str], clear: Clear, least_age_s: float) -> None:
    status = entry.stat(follow_symlinks=False)
    if status.st_uid != os.getuid() or (least_age_s and time.time() - status.st_mtime < least_age_s):
        return
    lock = os.open(entry.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: its process lives
        if clear(entry.path):
            remove_tree(entry.path)
    finally:
        os.close(lock)
