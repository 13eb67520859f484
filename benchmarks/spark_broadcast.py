"""A broadcast numpy array that every Python worker of a local PySpark sums."""

from __future__ import annotations

import os
import sys
import time

import numpy
from pyspark import SparkConf, SparkContext  # type: ignore[import-not-found, unused-ignore]

from benchmarks.arrays import ITEM_BYTES, make
from benchmarks.processes import memory_bytes, of_this_launch
from benchmarks.program import program_arguments, write_report

SPREAD_S = 0.5
"""A task this long gets a worker to itself."""


def main() -> None:
    arguments = program_arguments("items", "turns", "workers")
    os.environ["PYSPARK_PYTHON"] = sys.executable
    # The driver's JVM holds the array in blocks; its default heap of 1 GB is too small for several.
    conf = SparkConf().set("spark.driver.memory", "6g").set("spark.ui.enabled", "false").set("spark.log.level", "ERROR")
    sc = SparkContext(f"local[{arguments.workers}]", conf=conf)
    each = sc.parallelize(range(arguments.workers), arguments.workers)
    each.map(lambda _: (time.sleep(SPREAD_S), numpy.zeros(10).sum())).collect()
    seconds, copies, sums = [], [], []
    before = memory_bytes(of_this_launch())
    for turn in range(arguments.turns):
        array = make(turn, 0, arguments.items)
        started = time.monotonic()
        shared = sc.broadcast(array)
        del array
        sums.append(each.map(lambda _, shared=shared: float(shared.value.sum())).collect())
        seconds.append(time.monotonic() - started)
        copies.append((memory_bytes(of_this_launch()) - before) / (arguments.items * ITEM_BYTES))
        shared.destroy(blocking=True)
    sc.stop()
    write_report(arguments.report, seconds=seconds, copies=copies, sums=sums)


if __name__ == "__main__":
    main()
