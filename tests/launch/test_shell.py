"""``mpirdd shell`` on a pseudo-terminal and without one: prompt, jobs, Ctrl-C, the end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from launcher import with_mpirun
from terminal import Typed
from ways import ROOT

pytestmark = [with_mpirun, pytest.mark.timeout(120), pytest.mark.second_lane]
CTRL_C, CTRL_D = "\x03", "\x04"
LONG = "sc.parallelize([60] * 4, 4).map(lambda s: [open('runs', 'w'), __import__('time').sleep(s)]).count()"


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "mpirdd", "shell", *words]


def until_made(path: Path) -> None:
    deadline = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def environment(folder: Path) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {
        **os.environ, "PYTHONPATH": path, "TMPDIR": str(folder), "HOME": str(folder), "IPYTHONDIR": str(folder / "ipython"),
        "TERM": "xterm", "PYTHONSTARTUP": ""}


def interrupt(shell: Typed, pattern: str) -> None:
    """Ctrl-C, as often as it takes: Python's prompt misses a signal that comes just before it waits for a key."""
    for _ in range(4):
        shell.type(CTRL_C)
        with suppress(AssertionError):
            shell.wait(pattern, 3.0)
            return
    shell.wait(pattern)


@pytest.mark.parametrize("ranks", [1, 3])
def test_plain_prompt(ranks: int, tmp_path: Path) -> None:
    """Completion, a job, Ctrl-C at the prompt and during a job, another Context, the exit code."""
    with Typed(command("-n", str(ranks), "--plain"), tmp_path, environment(tmp_path)) as shell:
        shell.wait(rf"{max(ranks - 1, 1)} executors? on .*\n")
        shell.wait(">>> ")
        shell.type("sc.paralleli\t")
        shell.wait(r"parallelize\(")
        interrupt(shell, "KeyboardInterrupt\n>>> ")
        shell.type("sc.parallelize(range(10), 4).map(lambda v: v * v).sum()\n")
        shell.wait("285\n>>> ")
        shell.type(f"{LONG}\n")
        until_made(tmp_path / "runs")
        shell.type(CTRL_C)
        interrupted = shell.wait(r"(?s)Traceback.*KeyboardInterrupt\n>>> ")[0]
        assert "python-input" in interrupted and "mpirdd" not in interrupted
        shell.type("sc.parallelize([1, 0], 2).map(lambda v: 1 / v).collect()\n")
        failed = shell.wait(r"(?s)Traceback.*ZeroDivisionError: division by zero\n.*ZeroDivisionError.*\n>>> ")[0]
        assert failed.count("sc.parallelize([1, 0], 2).map(lambda v: 1 / v).collect()") == 2
        shell.type("sc.stop(); from mpirdd import Context; sc = Context(); sc.range(5).count()\n")
        shell.wait("5\n>>> ")
        shell.type("exit(7)\n")
        assert shell.end() == 7
        assert shell.echoes()


def test_ipython(tmp_path: Path) -> None:
    pytest.importorskip("IPython")
    with Typed(command("-n", "3"), tmp_path, environment(tmp_path)) as shell:
        shell.wait(r"2 executors on .*\n")
        shell.wait(r"In \[1\]: ")
        shell.type("sc.parallelize(range(10), 4).sum()\r")
        shell.wait(r"Out\[1\]: 45")
        shell.wait(r"In \[2\]: ")
        shell.type("x = 1" + CTRL_C)  # at the prompt, where IPython clears the line
        shell.type(f"{LONG}\r")
        until_made(tmp_path / "runs")
        shell.type(CTRL_C)
        shell.wait(r"KeyboardInterrupt")
        shell.wait(r"In \[3\]: ")
        shell.type("sc.parallelize([1, 0], 2).map(lambda v: 1 / v).collect()\r")
        failed = shell.wait(r"(?s)Traceback.*In \[4\]: ")[0]
        assert "collect at In [3]:1, partition 1, on rank 2" in failed
        assert "Cell In [3], line 1, in <lambda>" in failed
        assert "mpirdd/" not in failed
        shell.type(CTRL_D)
        shell.wait("really want to exit")
        shell.type("y\r")
        assert shell.end() == 0
        assert shell.echoes()


PROGRAM = """
import os, sys
def inverse(x):
    return 1 / x
print(__name__, sc.parallelize(range(1, 4), 2).map(inverse).count())
if len(os.environ.get("CODE", "")):
    sys.exit(int(os.environ["CODE"]))
sc.parallelize([1, 0], 2).map(inverse).collect()
"""


def piped(text: str, folder: Path, ranks: int, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command("-n", str(ranks)), input=text, cwd=folder, env={**environment(folder), **variables}, text=True,
        capture_output=True, timeout=60)


@pytest.mark.parametrize("ranks", [1, 3])
def test_without_a_terminal_it_runs_what_comes_as_python_does(ranks: int, tmp_path: Path) -> None:
    ended = piped(PROGRAM, tmp_path, ranks, CODE="5")
    assert (ended.returncode, ended.stdout, ended.stderr) == (5, "__main__ 3\n", "")
    ended = piped(PROGRAM, tmp_path, ranks)
    assert (ended.returncode, ended.stdout) == (1, "__main__ 3\n")
    lines = ended.stderr.splitlines()
    assert lines[1:4] == [
        '  File "<stdin>", line 8, in <module>', "    sc.parallelize([1, 0], 2).map(inverse).collect()",
        "mpirdd.TaskError: ZeroDivisionError: division by zero"]
    assert "    return 1 / x" in lines
    ended = piped("x = = 1\n", tmp_path, 1)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith('  File "<stdin>", line 1\n')
