"""Waiting by hand, as most programs wait: in a blocking receive. It shows the possible saving."""

from __future__ import annotations

import os

from mpi4py import MPI

from benchmarks.processes import cpu_percent
from benchmarks.program import program_arguments, write_report


def main() -> None:
    world = MPI.COMM_WORLD
    arguments = program_arguments("seconds")
    processes = world.gather(os.getpid())
    if processes is None:
        world.recv(source=0)
        return
    # two seconds are enough to see that blocking ranks spin; nobody needs them to spin for longer
    percent = cpu_percent(processes[1:], min(2, arguments.seconds))
    for worker in range(1, world.size):
        world.send(None, worker)
    write_report(arguments.report, percent=percent)


if __name__ == "__main__":
    main()
