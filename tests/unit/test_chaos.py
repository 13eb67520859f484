"""Small jobs of all kinds on the whole engine in one process, while executors die at random:
thousands of schedules.

Each seed is one schedule: a job, its sizes, the order in which everybody takes steps, who dies and when. A failure names its
seed; ``MPIRDD_CHAOS_SEEDS=17-17`` runs that one alone, ``0-20000`` many.
"""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Callable
from operator import add
from pathlib import Path
from random import Random
from typing import Any

import pytest
from chaos import Cluster, die, may_die

from mpirdd import StorageLevel
from mpirdd.api.context import BaseContext
from mpirdd.api.taskcontext import BarrierTaskContext
from mpirdd.protocol.errors import ClusterError, TaskError

ALL = os.environ.get("MPIRDD_SCHEDULES") == "all"
FIRST, LAST = map(int, os.environ.get("MPIRDD_CHAOS_SEEDS", "0-1499" if ALL else "0-449").split("-"))
BATCH = 50

Results = tuple[Any, Any]
"""What the engine gave, and what plain Python gives."""
LEVELS = [StorageLevel.MEMORY_ONLY, StorageLevel.MEMORY_ONLY_2]


def narrow(sc: BaseContext, random: Random) -> Results:
    n = random.randint(1, 60)
    got = sc.parallelize(range(n), random.randint(1, 12)).map(may_die).filter(lambda x: x % 3).map(lambda x: x * x).collect()
    return got, [x * x for x in range(n) if x % 3]


def word_count(sc: BaseContext, random: Random) -> Results:
    words = random.choices(["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog"], k=random.randint(0, 200))
    pairs = sc.parallelize(words, random.randint(1, 8)).map(lambda word: (word, 1)).map(may_die)
    return pairs.reduceByKey(add, random.randint(1, 8)).map(may_die).collectAsMap(), Counter(words)


def sort(sc: BaseContext, random: Random) -> Results:
    numbers = [random.randint(0, 50) for _ in range(random.randint(0, 200))]
    rdd = sc.parallelize(numbers, random.randint(1, 7)).map(may_die)
    return rdd.sortBy(lambda x: x, numPartitions=random.randint(1, 6)).collect(), sorted(numbers)


def join_of_many(sc: BaseContext, random: Random) -> Results:
    left = [(x % 10, x) for x in range(random.randint(0, 40))]
    right = [(x % 15, -x) for x in range(random.randint(0, 40))]
    a = sc.parallelize(left, random.randint(1, 5)).map(may_die)
    b = sc.parallelize(right, random.randint(1, 5)).reduceByKey(min, random.randint(1, 4)).map(may_die)
    joined = a.join(b, random.randint(1, 6)).map(may_die)
    smallest = {key: min(v for k, v in right if k == key) for key, _ in right}
    return sorted(joined.collect()), sorted((k, (v, smallest[k])) for k, v in left if k in smallest)


def loop_over_cached(sc: BaseContext, random: Random) -> Results:
    n, turns = random.randint(1, 50), random.randint(1, 6)
    points = sc.parallelize(range(n), random.randint(1, 9)).map(may_die).persist(random.choice(LEVELS))
    got = [points.map(lambda x, t=turn: x * t).map(may_die).sum() for turn in range(turns)]
    return got, [turn * sum(range(n)) for turn in range(turns)]


def loop_of_joins(sc: BaseContext, random: Random) -> Results:
    """As PageRank: some data stays, other data is shuffled again and again; sometimes kept,
    sometimes let go."""
    nodes, parts = random.randint(1, 12), random.randint(1, 5)
    edges = [(x, (x * 7 + 1) % nodes) for x in range(nodes)] + [(x, (x + 3) % nodes) for x in range(nodes)]
    links = sc.parallelize(edges, parts).groupByKey(parts).mapValues(sorted).persist(random.choice(LEVELS))
    ranks = links.mapValues(lambda _: 1)
    expected = dict.fromkeys(range(nodes), 1)
    for _ in range(random.randint(1, 4)):
        ranks = links.join(ranks).map(may_die).flatMap(lambda kv: [(to, kv[1][1]) for to in kv[1][0]]).reduceByKey(add, parts)
        if random.random() < 0.3:
            ranks.persist(random.choice(LEVELS))
        if random.random() < 0.3:
            ranks.count()
        summed: Counter[int] = Counter()
        for source, to in edges:
            if source in expected:
                summed[to] += expected[source]
        expected = dict(summed)
    return ranks.collectAsMap(), expected


def accumulators(sc: BaseContext, random: Random) -> Results:
    n, in_map, in_action = random.randint(1, 60), sc.accumulator(0), sc.accumulator(0)

    def count(pair: tuple[int, int]) -> tuple[int, int]:
        in_map.add(1)
        return pair

    pairs = sc.parallelize([(x % 7, x) for x in range(n)], random.randint(1, 8)).map(count).map(may_die)
    sums = pairs.reduceByKey(add, random.randint(1, 5))
    sums.map(may_die).foreach(lambda pair: in_action.add(pair[1]))
    sums.count()
    return (in_map.value, in_action.value), (n, sum(range(n)))


def actions(sc: BaseContext, random: Random) -> Results:
    n = random.randint(1, 80)
    rdd = sc.parallelize(range(n), random.randint(1, 10)).map(may_die)
    k = random.randint(0, n)
    return ((rdd.take(k), rdd.first(), rdd.treeReduce(add, 2), rdd.top(3), rdd.treeAggregate(0, add, add, 3), rdd.isEmpty()),
            (list(range(k)), 0, sum(range(n)), sorted(range(n))[:-4:-1], sum(range(n)), False))


def moved_blocks(sc: BaseContext, random: Random) -> Results:
    """Several tasks read a kept partition, and tasks read several: exchanges copy blocks."""
    n = random.randint(1, 20)
    kept = sc.parallelize(range(n), random.randint(1, 5)).map(may_die).persist(random.choice(LEVELS))
    other = sc.parallelize(range(5), random.randint(1, 3)).map(lambda x: (x, x)).reduceByKey(add, 3).map(may_die)
    if random.random() < 0.5:
        kept.count()
    pairs = kept.cartesian(other).map(may_die).collect()
    together = kept.union(kept).coalesce(random.randint(1, 4)).map(may_die).collect()
    return ((sorted(pairs), sorted(together)), (sorted((x, (y, y)) for x in range(n) for y in range(5)), sorted([*range(n)] * 2)))


def broadcasts(sc: BaseContext, random: Random) -> Results:
    table = sc.broadcast({x: x * x for x in range(20)})
    rdd = sc.parallelize(range(20), random.randint(1, 8)).map(lambda x: table.value[may_die(x)])
    first = rdd.collect()
    table.unpersist()
    large = sc.broadcast(bytes(range(256)) * random.choice([100, 1000]))  # above 64 KiB it goes by a tree of executors
    bytes_of = sc.parallelize(range(20), random.randint(1, 8)).map(lambda x: large.value[may_die(x) + 256])
    return first + rdd.collect() + bytes_of.collect(), [x * x for x in range(20)] * 2 + list(range(20))


def barrier(sc: BaseContext, random: Random) -> Results:
    parts = random.randint(1, 2)

    def talk(records: Any) -> Any:
        mine = sum(may_die(record) for record in records)
        said = BarrierTaskContext.get().allGather(str(mine))
        BarrierTaskContext.get().barrier()
        yield sum(map(int, said))

    rdd = sc.parallelize(range(10), parts).barrier().mapPartitions(talk)
    if random.random() < 0.5:
        rdd = rdd.map(lambda total: (0, total)).reduceByKey(max, 2).values()
        parts = 1
    return rdd.collect(), [45] * parts


def saved(sc: BaseContext, random: Random, folder: Path) -> Results:
    n, parts = random.randint(0, 30), random.randint(1, 8)
    pairs = sc.parallelize([(x, x) for x in range(n)], random.randint(1, 5)).map(may_die)
    out = folder / "out"
    pairs.reduceByKey(add, parts).keys().map(may_die).saveAsTextFile(str(out))
    names = sorted(path.name for path in out.iterdir())
    lines = sorted(int(line) for path in out.glob("part-*") for line in path.read_text().splitlines())
    return (names, lines), (["_SUCCESS", *(f"part-{part:05d}" for part in range(parts))], list(range(n)))


FAILURES = [0]
"""How many tasks may still fail."""


def may_fail(record: Any) -> Any:
    if FAILURES[0] and record == 7:
        FAILURES[0] -= 1
        raise ValueError("seven")
    return may_die(record)


def retried(sc: BaseContext, random: Random) -> Results:
    """A task may fail twice and run again; losses do not count."""
    n = random.randint(8, 40)
    pairs = sc.parallelize(range(n), random.randint(1, 6)).map(may_fail).map(lambda x: (x % 4, x))
    return pairs.reduceByKey(add, 3).map(may_die).collectAsMap(), {key: sum(range(key, n, 4)) for key in range(4)}


def checkpointed(sc: BaseContext, random: Random, folder: Path) -> Results:
    n = random.randint(1, 30)
    sc.setCheckpointDir(str(folder))
    rdd = sc.parallelize([(x % 5, x) for x in range(n)], random.randint(1, 6)).map(may_die).reduceByKey(add, random.randint(1, 4))
    rdd.checkpoint()
    count = rdd.map(may_die).count()
    return (count, sorted(rdd.map(may_die).collect())), (min(n, 5), sorted((k, sum(range(k, n, 5))) for k in range(min(n, 5))))


JOBS: list[Callable[..., Results]] = [
    narrow, word_count, sort, join_of_many, loop_over_cached, loop_of_joins, accumulators, actions, moved_blocks, broadcasts,
    barrier, retried, saved, checkpointed,
]


def run_schedule(seed: int, folder: Path, then: Callable[[Cluster], None] = lambda cluster: None) -> int:
    """How many executors died."""
    random = Random(seed)
    job = JOBS[seed % len(JOBS)]
    executors = random.randint(3, 5)
    kills = random.randint(1, executors - 2) if job is barrier else random.randint(1, executors - 1)
    folder.mkdir()
    every, evicting = random.choice([5, 15, 40, 100]), random.choice([0, 0, 10, 50])
    spares = random.choice([0, 0, 0, 1, 2])
    kills += random.randint(0, spares)
    with Cluster(executors, seed, kills=kills, every=every, evicting=evicting, spares=spares, task_retries=2) as cluster:
        FAILURES[:] = [random.choice([0, 0, 2])]
        for turn in range(random.choice([1, 1, 2])):
            inside = folder / str(turn)
            inside.mkdir()
            got, expected = job(cluster.sc, random, inside) if job in (saved, checkpointed) else job(cluster.sc, random)
            assert got == expected
        then(cluster)
    return len(cluster.killed)


def run_schedules(seeds: range, folder: Path, then: Callable[[Cluster], None] = lambda cluster: None) -> int:
    killed = 0
    for seed in seeds:
        try:
            killed += run_schedule(seed, folder / str(seed), then)
        except Exception as error:
            raise AssertionError(f"seed {seed}, {JOBS[seed % len(JOBS)].__name__}: {type(error).__name__}: {error}") from error
    return killed


@pytest.mark.parametrize("first", range(FIRST, LAST + 1, BATCH))
def test_jobs_are_right_whoever_dies_whenever(first: int, tmp_path: Path) -> None:
    assert run_schedules(range(first, min(first + BATCH, LAST + 1)), tmp_path) or LAST == FIRST


def test_what_nobody_refers_to_is_dropped_after_losses_too(tmp_path: Path) -> None:
    def let_go(cluster: Cluster) -> None:
        cluster.kills = 0
        for _ in range(2):  # the first job drops what nobody refers to, the second what came late
            gc.collect()
            cluster.sc.parallelize([1]).count()
            cluster.settle()
        assert cluster.blocks() == {}

    run_schedules(range(140 if ALL else 40), tmp_path, let_go)


def test_the_width_stays_while_there_are_spares_and_all_that_the_program_gave_is_there() -> None:
    with Cluster(3, 1, spares=2) as cluster:
        sc = cluster.sc
        small, large = sc.broadcast([1]), sc.broadcast(bytes(100_000))
        sums = sc.parallelize([(x % 5, x) for x in range(50)], 6).reduceByKey(lambda a, b: a + b + small.value[0], 4).cache()
        expected = {key: sum(range(key, 50, 5)) + 9 for key in range(5)}
        for lost in range(4):
            assert dict(sums.collect()) == expected
            assert sc.parallelize(range(9), 9).map(lambda x: len(large.value) + x).sum() == 900_036
            width = min(3, 5 - lost)
            assert sc.defaultParallelism == len(sc.statusTracker().getExecutorInfos()) == width
            assert len(cluster.driver.executors) == width
            cluster.kill(cluster.driver.executors[0])


@pytest.mark.parametrize("seed", range(30))
def test_when_all_are_lost_the_error_says_so(seed: int) -> None:
    with Cluster(3, seed, kills=3, every=3) as cluster:
        with pytest.raises(ClusterError, match="all executors are lost"):
            for _ in range(100):
                cluster.sc.parallelize([(x % 3, x) for x in range(30)], 6).reduceByKey(add).collect()
        with pytest.raises(ClusterError, match="all executors are lost"):
            cluster.sc.parallelize([1]).count()


def test_a_task_that_has_ended_all_executors_is_named() -> None:
    with Cluster(2, 1, most_losses=2) as cluster:
        with pytest.raises(TaskError, match="2 executors died while this task ran there"):
            cluster.sc.parallelize([1], 1).foreach(die)
        with pytest.raises(ClusterError, match="all executors are lost"):
            cluster.sc.parallelize([1]).count()
