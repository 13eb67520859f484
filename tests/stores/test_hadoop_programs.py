"""The benchmark's Java programs and Streaming scripts, run by Hadoop in one JVM on local files: what they compute is what the
engine's jobs compute. On YARN a job takes half a minute, so only the benchmark does that."""

from __future__ import annotations

import random
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator
from functools import reduce
from operator import add
from pathlib import Path

import pytest
from jvm import missing_programs

sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parents[2] / "jobs"))

import generate
import logistic_regression
from benchmarks import jobs, minihadoop, onhadoop
from benchmarks.plain import Blocks
from tests.stores.jvm import NoJars  # not ``jvm``'s, which is another class

pytestmark = pytest.mark.timeout(600)  # Maven may download 115 MB first


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[onhadoop.Client]:
    """Without a configuration, Hadoop runs jobs in the client's JVM, on ``file:`` paths."""
    if problem := missing_programs(minihadoop.OF_JDK):
        pytest.skip(f"no Hadoop here: {problem}")
    folder = tmp_path_factory.mktemp("hadoop")
    try:
        minihadoop.compile_into(folder)
    except NoJars as reason:
        pytest.skip(f"no Hadoop here: {reason}")
    with minihadoop.hadoop_client(folder, folder / "client.log") as jvm:
        yield onhadoop.Client(jvm)


def counts(folder: Path) -> dict[str, int]:
    lines = [line.split("\t") for part in folder.glob("part-*") for line in part.read_text().splitlines()]
    assert len({word for word, _ in lines}) == len(lines)
    return {word: int(count) for word, count in lines}


def test_words_are_counted_in_java_and_by_scripts(client: onhadoop.Client, tmp_path: Path) -> None:
    words = random.Random(1).choices(["a", "the", "nation", "of"], k=1000)
    (tmp_path / "text").write_text("\n".join(" ".join(words[at : at + 7]) for at in range(0, 1000, 7)) + "\n")
    job = client.run("wordcount", tmp_path / "text", tmp_path / "java", 1)
    scripts = onhadoop.SCRIPTS / "words.py", onhadoop.SCRIPTS / "sums.py"
    client.run("streaming", tmp_path / "text", tmp_path / "scripts", 1, *scripts)
    assert counts(tmp_path / "java") == counts(tmp_path / "scripts") == Counter(words)
    assert job["seconds"] > 0 and job["submitted"] >= job["began"]


def test_regression_by_jobs_comes_to_the_engine_s_weights(client: onhadoop.Client, tmp_path: Path) -> None:
    chunk = generate.points(generate.Chunk(seed=1, first=0, rows=300, total=300))
    (tmp_path / "points").write_bytes(chunk)
    client.run("bytes", tmp_path / "points", tmp_path / "points.bytes", onhadoop.POINT_WIDTH)
    blocks = Blocks(list(logistic_regression.parse_blocks(iter(chunk.decode().splitlines()))))
    options = Namespace(iterations=2, tolerance=-1, penalty=1.0, points=False)
    found = []
    for name in ("", "points", "points.bytes"):
        points = onhadoop.Points(client, str(tmp_path / name), str(tmp_path / f"sums-{name}")) if name else blocks
        gram = points.map(logistic_regression.block_gram).reduce(add)
        found.append(logistic_regression.fit(points, gram, options, jobs.NothingSaved()))
    assert reduce(max, (abs(found[0] - other).max() for other in found[1:])) < 1e-9


def test_hadoop_s_terasort_reads_and_writes_our_records(client: onhadoop.Client, tmp_path: Path) -> None:
    records = generate.records(generate.Chunk(seed=1, first=0, rows=500, total=500))
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "part").write_bytes(records)
    client.run("terasort", tmp_path / "records", tmp_path / "sorted", 1)
    (part,) = (tmp_path / "sorted").glob("part-*")
    assert part.read_bytes() == b"".join(sorted(records[at : at + 100] for at in range(0, len(records), 100)))
