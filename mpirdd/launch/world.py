"""Joining the world: how a process gets its end of the network."""

from __future__ import annotations

import os
from collections.abc import Mapping

from mpirdd.comm.transport import Transport
from mpirdd.launch.launchers import (
    LAUNCHED_SPARES,
    by_a_launcher,
    keep_from_children,
    launched_size,
    number,
    ranks_here,
)
from mpirdd.launch.resources import cap_threads
from mpirdd.protocol.errors import ClusterError
from mpirdd.store.memory import reuse_freed_memory


def open_transport() -> tuple[Transport, int]:
    """This process's end of the network, and the number of ranks of this run on this host, without spares.

    If there is any sign of a launcher, the network is MPI's; else it is a world of one without MPI. Starting MPI takes up to a
    second, which plain ``python job.py`` should not pay.

    Raises:
        ClusterError: the ranks do not form one world.
    """
    if not by_a_launcher(os.environ):
        return _world_of_one(os.uname().nodename), 1
    if launched_size(os.environ) > 1:
        cap_threads(os.environ)
    from mpirdd.comm.mpi import MpiTransport
    from mpirdd.comm.mpi_library import finalize_at_exit, ranks_on_this_host

    reuse_freed_memory(1 << 40)
    opened = MpiTransport()
    if opened.size == 1:
        finalize_at_exit()
    check_world(os.environ, opened.size)
    keep_from_children(os.environ)
    if opened.size == 1:
        return _world_of_one(opened.host), 1
    spares = number(os.environ.pop(LAUNCHED_SPARES, None))
    return opened, (not spares and ranks_here(os.environ, opened.size)) or ranks_on_this_host(spares)


def _world_of_one(host: str) -> Transport:
    os.environ.setdefault("PYTHONHASHSEED", "0")  # for one process any seed is as good as a fixed one: see ops/hashing.py
    from mpirdd.comm.inprocess import InProcessTransport, Network

    return InProcessTransport(Network(1, host), 0)


def check_world(environment: Mapping[str, str], size: int) -> None:
    """Refuse worlds of one that were meant to be one world together: each would run the whole program.

    Raises:
        ClusterError: the launcher started several ranks, but MPI says that this one is alone.
    """
    started = launched_size(environment)
    if size > 1 or started <= 1:
        return
    if "OMPI_COMM_WORLD_SIZE" in environment:
        raise ClusterError(_mismatch(started, "Open MPI's mpirun"))
    if "MPI_LOCALNRANKS" in environment:  # the mark of Hydra, the mpirun of MPICH and Intel MPI
        raise ClusterError(_mismatch(started, "the mpirun of MPICH or Intel MPI"))
    raise ClusterError(
        f"srun started {started} processes that do not find each other: {started} worlds of one rank.\n"
        "  fix: srun --mpi=pmix ...   (Open MPI)\n"
        "   or: srun --mpi=pmi2 ...   (MPICH, Intel MPI; `srun --mpi=list` says what this Slurm has)\n"
        "   or: mpirdd run ...        (inside the allocation, without srun)"
    )


def _mismatch(started: int, launcher: str) -> str:
    return (
        f"{launcher} started {started} processes, but mpi4py here loads another MPI, so that each is alone.\n"
        "  fix: use the mpirun of the MPI that mpi4py loads (`mpirdd doctor` names both),\n"
        "   or: pip install --force-reinstall --no-cache-dir mpi4py, with the right MPI's module loaded"
    )
