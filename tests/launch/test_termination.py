"""What a program may still do after SIGTERM, and for how long; and what a killed launcher
leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.timeout(60)

HEAD = """
import time
from mpirdd import Context
def fails():
    raise OSError("the disk is full")
def never_ends():
    time.sleep(3600)
def saves():
    print("saved", sc.range(5).sum(), flush=True)
with Context() as sc:
"""
TAIL = """
    print("up", flush=True)
    while True:
        time.sleep(0.1)
"""
"""Not one long sleep: Python checks for signals before it, and sleeps on if one comes between the check and the sleep. That is
one run of a thousand on a busy machine, as the signal comes at once after the line."""
PLAIN, RUN = ["job.py"], ["-m", "mpirdd", "run", "-n", "1", "job.py"]


def start(folder: Path, text: str, words: list[str], **variables: str) -> subprocess.Popen[str]:
    (folder / "job.py").write_text(text)
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return subprocess.Popen(
        [sys.executable, *words], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env={**environment, "PYTHONPATH": path, "TMPDIR": str(folder), **variables})


def terminated(folder: Path, callbacks: list[str], words: list[str], **variables: str) -> tuple[int, str, str]:
    """Exit code and output of a program with these callbacks that gets SIGTERM once it is up."""
    lines = "".join(f"    sc.onTerminate({name})\n" for name in callbacks)
    child = start(folder, HEAD + lines + TAIL, words, **variables)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        child.send_signal(signal.SIGTERM)
        out, err = child.communicate(timeout=30)
    finally:
        child.kill()
    return child.returncode, out, err


@pytest.mark.parametrize("words", [PLAIN, RUN, [*RUN[:3], "-n", "2", "job.py"]], ids=["python", "run -n 1", "run -n 2"])
def test_a_callback_that_fails_is_told_and_the_next_one_still_saves(tmp_path: Path, words: list[str]) -> None:
    code, out, err = terminated(tmp_path, ["fails", "saves"], words, MPIRDD_GRACE_S="20")
    assert (code, out) == (143, "saved 10\n"), err
    assert "the callback fails, called as the program is ended (SIGTERM), failed: OSError: the disk is full" in err


@pytest.mark.parametrize("words", [PLAIN, RUN], ids=["python", "run -n 1"])
def test_a_callback_that_never_ends_is_cut_off_and_that_is_told(tmp_path: Path, words: list[str]) -> None:
    code, _, err = terminated(tmp_path, ["never_ends"], words, MPIRDD_GRACE_S="1")
    assert code == 143
    assert "the callback never_ends has not finished 1 s after SIGTERM, and is cut off" in err


@pytest.mark.parametrize(("variables", "threads"), [({}, "1"), ({"SLURM_CPUS_PER_TASK": "3"}, "3")])
def test_threads_are_capped_in_a_world_of_one_too(tmp_path: Path, variables: dict[str, str], threads: str) -> None:
    child = start(tmp_path, "import os\nprint(os.environ['OPENBLAS_NUM_THREADS'])\n", RUN, **variables)
    assert child.communicate(timeout=30)[0] == threads + "\n"


def test_the_folder_of_a_launcher_that_was_killed_is_removed_by_the_next_one_and_no_other(tmp_path: Path) -> None:
    lost, spilled, foreign = (tmp_path / name for name in ("mpirdd-run-lost", "mpirdd-spill-lost", "mpirdd-other"))
    for folder in (lost, spilled, foreign):
        folder.mkdir()
        (folder / "rank-0").write_text("host 1")
    first = start(tmp_path, "input()", [*RUN[:3], "-n", "2", "job.py"])
    assert first.wait(30) != 0  # no standard input
    assert (lost.exists(), spilled.exists(), foreign.exists()) == (False, False, True)


def test_the_folder_of_a_launcher_that_lives_stays(tmp_path: Path) -> None:
    words = [*RUN[:3], "-n", "2", "job.py"]
    first = start(tmp_path, "print('up', flush=True)\nimport time; time.sleep(3600)", words)
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == "up\n"
        mine = list(tmp_path.glob("mpirdd-run-*"))
        assert len(mine) == 1
        os.utime(mine[0], (1e9, 1e9))
        (tmp_path / "second").mkdir()
        second = start(tmp_path / "second", "print('done')", words, TMPDIR=str(tmp_path))
        assert second.communicate(timeout=30)[0] == "done\n"
        assert list(tmp_path.glob("mpirdd-run-*")) == mine
    finally:
        first.terminate()
        first.wait(30)
    assert not list(tmp_path.glob("mpirdd-run-*"))
