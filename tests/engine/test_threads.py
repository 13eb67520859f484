"""Several threads of the program run jobs at once."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from operator import add
from typing import Any

import pytest
from beside import Calls, about_keeping, fail_on

from mpirdd import Context, TaskError

DATA = [(i % 7, i) for i in range(200)]
SUMS = {key: sum(value for k, value in DATA if k == key) for key in range(7)}


def at_once(*functions: Callable[[], Any]) -> list[Any]:
    """The results of the functions, each called in a thread of its own."""
    with ThreadPoolExecutor(len(functions)) as pool:
        return [future.result() for future in [pool.submit(function) for function in functions]]


def test_jobs_of_many_threads_give_their_own_results(sc: Context) -> None:
    def job(number: int) -> dict[int, int]:
        rdd = sc.parallelize(DATA, 1 + number % 5).mapValues(lambda v: v * number)
        return rdd.reduceByKey(add, 1 + number % 3).collectAsMap()

    made = at_once(*[partial(job, number) for number in range(16)])
    assert made == [{key: number * total for key, total in SUMS.items()} for number in range(16)]


def test_threads_that_need_one_shuffle_do_it_once(sc: Context, calls: Calls) -> None:
    rdd = sc.parallelize(DATA, 4).map(calls).reduceByKey(add)
    assert at_once(*[rdd.collectAsMap] * 6) == [SUMS] * 6
    assert calls.count() == len(DATA)


@about_keeping
def test_threads_that_need_one_cached_rdd_compute_it_once(sc: Context, calls: Calls) -> None:
    rdd = sc.parallelize(DATA, 4).map(calls).cache()
    made = at_once(rdd.count, rdd.collect, rdd.reduceByKey(add).collectAsMap, rdd.map(lambda kv: kv).count)
    assert made == [len(DATA), DATA, SUMS, len(DATA)]
    assert calls.count() == len(DATA)


def test_threads_that_need_one_sorted_rdd_sample_it_once(sc: Context, calls: Calls) -> None:
    rdd = sc.parallelize(DATA, 4).map(calls).sortBy(lambda kv: -kv[1])
    assert at_once(*[rdd.collect] * 4) == [DATA[::-1]] * 4
    assert calls.count() == 2 * len(DATA)


def test_a_failing_job_leaves_those_of_other_threads_alone(sc: Context) -> None:
    rdd = sc.parallelize(DATA, 4)

    def fail() -> str:
        with pytest.raises(TaskError) as caught:
            rdd.map(lambda kv: fail_on((3, 150), kv)).collect()
        return str(caught.value.__cause__)

    made = at_once(fail, rdd.count, fail, rdd.reduceByKey(add).collectAsMap, rdd.values().sum)
    assert made == ["do not like (3, 150)", 200, "do not like (3, 150)", SUMS, sum(range(200))]


def test_handles_may_go_while_other_threads_run_jobs(sc: Context) -> None:
    def loop() -> int:
        rdds = (sc.parallelize(DATA, 3).mapValues(partial(add, i)).cache().reduceByKey(add) for i in range(10))
        return sum(rdd.values().sum() for rdd in rdds)

    assert at_once(*[loop] * 4) == [sum(sum(range(200)) + 200 * i for i in range(10))] * 4
