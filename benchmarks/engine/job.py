"""A job of jobs/, unchanged, on the engine: ``job.py NAME ARGUMENTS... --report FILE``.

The report also has ``costs``: the executors' time for files, for bytes, and for tasks as a whole.
"""

from __future__ import annotations

import sys
from typing import Any

import mpirdd
from benchmarks import jobs
from benchmarks.program import write_report

costs: dict[str, float] = {}


class Measured(mpirdd.Context):
    """The job's Context, asked for its costs just before it stops."""

    def stop(self) -> None:
        if not costs:
            costs.update(self.costs())
        super().stop()


if __name__ == "__main__":
    name, *arguments, _, report = sys.argv[1:]
    stand_in: Any = mpirdd
    stand_in.Context = Measured
    write_report(report, **jobs.run(name, arguments), costs=costs)
