"""An interrupt reaches the program once, whoever sends it, and the program's own exit code comes back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from launcher import with_mpirun
from terminal import Typed
from ways import ROOT

pytestmark = [with_mpirun, pytest.mark.timeout(60)]

CATCHES = """
import sys, time
from mpirdd import Context
interrupts = 0
with Context() as sc:
    total = sc.parallelize(range(10), 4).sum()
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            if not interrupts:
                print("sum", total, flush=True)
            time.sleep(max(0, end - time.monotonic()))
        except KeyboardInterrupt:
            interrupts += 1
            end = time.monotonic() + 0.5
print("interrupts", interrupts, flush=True)
sys.exit(5)
"""
WAITS = CATCHES.replace("except KeyboardInterrupt", "except ZeroDivisionError")


def environment(folder: Path) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "TMPDIR": str(folder)}


def command(folder: Path, text: str, *words: str) -> list[str]:
    (folder / "job.py").write_text(text)
    return [sys.executable, "-m", "mpirdd", "run", *words, "job.py"]


def press(run: Typed) -> None:
    run.type("\x03")


def kill(run: Typed) -> None:
    os.kill(run.process.pid, signal.SIGINT)


def kill_group(run: Typed) -> None:
    """As ``timeout --signal=INT`` does, and Ctrl-C in a terminal."""
    os.killpg(run.process.pid, signal.SIGINT)


@pytest.mark.parametrize(
    "words", [("-n", "1"), ("-n", "1", "--report", "run.html"), ("-n", "3", "--report", "run.html")], ids=" ".join)
@pytest.mark.parametrize("send", [press, kill, kill_group])
def test_one_interrupt_on_a_terminal_reaches_the_program_once(
    words: tuple[str, ...], send: Callable[[Typed], None], tmp_path: Path
) -> None:
    with Typed(command(tmp_path, CATCHES, *words), tmp_path, environment(tmp_path)) as run:
        run.wait("sum 45")
        send(run)
        run.wait("interrupts 1\\b", 10)
        assert run.end() == 5, run.said
    assert "--report" not in words or (tmp_path / "run.html").exists()


def test_kill_int_from_another_shell_ends_a_run_with_a_report(tmp_path: Path) -> None:
    with Typed(command(tmp_path, WAITS, "-n", "1", "--report", "run.html"), tmp_path, environment(tmp_path)) as run:
        run.wait("sum 45")
        kill(run)
        assert run.end() == 130, run.said
        assert "KeyboardInterrupt" in run.said
    assert (tmp_path / "run.html").exists()


@pytest.mark.parametrize("words", [("-n", "1"), ("-n", "1", "--report", "run.html"), ("-n", "4")], ids=" ".join)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_program_that_catches_the_signal_ends_with_its_own_code(
    words: tuple[str, ...], number: signal.Signals, tmp_path: Path
) -> None:
    text = CATCHES.replace("KeyboardInterrupt", "SystemExit") if number == signal.SIGTERM else CATCHES
    run = subprocess.Popen(
        command(tmp_path, text, *words), cwd=tmp_path, env=environment(tmp_path), stdin=subprocess.DEVNULL, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True)
    assert run.stdout is not None
    assert run.stdout.readline() == "sum 45\n"
    run.send_signal(number)
    out, err = run.communicate(timeout=20)
    assert (run.returncode, out) == (5, "interrupts 1\n"), err
