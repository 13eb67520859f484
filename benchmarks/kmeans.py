"""K-means on numpy blocks: an iteration of jobs/kmeans.py against the same functions over an Allreduce,
PySpark, and itself in mode mapreduce."""

from __future__ import annotations

from argparse import Namespace

from benchmarks import harness, peers


def measure(options: Namespace) -> harness.Record:
    path = peers.generated("clusters", f"{options.mb:g}MB", options)
    size = peers.bytes_of(path)
    arguments = ["--iterations", str(options.iterations), "--tolerance", "-1"]
    pair = peers.compare("kmeans", options, path, arguments, options.iterations)
    record = peers.iterations_record(pair, size)
    target = harness.Target("later iteration, engine / hand-written", 1.3, record["ratio"]["median"])
    targets = [target.record()]
    disk = peers.disk_record(pair, options)
    if disk:
        targets.append(harness.Target("later iteration, mode mapreduce / memory", 1, disk["disk_over_memory_later"],
                                      at_least=True).record())
    return {**record, **disk, "targets": targets}


def main(argv: list[str] | None = None) -> int:
    return harness.main("kmeans", measure, full={"mb": 200.0, "iterations": 30, **peers.SIZES, "disk": 1},
                        quick={"mb": 20.0, "iterations": 10, **peers.QUICK, "disk": 1}, argv=argv, page_cache="drop")


if __name__ == "__main__":
    raise SystemExit(main())
