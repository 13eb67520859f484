"""Runs the jobs as users do: in their own processes, alone and on three ranks, in each mode."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
JOBS = ROOT / "jobs"
MODES: dict[str, list[str]] = {
    "memory": [],
    "mapreduce": ["--mode", "mapreduce"],
}
"""Each mode and its options of ``mpirdd run``."""
LIMIT_S = 50

Job = Callable[..., list[str]]
"""``job("pi", "--darts", 1000)`` gives the lines of its output."""


def run(job: str, *arguments: object, ranks: int, mode: str = "memory", scratch: Path) -> list[str]:
    """The lines of a job's output. Fails the test, with all output, unless the exit code is 0."""
    done = run_raw(job, *arguments, ranks=ranks, mode=mode, scratch=scratch)
    if done.returncode != 0:
        pytest.fail(f"exit code {done.returncode}: {' '.join(done.args)}\n{done.stdout}{done.stderr}")
    return done.stdout.splitlines()


def run_raw(
    job: str, *arguments: object, ranks: int, mode: str = "memory", scratch: Path
) -> subprocess.CompletedProcess[str]:
    """Run a job. One rank runs plain ``python job.py``, where memory mode needs no option."""
    program = [str(JOBS / f"{job}.py"), *map(str, arguments)]
    options = MODES[mode]
    launch = [] if ranks == 1 and not options else ["-m", "mpirdd", "run", "-n", str(ranks), *options]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path, "TMPDIR": str(scratch)}
    return subprocess.run(
        [sys.executable, *launch, *program], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=LIMIT_S, check=False,
    )


def lines_of(folder: Path) -> list[str]:
    """The lines in the part files of an output or of generated data."""
    assert (folder / "_SUCCESS").exists()
    return [line for part in sorted(folder.glob("part-*")) for line in part.read_text().splitlines()]
