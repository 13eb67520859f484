"""Logistic regression with 0, 25, 50, 75 and 100 % of its data cacheable: time of an iteration (the RDD paper's figure 12).

A first run with enough memory measures the size of the cached data; the others get a share of it as
a rank's budget. Each iteration reads and parses the rest anew. ``kept`` is the share of partitions
really in memory.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from itertools import pairwise
from statistics import median

from benchmarks import harness, peers

MIB = 1 << 20
ENOUGH = 64 << 30
LEAST = MIB
"""The smallest possible budget."""
ROOM = 1.1
"""The budget also holds the running task's data: a tenth more than the data's size keeps all of
it."""


def measure(options: Namespace) -> harness.Record:
    path = peers.generated("points", f"{options.mb:g}MB", options)
    size = peers.bytes_of(path)
    ample = launch(path, ENOUGH, options)
    cached_bytes = ample.report["cached_bytes"]
    each = cached_bytes / (options.ranks - 1)
    budgets = {percent: max(LEAST, round(each * ROOM * percent / 100)) for percent in (0, 25, 50, 75, 100)}
    runs: dict[int, list[harness.Run]] = {percent: [] for percent in budgets}
    for repeat in range(options.repeats):
        for percent, budget in budgets.items():
            run = launch(path, budget, options)
            runs[percent].append(run)
            harness.say(f"  {percent:3} % {repeat + 1}/{options.repeats}: budget {budget / MIB:.1f} MiB a rank, "
                        f"{run.report['kept'][-1]:.0%} kept, {median(run.report['later']):.3f} s an iteration")
    points = [{"percent": percent, "budget_bytes": budgets[percent],
               "kept": harness.spread([kept for run in at for kept in run.report["kept"]]),
               "later": harness.spread([seconds for run in at for seconds in run.report["later"]]),
               "first": harness.spread([seconds for run in at for seconds in run.report["first"]])}
              for percent, at in runs.items()]
    medians = [point["later"]["median"] for point in points]
    falls = all(more <= less * 1.05 for less, more in pairwise(medians))
    return {"bytes": size, "cached_bytes": cached_bytes, "partitions": ample.report["partitions"],
            "valid": all(agree(run, ample) for at in runs.values() for run in at),
            "command": " ".join(command(path, budgets[100], options)), "points": points,
            "targets": [harness.Target("each more memory is faster (or within 5 %)", 1, float(falls), at_least=True).record()]}


def command(path: str, budget_bytes: int, options: Namespace) -> list[str]:
    job = str(harness.ROOT / "benchmarks" / "engine" / "part_in_memory.py")
    return [sys.executable, "-m", "mpirdd", "run", "-n", str(options.ranks), "--memory", f"{budget_bytes / MIB:.3f}m",
            job, path, str(options.iterations), str(options.partitions)]


def launch(path: str, budget_bytes: int, options: Namespace) -> harness.Run:
    words = command(path, budget_bytes, options)
    return harness.alternate(1, options.timeout, {"budget": words}, cold=options.page_cache == "drop")["budget"][0]


def agree(run: harness.Run, other: harness.Run) -> bool:
    """Both came to the same objective, up to the order of sums."""
    return bool(abs(run.report["result"] - other.report["result"]) <= 1e-6 * abs(other.report["result"]))


def main(argv: list[str] | None = None) -> int:
    return harness.main("fractions", measure, page_cache="drop", argv=argv,
                        full={"mb": 2000.0, "iterations": 5, "partitions": 64, "ranks": 3, "repeats": 1},
                        quick={"mb": 50.0, "iterations": 4, "partitions": 16})


if __name__ == "__main__":
    raise SystemExit(main())
