"""``mpirdd examples``: lists the programs that come with mpirdd, or copies them into a folder, with batch scripts for Slurm."""

from __future__ import annotations

import ast
import os
import shutil
from pathlib import Path

from mpirdd.protocol.errors import UsageError
from mpirdd.protocol.package import companion

PROGRAMS = Path(companion("examples", "jobs"))
SCRIPTS = Path(companion("slurm", "slurm"))


def shown() -> str:
    """A line for each program and each batch script, and how to get them."""
    lines = [f"{path.stem:20} {_summary(path)}" for path in sorted(PROGRAMS.glob("*.py")) if _is_program(path)]
    lines += ["", "Batch scripts for Slurm: " + ", ".join(sorted(path.name for path in SCRIPTS.glob("*.sh"))), ""]
    lines += ["`mpirdd examples FOLDER` copies all of them. Then, for example:",
              "    mpirdd run -n 4 FOLDER/wordcount.py"]
    return "\n".join(lines)


def copy(folder: str) -> str:
    """Copy the programs with their data into a folder, and the batch scripts into its ``slurm``. Returns a text that says what
    to do next.

    Raises:
        UsageError: the folder is not empty, or cannot be written.
    """
    try:
        if os.path.isdir(folder) and os.listdir(folder):
            raise UsageError(f"{folder} is not empty: choose another folder")
        shutil.copytree(PROGRAMS, folder, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"), dirs_exist_ok=True)
        os.mkdir(os.path.join(folder, "slurm"))
        for script in SCRIPTS.glob("*.sh"):
            shutil.copy(script, os.path.join(folder, "slurm"))
    except (OSError, shutil.Error) as error:
        raise UsageError(f"the examples cannot be copied to {folder}: {error}") from None
    return f"copied to {folder}; for example:\n    mpirdd run -n 4 {os.path.join(folder, 'wordcount.py')}"


def _is_program(path: Path) -> bool:
    return '__name__ == "__main__"' in path.read_text()


def _summary(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
