"""Removes what a killed run leaves behind on this host besides its scratch folders.

MPI's shared memory files (Open MPI: 16 MB a rank) and mpirun's session folder stay when their processes are killed. So each
rank notes in the run's folder which files it has mapped, and the launcher notes mpirun's process id. The launcher removes
them at the end of the run. If it was killed itself, the next run on this host does. Where plain mpirun or srun has started the
run, the first rank of each host makes such a folder.

This removes only what a run of ours has noted, and only while no process uses it.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress

from mpirdd.protocol.errors import ClusterError
from mpirdd.store.scratch import ScratchFolder, remove_tree, temporary_folder

RUN = "run"
"""The purpose of the folders with notes."""
_SHARED = "/dev/shm"
_FILES = re.compile(r"(sm_segment\..+|mpich_shm_[0-9a-f]+_\d+|vader_segment\..+)$")
_NOTE, _MPIRUN = "shared-", "mpirun-"


def note_shared_files(folder: str, rank: int) -> None:
    """On a rank, once MPI has started: note the files that MPI has mapped. Only processes of this host read the note."""
    names = sorted(_mapped("self"))
    with suppress(OSError), open(os.path.join(folder, f"{_NOTE}{os.uname().nodename}-{rank}"), "x") as file:
        file.write("\n".join(names))


def own_folder() -> str | None:
    """On the first rank of a host, in a run that no launcher of ours has started: a folder for the notes. It goes at the end of
    this process; if that is killed, the next run on this host removes what the notes say. None if none can be made."""
    import atexit

    try:
        folder = ScratchFolder(RUN, temporary_folder(), clear=take_away)
    except ClusterError:
        return None
    atexit.register(folder.remove)
    note_mpirun(folder.path, os.getppid())
    return folder.path


def note_mpirun(folder: str, pid: int) -> None:
    """On the launcher, once mpirun has started: note its process id."""
    with suppress(OSError), open(os.path.join(folder, f"{_MPIRUN}{pid}"), "x"):
        pass


def shared_files() -> set[str]:
    """The names of all shared memory files of MPIs on this host."""
    with suppress(OSError):
        return {name for name in os.listdir(_SHARED) if _FILES.match(name)}
    return set()


def remove_unused(names: set[str]) -> set[str]:
    """Remove those of our own shared memory files that nobody uses; never raises. Returns those in use."""
    used = _in_use() if names else set()
    for name in names - used:
        _remove(os.path.join(_SHARED, name))
    return names & used


def take_away(folder: str) -> bool:
    """Remove the files that the notes in a run's folder name, if nobody uses them. The run is over. Never raises.

    Returns:
        False if a process still uses one of them.
    """
    used: set[str] = set()
    with suppress(OSError):
        noted, pids = _read(folder)
        used = remove_unused(noted)
        for pid in pids:
            session = os.path.join(temporary_folder(), f"ompi.{pid}")
            if not os.path.exists(f"/proc/{pid}") and _is_ours(session):
                remove_tree(session)
    return not used


def _read(folder: str) -> tuple[set[str], list[int]]:
    noted: set[str] = set()
    pids = []
    for name in os.listdir(folder):
        if name.startswith(f"{_NOTE}{os.uname().nodename}-"):
            with open(os.path.join(folder, name)) as file:
                noted.update(name for name in file.read().split("\n") if _FILES.match(name))
        elif name.startswith(_MPIRUN) and name[len(_MPIRUN):].isdigit():
            pids.append(int(name[len(_MPIRUN):]))
    there = set(os.listdir(_SHARED)) if noted else set()
    # A rank may die before it has noted its file. Open MPI's names tell that the file belongs to the same MPI job.
    jobs = tuple(name.rpartition(".")[0] + "." for name in noted if name.startswith(("sm_segment.", "vader_segment.")))
    return {name for name in there if name in noted or name.startswith(jobs)}, pids


def _in_use() -> set[str]:
    used: set[str] = set()
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            used |= _mapped(entry)
    return used


def _mapped(process: str) -> set[str]:
    """The names of MPI's shared memory files that a process has mapped; none of a process that we may not look at."""
    with suppress(OSError), open(f"/proc/{process}/maps") as maps:
        paths = {line.rstrip("\n").partition("/")[2] for line in maps if f" {_SHARED}/" in line}
        return {name for path in paths if _FILES.match(name := path.removeprefix(f"{_SHARED[1:]}/"))}
    return set()


def _remove(path: str) -> None:
    with suppress(OSError):
        if _is_ours(path):
            os.unlink(path)


def _is_ours(path: str) -> bool:
    with suppress(OSError):
        status = os.lstat(path)
        return status.st_uid == os.geteuid()
    return False
