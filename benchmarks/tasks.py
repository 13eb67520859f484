"""A job of 1,000 empty partitions, warm: what a task costs when it does nothing."""

from __future__ import annotations

from argparse import Namespace

from benchmarks import harness


def measure(options: Namespace) -> harness.Record:
    pair = harness.pair("tasks", options, options.tasks, options.jobs)
    sides = pair.sides("seconds")
    valid = (all(report["done"] == options.tasks and not any(report["counted"])
                 for report in pair.reports("engine"))
             and all(set(report["done"]) == {options.tasks} for report in pair.reports("handwritten")))
    seconds = sides["engine"]["seconds"]["median"]
    return {"bytes": 0, "valid": valid, **sides, "ratio": pair.ratio(),
            "targets": [harness.Target("seconds a job", 0.030, seconds).record()]}


def main(argv: list[str] | None = None) -> int:
    return harness.main("tasks", measure, full={"tasks": 1000, "jobs": 20, "ranks": 3, "repeats": 5},
                        quick={"jobs": 10, "repeats": 2}, argv=argv)


if __name__ == "__main__":
    raise SystemExit(main())
