"""A join by hand: the tuples of both sides move to the worker of their key; the large side flows past a dict of the small."""

from __future__ import annotations

import time
from collections.abc import Callable

from mpi4py import MPI

from benchmarks.handwritten.group import exchange
from benchmarks.handwritten.ranks import leave_together, workers_of
from benchmarks.program import program_arguments, write_report
from benchmarks.rows import Row, own_parts, part_of_keys, part_rows


def joined(comm: MPI.Intracomm, rows: list[Row], others: list[Row]) -> list[tuple[int, tuple[float, float]]]:
    """(key, (value of a row, value of the other side)) of this worker's keys. Collective."""
    table = dict(exchange(comm, others))
    return [(key, (value, table[key])) for key, value in exchange(comm, rows) if key in table]


def main() -> None:
    world = MPI.COMM_WORLD
    arguments = program_arguments("rows", "seed", "jobs")
    comm = workers_of(world)
    if comm is not None:
        def own(make: Callable[[int, int, int], list[Row]]) -> list[Row]:
            return [row for part in own_parts(comm.rank, comm.size) for row in make(part, arguments.rows, arguments.seed)]

        rows, others = own(part_rows), own(part_of_keys)
        seconds, keys, result = [], 0, 0.0
        for _ in range(1 + arguments.jobs):
            comm.Barrier()
            started = time.monotonic()
            products = [one * other for _, (one, other) in joined(comm, rows, others)]
            keys, result = comm.allreduce(len(products)), comm.allreduce(sum(products))
            seconds.append(time.monotonic() - started)
        if comm.rank == 0:
            write_report(arguments.report, first=seconds[:1], seconds=seconds[1:], keys=keys, result=result)
    leave_together(world)


if __name__ == "__main__":
    main()
