"""Runs all suites, each in a process of its own under a time limit, and prints one count at the end.

    python -m tests                    everything
    python -m tests unit engine@4      some: unit, launch, recovery, jobs, slurm, hosts, contract@RANKS, engine@RANKS
    python -m tests engine-mapreduce@4 the engine's suite in mode mapreduce

``pyspark`` wants MPIRDD_PYSPARK_PYTHON, a Python that has PySpark. ``slurm`` and ``hosts`` want root and Debian packages
(.ci/run names them), and skip their tests without; ``slurm`` also uses MPIRDD_MPICH_PYTHON, if there is one. Suites with
``@RANKS`` run under the mpirun of this environment. A suite that hangs is ended with all its ranks.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml
from contextlib import suppress
from pathlib import Path

from mpirdd.edge.launch import command_for, environment_for, find_launcher

ROOT = Path(__file__).parents[1]
SUITES = {
    "unit": 600,
    "contract@1": 120, "contract@2": 120, "contract@3": 120, "contract@5": 180,
    "engine@1": 300, "engine@2": 300, "engine@3": 400, "engine@4": 400,
    "engine-mapreduce@1": 400, "engine-mapreduce@4": 600,
    "launch": 900,
    "recovery": 1800,
    "jobs": 1200,
    "slurm": 900, "hosts": 400,
    "pyspark": 900, "pyspark@5": 900,
}
"""Time limits in seconds, several times what the suites take on two cores."""


DEFAULT = [name for name in SUITES if name not in ("engine@3", "engine-mapreduce@1") and not name.startswith("pyspark")]


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in SUITES]
    if unknown:
        print(f"unknown suite {', '.join(unknown)}; known are {', '.join(SUITES)}", file=sys.stderr)
        return 2
    total = {"passed": 0, "failed": 0, "skipped": 0}
    broken = []
    for name in names or DEFAULT:
        print(f"=== {name}", flush=True)
        code, counts = run_suite(name, SUITES[name])
        for kind, number in counts.items():
            total[kind] += number
        if code:
            broken.append(f"{name} (exit code {code})")
    if broken:
        print(f"failed: {', '.join(broken)}")
        total["failed"] = max(total["failed"], len(broken))
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped", flush=True)
    return 1 if broken else 0


def run_suite(name: str, limit_s: float) -> tuple[int, dict[str, int]]:
    """The exit code of the suite, and how many tests passed, failed and were skipped."""
    folder, _, ranks = name.partition("@")
    folder, _, mode = folder.partition("-")
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        pytest = ["-m", "pytest", "-q", "--color=no", "-p", "no:cacheprovider", f"tests/{folder}", f"--junitxml={report}"]
        if ranks:
            # A test that hangs ends its rank, and so the whole suite, on all ranks together.
            pytest += ["--timeout-method=thread"]
            launcher = find_launcher()
            environment = environment_for(launcher, os.environ)
            command = [*command_for(launcher, int(ranks), environment), *pytest]
        else:
            command, environment = [sys.executable, *pytest], dict(os.environ)
        environment["MPIRDD_TEST_REPORT"] = str(report)
        if mode:
            environment["MPIRDD_MODE"] = mode
        code = run_limited(command, environment, limit_s)
        return code, read_counts(report)


def run_limited(command: list[str], environment: dict[str, str], limit_s: float) -> int:
    """The exit code; -9 when it took too long and was killed, with all the processes that it had started."""
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        return process.wait(limit_s)
    except subprocess.TimeoutExpired:
        print(f"timed out after {limit_s} s", flush=True)
        return -9
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def read_counts(report: Path) -> dict[str, int]:
    if not report.exists():
        return {}
    suites = xml.parse(report).getroot().iter("testsuite")
    sums = [sum(values) for values in zip(*[
        [int(suite.get(key, 0)) for key in ("tests", "failures", "errors", "skipped")] for suite in suites
    ], strict=True)]
    tests, failures, errors, skipped = sums
    return {"passed": tests - failures - errors - skipped, "failed": failures + errors, "skipped": skipped}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
