"""Broadcast of one large numpy array to all ranks of a host: the time until all have read it, and
its copies in memory.

Three programs do the same: they make the array on rank 0, hand it to the others, each of which sums it, and let go of
whatever they need not hold to read it again. ``seconds`` runs from the array on rank 0 to the last sum on rank 0;
``copies`` is what all processes of the program have more in memory then than before the first array was made (PSS, read
by one of them from ``/proc``), over the array's size. PySpark (its RDD broadcast, local threads) takes part where
``--spark`` names a Python that has it.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any

from benchmarks import arrays, harness


def measure(options: Namespace) -> harness.Record:
    items = int(options.mb * 1e6) // arrays.ITEM_BYTES
    arguments = (items, options.turns)
    commands = {"engine": harness.on_engine("broadcast", options.ranks, *arguments),
                "handwritten": harness.by_hand("broadcast", options.ranks, *arguments)}
    if options.spark:
        program = harness.ROOT / "benchmarks" / "spark_broadcast.py"
        commands["pyspark"] = [options.spark, str(program), *map(str, (*arguments, options.ranks - 1))]
    runs = harness.Pair(commands, harness.alternate(options.repeats, options.timeout, commands))
    sums = [float(arrays.make(turn, 0, items).sum()) for turn in range(options.turns)]
    sides = runs.sides("seconds", "copies")
    copies = max(value for report in runs.reports("engine") for value in report["copies"])
    targets = [harness.Target("copies of the array on the host", 1.3, copies)]
    if options.spark:
        ratio = harness.ratio(harness.inner(runs.runs["pyspark"]), harness.inner(runs.runs["engine"]))
        sides["pyspark_over_engine"] = ratio
        targets.append(harness.Target("PySpark / engine", 1.0, ratio["median"], at_least=True))
    return {"bytes": items * arrays.ITEM_BYTES, **sides, "ratio": runs.ratio(),
            "valid": all(right(report, sums, options.ranks - 1) for report in runs.reports()),
            "targets": [target.record() for target in targets]}


def right(report: harness.Record, sums: list[float], workers: int) -> bool:
    """True if all workers have read every array."""
    expected: Any = [[total] * workers for total in sums]
    return bool(report["sums"] == expected)


def main(argv: list[str] | None = None) -> int:
    return harness.main("broadcast", measure,
                        full={"mb": 500.0, "turns": 3, "ranks": 4, "repeats": 3, "spark": ""},
                        quick={"mb": 100.0, "turns": 2, "repeats": 1}, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
