"""Logistic regression point by point in plain Python: an iteration of the job with --points against the same
functions over an Allreduce."""

from __future__ import annotations

from benchmarks import iterative

BENCHMARK = iterative.Benchmark(
    "lr_points", "logistic_regression", "points", words=("--points",),
    full={"mb": 50.0, "iterations": 10, "ranks": 3, "repeats": 5},
    quick={"mb": 5.0, "iterations": 5, "repeats": 2})
main = BENCHMARK.main

if __name__ == "__main__":
    raise SystemExit(main())
