"""The pure parts of the benchmark beside Hadoop. tests/stores runs its Java programs."""

from __future__ import annotations

import json
import subprocess
import sys
from argparse import Namespace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # benchmarks/ is not installed

from benchmarks import hadoop, hadoopparts, minihadoop, onhadoop


def task(jvm: int, started: int, end: int) -> dict[str, int]:
    return {"start": jvm - 100, "jvm": jvm, "task": started, "end": end, "finish": end + 50}


def test_the_parts_of_a_hadoop_job_follow_one_another_and_add_up() -> None:
    job = {"began": 1_000, "submitted": 1_500, "master": 4_000, "ended": 12_000,
           "maps": [task(6_000, 6_400, 8_000), task(6_100, 6_300, 9_000)], "reduces": [task(9_500, 10_500, 11_000)]}
    found = hadoopparts.of_job(job)
    assert tuple(found) == hadoopparts.PARTS
    assert list(found.values()) == [0.5, 2.5, 2.0, 0.3, 2.7, 1.5, 0.5, 1.0]
    assert hadoopparts.overhead_s(found) == pytest.approx(11.0 - 2.7 - 0.5)
    assert hadoopparts.jvm_starts(job) == [0.4, 0.2, 1.0]
    early = {**job, "reduces": [], "master": 6_050}  # the master's stamp is of its own clock tick; no reduce task
    assert hadoopparts.of_job(early)[hadoopparts.CONTAINERS] == 0
    assert sum(hadoopparts.of_job(early).values()) == pytest.approx(11.0)
    assert hadoop.typical([{"a": 3.0}, {"a": 1.0}, {"a": 2.0}]) == {"a": 2.0}


def test_the_job_s_own_loop_runs_a_hadoop_job_for_each_pass() -> None:
    class Jvm:
        def ask(self, *words: object, timeout_s: float) -> str:
            asked.append(words)
            return json.dumps({"seconds": 1.0, "values": list(range(441 if len(words) == 4 else 22))})

    asked: list[tuple[object, ...]] = []
    client = onhadoop.Client(Jvm())
    points = onhadoop.Points(client, "hdfs://host/points", "hdfs://host/scratch")
    assert points.map(len).reduce(None).shape == (21, 21)
    summed = points.map(partial(print, np.array([0.1, 1e-17]))).reduce(None)
    assert summed.tolist() == list(range(22))
    assert asked == [("points", "hdfs://host/points", "hdfs://host/scratch/0", 21),
                     ("points", "hdfs://host/points", "hdfs://host/scratch/1", 21, "0.1,1e-17")]


def test_without_hadoop_the_benchmark_is_left_out_with_the_reason(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "default-jdk-headless maven" in str(minihadoop.why_no_hadoop())
    monkeypatch.setattr(minihadoop, "why_no_hadoop", lambda: "no java")
    assert hadoop.measure(Namespace()) == {"valid": True, "left_out": "no java"}
    assert "left out: no java" in capsys.readouterr().err


def test_scripts_of_hadoop_streaming_count_words() -> None:
    def piped(script: str, text: str) -> str:
        return subprocess.run([sys.executable, onhadoop.SCRIPTS / script], input=text, capture_output=True, text=True,
                              check=True).stdout

    lines = "".join(sorted(piped("words.py", "b a b\n\nb\n").splitlines(keepends=True)))
    assert lines == "a\t1\nb\t1\nb\t1\nb\t1\n"
    assert piped("sums.py", lines) == piped("sums.py", piped("sums.py", lines)) == "a\t1\nb\t3\n"
