"""Runs suites, each in a process of its own under a time limit, and prints a table of times and one count at the end.

    python -m tests                      the daily lane: what shows the engine right on one MPI
    python -m tests rest                 the other lane: what `make test-all` adds on Open MPI
    python -m tests unit engine@4        some suites by name
    python -m tests slurm+engine@2       two suites side by side

A name is FOLDER, FOLDER@RANKS (under the mpirun of this environment), FOLDER-mapreduce@RANKS (the same tests in
mode mapreduce) or one of the names below. ``python -m tests --list`` prints all names and the lanes.

``pyspark`` wants MPIRDD_PYSPARK_PYTHON, a Python that has PySpark. ``slurm`` and ``hosts`` want root and Debian
packages (.ci/run names them), and skip their tests without; ``slurm`` also uses MPIRDD_MPICH_PYTHON, if it is set.
``stores`` wants a JDK and Maven for HDFS, and the wheel of SeaweedFS for S3. ``sites`` wants Debian's and Python's packages.
The runner kills a suite that takes too long, with all its ranks.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from mpirdd.launch import leavings
from mpirdd.launch.mpirun import command_for, environment_for, find_launcher

ROOT = Path(__file__).parents[1]
COUNTS = ("passed", "failed", "skipped")
_TO_LEAVE_S = 10.0
"""A suite that takes too long gets this long to end its ranks."""
_LINES_OF_A_FAILURE = 30


@dataclass(frozen=True)
class Suite:
    """One run of pytest."""

    limit_s: float
    """Several times what the suite takes on two idle cores."""
    workers: int = 0
    """pytest-xdist's processes, for tests that do not need the machine to themselves. 0: one process without xdist."""
    by_file: bool = False
    """The tests of a file share what is dear to set up, so they go to one worker."""
    path: str = ""
    """What pytest runs, below ``tests``, if the name does not say it."""
    only: str = ""
    """Which of the tests, for pytest's ``-k``."""
    marked: str = ""
    """Which of the tests, for pytest's ``-m``."""
    variables: dict[str, str] = field(default_factory=dict)


JOBS_REST = ("alone-memory or ranks-mapreduce or killed_at_random_moments or (split_into_runs and mapreduce) or latency or "
             "generated_data or same_bits")
SUITES = {
    "unit": Suite(900, workers=2, marked="not second_lane"),
    "unit-rest": Suite(600, path="unit", marked="second_lane"),
    "unit-python": Suite(600, workers=2, path="unit", only="not (chaos or schedules or scheduler or test_report)",
                         marked="not second_lane"),
    "schedules": Suite(900, workers=2, path="unit", only="chaos or schedules", variables={"MPIRDD_SCHEDULES": "all"}),
    "contract@1": Suite(120), "contract@2": Suite(120), "contract@3": Suite(120), "contract@5": Suite(180),
    "engine@1": Suite(400, workers=2), "engine@2": Suite(300), "engine@3": Suite(400), "engine@4": Suite(400),
    "engine-pairwise@4": Suite(300, path="engine", marked="exchanges", variables={"MPIRDD_EXCHANGE": "pairwise"}),
    "engine-mapreduce@1": Suite(400), "engine-mapreduce@4": Suite(600),
    "launch": Suite(900, workers=3, marked="not second_lane and not alone"),
    "launch-rest": Suite(900, workers=3, path="launch", marked="second_lane"),
    "memory": Suite(600, path="launch", marked="alone"),  # how large ranks become depends on what else runs
    "recovery": Suite(1200, workers=3, marked="not second_lane"),
    "recovery-rest": Suite(1200, workers=3, path="recovery", marked="second_lane"),
    "matrix": Suite(1800, workers=4, path="recovery/test_matrix.py", variables={"MPIRDD_MATRIX": "all"}),
    "jobs": Suite(900, workers=3, only=f"not ({JOBS_REST})"),
    "jobs-rest": Suite(900, workers=3, path="jobs", only=JOBS_REST),
    "slurm": Suite(900, workers=2),
    "sites": Suite(600, workers=2),  # the MPIs of other places, which it fetches once a clone
    "stores": Suite(900),  # one HDFS and one S3 server for all its tests
    "hosts": Suite(600),  # not beside other ranks: their MPI would take the bridge between its hosts for a network
    # Files of both sides: only beside executors, whose tasks read and write them.
    "pyspark": Suite(1500, workers=2, by_file=True, only="not test_files"), "pyspark@5": Suite(1200),
}
LANES = {
    "daily": ["unit", "contract@1", "contract@3", "engine@1", "engine@4", "launch", "recovery", "jobs"],
    "rest": ["unit-rest", "contract@2", "contract@5", "slurm+engine@2", "engine-pairwise@4",
             "stores+engine-mapreduce@4", "matrix", "jobs-rest", "launch-rest", "recovery-rest", "memory", "hosts+schedules",
             "sites"],
    "mpich": ["contract@1", "contract@3", "engine@4", "engine-pairwise@4", "launch", "launch-rest", "recovery"],
    "python": ["unit-python+engine@3"],
    "peers": ["pyspark+pyspark@5"],
}
"""``engine@1`` is the world of one rank, which has code of its own and needs no mpirun; ``engine@4`` has three executors,
which exchange, and ``engine@2`` has one. The engine suites run without recovery, so their exchanges are MPI's collectives;
those of ``recovery`` on Open MPI and of ``engine-pairwise@4`` are pairwise. Of the jobs' four ways to run, ``jobs`` has two,
with each mode and each world, and ``jobs-rest`` has the other two. Of simulated schedules ``unit`` runs some, and
``schedules`` thousands. ``mpich`` is what depends on the MPI; ``python`` is what depends on the version of Python. Whole files
of ``launch`` and ``recovery`` carry the mark ``second_lane``: they take long and seldom fail alone. So do tests of ``unit``
that build a wheel."""


@dataclass(frozen=True)
class Result:
    """How a suite ended."""

    name: str
    code: int
    seconds: float
    cpu_s: float
    """Of the suite and all that it started and waited for. Unlike ``seconds``, it hardly depends on what else the machine
    does."""
    counts: dict[str, int]
    failures: list[tuple[str, str]]
    """Of each test that failed: its name, and the end of what pytest says about it."""


def main(names: Sequence[str]) -> int:
    if "--list" in names:
        print("suites:", *SUITES)
        for lane, suites in LANES.items():
            print(f"{lane}:", *suites)
        return 0
    groups = [entry.split("+") for name in names or ["daily"] for entry in LANES.get(name, [name])]
    unknown = [name for group in groups for name in group if name not in SUITES]
    if unknown:
        print(f"unknown suite {', '.join(unknown)}; known are {', '.join([*LANES, *SUITES])}", file=sys.stderr)
        return 2
    started, there = time.monotonic(), leavings.shared_files()
    try:
        results = [result for group in groups for result in run_group(group)]
    finally:
        leavings.remove_unused(leavings.shared_files() - there)  # tests kill whole runs
    print_table(results, time.monotonic() - started)
    broken = [result for result in results if result.code]
    total = {kind: sum(result.counts.get(kind, 0) for result in results) for kind in COUNTS}
    if broken:
        print_failures(broken)
        total["failed"] = max(total["failed"], len(broken))
    print(", ".join(f"{total[kind]} {kind}" for kind in COUNTS), flush=True)
    return 1 if broken else 0


def print_table(results: Sequence[Result], seconds: float) -> None:
    """A line for each suite: what the tests said, and how long they took."""
    width = max(len(result.name) for result in results)
    launcher = find_launcher()
    print(f"\nSuites on Python {'.'.join(map(str, sys.version_info[:3]))} and {launcher.kind} {launcher.version}")
    print(f"{'suite':{width}}  {'passed':>6} {'failed':>6} {'skipped':>7}  {'seconds':>7} {'cpu s':>6}")
    for result in results:
        passed, failed, skipped = (result.counts.get(kind, 0) for kind in COUNTS)
        print(f"{result.name:{width}}  {passed:6} {failed:6} {skipped:7}  {result.seconds:7.0f} {result.cpu_s:6.0f}")
    print(f"{'in all':{width}}  {'':21}  {seconds:7.0f}")


def print_failures(broken: Sequence[Result]) -> None:
    """Once more at the end, as what pytest printed may be thousands of lines above."""
    print(f"\nFailures in {', '.join(f'{result.name} (exit code {result.code})' for result in broken)}")
    for result in broken:
        for test, text in result.failures:
            print(f"--- {result.name}: {test}\n{text}")
    print("--- end of failures")


def run_group(names: Sequence[str]) -> list[Result]:
    """Suites side by side. The output of each comes whole when it has ended."""
    if len(names) == 1:
        return [run_suite(names[0])]
    with ThreadPoolExecutor(len(names)) as pool:
        return list(pool.map(run_aside, names))


def run_aside(name: str) -> Result:
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        result = run_suite(name, output)
        output.seek(0)
        sys.stdout.write(output.read())
        sys.stdout.flush()
    return result


def run_suite(name: str, output: IO[str] | None = None) -> Result:
    print(f"=== {name}", file=output, flush=True)
    suite = SUITES[name]
    folder, _, ranks = name.partition("@")
    mode = ""
    if not suite.path:
        folder, _, mode = folder.partition("-")
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        pytest = ["-m", "pytest", "-q", "--color=no", "-p", "no:cacheprovider", f"tests/{suite.path or folder}",
                  f"--junitxml={report}"]
        if suite.only:
            pytest += ["-k", suite.only]
        if suite.marked:
            pytest += ["-m", suite.marked]
        if suite.workers:
            pytest += ["-n", str(suite.workers), "--dist=loadfile" if suite.by_file else "--dist=worksteal"]
        if ranks and not suite.workers:
            # A test that hangs ends its rank, and so the whole suite, on all ranks together.
            pytest += ["--timeout-method=thread"]
            launcher = find_launcher()
            environment = environment_for(launcher, os.environ)
            command = [*command_for(launcher, int(ranks), environment), *pytest]
        else:
            command, environment = [sys.executable, *pytest], dict(os.environ)
        environment |= suite.variables
        # Else each of some thousand ranks compiles mpirdd anew, where somebody has set it: half the CPU time of `recovery`.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        if mode:
            environment["MPIRDD_MODE"] = mode
        code, cpu_s = run_limited(command, environment, suite.limit_s, output)
        return Result(name, code, time.monotonic() - started, cpu_s, *read_report(report))


def run_limited(
    command: list[str], environment: dict[str, str], limit_s: float, output: IO[str] | None
) -> tuple[int, float]:
    """The exit code, -9 if the command took too long, and CPU seconds. No process that it started in its session outlives it."""
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, start_new_session=True,
                               stdout=output, stderr=output and subprocess.STDOUT)
    try:
        ended = wait_for(process.pid, limit_s)
        if ended is not None:
            return ended
        print(f"timed out after {limit_s} s", file=output, flush=True)
        process.terminate()  # mpirun passes it on to its ranks, which are in process groups of their own
        return -9, (wait_for(process.pid, _TO_LEAVE_S) or (0, 0.0))[1]
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(process.pid, 0)
        process.returncode = 0  # it has been waited for


def wait_for(pid: int, limit_s: float) -> tuple[int, float] | None:
    """The exit code of a child, and the CPU seconds of it and of those that it waited for. None: it still runs."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime
        time.sleep(0.05)
    return None


def read_report(report: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """The counts of a report of pytest, and what it says of tests that failed."""
    if not report.exists():
        return {}, []
    root = xml.parse(report).getroot()
    sums = [sum(values) for values in zip(*[
        [int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped")] for suite in root.iter("testsuite")
    ], strict=True)]
    tests, failures, errors, skipped = sums
    counts = {"passed": tests - failures - errors - skipped, "failed": failures + errors, "skipped": skipped}
    return counts, [
        (f"{case.get('classname')}::{case.get('name')}", "\n".join((found.text or "").splitlines()[-_LINES_OF_A_FAILURE:]))
        for case in root.iter("testcase") for found in (*case.findall("failure"), *case.findall("error"))]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
