"""``TaskContext.attemptNumber``: 0 when a partition is tried for the first time, then 1, and so on, whatever the reason."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from chaos import Cluster
from lineages import Lineage
from simulator import cluster, done, finished

from mpirdd.api.taskcontext import BarrierTaskContext, TaskContext
from mpirdd.protocol.ids import BlockId
from mpirdd.scheduler.events import ExecutorLost, JobSubmitted, StartTasks, TaskRunning
from mpirdd.scheduler.scheduler import Scheduler

_CLUSTERS: list[Cluster] = []
SEEN: list[tuple[int, int]] = []
"""Partition and attempt number of each attempt. Functions of this module travel by name, so tasks append to this list."""


def note() -> int:
    task = TaskContext.get()
    assert task is not None
    SEEN.append((task.partitionId(), task.attemptNumber()))
    return task.attemptNumber()


def fail_twice(records: Iterable[Any]) -> Iterator[Any]:
    if note() < 2:
        raise ValueError("not yet")
    yield from records


def die_once(records: Iterable[Any]) -> Iterator[Any]:
    if note() == 0 and len(_CLUSTERS[-1].living) > 2:
        _CLUSTERS[-1].die_here()
    yield from records


def talk_and_fail_once(records: Iterable[Any]) -> Iterator[Any]:
    number = note()
    BarrierTaskContext.get().barrier()
    if number == 0:
        raise ValueError("not yet")
    yield from records


def attempts() -> dict[int, list[int]]:
    by_partition: dict[int, list[int]] = {}
    for partition, number in SEEN:
        by_partition.setdefault(partition, []).append(number)
    SEEN.clear()
    return by_partition


def test_retries_are_numbered() -> None:
    with Cluster(3, 1, task_retries=3) as running:
        assert running.sc.parallelize(range(8), 4).mapPartitions(fail_twice).sum() == 28
        assert attempts() == {partition: [0, 1, 2] for partition in range(4)}
        assert running.sc.parallelize(range(8), 4).mapPartitions(fail_twice).map(
            lambda x: (x, x)).groupByKey(2).count() == 8
        assert attempts() == {partition: [0, 1, 2] for partition in range(4)}


def test_tasks_of_the_dead_are_numbered() -> None:
    with Cluster(4, 2) as running:
        _CLUSTERS.append(running)
        try:
            assert running.sc.parallelize(range(8), 4).mapPartitions(die_once).sum() == 28
        finally:
            _CLUSTERS.pop()
        seen = attempts()
    assert sum(1 in numbers for numbers in seen.values()) == 2
    assert all(numbers in ([0], [0, 1], [1]) for numbers in seen.values())


def test_all_tasks_of_a_barrier_stage_that_runs_again_are_numbered() -> None:
    with Cluster(3, 3, task_retries=1) as running:
        assert running.sc.parallelize(range(6), 3).barrier().mapPartitions(talk_and_fail_once).sum() == 15
    assert attempts() == {partition: [0, 1] for partition in range(3)}


def tried(command: StartTasks) -> dict[int, int]:
    return {partition: command.tried.get(partition, 0) for partition in command.partitions}


def test_map_tasks_whose_output_was_lost_are_numbered() -> None:
    simulator, lineage = cluster(2)
    shuffled = lineage.shuffle(lineage.source(4), 2)
    done(simulator, 1, shuffled)
    lost = [index for index in range(4) if simulator.holders(BlockId("map", shuffled.id, index)) == (2,)]
    simulator.lose(2)
    before = len(simulator.recorded)
    done(simulator, 2, shuffled)
    again = {partition: number for _, commands in simulator.recorded[before:] for command in commands
             if isinstance(command, StartTasks) and command.stage.output.kind == "map"
             for partition, number in tried(command).items()}
    assert again == dict.fromkeys(lost, 1)


def test_second_attempts_of_slow_tasks_are_numbered() -> None:
    simulator, lineage = cluster(4, speculation=True)
    starts = simulator.scheduler.handle(JobSubmitted(1, lineage.source(4), range(4), ""))
    for start in starts[:-1]:
        assert isinstance(start, StartTasks)
        simulator.scheduler.handle(finished(start)[0])
    slow = starts[-1]
    assert isinstance(slow, StartTasks) and set(tried(slow).values()) == {0}
    partition = slow.partitions[0]
    second = simulator.scheduler.handle(TaskRunning(slow.executor, slow.stage.id, partition, 50.0))[0]
    assert isinstance(second, StartTasks) and tried(second) == {partition: 1}
    assert simulator.scheduler.handle(ExecutorLost(slow.executor))  # the second one goes on
    commands = simulator.scheduler.handle(ExecutorLost(second.executor))
    third = next(command for command in commands if isinstance(command, StartTasks))
    assert tried(third) == {partition: 2}


def test_a_new_job_on_the_same_rdd_begins_with_zero() -> None:
    scheduler, source = Scheduler([1, 2]), Lineage().source(1)
    (start,) = scheduler.handle(JobSubmitted(1, source, [0], ""))
    assert isinstance(start, StartTasks)
    again = next(command for command in scheduler.handle(ExecutorLost(start.executor)) if isinstance(command, StartTasks))
    assert tried(again) == {0: 1}
    scheduler.handle(finished(again)[0])
    (start,) = scheduler.handle(JobSubmitted(2, source, [0], ""))
    assert isinstance(start, StartTasks) and tried(start) == {0: 0}
