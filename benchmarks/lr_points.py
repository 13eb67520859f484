"""Logistic regression point by point in plain Python: an iteration of the job with --points against the same functions over an
Allreduce."""

from __future__ import annotations

from argparse import Namespace

from benchmarks import harness, peers


def measure(options: Namespace) -> harness.Record:
    path = peers.generated("points", f"{options.mb:g}MB", options)
    size = peers.bytes_of(path)
    arguments = ["--points", "--iterations", str(options.iterations), "--tolerance", "-1"]
    commands = {"engine": harness.on_engine("job", options.ranks, "logistic_regression", path, *arguments),
                "handwritten": harness.by_hand("lr_points", options.ranks, path, options.iterations)}
    runs = harness.alternate(options.repeats, options.timeout, commands, cold=options.page_cache == "drop")
    pair = harness.Pair(commands, runs)
    record = peers.iterations_record(pair, size)
    target = harness.Target("later iteration, engine / hand-written", 1.3, record["ratio"]["median"])
    return {**record, "targets": [target.record()]}


def main(argv: list[str] | None = None) -> int:
    return harness.main("lr_points", measure, full={"mb": 50.0, "iterations": 10, "ranks": 3, "repeats": 5},
                        quick={"mb": 5.0, "iterations": 5, "repeats": 2}, argv=argv, page_cache="drop")


if __name__ == "__main__":
    raise SystemExit(main())
