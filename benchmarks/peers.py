"""Run a job of jobs/ beside a hand-written MPI program, on PySpark, and beside a Dask bag and plain Python.

The job on the engine and the hand-written program run in turn. The others take many times as long, and run after
them, as often as the benchmark's option says: the job in mode mapreduce (``disk``), PySpark (``spark``) where
MPIRDD_PYSPARK_PYTHON names a Python that has it, Dask (``dask``) where MPIRDD_DASK_PYTHON names one. A benchmark
without the option leaves that peer out; where the Python is missing, a line says so.
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
    job: str, program: str, options: Namespace, path: str, arguments: list[str], *by_hand: object,
    variants: Mapping[str, list[str]] | None = None,
) -> harness.Pair:
    """Runs ``jobs/JOB.py`` and ``handwritten/PROGRAM.py`` on the input, and the job on the peers.

    Args:
        arguments: the job's, after its path.
        by_hand: the hand-written program's, after its path.
        variants: further runs of the job by name, each with more arguments.
    """
    commands = {"engine": harness.on_engine("job", options.ranks, job, path, *arguments),
                "handwritten": harness.by_hand(program, options.ranks, path, *by_hand)}
    for variant, more in (variants or {}).items():
        commands[variant] = harness.on_engine("job", options.ranks, job, path, *arguments, *more)
    runs = harness.alternate(options.repeats, options.timeout, commands, cold=options.page_cache == "drop")
    others = {}
    if getattr(options, "disk", 0):
        others["mapreduce"] = harness.on_engine("job", options.ranks, job, path, *arguments, mode="mapreduce")
    others |= installed(options, job, path, *arguments)
    if job == "logistic_regression":  # the only iterative job that is written for them
        others |= without_engine(options, job, path, options.iterations)
    return with_others(harness.Pair(commands, runs), options, others)


def installed(options: Namespace, job: str, *arguments: object) -> dict[str, list[str]]:
    """The command of a job on PySpark, if it is there and asked for."""
    if "spark" not in options:
        return {}
    python = os.environ.get("MPIRDD_PYSPARK_PYTHON")
    if not python:
        harness.say("  pyspark: left out, as MPIRDD_PYSPARK_PYTHON names no Python that has it")
    if not python or not options.spark:
        return {}
    return {"pyspark": [python, "-m", "benchmarks.spark", job, str(options.ranks - 1), *map(str, arguments)]}


def without_engine(options: Namespace, job: str, *arguments: object) -> dict[str, list[str]]:
    """The commands of the same work on a Dask bag, if it is there, and in one plain process."""
    if "dask" not in options:
        return {}
    words = [*map(str, arguments)]
    commands = {"plain": [sys.executable, "-m", "benchmarks.plain", job, *words]}
    python = os.environ.get("MPIRDD_DASK_PYTHON")
    if not python:
        harness.say("  dask: left out, as MPIRDD_DASK_PYTHON names no Python that has it")
    elif options.dask:
        commands["dask"] = [python, "-m", "benchmarks.daskbag", job, str(options.ranks - 1), *words]
    return commands


def with_others(pair: harness.Pair, options: Namespace, commands: Mapping[str, list[str]]) -> harness.Pair:
    """The pair, extended by the runs of others: each command as often as its option says, one after the other."""
    counts = vars(options)
    repeats = {"mapreduce": counts.get("disk", 0), "pyspark": counts.get("spark", 0), "dask": counts.get("dask", 0), "plain": 1}
    runs = dict(pair.runs)
    for name, command in commands.items():
        runs |= harness.alternate(repeats[name], options.timeout, {name: command}, cold=options.page_cache == "drop")
    return harness.Pair({**pair.commands, **commands}, runs)


def over_engine(pair: harness.Pair, key: str, peer: str = "pyspark") -> harness.Record | None:
    """The peer's times over the engine's median; None where the peer did not run."""
    if peer not in pair.runs:
        return None
    engine = harness.spread(harness.inner(pair.runs["engine"], key))["median"]
    return harness.spread([seconds / engine for seconds in harness.inner(pair.runs[peer], key)])


def agree(pair: harness.Pair, tolerance: float = 1e-6) -> bool:
    """All programs came to the same number."""
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
    """What the records of iterative jobs have in common: ratios of later iterations, times of all."""
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
    """The costs of the first iteration and a later one, by part, for each mode of the job on the
    engine: by ``engine/split.py`` in runs of their own."""
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
    """The growth of an iteration over the one before: a job that starts again from its input at
    each."""
    steps = [after - before for before, after in itertools.pairwise(seconds)]
    return statistics.median(steps) if steps else None
