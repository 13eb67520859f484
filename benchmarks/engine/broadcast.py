"""A broadcast numpy array that every executor sums."""

from __future__ import annotations

import time

from benchmarks.arrays import ITEM_BYTES, make
from benchmarks.processes import memory_bytes, of_this_launch
from benchmarks.program import program_arguments, write_report
from mpirdd import Context


def main() -> None:
    arguments = program_arguments("items", "turns")
    seconds, copies, sums = [], [], []
    with Context() as sc:
        executors = sc.defaultParallelism
        each = sc.parallelize(range(executors), executors)
        each.map(lambda _: float(make(0, 0, 10).sum())).collect()  # numpy is imported
        processes = of_this_launch()
        before = memory_bytes(processes)
        for turn in range(arguments.turns):
            array = make(turn, 0, arguments.items)
            started = time.monotonic()
            shared = sc.broadcast(array)
            del array
            sums.append(each.map(lambda _, shared=shared: float(shared.value.sum())).collect())
            seconds.append(time.monotonic() - started)
            copies.append((memory_bytes(processes) - before) / (arguments.items * ITEM_BYTES))
            shared.destroy(blocking=True)
    write_report(arguments.report, seconds=seconds, copies=copies, sums=sums)


if __name__ == "__main__":
    main()
