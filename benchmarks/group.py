"""groupByKey of rows of a number and a float, and the mean of each group, against a hand-written program and PySpark."""

from __future__ import annotations

from argparse import Namespace

from benchmarks import harness, peers


def measure(options: Namespace, program: str = "group", at_least: float = 3) -> harness.Record:
    """Also of the benchmark ``join``: both have the same arguments and report the same."""
    arguments = options.rows, options.seed, options.jobs
    pair = harness.pair(program, options, *arguments)
    pair = peers.with_others(pair, options, peers.installed(options, f"engine/{program}", *arguments))
    ratio, spark = pair.ratio(), peers.over_engine(pair, "seconds")
    targets = [harness.Target("engine / hand-written", 1.1, ratio["median"])]
    if spark is not None:
        targets.append(harness.Target("PySpark / engine", at_least, spark["median"], at_least=True))
    valid = peers.agree(pair) and len({report["keys"] for report in pair.reports()}) == 1
    return {"valid": valid, **pair.sides("first", "seconds"), "ratio": ratio, "ratio_first": pair.ratio("first"),
            "pyspark_over_engine": spark, "targets": [target.record() for target in targets]}


FULL: dict[str, harness.Size] = {"rows": 4_000_000, "jobs": 3, "ranks": 3, "repeats": 5, "spark": 1}
QUICK: dict[str, harness.Size] = {"rows": 400_000, "repeats": 2}


def main(argv: list[str] | None = None) -> int:
    return harness.main("group", measure, full=FULL, quick=QUICK, argv=argv)


if __name__ == "__main__":
    raise SystemExit(main())
