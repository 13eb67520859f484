"""A job of jobs/ beside a hand-written MPI program, beside itself on PySpark, and beside a Dask bag and plain Python.

The two of MPI run in turn. The others, which take many times as long, run after them: the job in mode mapreduce ``disk`` times
where a benchmark has that option, PySpark ``spark`` times where MPIRDD_PYSPARK_PYTHON names a Python that has it, Dask ``dask``
times where MPIRDD_DASK_PYTHON does. They are left out, with a line that says so, where not.
"""

from __future__ import annotations

import itertools
import os
import statistics
import subprocess
import sys
import tempfile
from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import harness, jobs, parts

SIZES = {"ranks": 3, "repeats": 5, "spark": 2, "dask": 2}
QUICK = {"repeats": 2, "spark": 1, "dask": 1}
CURVE = (1, 5, 10, 20, 30)
"""Iterations at which the time of a whole run is given."""
SPLIT_ITERATIONS = 6
"""Of the runs that say what an iteration costs: the first, and five to take the median of."""
JOB = str(harness.ROOT / "benchmarks" / "engine" / "job.py")


def compare(
    job: str, options: Namespace, path: str, arguments: list[str], *by_hand: object,
    variants: Mapping[str, list[str]] | None = None,
) -> harness.Pair:
    """``arguments`` are the job's behind its path, ``by_hand`` those of the hand-written program. ``variants`` are further
    runs of the job, by name, each with more arguments."""
    name = {"logistic_regression": "lr"}.get(job, job)
    commands = {"engine": harness.on_engine("job", options.ranks, job, path, *arguments),
                "handwritten": harness.by_hand(name, options.ranks, path, *by_hand)}
    for variant, more in (variants or {}).items():
        commands[variant] = harness.on_engine("job", options.ranks, job, path, *arguments, *more)
    runs = harness.alternate(options.repeats, options.timeout, commands, cold=options.page_cache == "drop")
    others = {}
    if getattr(options, "disk", 0):
        others["mapreduce"] = harness.on_engine("job", options.ranks, job, path, *arguments, mode="mapreduce")
    others |= installed(options, job, path, *arguments)
    if job == "logistic_regression":
        others |= without_engine(options, job, path, options.iterations)
    return with_others(harness.Pair(commands, runs), options, others)


def installed(options: Namespace, job: str, *arguments: object) -> dict[str, list[str]]:
    """The command of a job on PySpark, if it is there and asked for."""
    python = os.environ.get("MPIRDD_PYSPARK_PYTHON")
    if not python:
        harness.say("  pyspark: left out, as MPIRDD_PYSPARK_PYTHON names no Python that has it")
    if not python or not options.spark:
        return {}
    return {"pyspark": [python, "-m", "benchmarks.spark", job, str(options.ranks - 1), *map(str, arguments)]}


def without_engine(options: Namespace, job: str, *arguments: object) -> dict[str, list[str]]:
    """The commands of the same work on a Dask bag, if it is there, and in one plain process."""
    words = [*map(str, arguments)]
    commands = {"plain": [sys.executable, "-m", "benchmarks.plain", job, *words]}
    python = os.environ.get("MPIRDD_DASK_PYTHON")
    if not python:
        harness.say("  dask: left out, as MPIRDD_DASK_PYTHON names no Python that has it")
    elif options.dask:
        commands["dask"] = [python, "-m", "benchmarks.daskbag", job, str(options.ranks - 1), *words]
    return commands


def with_others(pair: harness.Pair, options: Namespace, commands: Mapping[str, list[str]]) -> harness.Pair:
    """The pair, and the runs of others, which take longer, after it: one of each in turn, as often as their option says."""
    repeats = {"mapreduce": getattr(options, "disk", 0), "pyspark": options.spark, "dask": options.dask, "plain": 1}
    runs = dict(pair.runs)
    for name, command in commands.items():
        runs |= harness.alternate(repeats[name], options.timeout, {name: command}, cold=options.page_cache == "drop")
    return harness.Pair({**pair.commands, **commands}, runs)


def over_engine(pair: harness.Pair, key: str, peer: str = "pyspark") -> harness.Record | None:
    """How many times the engine's median a peer takes; None where it did not run."""
    if peer not in pair.runs:
        return None
    engine = harness.spread(harness.inner(pair.runs["engine"], key))["median"]
    return harness.spread([seconds / engine for seconds in harness.inner(pair.runs[peer], key)])


def agree(pair: harness.Pair, tolerance: float = 1e-6) -> bool:
    """Whether all programs came to the same number."""
    results = [report["result"] for report in pair.reports()]
    return max(results) - min(results) <= tolerance * max(map(abs, results))


def generated(kind: str, size: str, options: Namespace) -> str:
    """The folder of the job's input: made by jobs/generate.py, once, with a part file for each executor."""
    scratch = Path(tempfile.gettempdir(), f"mpirdd-benchmarks-{os.getuid()}")
    scratch.mkdir(mode=0o700, exist_ok=True)
    folder = scratch / f"{kind}-{size}-seed{options.seed}-parts{options.ranks - 1}"
    if not (folder / "_SUCCESS").exists():
        command = [sys.executable, "-m", "mpirdd", "run", "-n", str(options.ranks), str(jobs.FOLDER / "generate.py"),
                   kind, size, str(folder), "--seed", str(options.seed)]
        done = subprocess.run(command, env=harness.environment(), capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise harness.ProgramFailed(f"exit code {done.returncode}: {' '.join(command)}\n{done.stderr}")
    return str(folder)


def bytes_of(folder: str) -> int:
    """The size of the part files; reads them once, so that the first program does not pay for the disk alone."""
    return sum(len(part.read_bytes()) for part in Path(folder).glob("part-*"))


def iterations_record(pair: harness.Pair, size_bytes: int) -> harness.Record:
    """What the benchmarks of iterative jobs have in common: ratios of later iterations, times of all."""
    return {"bytes": size_bytes, "valid": agree(pair), **pair.sides("load", "first", "later"),
            "ratio": pair.ratio("later"), "ratio_load": pair.ratio("load"), "ratio_first": pair.ratio("first"),
            "pyspark_over_engine": over_engine(pair, "later")}


def disk_record(pair: harness.Pair, options: Namespace) -> harness.Record:
    """Memory against mode mapreduce: times of whole runs by iterations, and what iterations cost in each."""
    if "mapreduce" not in pair.runs:
        return {}
    disk, memory = pair.runs["mapreduce"], pair.runs["engine"]
    return {
        "disk_over_memory_first": _median(disk, "first") / _median(memory, "first"),
        "disk_over_memory_later": _median(disk, "later") / _median(memory, "later"),
        "curve": {"iterations": [count for count in CURVE if count <= options.iterations],
                  **{name: _curve(runs) for name, runs in (("memory_s", memory), ("mapreduce_s", disk))}},
        "costs": disk[-1].report["costs"],
        "later_grows_by_s": _median_step(disk[-1].report["later"]),
        "split": _split(pair, options),
    }


def _split(pair: harness.Pair, options: Namespace) -> harness.Record:
    """What the first iteration and a later one cost, by part, for each way in which the job ran on the engine: by
    ``engine/split.py`` in runs of their own."""
    commands = {name: _splitting(command) for name, command in pair.commands.items() if JOB in command}
    runs = harness.alternate(1, options.timeout, commands, cold=options.page_cache == "drop")
    return {name: parts.first_and_later(run.report["intervals"]) for name, (run,) in runs.items()}


def _splitting(command: Sequence[str]) -> list[str]:
    """The command of a job, with its costs split, and of fewer iterations."""
    at = command.index(JOB)
    return [*command[:at], str(Path(JOB).with_name("split.py")), *command[at + 1 :], "--iterations", str(SPLIT_ITERATIONS)]


def _median(runs: Sequence[harness.Run], key: str) -> float:
    return statistics.median(harness.inner(runs, key))


def _curve(runs: Sequence[harness.Run]) -> list[float]:
    """Seconds from launch to end if the job had stopped after each count of ``CURVE``: those of one run, added up."""
    run = min(runs, key=lambda run: run.wall_s)
    each = [*run.report["first"], *run.report["later"]]
    before = run.wall_s - sum(each)
    return [before + sum(each[:count]) for count in CURVE if count <= len(each)]


def _median_step(seconds: Sequence[float]) -> float | None:
    """By how much an iteration takes longer than the one before: a job that is run again from its input at each."""
    steps = [after - before for before, after in itertools.pairwise(seconds)]
    return statistics.median(steps) if steps else None
