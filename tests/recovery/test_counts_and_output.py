"""Effects of a loss that users must not see: work done twice, sums counted twice, half or double
files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from runs import Runs, no_recovery
from saving import ALL_LOST, LOSSES, saving

pytestmark = [pytest.mark.skipif(bool(no_recovery()), reason=no_recovery()), pytest.mark.timeout(120)]


def runs_of(runs: Runs, name: str) -> Counter[int]:
    """How often each partition ran."""
    path = runs.folder / name
    return Counter(map(int, path.read_text().split())) if path.exists() else Counter()


COUNTED = """
def counted(name):
    def note(partition, records):
        with open(name, "a") as file:
            file.write(f"{partition} ")
        return records
    return note

def places(rdd):
    '''Which partitions of a node lie where, by the driver's account.'''
    held = sc._driver._loop.scheduler._state.locations
    return held.indexes("rdd", rdd._node.id)
"""


def test_only_lost_cached_partitions_are_computed_again(runs: Runs) -> None:
    done = runs(COUNTED + """
with Context() as sc:
    points = sc.parallelize(range(160), 16).mapPartitionsWithIndex(counted("runs")).cache()
    total = points.sum()
    lost = [partition for partition, ranks in places(points).items() if ranks == (3,)]
    kill(3)
    again = [points.map(lambda x: x * turn).sum() for turn in range(1, 4)]
    print(total, again, *lost)
""")
    assert done.code == 0 and done.lost() == [3] and done.noise() == [], done.err
    words = done.out.replace("[", "").replace("]", "").replace(",", "").split()
    assert words[:4] == ["12720", "12720", "25440", "38160"]
    lost = [int(word) for word in words[4:]]
    assert lost
    assert runs_of(runs, "runs") == {partition: 1 + (partition in lost) for partition in range(16)}


def test_replicated_and_checkpointed_data_is_read_not_computed(runs: Runs) -> None:
    done = runs(COUNTED + """
with Context() as sc:
    sc.setCheckpointDir("checkpoints")
    points = sc.parallelize(range(160), 16).mapPartitionsWithIndex(counted("replicated")).persist(StorageLevel.MEMORY_ONLY_2)
    saved = sc.parallelize(range(160), 16).mapPartitionsWithIndex(counted("checkpointed")).cache()
    saved.checkpoint()
    print(points.sum(), saved.sum())
    while any(len(ranks) < 2 for ranks in places(points).values()):
        sc.parallelize(range(4), 4).count()
    kill(2)
    print(points.sum(), saved.unpersist().sum())
""")
    assert (done.code, done.out, done.lost(), done.noise()) == (0, "12720 12720\n12720 12720\n", [2], []), done.err
    assert runs_of(runs, "replicated") == runs_of(runs, "checkpointed") == dict.fromkeys(range(16), 1)


def test_only_lost_map_tasks_run_again(runs: Runs) -> None:
    done = runs(COUNTED + """
with Context() as sc:
    pairs = sc.parallelize([(x % 7, x) for x in range(700)], 16).mapPartitionsWithIndex(counted("maps"))
    sums = pairs.reduceByKey(add, 8)
    first = sorted(sums.collect())
    held = sc._driver._loop.scheduler._state.locations.indexes("map", sums._node.id)
    lost = [partition for partition, ranks in held.items() if ranks == (1,)]
    kill(1)
    print(first == sorted(sums.collect()), *lost)
""")
    assert done.code == 0 and done.noise() == [], done.err
    right, *words = done.out.split()
    lost = [int(word) for word in words]
    assert right == "True" and lost
    assert runs_of(runs, "maps") == {partition: 1 + (partition in lost) for partition in range(16)}


def test_accumulators_are_exact(runs: Runs) -> None:
    done = runs("""
with Context() as sc:
    seen, summed = sc.accumulator(0), sc.accumulator(0)
    def note(pair):
        seen.add(1)
        return pair
    pairs = sc.parallelize([(x % 7, x) for x in range(700)], 16).map(note).mapPartitionsWithIndex(die_at(9, "map"))
    sums = pairs.reduceByKey(add, 8)
    sums.foreach(lambda pair: summed.add(pair[1]))
    kill(1)
    print(sums.count(), seen.value, summed.value)
""")
    assert (done.code, done.out, done.noise()) == (0, f"7 700 {sum(range(700))}\n", []), done.err


def test_take_and_first_give_what_they_always_give(runs: Runs) -> None:
    done = runs("""
with Context(most_losses=0) as sc:
    rdd = sc.parallelize(range(400), 40).mapPartitionsWithIndex(die_at(3, "take", 2))
    print(rdd.take(95) == list(range(95)), rdd.first(), rdd.top(2), rdd.takeOrdered(2))
""")
    assert (done.code, done.out, done.noise()) == (0, "True 0 [399, 398] [0, 1]\n", []), done.err


@pytest.mark.parametrize(("before", "fate", "lost"), LOSSES.values(), ids=LOSSES)
def test_output_is_whole_whatever_dies_when(runs: Runs, before: str, fate: str, lost: int) -> None:
    done = runs(saving(before, fate))
    assert (done.code, done.out, done.noise()) == (0, f"{sum(range(800))}\n", []), done.err
    assert len(done.lost()) == lost
    assert_whole(runs.folder / "out")


def assert_whole(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == ["_SUCCESS", *(f"part-{index:05d}" for index in range(8))]
    for index in range(8):
        lines = (folder / f"part-{index:05d}").read_text().splitlines()
        assert lines == [str(number) for number in range(100 * index, 100 * (index + 1))]


def test_when_all_are_lost_no_output_is_left(runs: Runs) -> None:
    done = runs(saving(fate=ALL_LOST), ranks=3)
    assert done.code == 1 and "all executors are lost" in done.err
    assert not (runs.folder / "out").exists()
