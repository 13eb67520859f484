"""Where an iteration over text goes: reading it, and parsing it to numpy blocks, each as a job of its own.

    phases.py NAME PATH --report FILE

``read`` counts the lines, ``parse`` also makes the job's blocks of them: seconds of several jobs each, in the mode at hand.
"""

from __future__ import annotations

import runpy
import sys
import time
from collections.abc import Callable

from benchmarks import jobs
from benchmarks.program import write_report
from mpirdd import Context

REPEATS = 3


def times(action: Callable[[], object]) -> list[float]:
    seconds = []
    for _ in range(REPEATS):
        began = time.monotonic()
        action()
        seconds.append(time.monotonic() - began)
    return seconds


if __name__ == "__main__":
    name, path, _, report = sys.argv[1:]
    sys.path.insert(0, str(jobs.FOLDER))
    # Not as a module: executors could not import it, and so get the function by value.
    parse_blocks = runpy.run_path(str(jobs.FOLDER / f"{name}.py"), run_name="phases of a job")["parse_blocks"]
    with Context(f"phases of {name}") as sc:
        lines = sc.textFile(path, sc.defaultParallelism)
        lines.take(1)  # what is loaded once is not counted
        write_report(report, read=times(lines.count), parse=times(lines.mapPartitions(parse_blocks).count))
