"""The same work on a Dask bag: ``python -m benchmarks.daskbag NAME WORKERS ARGUMENTS... --report FILE``, as ``benchmarks.plain``.

Runs under the Python of MPIRDD_DASK_PYTHON, which needs ``dask[bag]``, ``distributed`` and numpy.
Workers are processes of one thread each, started before the clock; ``persist`` caches.
``frequencies``, the bag's own and fastest way, counts words, where the engine calls the user's
lambdas.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
from argparse import Namespace
from collections.abc import Callable
from operator import add
from pathlib import Path
from typing import Any

from benchmarks import jobs
from benchmarks.program import write_report
from benchmarks.text import digest

BLOCKS_A_WORKER = 4


class Mapped:
    """A bag, with the RDD methods that a job's loop calls."""

    def __init__(self, bag: Any) -> None:
        self.bag = bag

    def map(self, function: Callable[[Any], Any]) -> Mapped:
        return Mapped(self.bag.map(function))

    def reduce(self, operation: Callable[[Any, Any], Any]) -> Any:
        return self.bag.fold(operation).compute()


def logistic_regression(workers: int, path: str, iterations: str) -> dict[str, Any]:
    import dask.bag
    from distributed import default_client, wait

    default_client().run(prepare)
    job, started = jobs.functions_of("logistic_regression"), time.monotonic()
    bag = dask.bag.read_text(sorted(map(str, Path(path).glob("part-*")))).map_partitions(parse).persist()
    wait(bag)
    blocks, output = Mapped(bag), io.StringIO()
    gram = blocks.map(job.block_gram).reduce(add)
    with contextlib.redirect_stdout(output):
        print(f"loaded, {time.monotonic() - started:.4f} s")
        job.fit(blocks, gram, Namespace(iterations=int(iterations), tolerance=-1, penalty=1.0, points=False),
                jobs.NothingSaved())
    return jobs.report_of(output.getvalue())


def parse(lines: list[str]) -> list[Any]:
    """The blocks of a partition, as a list: a generator would be persisted as such, and be empty when read again."""
    return list(jobs.functions_of("logistic_regression").parse_blocks(iter(lines)))


def prepare() -> None:
    """On a worker: let it import the job, without the engine."""
    jobs.functions_of("logistic_regression")


def wordcount(workers: int, path: str) -> dict[str, Any]:
    import dask.bag

    started = time.monotonic()
    size = os.path.getsize(path) // (BLOCKS_A_WORKER * workers) + 1
    counts = dask.bag.read_text(path, blocksize=size).map(str.split).flatten().frequencies().compute()
    return {"seconds": [time.monotonic() - started], "digest": digest(counts)}


PROGRAMS = {"logistic_regression": logistic_regression, "wordcount": wordcount}


def main() -> None:
    from distributed import Client, LocalCluster

    name, workers, *arguments, _, report = sys.argv[1:]
    cluster = LocalCluster(n_workers=int(workers), threads_per_worker=1, dashboard_address=None)
    with cluster, Client(cluster):
        write_report(report, **PROGRAMS[name](int(workers), *arguments))


if __name__ == "__main__":
    main()
