"""Programs started in every way there is, in a folder of their own, with a time limit."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from mpirdd.launch.mpirun import command_for, environment_for, find_launcher

ROOT = Path(__file__).parents[2]
WAYS = ("mpirdd run -n 3", "mpirdd run -n 1", "mpirun -m mpirdd", "mpirun python", "python")
ON_RANKS = tuple(way for way in WAYS if way not in ("mpirdd run -n 1", "python"))
_FIXED = ("PYTHONHASHSEED", "MPIRDD_MODE")


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        return f"exit code {self.code}\n{self.out}\n{self.err}"


def run(way: str, folder: Path, text: str, *args: str, python: tuple[str, ...] = (), stdin: str = "", timeout_s: float = 40,
        **variables: str) -> Ended:
    """Run ``job.py`` with this text to its end; a run that hangs is a failure.

    Args:
        python: options of the interpreter, for ways that have one to give them to.
    """
    (folder / "job.py").write_text(text)
    here = {name: value for name, value in os.environ.items() if name not in _FIXED}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = {**here, "PYTHONPATH": path, "TMPDIR": str(folder), **variables}
    if way.startswith("mpirun"):
        launcher = find_launcher()
        environment = environment_for(launcher, environment)
        command = [*command_for(launcher, 3, environment), *python]
        command += ["-m", "mpirdd"] if way.endswith("mpirdd") else []
    else:
        command = [sys.executable, *python, *(["-m", *way.split()] if way.startswith("mpirdd") else [])]
    child = subprocess.Popen(
        [*command, "job.py", *args], cwd=folder, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE)
    try:
        out, err = child.communicate(stdin, timeout=timeout_s)
    except subprocess.TimeoutExpired:
        child.terminate()
        out, err = child.communicate(timeout=10)
        raise AssertionError(f"{way}: not over after {timeout_s} s\n{out}\n{err}") from None
    finally:
        child.kill()
    return Ended(child.returncode, out, err)
