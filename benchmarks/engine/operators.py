"""Each operation and its loop in turn, inside the same executor: ``operators.py RECORDS TURNS SEED ONLY --report FILE``.

The world has one executor, on this host: so its CPU time can be read from here, without a job. The loops run as tasks of the
executor, over the very objects that are cached, and under the same garbage collector.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any

from benchmarks.operations import Operation, data
from benchmarks.operations.table import BY_NAME, chosen
from benchmarks.program import program_arguments, write_report
from mpirdd import Context
from mpirdd.api.rdd import RDD

Turn = tuple[Any, float, float]
"""The result, seconds of the clock, seconds of the executor's CPU."""


def looped(name: str, records: Iterable[Any]) -> Iterator[Turn]:
    """The loop of an operation, on the executor."""
    operation = BY_NAME[name]
    parts = [data.held(one) for one in operation.data]
    began, cpu = time.perf_counter(), time.process_time()
    result = operation.loop(*parts)
    yield result, time.perf_counter() - began, time.process_time() - cpu


def cpu_of(process: int) -> float:
    """CPU seconds of all threads of another process, to the nanosecond (Linux numbers such clocks so)."""
    return time.clock_gettime((~process << 3) | 2)


def executors_process(records: Iterable[Any]) -> Iterator[int]:
    yield os.getpid()


class Measured:
    """The data that are cached now, and turns over them."""

    def __init__(self, sc: Context, records: int, seed: int) -> None:
        self.sc, self.records, self.seed = sc, records, seed
        self.process: int = sc.parallelize([0], 1).mapPartitions(executors_process).first()
        self.cached: dict[str, RDD] = {}

    def use(self, names: Iterable[str]) -> list[RDD]:
        """Have these cached and held, and no others."""
        for name in set(self.cached) - set(names):
            self.cached.pop(name).unpersist(blocking=True)
            self.sc.parallelize([name], 1).foreach(data.let_go)
        for name in set(names) - set(self.cached):
            made = partial(data.make, name, self.records, self.seed)
            self.cached[name] = self.sc.parallelize(range(data.PARTITIONS), data.PARTITIONS).flatMap(made).cache()
            self.cached[name].mapPartitionsWithIndex(partial(data.hold, name)).count()
        return [self.cached[name] for name in names]

    def engine(self, operation: Operation, rdds: list[RDD]) -> Turn:
        cpu, began = cpu_of(self.process), time.perf_counter()
        result = operation.engine(*rdds)
        return result, time.perf_counter() - began, cpu_of(self.process) - cpu

    def loop(self, operation: Operation) -> Turn:
        turn: Turn = self.sc.parallelize([0], 1).mapPartitions(partial(looped, operation.name)).first()
        return turn


def measured(here: Measured, operation: Operation, turns: int) -> dict[str, Any]:
    rdds = here.use(operation.data)
    here.engine(operation, rdds)  # its functions are on the executor now
    found: dict[str, list[Turn]] = {"engine": [], "loop": []}
    for _ in range(turns):
        found["engine"].append(here.engine(operation, rdds))
        found["loop"].append(here.loop(operation))
    results = [turn[0] for side in found.values() for turn in side]
    return {"name": operation.name, "data": operation.data, "right": all(result == results[0] for result in results),
            "found": repr(results[0])[:80], "expected": repr(results[-1])[:80],
            **{side: {"wall_s": [turn[1] for turn in turns], "cpu_s": [turn[2] for turn in turns]}
               for side, turns in found.items()}}


def main() -> None:
    arguments = program_arguments("records", "turns", "seed", "only")
    with Context() as sc:
        here = Measured(sc, arguments.records, arguments.seed)
        found = [measured(here, operation, arguments.turns)
                 for operation in sorted(chosen(arguments.only), key=lambda operation: operation.data)]
        write_report(arguments.report, operations=found, counts={
            name: arguments.records // (10 if name == "lines" else 4 if name == "table" else 1) for name in data.MAKERS})


if __name__ == "__main__":
    main()
