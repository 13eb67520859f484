"""Shared by the benchmarks of iterative jobs: the job, its hand-written counterpart, and their
targets.

``lr.py``, ``lr_points.py``, ``kmeans.py`` and ``pagerank.py`` each state one ``Benchmark``. Its ``main`` runs the job
on the engine and by hand in turn, then once in mode mapreduce and on the peers that are installed, and compares the
times of iterations after the first.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks import harness, peers

MOST_OVER_HANDWRITTEN = 1.3


@dataclass(frozen=True)
class Benchmark:
    """An iterative job of ``jobs/`` on generated input."""

    name: str
    """Of the benchmark, and of the program in ``handwritten/``."""
    job: str
    input: str
    """What ``jobs/generate.py`` is asked for."""
    full: Mapping[str, harness.Size]
    quick: Mapping[str, harness.Size]
    size: Callable[[Namespace], str] = lambda options: f"{options.mb:g}MB"
    """The size of the input, as ``jobs/generate.py`` takes it."""
    words: tuple[str, ...] = ()
    """Further arguments of the job."""
    variants: Mapping[str, list[str]] = field(default_factory=dict)
    """More runs of the job in turn with the two, each with further arguments."""
    least_disk_over_memory: float | None = None
    """What an iteration in mode mapreduce must take at least, in iterations in memory."""
    least_pyspark_over_engine: float | None = None
    more: Callable[[harness.Pair], tuple[harness.Record, list[harness.Target]]] = lambda pair: ({}, [])
    """What one benchmark adds: fields of its record, and targets."""

    def measure(self, options: Namespace) -> harness.Record:
        path = peers.generated(self.input, self.size(options), options)
        size = peers.bytes_of(path)
        words = [*self.words, "--iterations", str(options.iterations), "--tolerance", "-1"]
        pair = peers.compare(self.job, self.name, options, path, words, options.iterations, variants=self.variants)
        record = peers.iterations_record(pair, size)
        disk = peers.disk_record(pair, options)
        fields, targets = self.more(pair)
        targets = [
            harness.Target("later iteration, engine / hand-written", MOST_OVER_HANDWRITTEN, record["ratio"]["median"]), *targets]
        if self.least_pyspark_over_engine is not None and record["pyspark_over_engine"]:
            targets.append(harness.Target("PySpark / engine", self.least_pyspark_over_engine,
                                          record["pyspark_over_engine"]["median"], at_least=True))
        if self.least_disk_over_memory is not None and disk:
            targets.append(harness.Target("later iteration, mode mapreduce / memory", self.least_disk_over_memory,
                                          disk["disk_over_memory_later"], at_least=True))
        return {**record, **disk, **fields, "targets": [target.record() for target in targets]}

    def main(self, argv: Sequence[str] | None = None) -> int:
        return harness.main(self.name, self.measure, full=self.full, quick=self.quick, argv=argv, page_cache="drop")
