"""Hadoop MapReduce on YARN, a JVM a task, beside the memory and disk modes, on the same files in HDFS: word count (Java,
Streaming), logistic regression (text, SequenceFiles), TeraSort, an empty job.

Hadoop comes from Maven (115 MB), wants Java, and runs in network and process namespaces of its own, for which it wants root or
user namespaces. Where one of these is missing, the benchmark says so and measures nothing. Ours run inside too, and read the
same HDFS. The record has the parts of each of Hadoop's jobs, so it says what the disk mode leaves out.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from uuid import uuid4

from benchmarks import harness, minihadoop, peers, text
from tests.stores.jvm import JvmEnded, NoJars

COPIES = 3
"""Hadoop's default replication, which the benchmark's jobs do without."""
ITERATION_WITHIN_S = 150.0
OURS = ("engine", "mapreduce")


def measure(options: Namespace) -> harness.Record:
    if problem := minihadoop.why_no_hadoop():
        return left_out(problem)
    with tempfile.TemporaryDirectory(prefix="mpirdd-hadoop-") as scratch:
        try:
            with minihadoop.MiniHadoop(Path(scratch)) as hadoop:
                return Measured(hadoop, options).record()
        except (NoJars, JvmEnded) as reason:
            return left_out(str(reason))


def left_out(reason: str) -> harness.Record:
    harness.say(f"  hadoop is left out: {reason}")
    return {"valid": True, "left_out": reason}


class Measured:
    """The runs on one cluster, and what they found."""

    def __init__(self, hadoop: minihadoop.MiniHadoop, options: Namespace) -> None:
        self.hadoop, self.options = hadoop, options
        self.reduces = options.ranks - 1

    def record(self) -> harness.Record:
        empty = self.empty_jobs()
        found = {"wordcount": self.word_count(), "sort": self.sort(), "lr": self.logistic_regression()}
        later = {name: side["later"]["median"] for name, side in found["lr"].items() if name in (*OURS, "hadoop")}
        return {"valid": all(each["valid"] for each in found.values()), "empty": empty, **found,
                "hadoop_over_memory": later["hadoop"] / later["engine"], "hadoop_over_disk": later["hadoop"] / later["mapreduce"]}

    def empty_jobs(self) -> harness.Record:
        """What a job costs that does nothing, and what copies of blocks cost."""
        run = self.launch("empty", self.options.empty)
        size = int(self.options.mb * 1e6)
        written = self.launch("write", f"{self.hadoop.url}/written", size, 1, COPIES).report["seconds"]
        return {"seconds": harness.spread(run.report["seconds"]), "parts": typical(run.report["parts"]),
                "jvm_s": harness.spread(run.report["jvm_s"]), "write_s": written, "write_bytes": size}

    def word_count(self) -> harness.Record:
        source = text.zipf_text(self.options.text_mb, self.options.seed)
        url = self.put(source.path)
        runs = self.in_turn(lambda: {
            **self.ours("counted", url, partial(self.new, "counts"), self.reduces),
            "hadoop": self.on_hadoop("wordcount", url, self.new("counts"), self.reduces),
            "streaming": self.on_hadoop("streaming", url, self.new("counts"), self.reduces)})
        valid = {run.report["digest"] for each in runs.values() for run in each} == {source.digest}
        return {"bytes": source.size_bytes, "words": source.words, "valid": valid, **sides(runs, "seconds")}

    def sort(self) -> harness.Record:
        path = peers.generated("records", str(self.options.records), self.options)
        url = self.put(path)
        runs = self.in_turn(lambda: {
            **self.ours("job", "terasort", url, "--output", partial(self.new, "sorted")),
            "hadoop": self.on_hadoop("terasort", url, self.new("sorted"), self.reduces)})
        checked = [run.report["lines"] for name in OURS for run in runs[name]]
        checked += [self.validated(url, run.report["target"]) for run in runs["hadoop"]]
        valid = all(lines[-1].startswith("valid") for lines in checked) and len({lines[-2] for lines in checked}) == 1
        return {"bytes": peers.bytes_of(path), "valid": valid, **sides(runs, "seconds")}

    def validated(self, source: str, target: str) -> list[str]:
        """What our own job says of an output that Hadoop sorted: number and checksum of the records, and whether it is valid."""
        command = harness.on_engine("job", self.options.ranks, "terasort", source, "--validate-only", "--output", target)
        lines: list[str] = harness.launch(self.inside(command), self.options.timeout).report["lines"]
        return lines

    def logistic_regression(self) -> harness.Record:
        path = peers.generated("points", f"{self.options.mb:g}MB", self.options)
        url, count = self.put(path), str(self.options.iterations)
        words = ("logistic_regression", url, "--iterations", count, "--tolerance", "-1")
        commands = {**self.ours("job", *words), "hadoop": self.on_hadoop("logistic_regression", url, count)}
        if self.options.binary:
            commands["binary"] = self.on_hadoop("binary", url, count)
        within_s = max(self.options.timeout, ITERATION_WITHIN_S * (self.options.iterations + 2))
        runs = self.alternate(1, within_s, commands)
        if self.options.repeats > 1:
            again = self.alternate(self.options.repeats - 1, within_s, {name: commands[name] for name in OURS})
            runs |= {name: [*runs[name], *more] for name, more in again.items()}
        pair = harness.Pair(commands, runs)
        return {"bytes": peers.bytes_of(path), "valid": peers.agree(pair), **sides(runs, "load", "first", "later")}

    def in_turn(self, commands: Callable[[], dict[str, list[str]]]) -> dict[str, list[harness.Run]]:
        """``repeats`` times the commands that ``commands()`` gives, each time with new outputs."""
        runs: dict[str, list[harness.Run]] = {}
        for _ in range(self.options.repeats):
            for name, (run,) in self.alternate(1, self.options.timeout, commands()).items():
                runs.setdefault(name, []).append(run)
        return runs

    def alternate(self, repeats: int, within_s: float, commands: Mapping[str, Sequence[str]]) -> dict[str, list[harness.Run]]:
        return harness.alternate(repeats, within_s, commands, cold=self.options.page_cache == "drop")

    def launch(self, name: str, *arguments: object) -> harness.Run:
        return harness.launch(self.on_hadoop(name, *arguments), self.options.timeout)

    def ours(self, program: str, *arguments: object) -> dict[str, list[str]]:
        """The commands of both modes. Of an argument that is a function, each gets a value of its own."""
        def command(mode: str | None) -> list[str]:
            words = [one() if callable(one) else one for one in arguments]
            return self.inside(harness.on_engine(program, self.options.ranks, *words, mode=mode))

        return {"engine": command(None), "mapreduce": command("mapreduce")}

    def on_hadoop(self, name: str, *arguments: object) -> list[str]:
        words = map(str, arguments)
        return self.inside([sys.executable, "-m", "benchmarks.onhadoop", str(self.hadoop.folder), name, *words])

    def inside(self, command: Sequence[str]) -> list[str]:
        return [*self.hadoop.inside, *command]

    def put(self, path: str) -> str:
        """Copy a file or folder to HDFS; its address there."""
        url = f"{self.hadoop.url}/{Path(path).name}"
        self.launch("put", path, url)
        return url

    def new(self, name: str) -> str:
        return f"{self.hadoop.url}/{name}-{uuid4().hex}"


def sides(runs: Mapping[str, Sequence[harness.Run]], *keys: str) -> dict[str, harness.Record]:
    """Each program's times, as other benchmarks have them, and the parts of Hadoop's jobs: of those that are timed alone."""
    found = {}
    for name, each in runs.items():
        found[name] = {**{key: harness.spread([value for run in each for value in run.report[key]]) for key in keys},
                       "total_s": harness.spread([run.wall_s for run in each]),
                       "cpu_s": harness.spread([run.cpu_s for run in each])}
        if all(run.report.get("parts") for run in each):
            found[name]["parts"] = typical([one for run in each for one in run.report["parts"][-len(run.report[keys[-1]]):]])
            found[name]["task_cpu_s"] = harness.spread([sum(run.report["task_cpu_s"]) for run in each])
    return found


def typical(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The parts of the job of median length, whole, as medians of parts would not add up."""
    lengths = [sum(one.values()) for one in parts]
    return dict(parts[lengths.index(statistics.median_low(lengths))])


def main(argv: list[str] | None = None) -> int:
    return harness.main("hadoop", measure, argv=argv, page_cache="drop",
                        full={"mb": 200.0, "text_mb": 250.0, "records": 2_000_000, "iterations": 10, "binary": 1, "empty": 3,
                              "ranks": 3, "repeats": 2},
                        quick={"mb": 20.0, "text_mb": 20.0, "records": 200_000, "iterations": 2, "binary": 0, "empty": 1,
                               "repeats": 1})


if __name__ == "__main__":
    raise SystemExit(main())
