"""The same small programs (``programs.py``) under PySpark and mpirdd, on as many cores as
executors."""

from __future__ import annotations

import ast
import os
import pickle
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import exceptions
import installed
import pytest

from mpirdd.launch import session

HERE = Path(__file__).parent
PROGRAMS = [
    node.name
    for node in ast.parse((HERE / "programs.py").read_text()).body
    if isinstance(node, ast.FunctionDef) and [argument.arg for argument in node.args.args] == ["sc"]
]
RANKS = {"local[1]": 1, "local[3]": 4}
pytestmark = [
    pytest.mark.skipif(session.transport().size > 1, reason="starts runs of its own"),
    pytest.mark.skipif(bool(installed.why_not_run()), reason=installed.why_not_run()),
    pytest.mark.timeout(300),
]


@pytest.mark.parametrize("master", RANKS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_gives_what_pyspark_gives(name: str, master: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    theirs = _of_pyspark(tmp_path_factory.getbasetemp())[master][name]
    ours = _of_mpirdd(tmp_path_factory.getbasetemp(), master)[name]
    if name in exceptions.DIFFERS:
        assert ours != theirs, "no longer differs"
        pytest.skip(exceptions.DIFFERS[name])
    assert ours == theirs


@cache
def _of_pyspark(folder: Path) -> dict[str, Any]:
    done = installed.run(str(HERE / "programs.py"), str(folder / "theirs"), *RANKS, timeout_s=280)
    assert done.returncode == 0, done.stderr
    return _read(folder / "theirs")


@cache
def _of_mpirdd(folder: Path, master: str) -> dict[str, Any]:
    path = os.pathsep.join(filter(None, [str(HERE.parents[1]), os.environ.get("PYTHONPATH")]))
    command = [
        sys.executable,
        "-m",
        "mpirdd",
        "run",
        "-n",
        str(RANKS[master]),
        "--pyspark",
        str(HERE / "programs.py"),
        str(folder / "ours"),
        master,
    ]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return _read(folder / "ours")[master]  # type: ignore[no-any-return]


def _read(path: Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        return pickle.load(file)  # type: ignore[no-any-return]
