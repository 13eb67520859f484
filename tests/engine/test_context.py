"""The life of a Context. These tests make their own, and do not use the shared one."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from operator import add
from pathlib import Path
from typing import Any

import pytest
from beside import RANKS, about_keeping, blocks_held

from mpirdd import RDD, Context, TaskError, UsageError
from mpirdd.store.blocks import BlockStore


def test_one_context_after_the_other(executors: int) -> None:
    for number in range(3):
        with Context() as sc:
            assert sc.defaultParallelism == executors
            numbered = sc.parallelize([(x % 2, number) for x in range(10)])
            assert numbered.reduceByKey(add).collectAsMap() == {0: 5 * number, 1: 5 * number}


def test_there_is_one_context_at_a_time() -> None:
    with Context() as sc:
        with pytest.raises(UsageError, match="there is a Context already"):
            Context()
        assert sc.parallelize([1]).count() == 1
    with Context() as sc:
        assert sc.parallelize([2]).collect() == [2]


@pytest.mark.parametrize("where", ["mpirdd.driver.driver.Driver.__init__", "mpirdd.api.context.BaseContext.__init__"])
def test_the_log_of_a_context_whose_start_is_interrupted_has_an_end(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "events.jsonl"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(where, interrupted)
        Context(events=str(path))
    first, *_, last = map(json.loads, path.read_text().splitlines())
    assert (first["event"], last["event"], last["status"], last["error"]) == ("run", "end", "terminated", "Ctrl-C")
    with Context() as sc:
        assert sc.parallelize([1]).count() == 1


@pytest.mark.parametrize("use", [
    lambda sc, rdd: rdd.collect(), lambda sc, rdd: rdd.take(1), lambda sc, rdd: rdd.saveAsTextFile("never"),
    lambda sc, rdd: rdd.map(str), lambda sc, rdd: rdd.reduceByKey(add), lambda sc, rdd: rdd.cache(),
    lambda sc, rdd: rdd.unpersist(), lambda sc, rdd: sc.parallelize([1]), lambda sc, rdd: sc.textFile(__file__),
    lambda sc, rdd: sc.range(3), lambda sc, rdd: sc.union([rdd]), lambda sc, rdd: sc.emptyRDD(),
])
def test_a_stopped_context_and_its_rdds_refuse_everything(use: Callable[[Context, RDD], Any]) -> None:
    with Context() as sc:
        rdd = sc.parallelize([(1, 2)])
        assert rdd.count() == 1
    with pytest.raises(UsageError, match="has been stopped"):
        use(sc, rdd)
    sc.stop()  # once more is no error
    with Context():  # nor does another one bring it back to life
        with pytest.raises(UsageError, match="has been stopped"):
            use(sc, rdd)
        sc.stop()


def test_rdds_of_another_context_are_refused() -> None:
    with Context() as sc:
        old = sc.parallelize([(1, 2)])
    with Context() as sc, pytest.raises(UsageError):
        sc.parallelize([(1, 2)]).union(old)


@about_keeping
def test_stopping_frees_what_executors_held() -> None:
    with Context() as sc:
        rdd = sc.parallelize([(1, 2)] * 10, 4).cache().reduceByKey(add)
        assert rdd.count() == 1
        assert blocks_held(sc)
    with Context() as sc:
        assert blocks_held(sc) == []
    del rdd
    gc.collect()  # handles of a stopped Context go without harm


@pytest.mark.skipif(RANKS > 1, reason="the executors are in processes of their own")
def test_stopping_frees_what_the_executor_in_this_process_held() -> None:
    with Context() as sc:
        rdd = sc.parallelize([(1, 2)] * 10, 4).cache()
        assert rdd.count() == 10
    assert not [block for store in gc.get_objects() if isinstance(store, BlockStore) for block in store]


def test_an_exception_in_the_block_stops_the_context() -> None:
    with pytest.raises(ZeroDivisionError), Context() as sc:
        sc.parallelize([1]).count()
        1 / 0  # noqa: B018
    with pytest.raises(TaskError), Context() as sc:
        sc.parallelize([1, 0]).map(lambda x: 1 / x).collect()
    with Context() as sc:
        assert sc.parallelize([1]).collect() == [1]


def test_the_parallelism_setting_is_the_default_number_of_partitions() -> None:
    with Context(parallelism=7) as sc:
        assert (sc.defaultParallelism, sc.defaultMinPartitions) == (7, 2)
        rdd = sc.parallelize([(i, i) for i in range(20)])
        assert rdd.getNumPartitions() == 7
        narrow = rdd.coalesce(2)
        for made in (narrow.reduceByKey(add), narrow.groupByKey(), narrow.distinct(), narrow.join(narrow)):
            assert made.getNumPartitions() == 7
            assert made.count() == 20
        assert narrow.reduceByKey(add, 3).getNumPartitions() == 3
        assert narrow.sortByKey().keys().collect() == list(range(20))


def test_exchanges_in_many_rounds_give_the_same_results() -> None:
    words = [(f"word {i % 97}", "x" * (i % 50)) for i in range(3000)]
    expected = {key: sum(len(v) for k, v in words if k == key) for key, _ in words}
    with Context(exchange_bytes=4096) as sc:
        rdd = sc.parallelize(words, 5)
        assert rdd.mapValues(len).reduceByKey(add, 4).collectAsMap() == expected
        assert rdd.groupByKey(6).mapValues(lambda values: sum(map(len, values))).collectAsMap() == expected
        assert rdd.sortBy(lambda kv: kv[0]).collect() == sorted(words, key=lambda kv: kv[0])
        assert rdd.cache().join(rdd.distinct().groupByKey()).count() == len(words)


@pytest.mark.parametrize("settings", [{"parallelism": -1}, {"exchange_bytes": 1}, {"no_such_setting": 1}])
def test_a_setting_that_cannot_be_is_refused_and_the_next_context_works(settings: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match=next(iter(settings))):
        Context(**settings)
    with Context() as sc:
        assert sc.parallelize([1]).count() == 1


def test_what_is_believed_or_ignored_though_it_looks_wrong_is_told_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    misspelt = "MPIRDD_" + "PARALELISM"
    monkeypatch.setenv(misspelt, "3")
    for _ in range(2):
        with Context(memory="100t") as sc:
            assert sc.parallelize([1]).count() == 1
    said = [record.getMessage() for record in caplog.records if record.name == "mpirdd"]
    assert len(said) == 2
    assert "memory=100 TiB" in said[0]
    assert "more than the" in said[0]
    assert f"environment variable {misspelt}, as it is no setting: did you mean MPIRDD_PARALLELISM?" in said[1]


def test_jobs_right_after_a_failure_with_tasks_still_running() -> None:
    def slow(index: int, records: Any) -> Any:
        if index == 0:
            raise RuntimeError("at once")
        return list(records)

    for _ in range(5):
        with Context() as sc:
            rdd = sc.parallelize(range(40), 20)
            with pytest.raises(TaskError, match="at once"):
                rdd.mapPartitionsWithIndex(slow).collect()
            assert rdd.map(lambda x: (x % 4, 1)).reduceByKey(add).count() == 4
