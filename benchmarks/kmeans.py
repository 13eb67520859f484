"""K-means on numpy blocks: an iteration of jobs/kmeans.py against the same functions over an Allreduce,
PySpark, and the job itself in mode mapreduce."""

from __future__ import annotations

from benchmarks import iterative, peers

BENCHMARK = iterative.Benchmark(
    "kmeans", "kmeans", "clusters", least_disk_over_memory=1,
    full={"mb": 200.0, "iterations": 30, **peers.SIZES, "disk": 1},
    quick={"mb": 20.0, "iterations": 10, **peers.QUICK, "disk": 1})
main = BENCHMARK.main

if __name__ == "__main__":
    raise SystemExit(main())
