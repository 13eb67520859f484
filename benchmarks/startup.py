"""From ``mpirdd run -n 4`` to the first result of a trivial job, and to the end of the command."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from compileall import compile_dir

from benchmarks import harness

NUMBERS = 1000


def measure(options: Namespace) -> harness.Record:
    compile_dir(harness.ROOT / "mpirdd", quiet=2)  # as pip does; without .pyc files imports take twice the time
    pair = harness.pair("startup", options, NUMBERS)
    first = {name: to_first_result(runs) for name, runs in pair.runs.items()}
    sides = {name: {**record, "first_result_s": harness.spread(first[name])}
             for name, record in pair.sides().items()}
    seconds = sides["engine"]["first_result_s"]["median"]
    bare = sides["handwritten"]["first_result_s"]["median"]
    return {"bytes": 0, "valid": all(report["result"] == sum(range(NUMBERS)) for report in pair.reports()),
            **sides, "ratio": harness.ratio(first["engine"], first["handwritten"]),
            "targets": [harness.Target("seconds to the first result", 2.0, seconds).record(),
                        harness.Target("times a bare mpi4py program", 1.25, seconds / bare).record()]}


def to_first_result(runs: Sequence[harness.Run]) -> list[float]:
    """Seconds from launch to the first result of each run."""
    return [run.report["first_result"] - run.started for run in runs]


def main(argv: list[str] | None = None) -> int:
    return harness.main("startup", measure, full={"ranks": 4, "repeats": 7}, quick={"repeats": 3}, argv=argv)


if __name__ == "__main__":
    raise SystemExit(main())
