"""jobs/logistic_regression.py on a given number of partitions, and the share of the data in memory.

Arguments: path, iterations, partitions; the budget comes with ``mpirdd run --memory``.
"""

from __future__ import annotations

import contextlib
import io
import sys
import time
from argparse import Namespace
from operator import add

from benchmarks import jobs
from benchmarks.program import program_arguments, write_report
from mpirdd import Context

sys.path.insert(0, str(jobs.FOLDER))
import logistic_regression as job


def main() -> None:
    arguments = program_arguments("path", "iterations", "partitions")
    output = io.StringIO()
    with Context() as sc:
        for module in ("checked", "generate", "resuming", "logistic_regression"):
            sc.addPyFile(str(jobs.FOLDER / f"{module}.py"))
        started = time.monotonic()
        data = sc.textFile(arguments.path, arguments.partitions).mapPartitions(job.parse_blocks).cache()
        gram = data.map(job.block_gram).reduce(add)
        with contextlib.redirect_stdout(output):
            print(f"loaded, {time.monotonic() - started:.4f} s")
            job.fit(data, gram, Namespace(iterations=arguments.iterations, tolerance=-1, penalty=1.0, points=False),
                    jobs.NothingSaved())
        infos = sc.storageInfo()
        kept = sum(info.partitions_kept for info in infos) / data.getNumPartitions()
        cached_bytes = sum(info.memory_bytes for info in infos)
        write_report(arguments.report, **jobs.report_of(output.getvalue()), kept=[kept], cached_bytes=cached_bytes,
                     partitions=data.getNumPartitions())


if __name__ == "__main__":
    main()
