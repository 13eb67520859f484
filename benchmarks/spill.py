"""Sort and groupByKey of more data than memory: a small budget a rank against one that is enough.

Peak memory is that of each rank (VmHWM), read from outside while the program runs. The targets: a small budget is
overstepped by no more than 150 MB, and costs at most 3 times the time.
"""

from __future__ import annotations

import os
import sys
import uuid
from argparse import Namespace

from benchmarks import harness, processes

RECORD_BYTES = 100
OVER_MB = 150
OPERATIONS = ("sort", "group")


def measure(options: Namespace) -> harness.Record:
    records = int(options.mb * 1e6) // RECORD_BYTES
    budgets = {"small": options.budget_mb, "enough": options.enough_mb}
    result: harness.Record = {"bytes": records * RECORD_BYTES, "valid": True, "targets": []}
    for operation in OPERATIONS:
        sides: dict[str, harness.Record] = {}
        for _ in range(options.repeats):
            for name, budget_mb in budgets.items():
                run, peaks_mb = run_one(operation, records, budget_mb, options)
                side = sides.setdefault(name, {"budget_mb": budget_mb, "seconds": [], "peaks_mb": [], "spilled_mb": []})
                side["seconds"] += run.report["seconds"]
                side["peaks_mb"].append(peaks_mb)
                side["spilled_mb"].append(run.report["spilled_bytes"] / 1e6)
                result["valid"] = result["valid"] and run.report["correct"] and run.left_behind == 0
                harness.say(f"  {operation:6} {name:7} {run.report['seconds'][0]:.1f} s, peaks {peaks_mb} MB, "
                            f"{side['spilled_mb'][-1]:.0f} MB spilled by reduce tasks")
        ratio = harness.ratio(sides["small"]["seconds"], sides["enough"]["seconds"])
        over = max(max(peaks) for peaks in sides["small"]["peaks_mb"]) - options.budget_mb * 1.048576
        result[operation] = {**sides, "ratio": ratio, "over_budget_mb": over}
        result["targets"] += [
            harness.Target(f"{operation}: seconds / seconds with memory enough", 3.0, ratio["median"]).record(),
            harness.Target(f"{operation}: MB over the budget", OVER_MB, over).record()]
    return result


def run_one(operation: str, records: int, budget_mb: float, options: Namespace) -> tuple[harness.Run, list[float]]:
    """One launch, and the peak resident size of each rank in MB, by rank."""
    job = str(harness.ROOT / "benchmarks" / "engine" / "spill.py")
    command = [sys.executable, "-m", "mpirdd", "run", "-n", str(options.ranks), "--memory", f"{budget_mb:g}m",
               job, operation, str(records)]
    tag = uuid.uuid4().hex
    os.environ["MPIRDD_BENCHMARK_PEAKS"] = tag  # the ranks inherit it, and are known by it
    try:
        with processes.Peaks(f"MPIRDD_BENCHMARK_PEAKS={tag}") as peaks:
            run = harness.launch(command, options.timeout)
    finally:
        del os.environ["MPIRDD_BENCHMARK_PEAKS"]
    return run, [round(peak / 1e6) for _, peak in sorted(peaks.bytes_by_rank.items())]


def main(argv: list[str] | None = None) -> int:
    return harness.main("spill", measure,
                        full={"mb": 2000.0, "budget_mb": 256.0, "enough_mb": 8192.0, "ranks": 3, "repeats": 1},
                        quick={"mb": 200.0, "budget_mb": 64.0, "enough_mb": 2048.0}, argv=argv)


if __name__ == "__main__":
    raise SystemExit(main())
