"""Small jobs of all kinds in a random order, each against plain Python, until the benchmark ends
them."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable
from operator import add
from pathlib import Path
from random import Random

import numpy as np

from benchmarks.program import program_arguments, write_report
from mpirdd import Context, StorageLevel

UP, ENOUGH = "up", "enough"
"""Files beside the report: the first job is through; no more jobs are wanted."""


def word_count(sc: Context, random: Random) -> bool:
    words = [f"word {random.randint(0, 500)}" for _ in range(20_000)]
    return sc.parallelize(words, 12).map(lambda word: (word, 1)).reduceByKey(add, 8).collectAsMap() == Counter(words)


def sort(sc: Context, random: Random) -> bool:
    numbers = [random.randint(0, 10_000) for _ in range(20_000)]
    return sc.parallelize(numbers, 12).sortBy(lambda x: x, numPartitions=8).collect() == sorted(numbers)


def arrays(sc: Context, random: Random) -> bool:
    """An exchange of 64 MB."""
    sums = sc.parallelize(range(16), 16).flatMap(lambda i: [(key, np.full(50_000, i)) for key in range(10)]).reduceByKey(add, 8)
    return sums.mapValues(lambda array: int(array.min() + array.max())).collectAsMap() == dict.fromkeys(range(10), 240)


def iterations(sc: Context, random: Random) -> bool:
    level = random.choice([StorageLevel.MEMORY_ONLY, StorageLevel.MEMORY_ONLY_2])
    points = sc.parallelize(range(8), 8).map(lambda seed: np.random.default_rng(seed).random(200_000)).persist(level)
    sums = [points.map(lambda block, turn=turn: int((block * turn).sum())).sum() for turn in range(6)]
    blocks = [np.random.default_rng(seed).random(200_000) for seed in range(8)]
    return sums == [sum(int((block * turn).sum()) for block in blocks) for turn in range(6)]


def ranks(sc: Context, random: Random) -> bool:
    """Joins of data that stays with data shuffled anew each time."""
    edges = [(x, (x * 7 + i) % 300) for x in range(300) for i in range(random.randint(1, 5))]
    links = sc.parallelize(edges, 8).groupByKey(6).cache()
    got = links.mapValues(lambda _: 1)
    expected = dict.fromkeys((source for source, _ in edges), 1)
    for _ in range(4):
        got = links.join(got).flatMap(lambda kv: [(to, kv[1][1]) for to in kv[1][0]]).reduceByKey(add, 6)
        summed: Counter[int] = Counter()
        for source, to in edges:
            if source in expected:
                summed[to] += expected[source]
        expected = dict(summed)
    return got.collectAsMap() == expected


def saved(sc: Context, random: Random) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, "out")
        sc.parallelize([(x % 1000, x) for x in range(20_000)], 12).reduceByKey(add, 6).keys().saveAsTextFile(str(out))
        lines = sorted(int(line) for part in out.glob("part-*") for line in part.read_text().splitlines())
        names = sorted(path.name for path in out.iterdir())
    return lines == list(range(1000)) and names == ["_SUCCESS", *(f"part-{part:05d}" for part in range(6))]


def counted(sc: Context, random: Random) -> bool:
    seen = sc.accumulator(0)

    def note(x: int) -> int:
        seen.add(1)
        return x

    table = sc.broadcast(np.arange(100_000))
    total = sc.parallelize(range(5_000), 16).map(note).map(lambda x: int(table.value[x])).treeReduce(add, 3)
    return total == sum(range(5_000)) and seen.value == 5_000


JOBS: list[Callable[[Context, Random], bool]] = [word_count, sort, arrays, iterations, ranks, saved, counted]


def main() -> None:
    arguments = program_arguments("seed")
    folder, random = Path(arguments.report).parent, Random(arguments.seed)
    done: list[str] = []
    wrong: list[str] = []
    with Context() as sc:
        while not (folder / ENOUGH).exists():
            for job in random.sample(JOBS, len(JOBS)):
                if not job(sc, random):
                    wrong.append(job.__name__)
                done.append(job.__name__)
                (folder / UP).touch()
                if (folder / ENOUGH).exists():
                    break
        living = len(sc._driver.executors)
    write_report(arguments.report, done=done, wrong=wrong, living=living)


if __name__ == "__main__":
    main()
