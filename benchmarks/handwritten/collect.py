"""Arrays to rank 0 by hand: each worker Sends its arrays as raw bytes.

Measured twice: into the same memory every time (``seconds``, the fastest possible), and into new
memory every time (``fresh_seconds``, as any call that returns the arrays must).
"""

from __future__ import annotations

import time

import numpy as np
from mpi4py import MPI

from benchmarks.arrays import DTYPE, checksum, make
from benchmarks.handwritten.ranks import leave_together
from benchmarks.program import program_arguments, write_report


def main() -> None:
    world = MPI.COMM_WORLD
    arguments = program_arguments("arrays", "items", "jobs")
    if world.rank != 0:
        arrays = [make(world.rank - 1, index, arguments.items) for index in range(arguments.arrays)]
        for _ in range(2 * arguments.jobs):
            world.Barrier()
            for index, array in enumerate(arrays):
                world.Send(array, 0, tag=index)
    else:
        reused = targets(world.size - 1, arguments.arrays, arguments.items)
        seconds, fresh_seconds = [], []
        for _ in range(arguments.jobs):
            seconds.append(receive(world, reused))
        for _ in range(arguments.jobs):
            started = time.monotonic()
            fresh = targets(world.size - 1, arguments.arrays, arguments.items)
            allocated_s = time.monotonic() - started
            fresh_seconds.append(allocated_s + receive(world, fresh))
            del fresh
        write_report(arguments.report, seconds=seconds, fresh_seconds=fresh_seconds,
                     checksum=checksum(array for arrays in reused for array in arrays))
    leave_together(world)


def targets(workers: int, arrays: int, items: int) -> list[list[np.ndarray]]:
    """Room for ``arrays`` arrays from each worker."""
    return [[np.empty(items, DTYPE) for _ in range(arrays)] for _ in range(workers)]


def receive(world: MPI.Intracomm, into: list[list[np.ndarray]]) -> float:
    """Seconds until all arrays of all workers are here."""
    world.Barrier()
    started = time.monotonic()
    MPI.Request.Waitall([world.Irecv(array, worker, tag=index)
                         for worker, arrays in enumerate(into, 1) for index, array in enumerate(arrays)])
    return time.monotonic() - started


if __name__ == "__main__":
    main()
