"""The sum over numpy blocks by hand: each worker sums its own, one Allreduce."""

from __future__ import annotations

import time

import numpy as np
from mpi4py import MPI

from benchmarks.arrays import make
from benchmarks.handwritten.ranks import leave_together, workers_of
from benchmarks.program import program_arguments, write_report


def main() -> None:
    world = MPI.COMM_WORLD
    arguments = program_arguments("blocks", "items", "turns")
    comm = workers_of(world)
    if comm is not None:
        own = [make(comm.rank, block, arguments.items) for block in range(arguments.blocks)]
        seconds, sums = [], []
        for _ in range(1 + arguments.turns):
            comm.Barrier()
            started = time.monotonic()
            sums.append(comm.allreduce(float(sum(map(np.sum, own)))))
            seconds.append(comm.allreduce(time.monotonic() - started, MPI.MAX))
        if comm.rank == 0:
            write_report(arguments.report, seconds=seconds[1:], sums=sums, executors=comm.size)
    leave_together(world)


if __name__ == "__main__":
    main()
