"""Means of grouped rows by hand: tuples move to the worker of their key, which gathers them in a dict of lists."""

from __future__ import annotations

import time
from itertools import chain

from mpi4py import MPI

from benchmarks.handwritten.ranks import leave_together, workers_of
from benchmarks.program import program_arguments, write_report
from benchmarks.rows import Row, mean, own_parts, part_rows


def means_of(comm: MPI.Intracomm, rows: list[Row]) -> dict[int, float]:
    """The means of this worker's keys. Collective."""
    return {key: mean(values) for key, values in grouped(exchange(comm, rows)).items()}


def exchange(comm: MPI.Intracomm, rows: list[Row]) -> list[Row]:
    """The rows whose keys are this worker's. Collective."""
    buckets: list[list[Row]] = [[] for _ in range(comm.size)]
    for row in rows:
        buckets[row[0] % comm.size].append(row)
    return list(chain.from_iterable(comm.alltoall(buckets)))


def grouped(rows: list[Row]) -> dict[int, list[float]]:
    groups: dict[int, list[float]] = {}
    for key, value in rows:
        if key in groups:
            groups[key].append(value)
        else:
            groups[key] = [value]
    return groups


def main() -> None:
    world = MPI.COMM_WORLD
    arguments = program_arguments("rows", "seed", "jobs")
    comm = workers_of(world)
    if comm is not None:
        rows = [row for part in own_parts(comm.rank, comm.size) for row in part_rows(part, arguments.rows, arguments.seed)]
        seconds, keys, result = [], 0, 0.0
        for _ in range(1 + arguments.jobs):
            comm.Barrier()
            started = time.monotonic()
            means = means_of(comm, rows)
            keys, result = comm.allreduce(len(means)), comm.allreduce(sum(means.values()))
            seconds.append(time.monotonic() - started)
        if comm.rank == 0:
            write_report(arguments.report, first=seconds[:1], seconds=seconds[1:], keys=keys, result=result)
    leave_together(world)


if __name__ == "__main__":
    main()
