"""Barrier stages on the whole engine: what the program gets is of one attempt, as tasks have exchanged messages within one only;
and what becomes of tasks that wait at a barrier.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterable, Iterator
from operator import add
from typing import Any

import pytest
from chaos import Cluster, die

from mpirdd.api.taskcontext import BarrierTaskContext
from mpirdd.comm.inprocess import Network
from mpirdd.executor.executor import Executor
from mpirdd.executor.interrupt import Interrupts
from mpirdd.observe.run_events import TaskFailed
from mpirdd.protocol.errors import TaskError
from mpirdd.protocol.messages import BarrierPassed, EndProcess, Start, TellStack
from mpirdd.protocol.settings import Settings
from mpirdd.store.codec import encode


def fail() -> None:
    raise ValueError("not yet")


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("end", [die, fail])
def test_results_and_additions_are_of_the_last_attempt(end: Any, shuffled: bool) -> None:
    for seed in range(25):  # some of them take results of the first attempt before they learn of its end
        with Cluster(4, seed, task_retries=1) as running:
            added = running.sc.accumulator(0)

            def talk(records: Iterable[Any], added: Any = added) -> Iterator[tuple[int, int]]:
                task = BarrierTaskContext.get()
                attempt, part = task.attemptNumber(), task.partitionId()
                task.barrier()
                added.add(10 ** attempt)
                if (attempt, part) == (0, 2):
                    end()
                yield part, attempt

            rdd = running.sc.parallelize(range(3), 3).barrier().mapPartitions(talk)
            got = sorted((rdd.reduceByKey(add, 2) if shuffled else rdd).collect())
            assert (got, added.value) == ([(0, 1), (1, 1), (2, 1)], 30), seed


def all_but_the_first(records: Iterable[Any]) -> Iterable[Any]:
    task = BarrierTaskContext.get()
    if task.partitionId():
        task.barrier()
    return records


def test_an_attempt_that_waits_in_vain_is_stopped_and_is_an_event() -> None:
    failed: list[TaskFailed] = []
    with Cluster(2, 1, task_retries=1) as running:
        assert running.driver is not None
        running.driver.observers.bus.subscribe({TaskFailed: failed.append})
        with pytest.raises(TaskError, match="another task of its stage has ended without coming there"):
            running.sc.parallelize(range(2), 2).barrier().mapPartitions(all_but_the_first).collect()
        assert running.sc.parallelize(range(8), 8).sum() == 28
    assert [(event.partition, event.error.partition(":")[0]) for event in failed] == [(1, "UsageError")] * 2


class Noting(Interrupts):
    """Notes the questions about stacks."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.questions: list[TellStack] = []

    def tell_stacks(self, question: TellStack) -> None:
        self.questions.append(question)


def test_a_rank_at_a_barrier_does_what_it_is_asked_to_about_its_host() -> None:
    network = Network(2)
    interrupts = Noting(network.end(1))
    executor = Executor(network.end(1), interrupts)
    network.end(0).send(1, encode(Start(Settings(), "", ())))
    assert executor.step()
    question = TellStack("why", 2, 77)
    with subprocess.Popen(["sleep", "20"]) as stuck:
        for message in (question, EndProcess(stuck.pid), BarrierPassed(1, ("a", "b"))):
            network.end(0).send(1, encode(message))
        assert executor._runner._barrier.wait(1, 0, 2, "a") == ("a", "b")
        assert interrupts.questions == [question]
        assert not executor._put_off
        assert stuck.wait(10) == -signal.SIGKILL
