"""The example programs inside the pyspark package, unmodified: ``mpirdd run --pyspark`` against the real PySpark.

The tests read them from the installed PySpark. They compare random results with the value that
these must come near.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import installed
import numpy
import pytest

from mpirdd.launch import session

ROOT = Path(__file__).parents[2]
EXAMPLES = Path("examples/src/main/python")
pytestmark = [
    pytest.mark.skipif(session.transport().size > 1, reason="starts runs of its own"),
    pytest.mark.skipif(bool(installed.why_not()), reason=installed.why_not()),
    pytest.mark.timeout(180),
]
both_sizes = pytest.mark.parametrize("ranks", [1, 4])


def example(name: str) -> str:
    package = installed.package()
    assert package is not None
    return str(package / EXAMPLES / f"{name}.py")


def data(name: str) -> str:
    package = installed.package()
    assert package is not None
    return str(package / "data" / "mllib" / name)


def run(ranks: int, *words: str, parallelism: int | None = None) -> subprocess.CompletedProcess[str]:
    """A program under ``mpirdd run --pyspark``."""
    options = [] if parallelism is None else ["--parallelism", str(parallelism)]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "mpirdd", "run", "-n", str(ranks), *options, "--pyspark", *words]
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=150,
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.DEVNULL,
    )


def output(ranks: int, *words: str, parallelism: int | None = None) -> str:
    done = run(ranks, *words, parallelism=parallelism)
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def output_of_pyspark(*words: str, parallelism: int | None = None) -> str:
    if installed.why_not_run():
        pytest.skip(installed.why_not_run())
    done = installed.run(*words, parallelism=parallelism)
    assert done.returncode == 0, done.stderr
    return done.stdout


def lines(text: str) -> list[str]:
    return sorted(text.splitlines())


def numbers(text: str) -> list[float]:
    """All numbers in it, in order."""
    return [float(number) for number in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", text)]


@both_sizes
def test_wordcount_counts_as_pyspark_does(ranks: int) -> None:
    words = example("wordcount"), data("sample_libsvm_data.txt")
    assert lines(output(ranks, *words)) == lines(output_of_pyspark(*words))


@both_sizes
def test_sort_gives_the_numbers_in_order(ranks: int, tmp_path: Path) -> None:
    unsorted = [random.Random(7).randrange(-500, 500) for _ in range(2000)] * 2
    (tmp_path / "numbers").write_text(
        "".join(f"{a} {b}\n" for a, b in zip(unsorted[::2], unsorted[1::2], strict=True))
    )
    assert output(ranks, example("sort"), str(tmp_path / "numbers")).split() == [
        str(number) for number in sorted(unsorted)
    ]


@both_sizes
def test_transitive_closure_finds_as_many_edges(ranks: int) -> None:
    # With no default parallelism, union and join double the partitions in each of its 13 rounds, in PySpark as here.
    words = [example("transitive_closure")]
    assert output(ranks, *words, parallelism=3) == output_of_pyspark(*words, parallelism=3)


@both_sizes
def test_pagerank_ranks_as_pyspark_does(ranks: int) -> None:
    words = example("pagerank"), data("pagerank_data.txt"), "10"
    ours, theirs = lines(output(ranks, *words)), lines(output_of_pyspark(*words))
    assert [line.split()[0] for line in ours] == [line.split()[0] for line in theirs]
    assert numbers(" ".join(ours)) == pytest.approx(
        numbers(" ".join(theirs)), rel=1e-12
    )  # another order of sums


@both_sizes
def test_kmeans_finds_the_same_centers(ranks: int) -> None:
    words = example("kmeans"), data("kmeans_data.txt"), "2", "0.1"
    ours, theirs = numbers(output(ranks, *words)), numbers(output_of_pyspark(*words))
    assert sorted(ours) == pytest.approx(sorted(theirs), rel=1e-9)  # whichever of them comes first


@both_sizes
def test_als_has_the_same_errors(ranks: int) -> None:
    """ALS draws its random numbers from a seed."""
    assert output(ranks, example("als"), "20", "30", "4", "3", "3") == output_of_pyspark(
        example("als"), "20", "30", "4", "3", "3"
    )


@both_sizes
def test_pi_is_roughly_pi(ranks: int) -> None:
    (pi,) = numbers(output(ranks, example("pi"), "4"))
    assert pi == pytest.approx(3.14159, abs=0.02)  # 8 standard deviations of 400,000 throws


@both_sizes
@pytest.mark.parametrize("engine", ["mpirdd", "pyspark"])
def test_logistic_regression_ends_at_the_optimum(ranks: int, engine: str, tmp_path: Path) -> None:
    """The start is random, but with points so close to 0 steps of 1 lead from anywhere to the one
    minimum."""
    if (ranks, engine) == (4, "pyspark"):
        pytest.skip("once is enough")
    generator = numpy.random.default_rng(5)
    points = generator.normal(size=(400, 10)) * 0.1
    labels = numpy.where(generator.random(400) < 0.5, 1.0, -1.0)
    text = "\n".join(
        ",".join(f"{x:.6f}" for x in (label, *point)) for label, point in zip(labels, points, strict=True)
    )
    (tmp_path / "points").write_text(text + "\n")
    words = example("logistic_regression"), str(tmp_path / "points"), "60"
    shown = output(ranks, *words) if engine == "mpirdd" else output_of_pyspark(*words)
    found = numbers(shown.partition("Final w:")[2])
    read = numpy.loadtxt(tmp_path / "points", delimiter=",", dtype=numpy.float32).astype(float)
    assert found == pytest.approx(list(_optimum(read[:, 1:], read[:, 0])), abs=1e-3)


def _optimum(points: numpy.ndarray, labels: numpy.ndarray) -> numpy.ndarray:
    """Newton's method."""
    weights = numpy.zeros(points.shape[1])
    for _ in range(20):
        likely = 1 / (1 + numpy.exp(-labels * (points @ weights)))
        gradient = ((likely - 1) * labels) @ points
        weights -= numpy.linalg.solve((points.T * (likely * (1 - likely))) @ points, gradient)
    return weights


@both_sizes
def test_status_api_demo_sees_stages_and_gets_the_result(ranks: int) -> None:
    shown = output(ranks, example("status_api_demo"))
    assert "10 tasks total" in shown
    assert sorted(eval(shown.partition("Job results are:")[2])) == [(number, 1) for number in range(10)]


@both_sizes
def test_stratified_sampling_gives_some_of_the_pairs(ranks: int) -> None:
    pairs = {(1, "a"), (1, "b"), (2, "c"), (2, "d"), (2, "e"), (3, "f")}
    assert {
        eval(line) for line in lines(output(ranks, example("mllib/stratified_sampling_example")))
    } <= pairs


FOR_SPARK_ONLY: list[tuple[str, Sequence[str], str]] = [
    ("avro_inputformat", ["users.avro"], "newAPIHadoopFile"),
    ("ml/kmeans_example", [], "pyspark.ml"),
    ("mllib/correlations", [], "pyspark.mllib"),
    ("parquet_inputformat", ["users.parquet"], "newAPIHadoopFile"),
    ("sql/basic", [], "pyspark.sql.types"),
    ("streaming/network_wordcount", ["localhost", "9999"], "pyspark.streaming"),
]


@pytest.mark.parametrize(
    ("name", "words", "missing"), FOR_SPARK_ONLY, ids=[name for name, _, _ in FOR_SPARK_ONLY]
)
def test_what_needs_spark_says_so(name: str, words: Sequence[str], missing: str) -> None:
    done = run(1, example(name), *words)
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    assert "mpirdd" in last
    assert missing in last
