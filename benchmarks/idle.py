"""The share of a core that an idle executor takes, beside ranks that wait in a blocking receive."""

from __future__ import annotations

from argparse import Namespace

from benchmarks import harness


def measure(options: Namespace) -> harness.Record:
    pair = harness.pair("idle", options, options.seconds)
    sides = pair.sides("percent")
    drivers = [report["driver_percent"] for report in pair.reports("engine")]
    sides["engine"]["driver_percent"] = harness.spread(drivers)
    worst = {name: [max(run.report["percent"]) for run in runs] for name, runs in pair.runs.items()}
    return {"bytes": 0, **sides, "ratio": harness.ratio(worst["engine"], worst["handwritten"]),
            "valid": all(len(report["percent"]) == options.ranks - 1 for report in pair.reports()),
            "targets": [harness.Target("% of a core, the busiest idle executor", 3.0,
                                       max(worst["engine"])).record()]}


def main(argv: list[str] | None = None) -> int:
    return harness.main("idle", measure, full={"seconds": 10, "ranks": 3, "repeats": 3},
                        quick={"seconds": 4, "repeats": 1}, argv=argv)


if __name__ == "__main__":
    raise SystemExit(main())
