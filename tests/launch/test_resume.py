"""A program with resumable state, killed at random moments and started again: the same numbers in the end."""

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

pytestmark = pytest.mark.second_lane
ROOT = Path(__file__).parents[2]
SEED = int(os.environ.get("MPIRDD_TEST_SEED", random.randrange(1 << 32)))
ITERATIONS = 10
JOB = """
import sys
import time
import numpy as np
from mpirdd import Context

with Context() as sc, sc.resumable(sys.argv[1]) as state:
    total = state.get("total", np.zeros(4))
    pairs = state.get("pairs")
    if pairs is None:
        pairs = sc.parallelize([(i % 17, i / 3) for i in range(200)], 4).partitionBy(4)
    for i in range(state.iteration, int(sys.argv[2])):
        pairs = pairs.reduceByKey(lambda a, b: a + b).mapValues(lambda v, i=i: v / (i + 3)).cache()
        total += sum(value for _, value in sorted(pairs.collect()))
        time.sleep(float(sys.argv[3]))
        state.save(i + 1, total=total, pairs=pairs)
        print("finished", i + 1, flush=True)
    print("result", total.tobytes().hex(), sorted(pairs.collect()))
"""


def start(folder: Path, pause_s: float) -> subprocess.Popen[str]:
    (folder / "job.py").write_text(JOB)
    return subprocess.Popen(
        [sys.executable, "-m", "mpirdd", "run", "-n", "3", "job.py", "state", str(ITERATIONS), str(pause_s)],
        cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True)


def finish(run: subprocess.Popen[str]) -> tuple[str, str]:
    out, err = run.communicate(timeout=60)
    return out, err


def result(out: str) -> str:
    return next(line for line in out.splitlines() if line.startswith("result"))


@pytest.mark.timeout(150)
def test_killed_at_random_moments_it_ends_with_the_numbers_of_an_undisturbed_run(tmp_path: Path) -> None:
    print(f"MPIRDD_TEST_SEED={SEED}")
    random_moments = random.Random(SEED)
    (tmp_path / "undisturbed").mkdir()
    expected = result(finish(start(tmp_path / "undisturbed", 0))[0])
    finished, resumed, log = 0, [], ""
    for kill_at in [*(random_moments.choice([0, 0, 1, 1, 2, 3]) for _ in range(6)), ITERATIONS]:
        run = start(tmp_path, 0.05)
        assert run.stdout is not None
        out = ""
        while out.count("finished") < kill_at and (line := run.stdout.readline()):
            out += line
        number = random_moments.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGUSR2])
        if kill_at < ITERATIONS:
            time.sleep(random_moments.uniform(0, 0.1 if kill_at else 1.5))
            run.send_signal(number)
        rest, err = finish(run)
        out += rest
        log += f"--- {number.name}\n{out}{err}"
        told = re.search(r"resuming after iteration (\d+)", err)
        if told:
            resumed.append(int(told[1]))
            assert int(told[1]) >= finished, log  # nothing that was said to be finished is lost
        finished = max([finished, *map(int, re.findall(r"finished (\d+)", out))])
    assert result(out) == expected, log
    assert resumed == sorted(resumed), log
    assert any(resumed), log


def test_at_the_end_of_the_walltime_it_saves_says_so_and_leaves_with_140(tmp_path: Path) -> None:
    run = start(tmp_path, 0.3)
    assert run.stdout is not None
    assert run.stdout.readline() == "finished 1\n"
    run.send_signal(signal.SIGUSR2)
    _, err = finish(run)
    assert run.returncode == 140, err
    assert "iteration 2 is saved in" in err
    assert "Traceback" not in err


def test_two_runs_at_once_on_one_folder_are_refused(tmp_path: Path) -> None:
    run = start(tmp_path, 5)
    assert run.stdout is not None
    assert run.stdout.readline() == "finished 1\n"
    second = start(tmp_path, 0)
    _, err = finish(second)
    assert second.returncode == 1
    assert re.search(r"is in use by process \d+ on", err)
    run.terminate()
    finish(run)
    assert run.returncode == 143


def test_a_program_that_saves_nothing_is_told_so_and_goes_on(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(
        "import os, time; print(os.getpid(), flush=True); time.sleep(0.5); print('end')")
    run = subprocess.Popen(
        [sys.executable, "-m", "mpirdd", "run", "-n", "2", "job.py"], cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert run.stdout is not None
    run.stdout.readline()
    run.send_signal(signal.SIGUSR2)
    out, err = finish(run)
    assert (run.returncode, out) == (0, "end\n")
    assert "nothing to be saved so far" in err


def test_a_notice_that_comes_before_the_program_has_registered_counts(tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(
        "import time; print('up', flush=True); time.sleep(0.5)\n" + JOB)
    run = subprocess.Popen(
        [sys.executable, "-m", "mpirdd", "run", "-n", "2", "job.py", "state", "5", "0"], cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert run.stdout is not None
    run.stdout.readline()
    run.send_signal(signal.SIGUSR2)
    _, err = finish(run)
    assert run.returncode == 140, err
    assert "iteration 1 is saved" in err
