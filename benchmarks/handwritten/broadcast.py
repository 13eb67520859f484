"""A numpy array to all ranks by hand: Bcast into memory of each rank's own."""

from __future__ import annotations

import time

import numpy as np
from mpi4py import MPI

from benchmarks.arrays import DTYPE, ITEM_BYTES, make
from benchmarks.processes import memory_bytes, of_this_launch
from benchmarks.program import program_arguments, write_report


def main() -> None:
    world = MPI.COMM_WORLD
    arguments = program_arguments("items", "turns")
    processes = of_this_launch()
    seconds, copies, sums = [], [], []
    world.Barrier()
    before = memory_bytes(processes)
    for turn in range(arguments.turns):
        world.Barrier()
        array = make(turn, 0, arguments.items) if world.rank == 0 else None
        world.Barrier()
        started = time.monotonic()
        if array is None:
            array = np.empty(arguments.items, DTYPE)
        world.Bcast(array, 0)
        gathered = world.gather(float(array.sum()) if world.rank else None)
        seconds.append(time.monotonic() - started)
        world.Barrier()
        copies.append((memory_bytes(processes) - before) / (arguments.items * ITEM_BYTES))
        world.Barrier()
        del array
        if gathered is not None:
            sums.append(gathered[1:])
    if world.rank == 0:
        write_report(arguments.report, seconds=seconds, copies=copies, sums=sums)


if __name__ == "__main__":
    main()
