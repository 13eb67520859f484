"""TeraSort: jobs/terasort.py against a hand-written sample sort and PySpark, from files to files."""

from __future__ import annotations

from argparse import Namespace

from benchmarks import harness, peers


def measure(options: Namespace) -> harness.Record:
    path = peers.generated("records", str(options.records), options)
    size = peers.bytes_of(path)
    pair = peers.compare("terasort", "terasort", options, path, [])
    ratio, spark = pair.ratio("seconds"), peers.over_engine(pair, "seconds")
    targets = [] if spark is None else [harness.Target("PySpark / engine", 4, spark["median"], at_least=True).record()]
    valid = (all(report["lines"][-1].startswith("valid") for report in pair.reports())
             and len({report["lines"][1] for report in pair.reports()}) == 1)  # records and checksum
    return {"bytes": size, "valid": valid, **pair.sides("seconds"), "ratio": ratio, "pyspark_over_engine": spark,
            "targets": targets}


def main(argv: list[str] | None = None) -> int:
    return harness.main("terasort", measure, full={"records": 2_000_000, **peers.SIZES, "repeats": 3},
                        quick={"records": 200_000, **peers.QUICK}, argv=argv, page_cache="drop")


if __name__ == "__main__":
    raise SystemExit(main())
