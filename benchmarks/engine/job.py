"""A job of jobs/, unchanged, on the engine: ``job.py NAME ARGUMENTS... --report FILE``."""

from __future__ import annotations

import sys

from benchmarks import jobs
from benchmarks.program import write_report

if __name__ == "__main__":
    name, *arguments, _, report = sys.argv[1:]
    write_report(report, **jobs.run(name, arguments))
