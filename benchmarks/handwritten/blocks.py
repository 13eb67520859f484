"""Map and reduce over a worker's own blocks by hand: one Allreduce.

The functions on blocks, and the loop around them, are the job's own: this class has the RDD methods
that the loop calls.
"""

from __future__ import annotations

import contextlib
import functools
import io
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from mpi4py import MPI

from benchmarks.handwritten.lines import lines_in_folder
from benchmarks.handwritten.ranks import leave_together, workers_of
from benchmarks.jobs import functions_of, report_of
from benchmarks.program import write_report


class Blocks:
    """Blocks of all workers, and a function for each."""

    def __init__(self, comm: MPI.Intracomm, own: Sequence[Any], started: float,
                 function: Callable[[Any], Any] | None = None) -> None:
        self.comm, self.own, self.started, self.function = comm, own, started, function

    def map(self, function: Callable[[Any], Any]) -> Blocks:
        return Blocks(self.comm, self.own, self.started, function)

    def reduce(self, operation: Callable[[Any, Any], Any]) -> np.ndarray:
        """The sum of all arrays: ``operation`` must be an addition. Collective."""
        assert self.function is not None
        total = np.ascontiguousarray(functools.reduce(operation, map(self.function, self.own)), np.float64)
        self.comm.Allreduce(MPI.IN_PLACE, total)
        return total

    def say_loaded(self) -> None:
        """As the job does before its first iteration."""
        print(f"loaded, {time.monotonic() - self.started:.4f} s")


def run_on_blocks(
    world: MPI.Intracomm, arguments: Namespace, name: str, fit: Callable[[Blocks, Namespace, Any], None],
    parse: Callable[[Any, Iterator[str]], Iterable[Any]] = lambda job, lines: job.parse_blocks(lines),
) -> None:
    """``parse(the job's functions, lines)`` and ``fit(blocks, arguments, the job's functions)``; report what that prints.
    Collective."""
    comm = workers_of(world)
    if comm is not None:
        job, output = functions_of(name), io.StringIO()
        comm.Barrier()
        started = time.monotonic()
        own = list(parse(job, lines_in_folder(arguments.path, comm.rank, comm.size)))
        with contextlib.redirect_stdout(output):
            fit(Blocks(comm, own, started), arguments, job)
        if comm.rank == 0:
            write_report(arguments.report, **report_of(output.getvalue()))
    leave_together(world)
