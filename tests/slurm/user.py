"""A user's steps in a folder of the cluster: write a job, submit it, wait, read the log."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import pytest
from cluster import Cluster

ROOT = Path(__file__).parents[2]
MPICH = Path(os.environ.get("MPIRDD_MPICH_PYTHON", ROOT / ".venv-mpich" / "bin" / "python"))
SLURM_FAULT = "mpi/pmi2: invalid client request"
"""What slurmstepd 22.05 says to a request of more than 1 KiB, of which it drops the rest; the ranks wait for ever. MPICH sends
its addresses in 4 KiB with whatever was in memory behind them, in segments that are this long unless what they repeat makes
them shorter."""
_OVER = {"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"}

Test = TypeVar("Test", bound=Callable[..., None])


def again_after_slurms_fault(test: Test) -> Test:
    """Run a test once more whose job has met ``SLURM_FAULT``; skip it after three. What is in MPICH's memory decides, and
    that is much the same from try to try."""
    @wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        user: User = named["user"]
        for _ in range(3):
            try:
                test(*arguments, **named)
                return
            except (AssertionError, subprocess.TimeoutExpired):
                logs = "".join(path.read_text(errors="replace") for path in user.folder.glob("*.log"))
                if SLURM_FAULT not in logs:
                    raise
                user.clear()
        pytest.skip(f"this Slurm drops what MPICH asks of it: {SLURM_FAULT}")
    return run  # type: ignore[return-value]


class User:
    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster, self.folder = cluster, folder

    def environment(self, python: Path = Path(sys.executable)) -> dict[str, str]:
        environment = {
            name: value for name, value in self.cluster.environment().items()
            if not name.endswith("_NUM_THREADS") and not name.startswith("MPIRDD_")
        }
        environment["PATH"] = f"{python.parent}:{environment['PATH']}"
        if python == MPICH:  # all nodes are this machine; see ``SLURM_FAULT`` for short addresses
            environment |= {"UCX_TLS": "self,sm,tcp", "UCX_NET_DEVICES": "lo"}
        return {**environment, "PYTHONPATH": str(ROOT)}

    def submit(
        self, job: str, *words: str, args: tuple[str, ...] = (), python: Path = Path(sys.executable), timeout_s: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """``mpirdd submit words job.py args``."""
        (self.folder / "job.py").write_text(job)
        return subprocess.run(
            [python, "-m", "mpirdd", "submit", *words, "job.py", *args], cwd=self.folder, env=self.environment(python),
            capture_output=True, text=True, timeout=timeout_s, stdin=subprocess.DEVNULL)

    def sbatch(self, script: str, job: str, *options: str, args: tuple[str, ...] = (), python: Path = Path(sys.executable),
               **variables: str) -> str:
        """Submit one of the scripts in slurm/, smaller than it is. Returns the job's id."""
        (self.folder / "job.py").write_text(job)
        done = subprocess.run(
            ["sbatch", "--parsable", *options, ROOT / "slurm" / script, "job.py", *args], cwd=self.folder,
            env={**self.environment(python), **variables}, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def clear(self) -> None:
        """End what this user has left running, and remove the logs."""
        self.cluster.cancel_all()
        for path in self.folder.glob("*.log"):
            path.unlink()

    def record(self, job: str) -> dict[str, str]:
        text = self.cluster.command("scontrol", "show", "job", "-o", job)
        return dict(re.findall(r"(\S+?)=(\S*)", text.splitlines()[0]))

    def ended(self, job: str, within_s: float = 60) -> dict[str, str]:
        """The record of a job that is over."""
        deadline = time.monotonic() + within_s
        while (record := self.record(job))["JobState"] not in _OVER:
            assert time.monotonic() < deadline, f"{record}\n{self.cluster.state()}\n{self.log(job)}"
            assert SLURM_FAULT not in self.log(job), self.log(job)
            time.sleep(0.5)
        return record

    def log(self, job: str) -> str:
        return "".join(path.read_text() for path in sorted(self.folder.glob(f"*-{job}*.log")))

    def wait_for(self, job: str, line: str, within_s: float = 60) -> None:
        """Wait until a line of the job's log begins so."""
        deadline = time.monotonic() + within_s
        while not re.search(rf"^{line}", self.log(job), re.MULTILINE):
            assert time.monotonic() < deadline, f"{self.record(job)}\n{self.cluster.state()}\n{self.log(job)}"
            time.sleep(0.2)
