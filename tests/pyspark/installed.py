"""Finds an installed PySpark. Tests read its source and run its engine for comparison; we keep
nothing of it here.

``MPIRDD_PYSPARK_PYTHON`` names a Python that has it; otherwise the one that runs the tests may.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

PYTHON = os.environ.get("MPIRDD_PYSPARK_PYTHON") or sys.executable
SETTINGS = ("spark.ui.enabled=false", "spark.python.unix.domain.socket.enabled=true")
"""Over TCP, each task of PySpark waits some 40 ms more: a job of one task takes 63 ms instead of 19."""
JAVA_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""Small programs end before a better compiler and collector pay off. With these, they take half the CPU seconds."""
_FIND = "import importlib.util as u; s = u.find_spec('pyspark'); print(s.submodule_search_locations[0] if s else '')"


@cache
def package() -> Path | None:
    """The folder of the installed package ``pyspark``."""
    try:
        found = subprocess.run(
            [PYTHON, "-c", _FIND], capture_output=True, text=True, timeout=60, env=_environment()
        )
    except OSError:
        return None
    return Path(found.stdout.strip()) if found.stdout.strip() else None


def why_not() -> str:
    """Why tests that read PySpark's package must skip; empty if it is there."""
    return (
        ""
        if package()
        else f"pyspark is not installed for {PYTHON}: set MPIRDD_PYSPARK_PYTHON to a Python that has it"
    )


def why_not_run() -> str:
    """Why tests that run PySpark must skip; empty if it runs."""
    return why_not() or ("" if shutil.which("java") else "there is no java, which PySpark needs")


def run(
    *words: str, parallelism: int | None = None, timeout_s: float = 150
) -> subprocess.CompletedProcess[str]:
    """Run a program under the real PySpark, on this machine alone."""
    settings = [*SETTINGS, *([] if parallelism is None else [f"spark.default.parallelism={parallelism}"])]
    environment = {
        **_environment(),
        "PYSPARK_PYTHON": PYTHON,
        "PYSPARK_SUBMIT_ARGS": " ".join(["--conf " + setting for setting in settings] + ["pyspark-shell"]),
        "JAVA_TOOL_OPTIONS": JAVA_OPTIONS,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYTHONHASHSEED": "0",
    }
    return subprocess.run(
        [PYTHON, *words], capture_output=True, text=True, timeout=timeout_s, env=environment
    )


def _environment() -> dict[str, str]:
    """Our environment without the variables of this test run."""
    return {
        name: value
        for name, value in os.environ.items()
        if name != "PYTHONPATH" and not name.startswith(("OMPI_", "PMIX_", "PMI_", "PRTE_"))
    }
