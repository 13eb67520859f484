"""Broadcast variables on all ranks: small ones in messages, large ones in shared memory."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import time
from operator import add
from pathlib import Path
from threading import Thread
from typing import Any

import numpy as np
import pytest
from beside import about_keeping, on_every_executor

from mpirdd import Context, TaskError, UsageError
from mpirdd.launch import session

LARGE = 300_000
"""Items of 8 bytes: some pages, and larger than what goes in messages."""


def values() -> list[Any]:
    array = np.arange(LARGE, dtype=np.float64)
    return [
        {1: "one", "two": [2, None]},
        {number: str(number) for number in range(20_000)},
        None,
        b"",
        b"x" * 200_000,
        np.zeros(0),
        np.arange(3),
        array,
        array.reshape(3, -1)[::-1, ::2],
        np.asfortranarray(array.reshape(500, -1)),
        {"deep": [{"er": (array, array[:100], "text")}], "numbers": np.arange(LARGE, dtype=np.int32)},
        np.array(["objects", None, 3], dtype=object),
    ]


def assert_same(got: Any, expected: Any) -> None:
    assert type(got) is type(expected)
    if isinstance(expected, np.ndarray):
        assert got.dtype == expected.dtype
        assert np.array_equal(got, expected)
    elif isinstance(expected, dict):
        assert got.keys() == expected.keys()
        for key, part in expected.items():
            assert_same(got[key], part)
    elif isinstance(expected, list | tuple):
        assert len(got) == len(expected)
        for one, other in zip(got, expected, strict=True):
            assert_same(one, other)
    else:
        assert got == expected


@pytest.mark.parametrize("which", range(len(values())))
def test_every_executor_gets_the_value(sc: Context, which: int) -> None:
    expected = values()[which]
    variable = sc.broadcast(expected)
    assert_same(variable.value, expected)
    for got in on_every_executor(sc, lambda: variable.value):
        assert_same(got, expected)
    variable.destroy()


def test_large_arrays_are_read_only_everywhere(sc: Context) -> None:
    array = np.arange(LARGE)
    variable = sc.broadcast({"a": array})
    array[0] = -1  # the program may go on with its own
    assert variable.value["a"][0] == 0
    assert not variable.value["a"].flags.writeable
    assert on_every_executor(sc, lambda: bool(variable.value["a"].flags.writeable)) == [False] * len(sc._driver.executors)


def mapped(length: int) -> list[str]:
    """The inodes of broadcast variables' shared memory that this process maps, of at least so many
    bytes."""
    found = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        if "memfd:mpirdd" in line:
            first, last = (int(address, 16) for address in line.split()[0].split("-"))
            if last - first >= length:
                found.append(line.split()[4])
    return sorted(found)


def test_all_ranks_of_a_host_map_the_same_memory(sc: Context) -> None:
    variable = sc.broadcast(np.arange(LARGE))

    def memory() -> list[str]:
        assert variable.value.sum() >= 0
        return mapped(8 * LARGE)

    seen = on_every_executor(sc, memory)
    hosts = len({*sc._driver.hosts.values(), session.transport().host})
    assert all(inodes for inodes in seen)
    assert len({inode for inodes in [*seen, mapped(8 * LARGE)] for inode in inodes}) <= hosts
    variable.destroy()


def test_tasks_of_an_executor_share_one_object(sc: Context) -> None:
    variable = sc.broadcast({number: str(number) for number in range(20_000)})
    count = 4 * len(sc._driver.executors)
    seen = sc.parallelize(range(count), count).map(lambda _: (os.getpid(), id(variable.value))).collect()
    assert len(set(seen)) == len({process for process, _ in seen})


@pytest.mark.parametrize("value", [{"small": 1}, np.arange(LARGE)], ids=["small", "large"])
def test_unpersisted_variables_are_sent_again(sc: Context, value: Any) -> None:
    variable = sc.broadcast(value)
    for blocking in (False, True, False):
        for got in on_every_executor(sc, lambda: variable.value):
            assert_same(got, value)
        variable.unpersist(blocking)
        assert_same(variable.value, value)
    variable.unpersist()


def test_destroyed_variables_cannot_be_used(sc: Context) -> None:
    variable = sc.broadcast(np.arange(LARGE))
    rdd = sc.parallelize(range(4)).map(lambda i: int(variable.value[i]))
    assert rdd.collect() == [0, 1, 2, 3]
    variable.destroy(blocking=True)
    with pytest.raises(UsageError, match="destroyed"):
        _ = variable.value
    with pytest.raises(TaskError, match="has been destroyed"):
        rdd.collect()
    with pytest.raises(UsageError, match="destroyed"):
        sc.parallelize([1]).map(lambda i: variable.value).collect()
    assert sc.parallelize([1, 2]).sum() == 3


def test_freed_memory_is_not_mapped_any_more(sc: Context) -> None:
    gc.collect()
    variable = sc.broadcast(np.arange(7 * LARGE))
    on_every_executor(sc, lambda: float(variable.value[-1]))
    assert mapped(7 * 8 * LARGE)
    variable.unpersist(blocking=True)
    if session.transport().size > 1:  # else the program's own value is in the same process
        assert on_every_executor(sc, lambda: mapped(7 * 8 * LARGE)) == [[]] * len(sc._driver.executors)
    variable.destroy(blocking=True)
    assert sc.parallelize([1]).count() == 1  # an executor in the program's own process looks at its messages during jobs
    assert mapped(7 * 8 * LARGE) == []


@about_keeping
def test_arrays_that_were_taken_stay_valid(sc: Context) -> None:
    variable = sc.broadcast(np.arange(LARGE))
    taken = variable.value[5:]
    rdd = sc.parallelize(range(2), 2).map(lambda i: variable.value[i:]).cache()
    assert rdd.count() == 2
    variable.destroy(blocking=True)
    assert taken.sum() == sum(range(5, LARGE))
    assert [int(array.sum()) for array in rdd.collect()] == [sum(range(LARGE)), sum(range(1, LARGE))]


def test_a_loop_of_broadcasts_keeps_no_memory_and_no_descriptors(sc: Context) -> None:
    def held() -> tuple[int, int]:
        gc.collect()
        return len(os.listdir("/proc/self/fd")), sum("memfd:mpirdd" in line for line in open("/proc/self/maps"))

    def turn(number: int) -> None:
        weights = sc.broadcast(np.full(LARGE, number))
        total = sc.parallelize(range(4), 4).map(lambda i: int(weights.value[i])).reduce(add)
        assert total == 4 * number

    for number in range(3):
        turn(number)
    before = [held(), *on_every_executor(sc, held)]
    for number in range(30):
        turn(number)
    after = [held(), *on_every_executor(sc, held)]
    assert all(new <= old + 6 for news, olds in zip(after, before, strict=True) for new, old in zip(news, olds, strict=True))
    assert len(sc._driver._loop.broadcasts._variables) <= 6


def test_broadcasts_without_a_job_are_freed_too(sc: Context) -> None:
    for _ in range(30):
        sc.broadcast(np.arange(LARGE))
        gc.collect()
    assert len(sc._driver._loop.broadcasts._variables) <= 6


def test_a_function_of_a_living_rdd_keeps_the_variable(sc: Context) -> None:
    """A loop that binds the name anew each time does this."""
    variable = sc.broadcast(np.arange(LARGE))
    first = sc.parallelize(range(4), 2).map(lambda i: int(variable.value[i]))
    assert first.sum() == 6
    variable = sc.broadcast(np.arange(LARGE) + 1)
    second = sc.parallelize(range(4), 2).map(lambda i, variable=variable: int(variable.value[i]))
    gc.collect()
    assert second.sum() == 10
    assert first.sum() == 6


def test_used_on_both_sides_of_a_shuffle(sc: Context) -> None:
    table, offset = sc.broadcast(np.arange(LARGE)), sc.broadcast({"offset": 1})
    pairs = sc.parallelize(range(1_000), 6).map(lambda i: (i % 7, int(table.value[i])))
    sums = pairs.reduceByKey(lambda a, b: a + b + offset.value["offset"] * int(table.value[0]), 4)
    result = sums.mapValues(lambda total: total + int(table.value[1])).collectAsMap()
    assert result == {key: sum(range(key, 1_000, 7)) + 1 for key in range(7)}


def test_a_variable_inside_another(sc: Context) -> None:
    inner = sc.broadcast(np.arange(LARGE))
    outer = sc.broadcast({"inner": inner})
    assert sc.parallelize(range(4), 4).map(lambda i: int(outer.value["inner"].value[i])).collect() == [0, 1, 2, 3]
    assert outer.value["inner"] is inner


def test_two_jobs_at_once_use_one_variable(sc: Context) -> None:
    variable = sc.broadcast(np.arange(LARGE))
    sums: dict[int, int] = {}

    def job(turn: int) -> None:
        sums[turn] = sc.parallelize(range(20), 5).map(lambda i: int(variable.value[i * turn])).sum()

    threads = [Thread(target=job, args=(turn,)) for turn in range(1, 5)]
    for thread in threads:
        thread.start()
    variable.unpersist()
    for thread in threads:
        thread.join(60)
    assert sums == {turn: turn * sum(range(20)) for turn in range(1, 5)}


def test_in_a_barrier_stage(sc: Context, executors: int) -> None:
    variable = sc.broadcast(np.arange(LARGE))
    from mpirdd import BarrierTaskContext

    def run(records: Any) -> list[int]:
        BarrierTaskContext.get().barrier()
        return [int(variable.value[record]) for record in records]

    assert sc.parallelize(range(executors), executors).barrier().mapPartitions(run).collect() == list(range(executors))


def test_a_variable_that_comes_with_the_data_is_refused(sc: Context) -> None:
    variable = sc.broadcast(1)
    with pytest.raises(TaskError, match="came here with the data"):
        sc.parallelize([variable]).map(lambda received: received.value).collect()


def test_changing_it_in_a_task_is_an_error_where_it_is_shared(sc: Context) -> None:
    variable = sc.broadcast(np.arange(LARGE))

    def change(i: int) -> None:
        variable.value[0] = i

    with pytest.raises(TaskError, match="read-only"):
        sc.parallelize([1]).foreach(change)


KILLED = """
import os, signal
import numpy as np
from mpirdd import Context
with Context() as sc:
    variable = sc.broadcast(np.arange(1_000_000))
    print(sc.parallelize(range(2)).map(lambda i: int(variable.value[i])).sum(), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_program_leaves_nothing_in_dev_shm(tmp_path: Path) -> None:
    """In a world of one, since this test runs inside mpirun; the memory has no name on more ranks
    either."""
    (tmp_path / "job.py").write_text(KILLED)
    launchers = ("OMPI_", "PMI", "PRTE_", "HYDRA_", "MPI_", "MPIEXEC", "PMIX", "SLURM")
    environment = {name: text for name, text in os.environ.items() if not name.startswith(launchers)}
    before = set(os.listdir("/dev/shm"))
    done = subprocess.run([sys.executable, str(tmp_path / "job.py")], env=environment, capture_output=True, text=True,
                          timeout=60)
    assert (done.stdout, done.returncode) == ("1\n", -9), done.stderr
    time.sleep(0.1)
    assert {name for name in set(os.listdir("/dev/shm")) - before if "mpirdd" in name} == set()
