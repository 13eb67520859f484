"""The same work in one plain Python process, with numpy where the job has numpy: no MPI, no engine.

``python -m benchmarks.plain logistic_regression PATH ITERATIONS`` or ``wordcount PATH``, and
``--report FILE``. The first program that a user would write; the functions are the jobs' own.
"""

from __future__ import annotations

import contextlib
import functools
import io
import sys
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Sequence
from operator import add
from typing import Any

from benchmarks import jobs
from benchmarks.handwritten.lines import lines_in_folder
from benchmarks.program import write_report
from benchmarks.text import digest


class Blocks:
    """A list, with the RDD methods that a job's loop calls."""

    def __init__(self, own: Sequence[Any], function: Callable[[Any], Any] | None = None) -> None:
        self.own, self.function = own, function

    def map(self, function: Callable[[Any], Any]) -> Blocks:
        return Blocks(self.own, function)

    def reduce(self, operation: Callable[[Any, Any], Any]) -> Any:
        assert self.function is not None
        return functools.reduce(operation, map(self.function, self.own))


def logistic_regression(path: str, iterations: str) -> dict[str, Any]:
    job, started = jobs.functions_of("logistic_regression"), time.monotonic()
    blocks = Blocks(list(job.parse_blocks(lines_in_folder(path, 0, 1))))
    gram = blocks.map(job.block_gram).reduce(add)
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        print(f"loaded, {time.monotonic() - started:.4f} s")
        job.fit(blocks, gram, Namespace(iterations=int(iterations), tolerance=-1, penalty=1.0, points=False),
                jobs.NothingSaved())
    return jobs.report_of(output.getvalue())


def wordcount(path: str) -> dict[str, Any]:
    started, counts = time.monotonic(), Counter[str]()
    with open(path, encoding="utf-8") as file:
        for line in file:
            counts.update(line.split())
    return {"seconds": [time.monotonic() - started], "digest": digest(counts.items())}


PROGRAMS = {"logistic_regression": logistic_regression, "wordcount": wordcount}


if __name__ == "__main__":
    name, *arguments, _, report = sys.argv[1:]
    write_report(report, **PROGRAMS[name](*arguments))
