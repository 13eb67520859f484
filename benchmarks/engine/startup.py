"""The first result of a trivial job on the engine: a sum."""

from __future__ import annotations

import time

from benchmarks.program import program_arguments, write_report
from mpirdd import Context


def main() -> None:
    arguments = program_arguments("numbers")
    with Context() as sc:
        total = sc.parallelize(range(arguments.numbers)).map(lambda x: x).sum()
        write_report(arguments.report, first_result=time.monotonic(), result=total)


if __name__ == "__main__":
    main()
