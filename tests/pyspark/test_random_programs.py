"""Random programs (``fuzzing``) give the same under PySpark and under mpirdd, and as on plain lists."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import installed
import pytest
from fuzzing.programs import right, shortened
from random_programs import text

from mpirdd import StorageLevel
from mpirdd.launch import session

HERE = Path(__file__).parent
SECONDS = float(os.environ.get("MPIRDD_FUZZ_SECONDS", "90"))
"""How long PySpark may begin new programs; it needs a seventh of a second for each on free cores."""
FIRST = int(os.environ.get("MPIRDD_FUZZ_SEED", "0")) * 1_000_000
MOST = 300
pytestmark = [
    pytest.mark.skipif(session.transport().size > 1, reason="starts runs of its own"),
    pytest.mark.skipif(bool(installed.why_not_run()), reason=installed.why_not_run()),
    pytest.mark.timeout(3 * SECONDS + 200),
]


def test_random_programs_give_what_pyspark_gives(tmp_path: Path) -> None:
    program = str(HERE / "random_programs.py")
    done = installed.run(program, str(tmp_path / "theirs"), str(FIRST), str(MOST), str(SECONDS), timeout_s=2 * SECONDS + 60)
    assert done.returncode == 0, done.stderr
    theirs = pickle.loads((tmp_path / "theirs").read_bytes())
    print(f"{len(theirs)} programs")
    ours = _of_mpirdd(program, tmp_path / "ours", len(theirs))
    assert ours.keys() == theirs.keys()
    wrong = [seed for seed in ours if not ours[seed] == theirs[seed] == _right(seed)]
    assert not wrong, "\n\n".join(
        f"seed {seed}:\n{text(seed)}\n"
        f"PySpark {shortened(theirs[seed])}\nmpirdd  {shortened(ours[seed])}\nlists   {shortened(_right(seed))}"
        for seed in wrong)


def _of_mpirdd(program: str, output: Path, count: int) -> dict[int, list[Any]]:
    path = os.pathsep.join(filter(None, [str(HERE.parents[1]), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-m", "mpirdd", "run", "-n", "4", "--pyspark", program, str(output), str(FIRST), str(count)],
        env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=SECONDS + 60)
    assert done.returncode == 0, done.stderr
    return pickle.loads(output.read_bytes())  # type: ignore[no-any-return]


def _right(seed: int) -> list[Any]:
    return right(text(seed), StorageLevel)
