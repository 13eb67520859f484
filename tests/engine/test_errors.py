"""Errors inside tasks and in calls give one clear message, and the Context goes on."""

from __future__ import annotations

import inspect
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from operator import add
from pathlib import Path
from typing import Any

import pytest
from beside import RANKS, Calls, Demanding, Flag, Unpicklable, double, fail_on, in_pairs, unshipped

from mpirdd import RDD, AccumulatorParam, Context, TaskError, UsageError
from mpirdd.protocol.errors import InputError, RecordError

FRAME_OF_THE_ENGINE = re.compile(r"mpirdd/(?!tests/)\w+/\w+\.py")
"""The clone may be named mpirdd, too."""

HERE = Path(__file__).name


@pytest.fixture(autouse=True)
def usable_afterwards(sc: Context) -> Iterator[None]:
    """After each test the next job works."""
    yield
    assert sc.parallelize(range(10), 4).map(lambda x: (x % 2, x)).reduceByKey(add).collectAsMap() == {0: 20, 1: 25}


def here() -> int:
    """The line that calls."""
    frame = inspect.currentframe()
    assert frame is not None
    assert frame.f_back is not None
    return frame.f_back.f_lineno


# --- the user's function raises ---------------------------------------------------------------------------------------


def test_the_message_tells_what_where_and_by_which_way(sc: Context) -> None:
    def inverse(x: int) -> float:
        return 1 / x

    rdd = sc.parallelize([1, 2, 0, 3], 4).map(inverse)
    line = here() + 2
    with pytest.raises(TaskError) as caught:
        rdd.collect()
    message, failure = str(caught.value), caught.value.failure
    assert message.startswith("ZeroDivisionError: division by zero\n")
    assert f"in collect at {HERE}:{line}, partition 2, on rank {failure.rank} ({failure.host})" in message
    assert (failure.partition, failure.host) == (2, os.uname().nodename)
    assert 1 <= failure.rank < max(RANKS, 2)
    assert "in inverse\n    return 1 / x" in message
    assert message.count("Traceback") == 1
    assert not FRAME_OF_THE_ENGINE.search(message)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_stage_before_a_shuffle_goes_by_the_shuffle(sc: Context) -> None:
    line = here() + 1
    reduced = sc.parallelize([1, 0], 2).map(lambda x: (1 // x, x)).reduceByKey(add)
    with pytest.raises(TaskError, match=rf"in reduceByKey at {HERE}:{line}, partition 1, on rank \d"):
        reduced.collect()


def bad(*_: Any) -> Any:
    raise LookupError("not today")


@pytest.mark.parametrize("operation", [
    lambda rdd: rdd.map(bad).collect(),
    lambda rdd: rdd.flatMap(bad).count(),
    lambda rdd: rdd.filter(bad).take(1),
    lambda rdd: rdd.mapPartitions(bad).collect(),
    lambda rdd: rdd.mapPartitionsWithIndex(bad).collect(),
    lambda rdd: rdd.mapValues(bad).collect(),
    lambda rdd: rdd.flatMapValues(bad).collect(),
    lambda rdd: rdd.keyBy(bad).collect(),
    lambda rdd: rdd.groupBy(bad).collect(),
    lambda rdd: rdd.reduceByKey(bad).collect(),
    lambda rdd: rdd.combineByKey(bad, add, add).collect(),
    lambda rdd: rdd.combineByKey(abs, add, bad, 3).collect(),
    lambda rdd: rdd.aggregateByKey(0, bad, add).collect(),
    lambda rdd: rdd.foldByKey(0, bad).collect(),
    lambda rdd: rdd.partitionBy(3, bad).collect(),
    lambda rdd: rdd.sortBy(bad).collect(),
    lambda rdd: rdd.sortByKey(keyfunc=bad).collect(),
    lambda rdd: rdd.sortByKey(keyfunc=bad, numPartitions=1).collect(),
    lambda rdd: rdd.join(rdd.mapValues(bad)).collect(),
    lambda rdd: rdd.union(rdd.map(bad)).collect(),
    lambda rdd: rdd.map(bad).cache().collect(),
    lambda rdd: rdd.map(bad).repartition(3).collect(),
    lambda rdd: rdd.foreach(bad),
    lambda rdd: rdd.foreachPartition(bad),
    lambda rdd: rdd.reduce(bad),
    lambda rdd: rdd.fold(0, bad),
    lambda rdd: rdd.aggregate(0, bad, add),
    lambda rdd: rdd.top(1, key=bad),
    lambda rdd: rdd.takeOrdered(1, key=bad),
    lambda rdd: rdd.max(key=bad),
])
def test_wherever_a_function_raises_its_own_exception_is_the_cause(
    sc: Context, operation: Callable[[RDD], Any]
) -> None:
    with pytest.raises(TaskError, match=r"(?s)^LookupError: 'not today'|^LookupError: not today.*in bad") as caught:
        operation(sc.parallelize([(1, 1), (1, 2), (2, 3), (1, 4)], 2))
    assert type(caught.value.__cause__) is LookupError


@pytest.mark.parametrize("error", [TypeError, ValueError])
@pytest.mark.parametrize("operation", [
    lambda rdd: rdd.reduceByKey(add), lambda rdd: rdd.groupByKey(), lambda rdd: rdd.partitionBy(2),
    lambda rdd: rdd.join(rdd), lambda rdd: rdd.partitionBy(2).join(rdd.partitionBy(2)), lambda rdd: rdd.sortByKey(),
    lambda rdd: rdd.mapValues(str), lambda rdd: rdd.distinct(), lambda rdd: rdd.keys(),
])
@pytest.mark.parametrize("bad_place", [0, 2])
def test_a_type_error_of_the_users_function_is_not_blamed_on_a_record(
    sc: Context, operation: Callable[[RDD], RDD], error: type[Exception], bad_place: int
) -> None:
    def picky(x: int) -> tuple[int, int]:
        if x == bad_place:
            raise error("mine")
        return x, x

    with pytest.raises(TaskError, match="mine") as caught:
        operation(sc.parallelize(range(3), 1).map(picky)).collect()
    assert type(caught.value.__cause__) is error


def test_an_error_while_partitioned_alike_rdds_are_joined_is_the_functions(sc: Context) -> None:
    rdd = sc.parallelize([(1, "x"), (2, "1")], 2).partitionBy(2)
    with pytest.raises(TaskError, match="invalid literal") as caught:
        rdd.mapValues(int).join(rdd).collect()
    assert type(caught.value.__cause__) is ValueError


def test_chained_exceptions_arrive_whole(sc: Context) -> None:
    def chained(x: int) -> None:
        try:
            fail_on(x, x)
        except LookupError as error:
            raise RuntimeError("so no") from error

    with pytest.raises(TaskError) as caught:
        sc.parallelize([1], 1).map(chained).collect()
    message = str(caught.value)
    assert message.index("do not like 1") < message.index("direct cause") < message.rindex("RuntimeError: so no")
    assert "in fail_on" in message


@pytest.mark.parametrize(("make", "summary"), [
    (lambda: Demanding(3, "as they say"), r"Demanding: as they say \(3\)"),
    (lambda: Unpicklable("stays here"), "Unpicklable: stays here"),
])
def test_exceptions_that_cannot_be_brought_over_still_tell_their_story(
    sc: Context, make: Callable[[], Exception], summary: str
) -> None:
    def fail(x: int) -> None:
        raise make()

    with pytest.raises(TaskError, match=rf"^beside\.{summary}\n") as caught:
        sc.parallelize([1], 1).map(fail).collect()
    error, cause = make(), caught.value.__cause__
    assert type(cause).__qualname__ == type(error).__qualname__
    assert str(cause) == str(error) and cause is not None and cause.args == error.args
    assert "in fail" in str(caught.value)


class TwoArguments(Exception):
    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code, self.text = code, text


def test_an_exception_whose_init_takes_more_than_it_passes_on_is_the_cause(sc: Context) -> None:
    def fail(x: int) -> None:
        raise TwoArguments(x, "no")

    with pytest.raises(TaskError, match="TwoArguments: 7: no") as caught:
        sc.parallelize([7], 1).map(fail).collect()
    cause = caught.value.__cause__
    assert type(cause).__name__ == "TwoArguments"
    assert (cause.args, vars(cause)) == (("7: no",), {"code": 7, "text": "no"})


def test_an_exception_with_arguments_that_cannot_be_sent_has_a_stand_in_of_its_name(sc: Context) -> None:
    def fail(x: int) -> None:
        raise LookupError(x, threading.Lock())

    with pytest.raises(TaskError, match="LookupError") as caught:
        sc.parallelize([7], 1).map(fail).collect()
    cause = caught.value.__cause__
    assert cause is not None and type(cause).__name__ == "LookupError" and cause.args[0] == 7
    assert "lock" in cause.args[1]


def test_very_long_messages_are_cut(sc: Context) -> None:
    def fail(x: int) -> None:
        raise ValueError("a" * 3_000_000 + "the end")

    with pytest.raises(TaskError, match="ValueError: aaa") as caught:
        sc.parallelize([7], 1).map(fail).collect()
    assert len(str(caught.value)) < 1_000_000
    assert "characters are left out here" in str(caught.value) and "the end" in str(caught.value)
    assert type(caught.value.__cause__).__name__ == "ValueError" and len(str(caught.value.__cause__)) < 1_000_000


class RefusesToBeUnpickled:
    def __reduce__(self) -> tuple[Any, ...]:
        return refuse, ("not here",)


def refuse(text: str) -> None:
    raise RuntimeError(text)


def test_a_result_that_cannot_be_unpickled_is_an_error_that_says_so(sc: Context) -> None:
    with pytest.raises(TaskError, match="cannot unpickle its result: RuntimeError: not here") as caught:
        sc.parallelize([7], 1).map(lambda x: RefusesToBeUnpickled()).collect()
    assert f"in collect at {HERE}" in str(caught.value)
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_an_accumulator_that_raises_on_the_driver_is_an_error_that_says_so(sc: Context) -> None:
    class Picky(AccumulatorParam):
        def zero(self, value: int) -> int:
            return 0

        def addInPlace(self, value: int, more: int) -> int:
            if value == more == 7:
                raise RuntimeError("twice seven")
            return value + more

    total = sc.accumulator(7, Picky())
    with pytest.raises(TaskError, match="cannot add its updates to accumulators: RuntimeError: twice seven"):
        sc.parallelize([7], 1).foreach(total.add)
    with pytest.raises(TaskError, match="cannot add its updates to accumulators: RuntimeError: twice seven"):
        sc.parallelize([7], 1).map(lambda x: (total.add(x), x)).groupByKey(1).count()


def test_exceptions_of_classes_that_only_the_driver_has_are_the_cause(sc: Context) -> None:
    module = unshipped("class Mine(Exception): pass\ndef fail(x): raise Mine(x)\n")
    with pytest.raises(TaskError, match="Mine: 7") as caught:
        sc.parallelize([7], 1).map(module.fail).collect()
    assert isinstance(caught.value.__cause__, module.Mine)
    assert caught.value.__cause__.args == (7,)


def test_a_task_error_can_itself_be_pickled(sc: Context) -> None:
    import pickle

    with pytest.raises(TaskError) as caught:
        sc.parallelize([0], 1).map(lambda x: 1 / x).collect()
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


@pytest.mark.parametrize("leave", [lambda x: sys.exit(3), lambda x: sys.exit(), lambda x: _generator_exit()])
def test_leaving_the_program_inside_a_task_only_fails_the_task(sc: Context, leave: Callable[[int], None]) -> None:
    with pytest.raises(TaskError, match=r"SystemExit|GeneratorExit"):
        sc.parallelize(range(4), 4).map(leave).collect()


def _generator_exit() -> None:
    raise GeneratorExit


def test_runaway_recursion_is_an_error_like_any_other(sc: Context) -> None:
    def deeper(x: int) -> int:
        return deeper(x) + 1

    with pytest.raises(TaskError, match="RecursionError"):
        sc.parallelize([1], 1).map(deeper).collect()


@pytest.mark.parametrize("operation", [
    lambda rdd, f: rdd.map(f), lambda rdd, f: rdd.flatMap(f), lambda rdd, f: rdd.filter(f),
])
def test_stop_iteration_out_of_a_function_does_not_end_the_partition(
    sc: Context, operation: Callable[[RDD, Callable[[int], Any]], RDD]
) -> None:
    with pytest.raises(TaskError, match="StopIteration"):
        operation(sc.parallelize([1, 2, 3], 1), lambda x: next(iter([]))).collect()


def test_stop_iteration_is_an_error_in_generators_too(sc: Context) -> None:
    for operation in (RDD.keyBy, RDD.mapValues, RDD.mapPartitions):
        with pytest.raises(TaskError, match="StopIteration"):
            operation(sc.parallelize([(1, 1)], 1), lambda x: next(iter([]))).collect()


def test_all_partitions_failing_at_once_give_one_error(sc: Context) -> None:
    with pytest.raises(TaskError):
        sc.parallelize(range(200), 200).map(bad).collect()


def test_the_same_shuffle_works_after_a_failure_while_another_task_of_it_ran(sc: Context, tmp_path: Path) -> None:
    failing = Flag(str(tmp_path / "failing"))

    def visit(index: int, records: Iterator[int]) -> Iterator[tuple[int, int]]:
        if failing:
            time.sleep(0.01 * index)
        if failing and index == 0:
            raise RuntimeError("the first time")
        return in_pairs(x % 3 for x in records)

    for _ in range(5):
        rdd = sc.parallelize(range(90), max(1, RANKS - 1)).mapPartitionsWithIndex(visit).reduceByKey(add)
        with pytest.raises(TaskError, match="the first time"):
            rdd.collect()
        failing.lower()
        assert sorted(rdd.collect()) == [(0, 30), (1, 30), (2, 30)]
        failing.raise_again()


def test_a_failed_job_can_be_run_again_and_again(sc: Context, tmp_path: Path) -> None:
    failing = Flag(str(tmp_path / "failing"))
    rdd = sc.parallelize([3, 1, 2], 3).map(lambda x: fail_on(x if failing else None, x))
    sums, ordered = rdd.map(lambda x: (x, x)).reduceByKey(add), rdd.sortBy(lambda x: x)
    for _ in range(2):
        for action in (rdd.cache().collect, sums.collect, ordered.collect, ordered.count):
            with pytest.raises(TaskError, match="do not like"):
                action()
    failing.lower()
    assert rdd.collect() == [3, 1, 2]
    assert sorted(sums.collect()) == [(1, 1), (2, 2), (3, 3)]
    assert ordered.collect() == [1, 2, 3]


# --- what cannot be sent ----------------------------------------------------------------------------------------------


class Holder:
    def __init__(self) -> None:
        self.label, self.guard = "x", threading.Lock()

    def visit(self, x: int) -> int:
        return x


def test_a_function_that_cannot_be_pickled_names_the_object(sc: Context, calls: Calls) -> None:
    rdd, lock, holder = sc.parallelize([1, 2], 2).map(calls), threading.Lock(), Holder()
    with pytest.raises(UsageError, match=rf"map at {HERE}:\d+: .*type lock .*variable 'lock'"):
        rdd.map(lambda x: lock).collect()
    with pytest.raises(UsageError, match=r"type lock .*its object -> attribute 'guard'"):
        rdd.map(holder.visit).collect()
    table = {"inner": [1, lock]}
    with pytest.raises(UsageError, match=r"type lock .*variable 'table' -> key 'inner' -> item 1"):
        rdd.filter(lambda x: bool(table)).count()
    with pytest.raises(UsageError, match="type lock"):
        rdd.foreach(lambda x: lock.acquire())
    assert calls.count() == 0  # it was found before any task ran


def test_a_combining_function_that_cannot_be_pickled_names_the_object(sc: Context) -> None:
    lock = threading.Lock()
    with pytest.raises(UsageError, match=r"type lock .*variable 'lock'"):
        sc.parallelize([(1, 1)], 1).reduceByKey(lambda a, b: (lock, b)[1]).collect()


def test_a_result_or_a_shuffled_record_that_cannot_be_pickled_names_the_object(sc: Context) -> None:
    rdd = sc.parallelize([1], 1).map(lambda x: (x, threading.Lock()))
    for made in (rdd, rdd.groupByKey(), rdd.repartition(2)):
        with pytest.raises(TaskError, match="type lock cannot be pickled"):
            made.collect()
    assert rdd.count() == 1  # as long as it stays where it is, it may be anything
    assert rdd.cache().map(lambda kv: kv[1].locked()).collect() == [False]
    rdd.unpersist()


def test_data_that_cannot_be_pickled_names_the_object(sc: Context) -> None:
    with pytest.raises(UsageError, match=r"<unlocked _thread.lock object at \w+> of type lock"):
        sc.parallelize([1, threading.Lock()], 2).collect()


def test_an_rdd_in_a_task_says_what_to_do_instead(sc: Context) -> None:
    rdd = sc.parallelize([1, 2], 2)
    for function in (lambda x: rdd.count(), lambda x, default=rdd: default):
        with pytest.raises(UsageError, match=r"RDD \d+: parallelize at .*functions? that runs? on executors.*join"):
            rdd.map(function).collect()
    with pytest.raises(UsageError, match="on executors"):
        sc.parallelize([rdd], 1).collect()


def test_the_context_in_a_task_says_what_to_do_instead(sc: Context) -> None:
    with pytest.raises(UsageError, match=r"Context is used inside a function that runs on executors"):
        sc.parallelize([1], 1).map(lambda x: sc.parallelize([x]).count()).collect()
    with pytest.raises(UsageError, match="on executors"):
        sc.parallelize([1], 1).foreach(lambda x: sc.stop())


def test_no_context_can_be_made_in_a_task(sc: Context) -> None:
    with pytest.raises(TaskError, match="Context") as caught:
        sc.parallelize([1], 1).map(lambda x: Context()).collect()
    assert isinstance(caught.value.__cause__, UsageError)


# --- records that an operation cannot take ----------------------------------------------------------------------------

OF_PAIRS: dict[str, Callable[[RDD], Any]] = {
    "keys": lambda rdd: rdd.keys().collect(),
    "values": lambda rdd: rdd.values().collect(),
    "mapValues": lambda rdd: rdd.mapValues(str).collect(),
    "flatMapValues": lambda rdd: rdd.flatMapValues(str).collect(),
    "sortByKey": lambda rdd: rdd.sortByKey().collect(),
    "lookup": lambda rdd: rdd.lookup(1),
    "reduceByKey": lambda rdd: rdd.reduceByKey(add).collect(),
    "foldByKey": lambda rdd: rdd.foldByKey(0, add).collect(),
    "aggregateByKey": lambda rdd: rdd.aggregateByKey(0, add, add).collect(),
    "combineByKey": lambda rdd: rdd.combineByKey(str, add, add).collect(),
    "groupByKey": lambda rdd: rdd.groupByKey().collect(),
    "partitionBy": lambda rdd: rdd.partitionBy(2).collect(),
    "join": lambda rdd: rdd.join(rdd).collect(),
    "cogroup": lambda rdd: rdd.cogroup(rdd).collect(),
    "countByKey": lambda rdd: rdd.countByKey(),
    "collectAsMap": lambda rdd: rdd.collectAsMap(),
}
OF_HASHABLE_KEYS = {name: OF_PAIRS[name] for name in list(OF_PAIRS)[6:]}


@pytest.mark.parametrize("record", [7, None, (1,), (1, 2, 3), "abc"], ids=repr)
@pytest.mark.parametrize("operation", OF_PAIRS)
def test_a_record_that_is_no_pair_is_shown(sc: Context, operation: str, record: Any) -> None:
    with pytest.raises(TaskError, match=rf"needs \(key, value\) pairs; got {re.escape(repr(record))}") as caught:
        OF_PAIRS[operation](sc.parallelize([(1, 2), record, (3, 4)], 1))
    assert isinstance(caught.value.__cause__, RecordError)
    assert re.search(rf"\b{operation}\b", str(caught.value))
    assert "Traceback" not in str(caught.value)


@pytest.mark.parametrize("key", [[1], {"a": 1}, {1}, ([1], 2)], ids=repr)
@pytest.mark.parametrize("operation", OF_HASHABLE_KEYS)
def test_a_key_that_cannot_be_hashed_is_shown_with_what_to_use_instead(sc: Context, operation: str, key: Any) -> None:
    with pytest.raises(TaskError, match=r"tuple|frozenset") as caught:
        OF_HASHABLE_KEYS[operation](sc.parallelize([(1, 2), (key, 4)], 1))
    assert isinstance(caught.value.__cause__, RecordError)
    assert re.search(rf"\b{operation}\b", str(caught.value))
    assert type(key).__name__ in str(caught.value)


@pytest.mark.parametrize("operation", [
    lambda rdd: rdd.distinct().collect(),
    lambda rdd: rdd.groupBy(lambda x: x).collect(),
    lambda rdd: rdd.countByValue(),
], ids=["distinct", "groupBy", "countByValue"])
def test_records_that_cannot_be_hashed_are_named_by_what_hashes_them(
    sc: Context, operation: Callable[[RDD], Any], request: pytest.FixtureRequest
) -> None:
    name = request.node.callspec.id
    with pytest.raises(TaskError, match=rf"{name} needs .*hashed; got \[1\].*\n  in {name} at {HERE}") as caught:
        operation(sc.parallelize([[1]], 1))
    assert isinstance(caught.value.__cause__, RecordError)


def test_a_key_that_differs_from_process_to_process_is_refused(sc: Context) -> None:
    with pytest.raises(TaskError, match="equal to nothing but itself"):
        sc.parallelize([(Holder, 1)], 1).map(lambda kv: (object(), 1)).groupByKey(2).collect()


def test_keys_without_an_order_cannot_be_sorted(sc: Context) -> None:
    for rdd in (sc.parallelize([1, "a", None], 3), sc.parallelize([1, "a"], 1)):
        for width in (1, 3):
            ordered = rdd.sortBy(lambda x: x, numPartitions=width)
            for _ in range(2):  # and it says so each time
                with pytest.raises((TaskError, RecordError), match="not supported between instances"):
                    ordered.collect()


def test_a_partition_function_must_give_a_whole_number(sc: Context) -> None:
    with pytest.raises(TaskError, match=r"must return an int; for the key 'a' \(str\) it gave 'a'"):
        sc.parallelize([("a", 1)], 1).partitionBy(2, lambda key: key).collect()


def test_a_function_that_must_give_records_but_does_not_is_told_so(sc: Context) -> None:
    rdd = sc.parallelize([1], 1)
    where = rf"mapPartitions: .*<lambda> at {HERE}:\d+"
    with pytest.raises(TaskError, match=f"{where} must return an iterable of records, not int 3"):
        rdd.mapPartitions(lambda records: 3).collect()  # type: ignore[arg-type, return-value]
    with pytest.raises(TaskError, match="must return an iterable of records, not NoneType"):
        rdd.mapPartitionsWithIndex(lambda i, records: None).collect()  # type: ignore[arg-type, return-value]
    with pytest.raises(TaskError, match="'int' object is not iterable"):
        rdd.flatMap(double).collect()


class Unrevivable:
    """Pickles, and cannot be unpickled."""

    def __setstate__(self, state: Any) -> None:
        raise LookupError("cannot be revived")

    def __init__(self) -> None:
        self.some = "state"


@pytest.mark.parametrize("operation", [
    lambda sc: sc.parallelize([1, Unrevivable()], 2).count(),
    lambda sc: sc.parallelize([1], 1).map(lambda x: Unrevivable()).collect(),
    lambda sc: sc.parallelize([(1, 1)], 1).mapValues(lambda x: Unrevivable()).groupByKey(2).count(),
], ids=["parallelize", "result", "shuffle"])
def test_a_record_that_cannot_be_unpickled_fails_its_job_only(sc: Context, operation: Callable[[Context], Any]) -> None:
    with pytest.raises(TaskError, match="cannot be revived"):
        operation(sc)


# --- input and output -------------------------------------------------------------------------------------------------


def test_a_missing_input_is_found_at_once(sc: Context, tmp_path: Path) -> None:
    for path in (tmp_path / "none.txt", tmp_path / "*.txt", f"{tmp_path},{tmp_path}/gone"):
        with pytest.raises(InputError, match=re.escape(str(path).split(",")[-1])):
            sc.textFile(str(path))


def test_bytes_that_are_no_text_are_named_by_file_and_offset(sc: Context, tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes(b"fine\n" * 500 + b"caf\xe9\n" + b"fine\n" * 500)
    with pytest.raises(TaskError, match=rf"{path} is not UTF-8: byte 0xe9 at offset {500 * 5 + 3}") as caught:
        sc.textFile(str(path), 3).count()
    assert isinstance(caught.value.__cause__, InputError)
    assert sc.textFile(str(path), 3, errors="replace").filter(lambda line: "\ufffd" in line).collect() == ["caf\ufffd"]


def test_output_is_not_written_over_other_output(sc: Context, tmp_path: Path, calls: Calls) -> None:
    rdd = sc.parallelize([1, 2], 2).map(calls)
    (tmp_path / "taken").mkdir()
    (tmp_path / "file").touch()
    for name in ("taken", "file"):
        with pytest.raises(UsageError, match=re.escape(str(tmp_path / name))):
            rdd.saveAsTextFile(str(tmp_path / name))
    assert calls.count() == 0
    assert sorted(os.listdir(tmp_path)) == ["file", "taken"]
    with pytest.raises(UsageError, match="compression 'zip'"):
        rdd.saveAsTextFile(str(tmp_path / "new"), "zip")


def test_a_failed_job_leaves_no_output(sc: Context, tmp_path: Path) -> None:
    rdd = sc.parallelize([1, 2, 3, 0], 4).map(lambda x: 1 / x)
    with pytest.raises(TaskError, match="division"):
        rdd.saveAsTextFile(str(tmp_path / "out"))
    assert os.listdir(tmp_path) == []


# --- arguments --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [
    lambda sc, rdd: sc.parallelize([1], 0),
    lambda sc, rdd: sc.parallelize([1], -1),
    lambda sc, rdd: sc.parallelize([1], "x"),
    lambda sc, rdd: sc.range(5, numSlices=0),
    lambda sc, rdd: rdd.reduceByKey(add, "x"),
    lambda sc, rdd: rdd.groupByKey(0),
    lambda sc, rdd: rdd.partitionBy(-2),
    lambda sc, rdd: rdd.partitionBy(2.5),
    lambda sc, rdd: rdd.join(rdd, 0),
    lambda sc, rdd: rdd.sortBy(str, numPartitions=0),
    lambda sc, rdd: rdd.distinct("3"),
    lambda sc, rdd: rdd.repartition(0),
    lambda sc, rdd: rdd.coalesce("x"),
    lambda sc, rdd: rdd.take("x"),
    lambda sc, rdd: rdd.take(1.5),
    lambda sc, rdd: rdd.map(None),
    lambda sc, rdd: rdd.filter("x"),
    lambda sc, rdd: rdd.reduceByKey(None),
    lambda sc, rdd: rdd.aggregateByKey(0, add, None),
    lambda sc, rdd: rdd.sortBy(1),
    lambda sc, rdd: rdd.foreach(None),
    lambda sc, rdd: rdd.reduce(3),
    lambda sc, rdd: rdd.join([(1, 2)]),
    lambda sc, rdd: rdd.cogroup(None),
    lambda sc, rdd: rdd.union([1]),
    lambda sc, rdd: sc.union([]),
    lambda sc, rdd: sc.union([rdd, [1]]),
    lambda sc, rdd: sc.runJob(rdd, list, [0, 99]),
    lambda sc, rdd: Context(),
])
def test_a_call_that_cannot_work_is_refused_at_once(
    sc: Context, calls: Calls, call: Callable[[Context, RDD], Any]
) -> None:
    with pytest.raises(UsageError):
        call(sc, sc.parallelize([(1, 2)], 2).map(calls))
    assert calls.count() == 0


def test_an_rdd_cannot_be_iterated_or_added_to_a_list(sc: Context) -> None:
    rdd = sc.parallelize([1])
    with pytest.raises(TypeError, match="collect"):
        list(rdd)
    with pytest.raises(TypeError, match="list"):
        rdd + [1]  # type: ignore[operator]  # noqa: RUF005


# --- what tasks print -------------------------------------------------------------------------------------------------


def test_prints_of_tasks_come_line_by_line_on_stderr_with_their_rank(
    sc: Context, capsys: pytest.CaptureFixture[str]
) -> None:
    def chat(x: int) -> None:
        print("one", x, end="")
        print(" line", x)
        print("err", x, file=sys.stderr)
        sys.stdout.write(f"no newline {x}")

    sc.parallelize(range(8), 8).foreach(chat)
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert all(re.match(r"\[rank \d+\] ", line) for line in lines)
    bare = [line.partition("] ")[2] for line in lines]
    expected = [line for x in range(8) for line in (f"one {x} line {x}", f"err {x}", f"no newline {x}")]
    assert sorted(bare) == sorted(expected)
    assert len({line.partition("]")[0] for line in lines}) <= max(1, RANKS - 1)


def test_what_a_failing_task_printed_is_not_lost(sc: Context, capsys: pytest.CaptureFixture[str]) -> None:
    def fail(x: int) -> None:
        print("before the end")
        bad()

    with pytest.raises(TaskError):
        sc.parallelize([1], 1).foreach(fail)
    assert re.fullmatch(r"\[rank \d\] before the end\n", capsys.readouterr().err)


@pytest.mark.parametrize("partitions", [1, 2, 10])
@pytest.mark.parametrize("operation", ["map", "flatMap", "filter"])
def test_stop_iteration_at_the_last_record_of_a_partition_loses_nothing(sc: Context, operation: str, partitions: int) -> None:
    def function(number: int) -> Any:
        return next(iter(())) if number == 9 else [number]

    rdd = getattr(sc.parallelize(range(10), partitions).map(abs), operation)(function)
    with pytest.raises(TaskError, match="StopIteration"):
        rdd.map(str).collect()


# --- read like the user's own -----------------------------------------------------------------------------------------


def stops(*_: Any) -> Any:
    raise StopIteration


@pytest.mark.parametrize("operation", [
    lambda rdd: rdd.sortBy(stops).collect(), lambda rdd: rdd.sortBy(stops, numPartitions=1).collect(),
    lambda rdd: rdd.aggregateByKey(0, stops, add).collect(), lambda rdd: rdd.reduceByKey(stops).collect(),
    lambda rdd: rdd.map(stops).collect(), lambda rdd: rdd.fold(0, stops), lambda rdd: rdd.partitionBy(2, stops).collect(),
])
def test_a_function_that_raises_stop_iteration_is_named(sc: Context, operation: Callable[[RDD], Any]) -> None:
    with pytest.raises(TaskError, match=r"failing the task: stops raised it.*give next\(\) a default, or catch it") as caught:
        operation(sc.parallelize([(1, 1), (1, 2), (2, 3), (1, 4)], 2))
    assert not FRAME_OF_THE_ENGINE.search(str(caught.value)) and "generator raised StopIteration" not in str(caught.value)


def test_a_generator_of_the_users_that_raises_it_fails_as_python_says(sc: Context) -> None:
    def records(_: Iterator[int]) -> Iterator[int]:
        yield stops()

    with pytest.raises(TaskError, match=r"^RuntimeError: generator raised StopIteration\n"):
        sc.parallelize([1], 1).mapPartitions(records).collect()


def test_frames_of_libraries_before_the_users_first_are_left_out(sc: Context) -> None:
    with pytest.raises(TaskError) as caught:
        sc.parallelize(range(9), 2).top(2, key=bad)
    assert "heapq" not in caught.value.failure.traceback
    assert caught.value.failure.traceback.startswith("Traceback (most recent call last):\n  File ")
    assert caught.value.failure.traceback.splitlines()[1].endswith("in bad")


def test_a_syntax_error_is_called_so(sc: Context) -> None:
    def compiles(_: int) -> None:
        compile("x = = 1", "made.py", "exec")

    with pytest.raises(TaskError, match=r"^SyntaxError: invalid syntax \(made.py, line 1\)\n(?s:.*)  File \"made.py\", line 1\n"):
        sc.parallelize([1], 1).map(compiles).collect()


def test_a_long_error_is_cut_to_a_screen_and_kept_whole(sc: Context) -> None:
    def fail(_: int) -> None:
        raise ValueError("\n".join(f"line {number}" for number in range(300)))

    with pytest.raises(TaskError) as caught:
        sc.parallelize([1], 1).map(fail).collect()
    shown = str(caught.value).splitlines()
    assert len(shown) < 64 and shown[-1] == "line 299"
    assert sum("lines are left out here; error.failure.traceback has them all" in line for line in shown) == 2
    assert "line 150" not in shown and "\nline 150\n" in caught.value.failure.traceback


def test_whole_tracebacks_on_request(sc: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    if RANKS > 1:
        pytest.skip("the variable would have to be there when the ranks start")
    monkeypatch.setenv("MPIRDD_DEBUG", "1")
    with pytest.raises(TaskError, match=r"executor/task\.py"):
        sc.parallelize([1], 1).map(bad).collect()


def test_the_key_function_of_a_sort_fails_in_the_sort(sc: Context) -> None:
    line = here() + 2
    with pytest.raises(TaskError, match=rf"in sample for sortBy at {HERE}:{line}, partition "):
        sc.parallelize(range(9), 2).sortBy(bad).collect()


@pytest.mark.skipif(RANKS < 2, reason="a world of one has a terminal")
def test_a_breakpoint_on_one_of_several_ranks_says_what_to_do(sc: Context) -> None:
    def stops_here(x: int) -> int:
        breakpoint()
        return x

    place = stops_here.__code__.co_firstlineno + 1
    with pytest.raises(TaskError, match=rf"breakpoint\(\) at {HERE}:{place}: .* mpirdd run -n 1 job\.py"):
        sc.parallelize([1], 1).map(stops_here).collect()
