"""The first result of a trivial job by hand: a sum over the ranks."""

from __future__ import annotations

import time

from mpi4py import MPI

from benchmarks.program import program_arguments, write_report


def main() -> None:
    world = MPI.COMM_WORLD
    arguments = program_arguments("numbers")
    total = world.reduce(sum(range(world.rank, arguments.numbers, world.size)))
    if world.rank == 0:
        write_report(arguments.report, first_result=time.monotonic(), result=total)


if __name__ == "__main__":
    main()
