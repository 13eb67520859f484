"""The two roles of a hand-written program: rank 0, which waits, and the workers' communicator."""

from __future__ import annotations

import time
from collections.abc import Callable

from mpi4py import MPI

SLEEP_S = 0.0005


def workers_of(world: MPI.Intracomm) -> MPI.Intracomm | None:
    """A communicator of ranks 1 to n-1; None on rank 0. Collective."""
    group = world.Get_group().Excl([0])
    return world.Create_group(group) if world.rank > 0 else None


def wait_asleep(ready: Callable[[], bool]) -> None:
    """Return when ``ready()`` is true; a blocking MPI call would spin on a core that a worker needs."""
    while not ready():
        time.sleep(SLEEP_S)


def leave_together(world: MPI.Intracomm) -> None:
    """Wait, asleep, until all ranks are here; MPI_Finalize would spin. Collective."""
    request = world.Ibarrier()
    wait_asleep(lambda: request.Test())
