"""``hash`` of text in a program's functions gives the same on all ranks, however they were started."""

from __future__ import annotations

from pathlib import Path

import pytest
from launcher import with_mpirun
from ways import ON_RANKS, WAYS, run

pytestmark = [with_mpirun, pytest.mark.timeout(60)]

GROUPS = """
from operator import add
from mpirdd import Context
words = ["a", "bb", "ccc", "dddd", "eeeee", "ffffff", "ggggggg"] * 50
pairs = [(word, 1) for word in words]
with Context() as sc:
    rdd = sc.parallelize(pairs, 4)
    print(sorted(rdd.reduceByKey(add, 4, hash).collect()) == [(word, 50) for word in words[:7]])
    placed = rdd.partitionBy(3, lambda k: hash(k) % 3).mapPartitions(lambda part: [sorted({k for k, _ in part})]).collect()
    print(sorted(sum(placed, [])) == words[:7])
    features = rdd.map(lambda pair: (hash(pair[0]), 1)).reduceByKey(add).collect()
    print(sorted(features) == sorted((hash(word), 50) for word in words[:7]))
"""
STARTED = """
import sys
from mpirdd import Context
sc = Context()
print(sys.argv[1:], sys.stdin.readline(), sys.flags.utf8_mode, sys.warnoptions, sys.flags.hash_randomization)
sc.stop()
"""
MPI_FIRST = """
from operator import add
from mpi4py import MPI
from mpirdd import Context
def by_rest(key):
    return hash(key) % 4
with Context() as sc:
    rdd = sc.parallelize([("a", 1), ("b", 1)] * 50, 4)
    for function in (hash, by_rest):
        print(sorted(rdd.reduceByKey(add, 4, function).collect()))
    print(sorted(rdd.map(lambda pair: (len(pair[0]), pair[1])).reduceByKey(add, 4, by_rest).collect()))
    print(sorted(rdd.reduceByKey(add).collect()), sorted(rdd.reduceByKey(add, 2, len).collect()))
"""


ADDRESSES = """
from operator import add
from mpirdd import Context
keys = [None, (None, "a"), frozenset([None]), int, (str, 1), ...]
with Context() as sc:
    rdd = sc.parallelize([(key, 1) for key in keys] * 50, 4)
    for function in (hash, lambda key: hash(key) % 7):
        print(sorted(count for _, count in rdd.reduceByKey(add, 5, function).collect()) == [50] * len(keys))
"""


@pytest.mark.parametrize("way", WAYS)
def test_groups_by_the_hash_of_what_python_hashes_by_address_are_right(way: str, tmp_path: Path) -> None:
    ended = run(way, tmp_path, ADDRESSES)
    assert (ended.code, ended.out.split()) == (0, ["True"] * 2), ended.all


@pytest.mark.parametrize("way", WAYS)
def test_groups_by_the_hash_of_text_are_right(way: str, tmp_path: Path) -> None:
    ended = run(way, tmp_path, GROUPS)
    assert (ended.code, ended.out.split()) == (0, ["True"] * 3), ended.all


@pytest.mark.parametrize("way", ["mpirun -m mpirdd", "mpirun python"])
def test_an_interpreter_that_starts_again_keeps_its_options_arguments_and_input(way: str, tmp_path: Path) -> None:
    ended = run(way, tmp_path, STARTED, "a b", "--x", python=("-X", "utf8", "-W", "ignore::ImportWarning"),
                stdin="a line\n")
    assert ended.code == 0, ended.all
    assert ended.out == "['a b', '--x'] a line\n 1 ['ignore::ImportWarning'] 0\n", ended.all


@pytest.mark.parametrize("way", ON_RANKS)
@pytest.mark.parametrize("seed", ["7", "random"])
def test_a_seed_of_the_users_own_stays(way: str, seed: str, tmp_path: Path) -> None:
    ended = run(way, tmp_path, GROUPS, PYTHONHASHSEED=seed)
    assert (ended.code, ended.out.split()) == (0, ["True"] * 3), ended.all


def test_where_ranks_cannot_start_again_partition_functions_are_right_all_the_same(tmp_path: Path) -> None:
    ended = run("mpirun python", tmp_path, MPI_FIRST)
    assert ended.code == 0, ended.all
    both = "[('a', 50), ('b', 50)]"
    assert ended.out.splitlines() == [both, both, "[(1, 100)]", f"{both} {both}"], ended.all
    assert "import mpirdd before mpi4py" in ended.err


def test_a_python_that_takes_no_seed_is_not_started_for_ever(tmp_path: Path) -> None:
    ended = run("mpirun -m mpirdd", tmp_path, "print('here')", python=("-R",))
    assert (ended.code, ended.out) == (0, "here\n"), ended.all
