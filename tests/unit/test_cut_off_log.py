"""The launcher ends the log of a driver that was killed, and of no other."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from mpirdd.launch.cut_off_log import close_log

DRIVER = ("h1", 7)


def log(folder: Path, *lines: str, end: str = "\n") -> Path:
    path = folder / "run-20261129-101112-7.jsonl"
    path.write_text("\n".join(lines) + end)
    return path


def run(pid: int = 7) -> str:
    return json.dumps({"event": "run", "t": 0.0, "unix": time.time() - 5, "host": "h1", "pid": pid}, separators=(",", ":"))


JOB, END = '{"event":"job","t":1.0}', '{"event":"end","t":2.0,"status":"ok"}'


@pytest.mark.parametrize("lines", [[run()], [run(), JOB], [run(), END, run(), JOB], [run(6), END, run()]])
@pytest.mark.parametrize("end", ["\n", '\n{"event":"jo'])
def test_a_log_without_an_end_gets_one(tmp_path: Path, lines: list[str], end: str) -> None:
    path = log(tmp_path, *lines, end=end)
    before = path.read_text()
    assert close_log(str(tmp_path), DRIVER, status="killed", why="by signal 9") == str(path)
    *_, last = path.read_text().splitlines()
    assert path.read_text().startswith(before)
    written = json.loads(last)
    assert (written["event"], written["status"], written["error"]) == ("end", "killed", "by signal 9")
    assert written["t"] > 4
    assert close_log(str(path), DRIVER, status="killed", why="") is None  # it has one now


@pytest.mark.parametrize("lines", [[run(), JOB, END], [run(6), JOB], [run(), run(6)], ["hello"], [""]])
def test_other_logs_are_left_alone(tmp_path: Path, lines: list[str]) -> None:
    path = log(tmp_path, *lines)
    before = path.read_bytes()
    assert close_log(str(path), DRIVER, status="killed", why="") is None
    assert path.read_bytes() == before
    assert close_log(str(tmp_path / "absent.jsonl"), DRIVER, status="killed", why="") is None


def test_in_a_folder_of_several_runs_the_log_of_the_driver_is_found(tmp_path: Path) -> None:
    path = log(tmp_path, run())
    (tmp_path / "elsewhere").mkdir()
    same_number = log(tmp_path / "elsewhere", run().replace("h1", "h2")).rename(tmp_path / "run-20261129-101113-7.jsonl")
    newer = tmp_path / "run-20261129-101114-8.jsonl"
    newer.write_text(run(8) + "\n")
    assert close_log(str(tmp_path), DRIVER, status="killed", why="by signal 9") == str(path)
    assert [each.read_text().count('"end"') for each in (path, same_number, newer)] == [1, 0, 0]
