"""PageRank by hand: a hash of a page's name chooses its worker; contributions move, added up by
target. The functions on a page are the job's own.
"""

from __future__ import annotations

import time
from itertools import chain
from typing import Any
from zlib import crc32

from mpi4py import MPI

from benchmarks.handwritten.lines import lines_in_folder
from benchmarks.handwritten.ranks import leave_together, workers_of
from benchmarks.jobs import functions_of
from benchmarks.program import program_arguments, write_report

Pairs = list[tuple[str, Any]]


def exchange(comm: MPI.Intracomm, by_key: dict[str, Any]) -> Pairs:
    """All pairs whose key is this worker's. Collective."""
    buckets: list[Pairs] = [[] for _ in range(comm.size)]
    for pair in by_key.items():
        buckets[crc32(pair[0].encode()) % comm.size].append(pair)
    return list(chain.from_iterable(comm.alltoall(buckets)))


def load(comm: MPI.Intracomm, path: str, job: Any) -> dict[str, tuple[str, ...]]:
    """The links of this worker's pages."""
    links = grouped(chain.from_iterable(map(job.both_ends, lines_in_folder(path, comm.rank, comm.size))))
    merged = grouped((page, target) for page, targets in exchange(comm, links) for target in targets)
    return {page: job.distinct_links(targets) for page, targets in merged.items()}


def grouped(pairs: Any) -> dict[str, list[Any]]:
    groups: dict[str, list[Any]] = {}
    for key, value in pairs:
        if key in groups:
            groups[key].append(value)
        else:
            groups[key] = [value]
    return groups


def add_up(pairs: Any) -> dict[str, float]:
    total: dict[str, float] = {}
    for target, share in pairs:
        if target in total:
            total[target] += share
        else:
            total[target] = share
    return total


def iterate(comm: MPI.Intracomm, job: Any, pages: dict[str, Any], jump: float, damping: float) -> None:
    """One step of all pages, in place. Collective."""
    given = add_up(exchange(comm, add_up(chain.from_iterable(map(job.contributions, pages.items())))))
    for page, state in pages.items():
        pages[page] = job.update(damping, jump, (state, given.get(page)))


def main() -> None:
    world = MPI.COMM_WORLD
    arguments = program_arguments("path", "iterations")
    comm = workers_of(world)
    if comm is not None:
        job, damping = functions_of("pagerank"), 0.85
        comm.Barrier()
        started = time.monotonic()
        links = load(comm, arguments.path, job)
        count = comm.allreduce(len(links))
        pages = {page: job.first_state(1 / count, targets) for page, targets in links.items()}
        loaded, seconds, change = time.monotonic() - started, [], 0.0
        dangling = comm.allreduce(job.part_totals(iter(pages.items()))[0][0])
        for _ in range(arguments.iterations):
            comm.Barrier()
            started = time.monotonic()
            iterate(comm, job, pages, (1 - damping + damping * dangling) / count, damping)
            ((dangling, change),) = job.part_totals(iter(pages.items()))
            dangling, change = comm.allreduce(dangling), comm.allreduce(change)
            seconds.append(time.monotonic() - started)
        if comm.rank == 0:
            write_report(arguments.report, load=[loaded], first=seconds[:1], later=seconds[1:], result=change)
    leave_together(world)


if __name__ == "__main__":
    main()
