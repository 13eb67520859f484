"""The jobs of jobs/ as programs to measure: run unchanged on an engine, or imported for their
functions.

A job prints its own times: a line for each iteration, and one for what comes before, each with its seconds at the end.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import re
import runpy
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "jobs"
_SECONDS = re.compile(r"([0-9.]+) s$")


def run(job: str, arguments: Sequence[str]) -> dict[str, Any]:
    """Run ``jobs/JOB.py`` as ``__main__``, and make a report of its output."""
    sys.path.insert(0, str(FOLDER))
    sys.argv = [str(FOLDER / f"{job}.py"), *arguments]
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        runpy.run_path(sys.argv[0], run_name="__main__")
    return report_of(output.getvalue())


def report_of(output: str) -> dict[str, Any]:
    """Of iterations: ``first`` and ``later`` are their seconds, ``load`` those of the line before, ``result`` is the number
    that the last one shows (an objective, a change), and ``lines`` what comes after them. Else: all lines, and the
    seconds at their ends."""
    lines = output.splitlines()
    iterations = [place for place, line in enumerate(lines) if line.startswith("iteration")]
    if not iterations:
        return {"seconds": [seconds_of(line) for line in lines if line.endswith(" s")], "lines": lines}
    seconds = [seconds_of(lines[place]) for place in iterations]
    value = float(lines[iterations[-1]].split()[3])
    return {"load": [seconds_of(lines[iterations[0] - 1])], "first": seconds[:1], "later": seconds[1:], "result": value,
            "lines": lines[iterations[-1] + 1:]}


def seconds_of(line: str) -> float:
    match = _SECONDS.search(line)
    if match is None:
        raise ValueError(f"no seconds at the end of {line!r}")
    return float(match[1])


def functions_of(job: str) -> ModuleType:
    """The job's module, without the engine: for programs that do the same work in another way."""
    stand_in(None)
    sys.path.insert(0, str(FOLDER))
    return importlib.import_module(job)


class NothingSaved:
    """A resumable state that begins at the beginning and keeps nothing, for jobs that run without the engine."""

    iteration = 0

    def __enter__(self) -> NothingSaved:
        return self

    def __exit__(self, *exception: object) -> None:
        pass

    def get(self, name: str, default: Any = None) -> Any:
        return default

    def save(self, iteration: int, /, **values: Any) -> bool:
        return False


def stand_in(context: Callable[[str], Any] | None) -> None:
    """Replace the names that a job imports from ``mpirdd``."""
    module = ModuleType("mpirdd")
    vars(module).update(Context=context, RDD=object)
    sys.modules["mpirdd"] = module
