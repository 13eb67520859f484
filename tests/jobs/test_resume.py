"""The iterative jobs with --resume, killed and started again: the same output as an undisturbed run's."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from running import JOBS, ROOT, Job, run, run_raw

CASES = {
    "logistic_regression": ["--iterations", 25, "--partitions", 4, "--generate", "4MB"],
    "kmeans": ["--iterations", 12, "--generate", "2MB", "--clusters", 5, "--partitions", 4],
    "pagerank": ["--iterations", 8, "--partitions", 3],
}
SEED = int(os.environ.get("MPIRDD_TEST_SEED", random.randrange(1 << 32)))


def result(lines: list[str]) -> list[str]:
    """The output without the progress lines, which contain times."""
    return [line for line in lines if not re.match(r"iteration|[\d,]+ (rows|points|pages)", line)]


@pytest.mark.parametrize("name", CASES)
def test_split_into_runs_it_gives_what_one_run_gives(name: str, job: Job, tmp_path: Path) -> None:
    words = CASES[name]
    whole = result(job(name, *words))
    steps = [line for line in job(name, *words, "--iterations", 3, "--resume", tmp_path / "state") if "iteration" in line]
    assert [line.split()[1] for line in steps] == ["1", "2", "3"]
    again = job(name, *words, "--resume", tmp_path / "state")
    assert next(line for line in again if line.startswith("iteration")).split()[1] == "4"
    assert result(again) == whole
    assert result(job(name, *words, "--resume", tmp_path / "state")) == whole  # there is nothing left to do


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", CASES)
def test_killed_at_random_moments_it_gives_what_an_undisturbed_run_gives(name: str, tmp_path: Path) -> None:
    print(f"MPIRDD_TEST_SEED={SEED}")
    moments = random.Random(f"{SEED} {name}")
    whole = result(run(name, *CASES[name], ranks=3, scratch=tmp_path))
    command = [sys.executable, "-m", "mpirdd", "run", "-n", "3", JOBS / f"{name}.py", *map(str, CASES[name]),
               "--resume", str(tmp_path / "state")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    log = ""
    for steps in [moments.randrange(5) for _ in range(4)] + [0]:
        last = log.count("---") == 4
        started = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
        assert started.stdout is not None
        number, seen = moments.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGUSR2]), ""
        while not last and seen.count("\niteration") < steps and (line := started.stdout.readline()):
            seen += line
        if not last:
            time.sleep(moments.uniform(0, 0.05) if steps else moments.uniform(0, 1))
            started.send_signal(number)
        out, err = started.communicate(timeout=50)
        log += f"--- {number.name}, exit code {started.returncode}\n{seen}{out}{err}"
    assert started.returncode == 0, log
    assert "resuming after iteration" in log
    assert result(out.splitlines()) == whole, log


def test_state_of_other_data_is_refused(tmp_path: Path) -> None:
    run("kmeans", "--iterations", 1, "--generate", "1MB", "--resume", tmp_path / "state", ranks=1, scratch=tmp_path)
    done = subprocess.run(
        [sys.executable, JOBS / "kmeans.py", "--generate", "2MB", "--resume", tmp_path / "state"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}, capture_output=True, text=True, timeout=50)
    assert done.returncode == 1
    assert "generate was '1MB' and is '2MB'" in done.stderr


def test_the_input_may_be_spelled_in_another_way_but_may_not_have_changed(tmp_path: Path) -> None:
    points = tmp_path / "points.csv"
    points.write_text("1,2\n3,4\n9,9\n")
    words = "--clusters", 2, "--resume", tmp_path / "state"
    run("kmeans", points, *words, "--iterations", 1, ranks=1, scratch=tmp_path)
    again = run_raw("kmeans", f"{tmp_path}/../{tmp_path.name}/points.c?v", *words, ranks=1, scratch=tmp_path)
    assert again.returncode == 0, again.stderr
    assert "resuming after iteration 1" in again.stderr
    points.write_text("1,2\n3,5\n9,9\n")
    os.utime(points, ns=(0, points.stat().st_mtime_ns + 1))
    changed = run_raw("kmeans", points, *words, ranks=1, scratch=tmp_path)
    assert changed.returncode == 1
    assert "data was '1 files of 12 bytes, changed" in changed.stderr
