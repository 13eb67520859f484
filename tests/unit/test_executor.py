"""The whole engine in one process: a driver and several executors on the in-process network, stepped in random order.

The same code runs on MPI ranks, over another transport. Exchange buffers are as small as allowed.
"""

from __future__ import annotations

import gc
import os
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from operator import add, mul
from random import Random
from threading import Lock
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from chaos import Cluster

from mpirdd.api.context import BaseContext
from mpirdd.comm.inprocess import Network
from mpirdd.driver.driver import Driver
from mpirdd.executor.executor import Executor
from mpirdd.executor.interrupt import Interrupted, Interrupts
from mpirdd.protocol.errors import TaskError, UsageError
from mpirdd.protocol.ids import BlockId
from mpirdd.protocol.settings import Settings

CALLS: list[Any] = []
"""What functions of this module were called with. They travel by name, so tasks append to this very list."""


def note(record: Any) -> Any:
    CALLS.append(record)
    return record


class Engine:
    """``executors`` on one network with a driver, and the Context over them."""

    def __init__(self, executors: int, *, seed: int = 0, **settings: Any) -> None:
        self.network = Network(executors + 1)
        self.executors = [Executor(self.network.end(rank)) for rank in range(1, executors + 1)]
        self._pauses_left = -1
        """Until Ctrl-C; never if negative."""
        self._random = Random(seed)
        self.sc = BaseContext(self._driver(Settings(**{"exchange_bytes": 4096, **settings})))

    def _driver(self, settings: Settings) -> Driver:
        return Driver(self.network.end(0), settings, folder=os.getcwd(), pause=self._pause, resume=lambda: None)

    def again(self) -> BaseContext:
        """Stop the Context and make another one, on the same executors."""
        self.sc.stop()
        self.sc = BaseContext(self._driver(Settings(exchange_bytes=4096)))
        return self.sc

    def _pause(self, busy: bool) -> None:
        if self._pauses_left == 0:
            raise KeyboardInterrupt
        self._pauses_left -= 1
        for _ in range(self._random.randint(1, 3)):
            self._random.choice(self.executors).step()

    @contextmanager
    def interrupted(self, pauses: int) -> Iterator[None]:
        """Ctrl-C after so many pauses of the driver, if the job is not done by then."""
        self._pauses_left = pauses
        with suppress(KeyboardInterrupt):
            yield
        self._pauses_left = -1

    def settle(self) -> None:
        """Let executors act on all messages."""
        moved = True
        while moved:
            moved = sum(executor.step() for executor in self.executors) > 0

    def blocks(self) -> list[BlockId]:
        return sorted(block for executor in self.executors for block in executor.blocks())


@pytest.fixture
def engine() -> Iterator[Engine]:
    CALLS.clear()
    yield Engine(3)


WORDS = Random(5).choices(["the", "quick", "brown", "fox", "jumps", "over", "a", "lazy", "dog"], k=2_000)


@pytest.mark.parametrize("executors", [1, 2, 3, 5])
def test_word_count(executors: int) -> None:
    sc = Engine(executors, seed=executors).sc
    lines = sc.parallelize([" ".join(WORDS[at : at + 7]) for at in range(0, len(WORDS), 7)], 8)
    counts = lines.flatMap(str.split).map(lambda word: (word, 1)).reduceByKey(add, 4).collectAsMap()
    assert counts == Counter(WORDS)


def test_a_task_that_is_interrupted_as_it_begins_ends_all_the_same(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupts, told = engine.executors[0]._interrupts, Counter[str]()

    def begin(stage: int, partition: int) -> None:
        told["begun"] += 1
        if told["begun"] == 1:  # as from a signal's handler, but so that the driver hears of it
            raise RuntimeError("interrupted")

    monkeypatch.setattr(interrupts, "begin", begin)
    monkeypatch.setattr(interrupts, "end", lambda: told.update(["ended"]))
    with pytest.raises(TaskError, match="interrupted"):
        engine.sc.parallelize(range(10), 9).count()
    engine.settle()
    assert told["begun"] == told["ended"] > 0


def test_a_cancelled_task_within_another_leaves_the_claims_of_the_other(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner, memory = engine.executors[0]._runner, engine.executors[0]._state.memory

    def finish(queued: Any) -> Any:
        raise Interrupted

    monkeypatch.setattr(runner, "_finish", finish)
    queued: Any = SimpleNamespace(stage=SimpleNamespace(stage=None), partition=0, suspect=False)
    assert memory.claim(100)
    for depth, left in ((1, 100), (0, 0)):
        runner.depth = depth
        runner.run(queued)
        assert memory.working_bytes == left


class Exits:
    """Ends the process that unpickles it, unless somebody minds."""

    def __reduce__(self) -> Any:
        return sys.exit, (3,)

    def __call__(self, *arguments: Any) -> Any:
        return arguments


def test_a_function_that_exits_while_it_is_loaded_does_not_end_the_executor(
    engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    engine.sc._engine.driver.on_every_executor(sys.exit)
    engine.sc._engine.driver.on_every_executor(Exits())
    engine.settle()
    with pytest.raises(TaskError, match="could not be loaded on this rank: SystemExit: 3"):
        engine.sc.range(3).map(Exits()).collect()
    assert engine.sc.range(3).sum() == 3
    assert capsys.readouterr().err.count("SystemExit") >= 6


def test_sort(engine: Engine) -> None:
    numbers = [*Random(3).choices(range(1_000), k=1_000), *[500] * 200, *range(2_000, 0, -1)]
    assert engine.sc.parallelize(numbers, 7).sortBy(lambda x: x, numPartitions=5).collect() == sorted(numbers)


def test_join(engine: Engine) -> None:
    left = [(key % 40, f"left {key}") for key in range(300)]
    right = [(key % 60, f"right {key}") for key in range(200)]
    joined = engine.sc.parallelize(left, 4).join(engine.sc.parallelize(right, 3)).collect()
    assert sorted(joined) == sorted((k, (v, w)) for k, v in left for other, w in right if k == other)


def test_join_of_what_is_partitioned_alike_moves_nothing_more(engine: Engine) -> None:
    left = engine.sc.parallelize([(x, x) for x in range(100)], 4).partitionBy(6)
    right = engine.sc.parallelize([(x, -x) for x in range(0, 100, 2)], 3).partitionBy(6)
    assert (left.count(), right.count()) == (100, 50)
    blocks = [block for block in engine.blocks() if block.kind != "rdd"]
    assert sorted(left.join(right).collect()) == [(x, (x, -x)) for x in range(0, 100, 2)]
    assert [block for block in engine.blocks() if block.kind != "rdd"] == blocks


def test_arrays_go_through_a_shuffle_many_times_larger_than_its_buffer(engine: Engine) -> None:
    rows = engine.sc.parallelize(range(12), 6).map(lambda i: (i % 4, np.full(50_000, i)))
    sums = rows.reduceByKey(add, 4).mapValues(lambda array: (len(array), int(array[0]))).collectAsMap()
    assert sums == {key: (50_000, sum(range(key, 12, 4))) for key in range(4)}


def test_iterations_over_kept_data_compute_it_once(engine: Engine) -> None:
    points = engine.sc.parallelize(range(30), 6).map(note).cache()
    for turn in range(4):
        assert points.map(partial(mul, turn)).sum() == turn * sum(range(30))
    assert sorted(CALLS) == list(range(30))


def test_a_shuffle_is_done_once_for_several_jobs(engine: Engine) -> None:
    counts = engine.sc.parallelize(WORDS, 5).map(note).map(lambda word: (word, 1)).reduceByKey(add, 3)
    assert counts.count() == len(set(WORDS))
    assert counts.collectAsMap() == Counter(WORDS)
    assert len(CALLS) == len(WORDS)


def test_take_computes_no_more_partitions_than_it_needs(engine: Engine) -> None:
    assert engine.sc.parallelize(range(1_000), 100).map(note).take(5) == [0, 1, 2, 3, 4]
    assert CALLS == [0, 1, 2, 3, 4]


def test_kept_partitions_on_several_executors_are_brought_together(engine: Engine) -> None:
    left = engine.sc.parallelize(range(20), 5).map(note).cache()
    right = engine.sc.parallelize(range(100, 112), 4).map(note).cache()
    assert (left.count(), right.count()) == (20, 12)
    assert sorted(left.union(right).coalesce(2).collect()) == sorted([*range(20), *range(100, 112)])
    assert len(CALLS) == 32


def test_what_is_no_longer_referred_to_is_dropped(engine: Engine) -> None:
    sc = engine.sc
    kept = sc.parallelize(range(10), 4).cache()
    counts = kept.map(lambda x: (x % 3, 1)).reduceByKey(add)
    assert counts.count() == 3
    assert {block.kind for block in engine.blocks()} == {"rdd", "map", "in"}
    del kept, counts
    gc.collect()
    sc.parallelize([1]).count()
    engine.settle()
    assert engine.blocks() == []


def test_unpersist_drops_the_blocks(engine: Engine) -> None:
    kept = engine.sc.parallelize(range(10), 4).cache()
    kept.count()
    assert len(engine.blocks()) == 4
    kept.unpersist()
    engine.settle()
    assert engine.blocks() == []
    assert kept.count() == 10


# --- failures ---------------------------------------------------------------------------------------------------------


def fail_on_seven(record: int) -> int:
    if record == 7:
        raise ValueError("seven is not allowed")
    return record


def test_a_failure_names_the_place_and_the_context_goes_on(engine: Engine) -> None:
    with pytest.raises(TaskError) as raised:
        engine.sc.parallelize(range(10), 10).map(fail_on_seven).collect()
    failure = raised.value.failure
    assert failure.partition == 7
    assert failure.summary == "ValueError: seven is not allowed"
    assert "fail_on_seven" in failure.traceback
    assert isinstance(raised.value.__cause__, ValueError)
    assert engine.sc.parallelize(range(10), 10).sum() == 45


def fail_beside_an_exchange(seed: int) -> Engine:
    """A task of one side of a chain of joins fails during the exchange of another side; then the
    program lets all of it go."""
    engine = Engine(3, seed=seed)
    sc = engine.sc
    pairs = sc.parallelize([(x, x) for x in range(60)], 6)
    good = pairs.reduceByKey(add, 4).map(lambda pair: pair).partitionBy(5)
    bad = sc.parallelize(range(30), 30).map(fail_on_seven if seed % 2 else fail_on_last).map(lambda x: (x, x))
    with pytest.raises(TaskError):
        good.join(bad).count()
    del good, bad
    gc.collect()
    assert sorted(pairs.reduceByKey(add, 3).collect()) == [(x, x) for x in range(60)]
    return engine


@pytest.mark.parametrize("seed", range(25))
def test_after_a_failure_beside_an_exchange_everything_goes_on(seed: int) -> None:
    assert fail_beside_an_exchange(seed).sc.parallelize(range(10)).sum() == 45


def test_an_exchange_for_a_job_that_failed_leaves_nothing_behind() -> None:
    for seed in range(25):
        engine = fail_beside_an_exchange(seed)
        for _ in range(2):  # the first job drops what nobody refers to, the second what came late
            gc.collect()
            engine.sc.parallelize([1]).count()
            engine.settle()
        assert engine.blocks() == []


def fail_on_last(record: int) -> int:
    if record == 29:
        raise ValueError("the last")
    return record


@pytest.mark.parametrize("pauses", range(0, 120, 4))
def test_after_ctrl_c_at_any_moment_the_same_job_gives_the_right_answer(pauses: int) -> None:
    engine = Engine(3, seed=pauses)
    pairs = engine.sc.parallelize([(x % 10, x) for x in range(200)], 6).cache()
    sums = pairs.reduceByKey(add, 4)
    joined = sums.join(pairs.groupByKey(4).mapValues(len))
    with engine.interrupted(pauses):
        joined.collect()
    expected = sorted((key, (sum(range(key, 200, 10)), 20)) for key in range(10))
    assert sorted(joined.collect()) == expected
    assert sorted(joined.collect()) == expected


@pytest.mark.parametrize("pauses", range(0, 120, 6))
def test_after_ctrl_c_at_any_moment_another_context_works(pauses: int) -> None:
    """Work left by the old one neither disturbs nor feeds the new one, whose ids begin anew."""
    engine = Engine(3, seed=pauses)

    def job(sc: BaseContext, factor: int) -> Any:
        kept = sc.parallelize([(x % 5, factor * x) for x in range(100)], 6).cache()
        return kept.union(kept).coalesce(3).reduceByKey(add, 4).join(kept.groupByKey(4).mapValues(sum))

    with engine.interrupted(pauses):
        job(engine.sc, 1).collect()
    sc = engine.again()
    result = sorted(job(sc, 10).collect())
    assert result == sorted((key, (20 * sum(range(key, 100, 5)), 10 * sum(range(key, 100, 5)))) for key in range(5))


def test_a_function_that_cannot_travel_is_refused_before_anything_runs(engine: Engine) -> None:
    lock = Lock()
    with pytest.raises(UsageError, match="lock"):
        engine.sc.parallelize([1]).map(note).map(lambda x: (lock, x)).collect()
    assert CALLS == []


def test_what_tasks_print_comes_in_whole_lines_with_the_rank(engine: Engine, capsys: pytest.CaptureFixture[str]) -> None:
    def talk(number: int) -> int:
        print("first", number, "half,", end=" ")
        print("second half")
        return number

    engine.sc.parallelize(range(8), 8).map(talk).count()
    out, err = capsys.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 8
    assert all(re.fullmatch(r"\[rank [123]\] first \d half, second half", line) for line in lines)


def test_results_keep_the_order_of_their_partitions(engine: Engine) -> None:
    assert engine.sc.parallelize(range(50), 50).collect() == list(range(50))


def test_a_thousand_small_tasks(engine: Engine) -> None:
    assert engine.sc.parallelize(range(1_000), 1_000).sum() == sum(range(1_000))


@pytest.mark.timeout(30)
def test_an_interruption_while_a_task_ends_comes_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal may come at the very call that would keep it off."""
    ends: list[Interrupts] = []

    def end(self: Interrupts) -> None:
        ends.append(self)
        if len(ends) == 1:
            raise Interrupted

    monkeypatch.setattr(Interrupts, "end", end)
    engine = Engine(1)
    assert engine.sc.parallelize(range(4), 2).sum() == 6
    assert len(ends) == 3 and engine.executors[0].running == 0


def test_a_function_that_prepares_executors_ends_none_of_them() -> None:
    with Cluster(2, 1) as cluster:
        assert cluster.driver is not None
        cluster.driver.on_every_executor(sys.exit)
        assert cluster.sc.parallelize(range(8), 4).sum() == 28
