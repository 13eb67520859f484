"""Wrong and unusual arguments: what can be meant is done, the rest is told by kinds of errors that programs catch."""

from __future__ import annotations

import re
import subprocess
import sys
from collections import UserList, deque
from collections.abc import Callable
from functools import cache, cached_property, lru_cache, singledispatch
from pathlib import Path
from typing import Any, NewType

import pytest

from mpirdd import RDD, Context, RecordError, StorageLevel, TaskError

WRONG: dict[str, tuple[Callable[[Context], Any], type[Exception], str]] = {
    "persist": (lambda sc: sc.parallelize([1]).persist("MEMORY_ONLY"), TypeError, "StorageLevel.MEMORY_AND_DISK"),
    "pipe": (lambda sc: sc.parallelize([1]).pipe(" "), ValueError, "this one is empty"),
    "pipe's quotes": (lambda sc: sc.parallelize([1]).pipe("'open"), ValueError, "No closing quotation"),
    "pipe's variables": (lambda sc: sc.parallelize([1]).pipe("env", {"A": 1}), TypeError, "'A' is 1"),
    "coalesce": (lambda sc: sc.parallelize([1]).coalesce(None), ValueError, "whole number of 1 or more, not None"),
    "repartition": (lambda sc: sc.parallelize([1]).repartition(None), ValueError, "whole number of 1 or more, not None"),
    "text partitions": (lambda sc: sc.textFile(__file__, "2"), ValueError, "whole number of 0 or more, not '2'"),
    "negative partitions": (lambda sc: sc.wholeTextFiles(__file__, -1), ValueError, "whole number of 0 or more, not -1"),
    "range": (lambda sc: sc.range(10**30), ValueError, "more numbers than an RDD can have"),
    "parallelize a range": (lambda sc: sc.parallelize(range(10**30)), ValueError, "more numbers than an RDD can have"),
    "parallelize a number": (lambda sc: sc.parallelize(5), TypeError, "something else to iterate over, not 5"),
    "partitions": (lambda sc: sc.parallelize([1], 2.5), ValueError, "whole number of 1 or more, not 2.5"),
    "too many slices": (lambda sc: sc.parallelize([1], 10**12), ValueError, "at most 10,000,000, not 1,000,000,000,000"),
    "too many partitions": (lambda sc: sc.parallelize([(1, 2)]).reduceByKey(max, 10**12), ValueError, "at most 10,000,000"),
    "take": (lambda sc: sc.parallelize([1]).take("a"), TypeError, "number of records, not 'a'"),
    "top": (lambda sc: sc.parallelize([1]).top(None), TypeError, "number of records, not None"),
    "fold": (lambda sc: sc.parallelize([1]).fold(0, None), TypeError, "fold needs a function, not None"),
    "map": (lambda sc: sc.parallelize([1]).map(3), TypeError, "map needs a function, not 3"),
    "collectAsMap of numbers": (lambda sc: sc.parallelize([1]).collectAsMap(), ValueError, "needs (key, value) pairs; got 1"),
    "collectAsMap of text": (lambda sc: sc.parallelize(["abc"]).collectAsMap(), TypeError, "needs (key, value) pairs"),
    "checkpoint folder": (lambda sc: sc.setCheckpointDir(b"x"), TypeError, "os.fsdecode"),
    "file": (lambda sc: sc.addFile(b"x"), TypeError, "os.fsdecode"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_argument_is_named_by_an_error_of_its_kind(sc: Context, name: str) -> None:
    call, kind, text = WRONG[name]
    with pytest.raises(kind, match=re.escape(text)):
        call(sc)


def test_a_second_context_is_told_where_the_first_was_made(sc: Context) -> None:
    with pytest.raises(ValueError, match=r"a Context already in this program, made at conftest.py:\d+"):
        Context()


@pytest.mark.parametrize(
    "data", [deque([1, 2, 3]), UserList([1, 2, 3]), {1: 0, 2: 0, 3: 0}, iter([1, 2, 3]), memoryview(b"\1\2\3")])
def test_whatever_can_be_iterated_can_be_parallelized(sc: Context, data: Any) -> None:
    assert sc.parallelize(data, 2.0).glom().collect() == [[1], [2, 3]]  # type: ignore[arg-type]


def test_taking_fewer_than_none_gives_none(sc: Context) -> None:
    assert sc.parallelize([1, 2], 2).take(-1) == []


def test_paths_may_be_of_pathlib(sc: Context, tmp_path: Path) -> None:
    sc.setCheckpointDir(tmp_path / "checkpoints")
    rdd = sc.parallelize([1, 2], 2).map(str)
    rdd.checkpoint()
    assert rdd.collect() == ["1", "2"]
    assert str(rdd.getCheckpointFile()).startswith(f"file:{tmp_path}/checkpoints/")
    (tmp_path / "added").write_text("x")
    sc.addFile(tmp_path / "added")
    with sc.resumable(tmp_path / "state") as state:
        assert state.save(1, a=2)
    assert sc.textFile(tmp_path / "added").name() == sc.wholeTextFiles(tmp_path / "added").name() == f"{tmp_path}/added"


# --- flatMap ----------------------------------------------------------------------------------------------------------


def test_what_cannot_be_iterated_is_told_with_the_operation_and_its_line(sc: Context) -> None:
    def nothing(x: int) -> Any:
        return x

    line = sys._getframe().f_lineno + 1
    made = sc.parallelize([1, 2]).map(abs).flatMap(nothing).map(abs)
    told = rf"flatMap at test_arguments.py:{line} .*nothing.*iterable of records: 'int' object"
    with pytest.raises(TaskError, match=told) as found:
        made.count()
    assert isinstance(found.value.__cause__, RecordError)
    with pytest.raises(TaskError, match=rf"flatMapValues at test_arguments.py:{line + 6} .*nothing.*iterable of records"):
        sc.parallelize([(1, 2)]).flatMapValues(nothing).collect()


def test_a_type_error_of_the_users_function_stays_one(sc: Context) -> None:
    def wrong(x: int) -> Any:
        return list(x)  # type: ignore[call-overload]

    with pytest.raises(TaskError, match=r"in wrong") as found:
        sc.parallelize([1, 2]).flatMap(wrong).collect()
    assert type(found.value.__cause__) is TypeError


# --- RDDs without partitions ------------------------------------------------------------------------------------------

OF_NONE: dict[str, Callable[[RDD], Any]] = {
    "distinct": lambda rdd: rdd.distinct().getNumPartitions(),
    "reduceByKey": lambda rdd: rdd.reduceByKey(max).getNumPartitions(),
    "groupBy": lambda rdd: rdd.groupBy(str).count(),
    "join": lambda rdd: rdd.join(rdd).getNumPartitions(),
    "lookup": lambda rdd: len(rdd.groupByKey().lookup(3)),
    "sortBy": lambda rdd: rdd.sortBy(str).getNumPartitions(),
    "sortByKey": lambda rdd: rdd.distinct().sortByKey().count(),
    "zipWithIndex": lambda rdd: rdd.zipWithIndex().count(),
    "union": lambda rdd: rdd.distinct().union(rdd).getNumPartitions(),
    "cartesian": lambda rdd: rdd.cartesian(rdd).count(),
    "subtract": lambda rdd: rdd.subtract(rdd).count(),
    "treeAggregate": lambda rdd: rdd.treeAggregate(0, max, max),
}


@pytest.mark.parametrize("name", OF_NONE)
def test_what_is_made_of_no_partitions_has_none(sc: Context, name: str) -> None:
    assert OF_NONE[name](sc.emptyRDD()) == 0


def test_no_partitions_become_as_many_as_are_asked_for(sc: Context) -> None:
    assert sc.emptyRDD().partitionBy(3).getNumPartitions() == 3
    assert sc.emptyRDD().sortBy(str, numPartitions=3).getNumPartitions() == 3
    assert sc.emptyRDD().repartition(3).collect() == []


# --- levels -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["MEMORY_ONLY", "MEMORY_AND_DISK", "DISK_ONLY"])
def test_a_level_may_be_chosen_after_a_local_checkpoint(sc: Context, level: str) -> None:
    rdd = sc.parallelize(range(4), 2).map(str)
    rdd.localCheckpoint()
    assert rdd.count() == 4
    rdd.persist(getattr(StorageLevel, level))
    assert rdd.getStorageLevel().useDisk
    assert rdd.cache().collect() == ["0", "1", "2", "3"]


# --- functions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call", ["reduce", "fold", "map", "filter", "flatMap", "foreach", "aggregate", "at the driver", "locally"])
def test_a_stop_iteration_of_the_users_function_fails(sc: Context, call: str) -> None:
    def stop(*_: Any) -> Any:
        raise StopIteration

    rdd = sc.parallelize(range(10), 3)
    calls: dict[str, Callable[[], Any]] = {
        "reduce": lambda: rdd.reduce(stop), "fold": lambda: rdd.fold(0, stop), "map": lambda: rdd.map(stop).collect(),
        "filter": lambda: rdd.filter(stop).collect(), "flatMap": lambda: rdd.cartesian(rdd).flatMap(stop).collect(),
        "foreach": lambda: rdd.foreach(stop), "aggregate": lambda: rdd.aggregate(0, stop, max),
        "at the driver": lambda: rdd.aggregate(0, lambda *_: 1, stop),
        "locally": lambda: rdd.map(lambda x: (x % 2, x)).reduceByKeyLocally(stop),
    }
    with pytest.raises((TaskError, RuntimeError), match="Caught StopIteration thrown from user's code; failing the task"):
        calls[call]()


def test_functions_that_pickle_by_name_work_in_tasks(sc: Context) -> None:
    @lru_cache(maxsize=4)
    def fibonacci(n: int) -> int:
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    @singledispatch
    def name(x: Any) -> str:
        return "any"

    @name.register
    def _(x: int) -> str:
        return "int"

    class Holder:
        @cache  # noqa: B019
        def seven(self) -> int:
            return 7

        @cached_property
        def eight(self) -> int:
            return 8

    kind = NewType("kind", int)
    found = sc.parallelize([10], 1).map(lambda x: (
        fibonacci(x), fibonacci.cache_parameters()["maxsize"], name(x), Holder().seven(), Holder().eight, kind(x))).collect()
    assert found == [(55, 4, "int", 7, 8, 10)]


def test_programs_that_tasks_start_can_write_to_the_tasks_streams(sc: Context, capfd: pytest.CaptureFixture[str]) -> None:
    def start(_: int) -> int:
        return subprocess.run(["echo", "by a program"], stdout=sys.stdout, stderr=sys.stderr, check=True).returncode

    assert sc.parallelize([0], 1).map(start).sum() == 0


def test_bytes_can_be_written_to_stdout_in_tasks(sc: Context, capfd: pytest.CaptureFixture[str]) -> None:
    def write(_: int) -> int:
        sys.stdout.buffer.write("zwölf\n".encode())
        sys.stdout.buffer.flush()
        return 1

    assert sc.parallelize([0], 1).map(write).sum() == 1
    sc.parallelize([0], 1).count()
    shown = capfd.readouterr()
    assert "zwölf" in shown.out + shown.err
