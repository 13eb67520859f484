"""An all-to-all by hand: one blocking Alltoallv among the workers on buffers that are used again and again.

This is the upper bound: no sizes to agree on, no memory to allocate, nothing to find out about the data.
"""

from __future__ import annotations

import time
from itertools import chain

import numpy as np
from mpi4py import MPI

from benchmarks.arrays import DTYPE, checksum, make
from benchmarks.handwritten.ranks import leave_together, workers_of
from benchmarks.program import program_arguments, write_report


def main() -> None:
    world = MPI.COMM_WORLD
    arguments = program_arguments("items", "jobs")
    comm = workers_of(world)
    if comm is not None:
        seconds, received = exchange(comm, arguments.items, arguments.jobs)
        checksums = comm.gather(checksum(received))
        if checksums is not None:
            write_report(arguments.report, seconds=seconds, checksum=sorted(chain.from_iterable(checksums)))
    leave_together(world)


def exchange(comm: MPI.Intracomm, items: int, jobs: int) -> tuple[list[float], list[np.ndarray]]:
    """Seconds of each exchange, until the last rank is done, and the arrays received. Collective."""
    send = np.concatenate([make(comm.rank, destination, items) for destination in range(comm.size)])
    receive = np.zeros(items * comm.size, DTYPE)
    counts = [items] * comm.size
    seconds = []
    for _ in range(1 + jobs):  # the first touches memory and opens connections
        comm.Barrier()
        started = time.monotonic()
        comm.Alltoallv([send, counts], [receive, counts])
        seconds.append(comm.allreduce(time.monotonic() - started, MPI.MAX))
    return seconds[1:], np.split(receive, comm.size)


if __name__ == "__main__":
    main()
