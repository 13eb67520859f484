"""Iterative and numerical jobs, against scikit-learn, networkx and plain Python."""

from __future__ import annotations

import csv
import math
import random
import re
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from running import JOBS, Job, lines_of, run, run_raw

import mpirdd

BREAST_CANCER = JOBS / "data" / "breast_cancer.csv"


def numbers(line: str) -> list[float]:
    return [float(word) for word in line.split()[1:]]


def without_times(lines: Sequence[str]) -> list[str]:
    return [re.sub(r"[0-9.]+ s$", "", line) for line in lines]


def breast_cancer() -> tuple[Any, Any]:
    with BREAST_CANCER.open() as file:
        rows = [list(map(float, row)) for row in list(csv.reader(file))[1:]]
    return np.array(rows)[:, :-1], np.array(rows)[:, -1]


def test_logistic_regression_converges_to_the_coefficients_of_scikit_learn(job: Job) -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    features, labels = breast_cancer()
    model = linear_model.LogisticRegression(C=0.5, tol=1e-12, max_iter=100_000)
    model.fit(preprocessing.StandardScaler().fit_transform(features), labels)
    *_, coefficients, intercept = job("logistic_regression", "--penalty", 2, "--iterations", 5000)
    assert numbers(coefficients) == pytest.approx(model.coef_[0].tolist(), rel=1e-5, abs=1e-6)
    assert numbers(intercept) == pytest.approx(model.intercept_.tolist(), rel=1e-5, abs=1e-6)


def test_logistic_regression_by_points_goes_the_same_way_as_by_blocks(tmp_path: Path) -> None:
    blocks, by_points = (
        run("logistic_regression", "--iterations", 12, *options, ranks=3, scratch=tmp_path) for options in ([], ["--points"]))
    assert numbers(by_points[-2]) == pytest.approx(numbers(blocks[-2]), rel=1e-8)
    assert len(blocks) == len(by_points) == 1 + 12 + 3


def test_logistic_regression_gives_the_same_bits_on_any_number_of_ranks(tmp_path: Path) -> None:
    options = "--partitions", 4, "--iterations", 20
    alone, on_three = (run("logistic_regression", *options, ranks=ranks, scratch=tmp_path) for ranks in (1, 3))
    assert without_times(alone) == without_times(on_three)


def test_kmeans_goes_from_the_same_start_to_the_centres_of_scikit_learn(job: Job, tmp_path: Path) -> None:
    cluster = pytest.importorskip("sklearn.cluster")
    import kmeans

    draw = np.random.default_rng(3)
    points = np.concatenate([draw.normal(centre, 2.0, size=(400, 3)) for centre in ([0, 0, 0], [4, 4, 0], [0, 4, 4], [9, 0, 1])])
    draw.shuffle(points)
    np.savetxt(tmp_path / "points.csv", points, delimiter=",", fmt="%.17g")
    start = kmeans.first_centres(points, 4, 7)
    model = cluster.KMeans(4, init=start, n_init=1, max_iter=500, tol=0).fit(points)
    shown = job("kmeans", tmp_path / "points.csv", "--clusters", 4, "--seed", 7, "--iterations", 500)
    iterations = [line for line in shown if line.startswith("iteration")]
    assert float(iterations[-1].split()[3]) == pytest.approx(model.inertia_, rel=1e-8)
    assert len(iterations) > 3
    counts = [int(re.match(r"centre of +([0-9,]+):", line)[1].replace(",", "")) for line in shown[-4:]]  # type: ignore[index]
    assert sorted(counts) == sorted(np.bincount(model.labels_).tolist())
    found = sorted([float(word) for word in line.partition(":")[2].split()] for line in shown[-4:])
    assert np.array(found) == pytest.approx(np.array(sorted(model.cluster_centers_.tolist())), rel=1e-6)


def test_kmeans_gives_the_same_bits_on_any_number_of_ranks(tmp_path: Path) -> None:
    options = "--generate", "30k", "--partitions", 4
    alone, on_three = (run("kmeans", *options, ranks=ranks, scratch=tmp_path) for ranks in (1, 3))
    assert without_times(alone) == without_times(on_three)


@pytest.mark.parametrize("options", [(), ("--uncontrolled",)], ids=["controlled", "uncontrolled"])
def test_pagerank_agrees_with_networkx_on_the_graph_of_autonomous_systems(
    job: Job, mode: str, tmp_path: Path, options: tuple[str, ...]
) -> None:
    if mode == "mapreduce":  # a hundred iterations through files take a minute
        few = "--iterations", 6, "--tolerance", -1, "--top", 10_000
        expected = ranks_of(run("pagerank", *few, ranks=1, scratch=tmp_path))
        assert ranks_of(job("pagerank", *few, *options)) == pytest.approx(expected, abs=1e-11)
        return
    networkx = pytest.importorskip("networkx")
    graph = networkx.read_edgelist(JOBS / "data" / "as20graph.txt", create_using=networkx.DiGraph)
    expected = networkx.pagerank(graph, tol=1e-14, max_iter=1000)
    assert ranks_of(job("pagerank", "--iterations", 200, "--top", 10_000, *options)) == pytest.approx(expected, abs=1e-11)


@pytest.mark.parametrize("options", [(), ("--uncontrolled",)], ids=["controlled", "uncontrolled"])
def test_pagerank_spreads_what_pages_without_links_have(job: Job, tmp_path: Path, options: tuple[str, ...]) -> None:
    networkx = pytest.importorskip("networkx")
    draw = random.Random(2)
    edges = [(f"a{draw.randrange(60)}", f"b{draw.randrange(90)}" if draw.random() < 0.5 else f"a{draw.randrange(60)}")
             for _ in range(400)]
    (tmp_path / "links.txt").write_text("# twice the same link counts once\n" + "".join(f"{a}\t{b}\n" for a, b in edges))
    expected = networkx.pagerank(networkx.DiGraph(edges), tol=1e-14, max_iter=1000)
    found = ranks_of(job("pagerank", tmp_path / "links.txt", "--iterations", 200, "--top", 1000, *options))
    assert found == pytest.approx(expected, abs=1e-11)


def ranks_of(shown: list[str]) -> dict[str, float]:
    return {page: float(rank) for rank, page in (line.split() for line in shown if line.startswith("0."))}


def test_pi_is_within_five_standard_errors_and_the_same_on_any_number_of_ranks(tmp_path: Path) -> None:
    alone, on_three = (run("pi", "--darts", 1_234_567, "--seed", 4, ranks=ranks, scratch=tmp_path) for ranks in (1, 3))
    assert alone == on_three
    value, error = re.match(r"pi is about ([0-9.]+), give or take ([0-9.]+);", alone[0]).groups()  # type: ignore[union-attr]
    assert float(error) == pytest.approx(4 * math.sqrt(math.pi / 4 * (1 - math.pi / 4) / 1_234_567), rel=0.01)
    assert abs(float(value) - math.pi) < 5 * float(error)


def test_transitive_closure_is_that_of_networkx(job: Job, tmp_path: Path) -> None:
    networkx = pytest.importorskip("networkx")
    draw = random.Random(9)
    edges = [(str(draw.randrange(50)), str(draw.randrange(50))) for _ in range(70)]
    (tmp_path / "edges.txt").write_text("# with cycles\n" + "".join(f"{a} {b}\n" for a, b in edges))
    shown = job("transitive_closure", tmp_path / "edges.txt", "--output", tmp_path / "pairs")
    # A way has an edge at least: a node reaches itself only on a cycle.
    expected = sorted(networkx.transitive_closure(networkx.DiGraph(edges), reflexive=False).edges)
    assert sorted(tuple(line.split("\t")) for line in lines_of(tmp_path / "pairs")) == expected
    assert shown[-1] == f"{len(expected):,} pairs in all"


def test_transitive_closure_keeps_the_last_two_results_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each step's whole result once stayed, so that memory grew with the square of the number of steps."""
    kept: list[list[int]] = []

    class Watched(mpirdd.Context):
        def __exit__(self, *error: Any) -> None:
            kept.append([info.partitions_kept for info in self.storageInfo() if "union" in info.name])
            super().__exit__(*error)

    closure = runpy.run_path(str(JOBS / "transitive_closure.py"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["job", "--nodes", "60", "--edges", "80"])
        patch.setitem(closure["main"].__globals__, "Context", Watched)
        closure["main"]()
    steps = capsys.readouterr().out.count("are new")
    assert steps > 5
    assert [count for count in kept[0] if count] == [1, 1], kept


def test_terasort_writes_what_sorted_gives(job: Job, tmp_path: Path) -> None:
    shown = job("terasort", "--generate", "30k", "--seed", 3, "--partitions", 5, "--output", tmp_path / "sorted")
    assert shown[-1] == "valid: in order, and the same records"
    (folder,) = tmp_path.glob("mpirdd-jobs-*/records-30k-seed3")
    records, output = (records_of(where) for where in (folder, tmp_path / "sorted"))
    assert len(list((tmp_path / "sorted").glob("part-*"))) == 5
    assert output == sorted(records, key=lambda record: record[:10])


@pytest.mark.parametrize(("damage", "what"), [
    (lambda data: data[100:200] + data[:100] + data[200:], "smaller than the one before"),
    (lambda data: data[:100] + data[:100] + data[200:], "checksum"),
    (lambda data: data[100:], "records: 2,000 in the input, 1,999 in the output"),
    (lambda data: data[:50] + b"?" + data[51:], "checksum"),
], ids=["order", "twice", "lost", "changed"])
def test_terasort_validation_finds_damage(damage: Any, what: str, tmp_path: Path) -> None:
    output = tmp_path / "sorted"
    run("terasort", "--generate", 2000, "--output", output, ranks=1, scratch=tmp_path)
    part = output / "part-00000"
    part.write_bytes(damage(part.read_bytes()))
    done = run_raw("terasort", "--generate", 2000, "--output", output, "--validate-only", ranks=1, scratch=tmp_path)
    assert done.returncode == 1
    assert "NOT sorted" in done.stderr
    assert what in done.stderr


def test_terasort_validation_finds_part_files_out_of_order(tmp_path: Path) -> None:
    output = tmp_path / "sorted"
    run("terasort", "--generate", 2000, "--output", output, "--partitions", 2, ranks=1, scratch=tmp_path)
    first, second = output / "part-00000", output / "part-00001"
    swapped = second.read_bytes(), first.read_bytes()
    first.write_bytes(swapped[0])
    second.write_bytes(swapped[1])
    done = run_raw("terasort", "--generate", 2000, "--output", output, "--validate-only", ranks=1, scratch=tmp_path)
    assert done.returncode == 1
    assert "1 records are smaller than the one before" in done.stderr


def records_of(folder: Path) -> list[bytes]:
    data = b"".join(part.read_bytes() for part in sorted(folder.glob("part-*")))
    return [data[start:start + 100] for start in range(0, len(data), 100)]


def test_latency_prints_each_figure_on_both_scales(job: Job, tmp_path: Path) -> None:
    head, *rows = job("latency", "--folder", tmp_path, "--size", 5)
    assert head.split()[-6:] == ["if", "1", "ns", "were", "1", "s"]
    names = " ".join(rows)
    for what in ("memory reference", "copy 1 MB", "fsync", "page cache", "empty task", "shuffle"):
        assert what in names
    sizes = {"seconds": 1.0, "minutes": 60.0, "hours": 3600.0, "days": 86400.0, "years": 31557600.0}
    for row in rows:
        nanoseconds, value, unit = re.search(r" ([0-9,]+) ns +([0-9.,]+) (\w+)$", row).groups()  # type: ignore[union-attr]
        exact = float(nanoseconds.replace(",", ""))
        assert float(value.replace(",", "")) * sizes[unit] == pytest.approx(exact, rel=0.1, abs=1)
