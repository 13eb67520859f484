"""PageRank: an iteration of jobs/pagerank.py against a hand-written program, itself without controlled partitioning and in mode
mapreduce, and PySpark."""

from __future__ import annotations

from argparse import Namespace

from benchmarks import harness, peers


def measure(options: Namespace) -> harness.Record:
    path = peers.generated("graph", str(options.edges), options)
    size = peers.bytes_of(path)
    arguments = ["--iterations", str(options.iterations), "--tolerance", "-1"]
    pair = peers.compare("pagerank", options, path, arguments, options.iterations, variants={"uncontrolled": ["--uncontrolled"]})
    record = peers.iterations_record(pair, size)
    gain = harness.ratio(harness.inner(pair.runs["uncontrolled"], "later"), harness.inner(pair.runs["engine"], "later"))
    targets = [harness.Target("later iteration, engine / hand-written", 1.3, record["ratio"]["median"]),
               harness.Target("uncontrolled / controlled", 2, gain["median"], at_least=True)]
    if record["pyspark_over_engine"]:
        targets.append(harness.Target("PySpark / engine", 4, record["pyspark_over_engine"]["median"], at_least=True))
    return {**record, **peers.disk_record(pair, options), "uncontrolled_over_controlled": gain,
            "targets": [target.record() for target in targets]}


def main(argv: list[str] | None = None) -> int:
    return harness.main("pagerank", measure, full={"edges": 1_000_000, "iterations": 10, **peers.SIZES, "repeats": 3, "disk": 1},
                        quick={"edges": 100_000, "iterations": 5, **peers.QUICK, "disk": 1}, argv=argv, page_cache="drop")


if __name__ == "__main__":
    raise SystemExit(main())
