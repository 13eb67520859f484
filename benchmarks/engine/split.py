"""A job of jobs/ with the costs of its iterations by part:
``split.py NAME ARGUMENTS... --report FILE``.

A run of its own, since it times the job's parser: block by block for blocks of lines, one call in
16 for calls with a line. The engine counts everything else anyway. An interval ends where the job
prints the line of an iteration; the first one begins when the Context is there, so it holds loading
too.
"""

from __future__ import annotations

import contextlib
import io
import runpy
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import mpirdd
from benchmarks import jobs, parts
from benchmarks.program import write_report

SAMPLED = 16
"""Times one of so many calls."""


def timed_blocks(parse: Callable[[Any], Iterator[Any]], seconds: Any) -> Callable[[Any], Iterator[Any]]:
    """``parse`` makes blocks of an iterator of lines; what reading those takes is in ``seconds`` as well."""

    def parse_blocks(lines: Iterator[str]) -> Iterator[Any]:
        blocks = parse(lines)
        while True:
            began = time.perf_counter()
            block = next(blocks, None)
            seconds.add(time.perf_counter() - began)
            if block is None:
                return
            yield block

    return parse_blocks


def timed_lines(parse: Callable[[str], Any], seconds: Any) -> Callable[[str], Any]:
    """``parse`` takes a line that has been read."""
    calls = 0

    def parse_line(line: str) -> Any:
        nonlocal calls
        calls += 1
        if calls % SAMPLED:
            return parse(line)
        began = time.perf_counter()
        parsed = parse(line)
        seconds.add(SAMPLED * (time.perf_counter() - began))
        return parsed

    return parse_line


PARSERS = {
    "logistic_regression": ("parse_blocks", timed_blocks),
    "kmeans": ("parse_blocks", timed_blocks),
    "pagerank": ("both_ends", timed_lines),
}


class Watched(io.StringIO):
    """The job's output; calls ``ended`` before each line about an iteration."""

    def __init__(self, ended: Callable[[], None]) -> None:
        super().__init__()
        self.ended = ended

    def write(self, text: str) -> int:
        if text.startswith("iteration"):
            self.ended()
        return super().write(text)


class Split:
    """The intervals of one run."""

    def __init__(self, name: str) -> None:
        self.parser, self.timed = PARSERS[name]
        self.intervals: list[dict[str, Any]] = []
        self.executors = 0

    def begin(self, sc: mpirdd.Context, job: dict[str, Any]) -> None:
        """``job`` is the namespace that its functions are looked up in."""
        self.sc, self.executors = sc, sc.defaultParallelism
        self.parse_s = sc.accumulator(0.0)
        job[self.parser] = self.timed(job[self.parser], self.parse_s)
        self.at = self.now()

    def now(self) -> tuple[float, dict[str, float], float]:
        costs = self.sc.costs()
        parsed = self.parse_s.value
        if self.timed is timed_blocks:
            parsed -= costs.get("input_s", 0) + costs.get("lines_s", 0)
        return time.monotonic(), costs, parsed

    def end_interval(self) -> None:
        before, self.at = self.at, self.now()
        seconds = self.at[0] - before[0]
        costs = {name: cost - before[1].get(name, 0) for name, cost in self.at[1].items()}
        found = parts.of_interval(seconds, self.executors, costs, self.at[2] - before[2])
        self.intervals.append({"seconds": seconds, "parts": found, "costs": costs})


def main() -> None:
    name, *arguments, _, report = sys.argv[1:]
    sys.path.insert(0, str(jobs.FOLDER))
    sys.argv = [str(jobs.FOLDER / f"{name}.py"), *arguments]
    split = Split(name)

    class Measured(mpirdd.Context):
        """The job's Context, which says when it is there."""

        def __init__(self, *words: Any, **settings: Any) -> None:
            super().__init__(*words, **settings)
            split.begin(self, job["main"].__globals__)

    stand_in: Any = mpirdd
    stand_in.Context = Measured
    # Not as a module that could be imported: executors could not, and so get its functions by value.
    job = runpy.run_path(sys.argv[0], run_name="a job that is split")
    with contextlib.redirect_stdout(Watched(split.end_interval)):
        job["main"]()
    write_report(report, executors=split.executors, intervals=split.intervals)


if __name__ == "__main__":
    main()
