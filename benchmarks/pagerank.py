"""PageRank: an iteration of jobs/pagerank.py against a hand-written program, PySpark, and the job itself without
controlled partitioning and in mode mapreduce."""

from __future__ import annotations

from benchmarks import harness, iterative, peers


def gain(pair: harness.Pair) -> tuple[harness.Record, list[harness.Target]]:
    """The gain of controlled partitioning."""
    over = harness.ratio(harness.inner(pair.runs["uncontrolled"], "later"), harness.inner(pair.runs["engine"], "later"))
    return {"uncontrolled_over_controlled": over}, [
        harness.Target("uncontrolled / controlled", 2, over["median"], at_least=True)]


BENCHMARK = iterative.Benchmark(
    "pagerank", "pagerank", "graph", size=lambda options: str(options.edges), variants={"uncontrolled": ["--uncontrolled"]},
    more=gain, least_pyspark_over_engine=4,
    full={"edges": 1_000_000, "iterations": 10, **peers.SIZES, "repeats": 3, "disk": 1},
    quick={"edges": 100_000, "iterations": 5, **peers.QUICK, "disk": 1})
main = BENCHMARK.main

if __name__ == "__main__":
    raise SystemExit(main())
