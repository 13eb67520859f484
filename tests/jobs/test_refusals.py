"""The jobs refuse bad options before any work, and bad input with the line, and say why."""

from __future__ import annotations

from pathlib import Path

import pytest
from running import run_raw


@pytest.mark.parametrize(("job", "words", "what"), [
    ("search", ["the", ""], "an empty word is everywhere"),
    ("kmeans", ["--clusters", "0"], "--clusters: '0' is no whole number of 1 or more"),
    ("kmeans", ["--clusters", "-1"], "--clusters: '-1' is no whole number"),
    ("kmeans", ["--iterations", "0"], "--iterations: '0' is no whole number"),
    ("kmeans", ["--partitions", "0"], "--partitions: '0' is no whole number"),
    ("kmeans", ["--generate", "0"], "--generate: '0' is no size: say 200MB (bytes) or 2M (rows)"),
    ("kmeans", ["--generate", "many"], "--generate: 'many' is no size"),
    ("pagerank", ["--damping", "2"], "--damping: '2' is no number from 0 to 1"),
    ("pagerank", ["--damping", "nan"], "--damping: 'nan' is no number"),
    ("logistic_regression", ["--penalty", "-1"], "--penalty: '-1' is no number from 0 on"),
    ("transitive_closure", ["--nodes", "1"], "--nodes: '1' is no whole number of 2 or more"),
    ("transitive_closure", ["--output", "."], "--output: . exists already"),
    ("join", ["--output", "."], "--output: . exists already"),
    ("latency", ["--size", "0"], "--size: '0' is no whole number"),
    ("latency", ["--size", "x"], "--size: 'x' is no whole number"),
    ("terasort", ["--partitions", "0"], "--partitions: '0' is no whole number"),
])
def test_an_option_that_makes_no_sense_is_refused(job: str, words: list[str], what: str, tmp_path: Path) -> None:
    done = run_raw(job, *words, ranks=1, scratch=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert what in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("job", "what"), [
    ("kmeans", "no points"), ("logistic_regression", "no rows"), ("pagerank", "no links")])
def test_an_empty_input_is_named(job: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    done = run_raw(job, tmp_path / "empty", ranks=1, scratch=tmp_path)
    assert done.returncode == 1
    assert done.stderr == f"{tmp_path}/empty: {what}\n"


@pytest.mark.parametrize("points", [[], ["--points"]], ids=["blocks", "points"])
@pytest.mark.parametrize(("line", "what"), [
    ("1,nan,0", "a field is no finite number in the line '1,nan,0'"),
    ("1,x7,0", "a field is no finite number in the line '1,x7,0'"),
    ("1,5,2", "its label, 0 or 1, and not 2"),
])
def test_logistic_regression_shows_the_row_that_is_wrong(line: str, what: str, points: list[str], tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a header\n" + "1,2,0\n3,5,1\n" * 50 + line + "\n1,1,1\n")
    done = run_raw("logistic_regression", tmp_path / "rows.csv", *points, ranks=1, scratch=tmp_path)
    assert done.returncode == 1
    assert what in done.stderr


@pytest.mark.parametrize(("line", "what"), [
    ("1,inf", "a field is no finite number in the line '1,inf'"),
    ("1,2,3", "3 fields, where a line before has 2, in the line '1,2,3'"),
    ("1,", "a field is no finite number in the line '1,'"),
])
def test_kmeans_shows_the_row_that_is_wrong(line: str, what: str, tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("# x,y\n" + "1,2\n\n3,5\n" * 50 + line + "\n1,1\n")
    done = run_raw("kmeans", tmp_path / "points.csv", "--clusters", 2, ranks=1, scratch=tmp_path)
    assert done.returncode == 1
    assert what in done.stderr
