"""The MPI library, started as mpirdd needs it: the one module of mpirdd that imports mpi4py.

Importing this module starts MPI. The thread level is SERIALIZED, since one thread at a time calls MPI
here; with MULTIPLE each call would take a lock.
"""

from __future__ import annotations

import atexit
import os

import mpi4py

mpi4py.rc.thread_level = "serialized"
mpi4py.rc.finalize = False  # it would end MPI in forked children, too, while their parent still uses it
from mpi4py import MPI as MPI  # noqa: E402  (starts MPI with the settings just above; others take MPI from here)

LOSSES = {getattr(MPI, name) for name in ("ERR_PROC_FAILED", "ERR_PROC_FAILED_PENDING", "ERR_REVOKED") if hasattr(MPI, name)}
"""The classes of errors by which MPI says that a rank is dead."""
LOSSES.add(MPI.ERR_IN_STATUS)


def library_version() -> str:
    """The name and version of the MPI: its first line, up to a comma."""
    text: str = MPI.Get_library_version()
    return text.strip("\0 \n").partition("\n")[0].partition(",")[0]


def ranks_on_this_host(spares: int = 0) -> int:
    """The number of ranks on this host, without the last ``spares`` ranks of the world. All ranks call this together."""
    world = MPI.COMM_WORLD
    here = world.Split_type(MPI.COMM_TYPE_SHARED)
    count: int = here.allreduce(int(world.rank < world.size - spares)) if spares else here.Get_size()
    here.Free()
    return count


def survives_losses() -> bool:
    """Do the other ranks go on when one dies? True under ULFM."""
    return os.environ.get("OMPI_MCA_mpi_ft_enable") in ("1", "true")  # noqa: SIM112  (spelt so)


def finalize_at_exit() -> None:
    """Leave MPI at the end of this process, but not at that of its forks. For processes that do not ``close`` a transport."""
    atexit.register(_finalize, os.getpid())


def _finalize(rank: int) -> None:
    if os.getpid() == rank and not MPI.Is_finalized():
        MPI.Finalize()
