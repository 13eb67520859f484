"""Tasks that run more than once, because they failed, are slow, or killed their executor."""

from __future__ import annotations

from dataclasses import replace

import pytest
from account import FAILURE
from lineages import Lineage
from simulator import cluster, done, finished

from mpirdd.protocol.ids import BlockId, Rank
from mpirdd.scheduler.events import (
    Command,
    DropBlocks,
    ExecutorLost,
    JobEnded,
    JobSubmitted,
    StartTasks,
    StopTask,
    TaskFailed,
    TaskFinished,
    TaskRunning,
    TaskSlow,
)
from mpirdd.scheduler.lineage import Source
from mpirdd.scheduler.scheduler import Scheduler

# --- failures ---------------------------------------------------------------------------------------------------------


def start_one(scheduler: Scheduler, partitions: int = 1) -> StartTasks:
    start = scheduler.handle(JobSubmitted(1, Lineage().source(partitions), range(partitions), ""))[0]
    assert isinstance(start, StartTasks)
    return start


def test_a_failed_task_is_tried_on_other_executors_as_often_as_set() -> None:
    scheduler = Scheduler([1, 2, 3], task_retries=2)
    start = start_one(scheduler)
    ranks = [start.executor]
    for tried in (1, 2):
        (again,) = scheduler.handle(TaskFailed(ranks[-1], start.stage.id, 0, FAILURE))
        assert isinstance(again, StartTasks) and (again.partitions, again.tried) == (start.partitions, {0: tried})
        ranks.append(again.executor)
    assert sorted(ranks) == [1, 2, 3]
    tried = tuple(f"rank {rank} (unknown)" for rank in ranks)
    assert scheduler.handle(TaskFailed(ranks[-1], start.stage.id, 0, FAILURE))[0] == JobEnded(1, replace(FAILURE, tried=tried))


def test_a_task_whose_host_is_at_fault_is_tried_once_on_each_other_host_without_retries_set() -> None:
    scheduler = Scheduler([1, 2, 3, 4, 5])
    scheduler._state.hosts.update({1: "a", 2: "a", 3: "b", 4: "b", 5: "c"})
    failure, start = replace(FAILURE, of_host=True), start_one(scheduler)
    ranks = [start.executor]
    for _ in range(2):
        (again,) = scheduler.handle(TaskFailed(ranks[-1], start.stage.id, 0, failure))
        assert isinstance(again, StartTasks)
        ranks.append(again.executor)
    assert sorted(map(scheduler._state.host_of, ranks)) == ["a", "b", "c"]
    ended = scheduler.handle(TaskFailed(ranks[-1], start.stage.id, 0, failure))[0]
    assert isinstance(ended, JobEnded) and ended.failure is not None
    assert len(ended.failure.tried) == 3


def test_a_failure_of_the_task_itself_on_the_next_host_ends_the_job() -> None:
    scheduler = Scheduler([1, 2, 3])
    scheduler._state.hosts.update({1: "a", 2: "b", 3: "c"})
    start = start_one(scheduler)
    (again,) = scheduler.handle(TaskFailed(start.executor, start.stage.id, 0, replace(FAILURE, of_host=True)))
    assert isinstance(again, StartTasks)
    assert isinstance(scheduler.handle(TaskFailed(again.executor, start.stage.id, 0, FAILURE))[0], JobEnded)


def test_the_only_executor_retries_itself() -> None:
    scheduler = Scheduler([1], task_retries=1)
    start = start_one(scheduler)
    (again,) = scheduler.handle(TaskFailed(1, start.stage.id, 0, FAILURE))
    assert isinstance(again, StartTasks) and again.executor == 1


def test_a_task_is_retried_where_its_input_is() -> None:
    simulator, lineage = cluster(4, task_retries=1)
    kept = lineage.source(1)
    simulator.keep(kept, copies=2)
    done(simulator, 1, kept)
    (start,) = simulator.scheduler.handle(JobSubmitted(2, kept, [0], ""))
    assert isinstance(start, StartTasks)
    (again,) = simulator.scheduler.handle(TaskFailed(start.executor, start.stage.id, 0, FAILURE))
    assert isinstance(again, StartTasks)
    assert {start.executor, again.executor} == simulator.account.holders[BlockId("rdd", kept.id, 0)]


def test_a_task_that_takes_executor_after_executor_with_it_fails_its_job() -> None:
    scheduler = Scheduler(range(1, 9), most_losses=3)
    source = Source(1, "source", 1, None, iter, [0])
    commands = scheduler.handle(JobSubmitted(1, source, [0], "sum at job.py:4"))
    deaths = 0
    while not (ended := [command for command in commands if isinstance(command, JobEnded)]):
        (started,) = [command for command in commands if isinstance(command, StartTasks)]
        commands = scheduler.handle(ExecutorLost(started.executor))
        deaths += 1
    assert deaths == 3 and len(scheduler._state.executors) == 5
    assert ended[0].failure is not None and "3 executors died while this task ran there" in ended[0].failure.summary


def deadly(scheduler: Scheduler, executor: Rank, queued: dict[Rank, list[StartTasks]]) -> list[Command]:
    """The first executor to reach partition 30 says that it begins it, where it was tried before, and dies."""
    commands: list[Command] = []
    for start in queued.pop(executor):
        for event in finished(start):
            if event.partition == 30:
                if 30 in start.suspects:
                    scheduler.handle(TaskRunning(executor, start.stage.id, 30, 0.0))
                return commands + scheduler.handle(ExecutorLost(executor, "a task called os._exit(7) there"))
            commands += scheduler.handle(event)
    return commands


def test_a_task_among_many_that_ends_its_executors_is_found_after_two() -> None:
    scheduler = Scheduler(range(1, 5), most_losses=2)
    pending = scheduler.handle(JobSubmitted(1, Lineage().source(100), range(100), "sum at job.py:4"))
    losses = 0
    while not (ended := [command for command in pending if isinstance(command, JobEnded)]):
        queued: dict[Rank, list[StartTasks]] = {}
        for command in pending:
            if isinstance(command, StartTasks):
                queued.setdefault(command.executor, []).append(command)
        pending = []
        for executor in list(queued):
            pending += deadly(scheduler, executor, queued)
    losses = 4 - len(scheduler._state.executors)
    failure = ended[0].failure
    assert losses == 2 and failure is not None
    assert (failure.stage, failure.partition) == ("sum at job.py:4", 30)
    assert "2 executors died" in failure.summary and "os._exit(7)" in failure.summary


def test_a_task_that_was_seen_to_end_two_executors_needs_no_word_of_theirs() -> None:
    """On a busy host an executor may be dead before the driver has read that it begins a suspect."""
    scheduler = Scheduler(range(1, 5), most_losses=2)
    commands = scheduler.handle(JobSubmitted(1, Lineage().source(12), range(12), "sum at job.py:4"))
    waiting: list[StartTasks] = []
    for losses in (1, 2):
        waiting += [command for command in commands if isinstance(command, StartTasks)]
        executor = executor_of(5, waiting, scheduler)
        commands = scheduler.handle(ExecutorLost(executor, "it was killed by signal 9", ("sum at job.py:4", 5)))
        ended = [command for command in commands if isinstance(command, JobEnded)]
        assert len(ended) == losses - 1
    assert ended[0].failure is not None and ended[0].failure.partition == 5
    assert not any(isinstance(command, StartTasks) for command in commands)  # nobody else dies of it


def executor_of(partition: int, waiting: list[StartTasks], scheduler: Scheduler) -> Rank:
    """Who gets the task, when others have finished what they had."""
    while partition not in (start := waiting.pop(0)).partitions:
        for event in finished(start):
            waiting += [command for command in scheduler.handle(event) if isinstance(command, StartTasks)]
    return start.executor


def test_only_the_task_that_was_seen_to_run_counts_a_death() -> None:
    """Others that waited behind it there may be the first of their queue at the next loss."""
    scheduler = Scheduler(range(1, 3), most_losses=1)
    starts = [command for command in scheduler.handle(JobSubmitted(1, Lineage().source(8), range(8), "sum at job.py:4"))
              if isinstance(command, StartTasks)]
    last = [partition for command in starts if command.executor == 1 for partition in command.partitions][-1]
    (ended,) = (command for command in scheduler.handle(ExecutorLost(1, "it died", ("sum at job.py:4", last)))
                if isinstance(command, JobEnded))
    assert ended.failure is not None and ended.failure.partition == last


def test_tasks_that_were_only_queued_on_executors_that_died_are_not_suspected() -> None:
    """The tasks take long, and finish one by one; two of five executors die for reasons of their own."""
    scheduler = Scheduler(range(1, 6), most_losses=2)
    starts = [command for command in scheduler.handle(JobSubmitted(1, Lineage().source(50), range(50), ""))
              if isinstance(command, StartTasks)]
    for start in starts:
        first = finished(start)[0]
        scheduler.handle(TaskFinished(first.executor, first.stage, first.partition, (), 10.0))
    for executor in (1, 2):
        assert not [command for command in scheduler.handle(ExecutorLost(executor)) if isinstance(command, JobEnded)]


# --- slow tasks -------------------------------------------------------------------------------------------------------


def one_slow(*, speculation: bool, executors: int = 4, seconds: float = 1.0) -> tuple[Scheduler, StartTasks]:
    """As many tasks as executors; all but the last have finished after ``seconds``."""
    scheduler = Scheduler(range(1, executors + 1), speculation=speculation)
    starts = scheduler.handle(JobSubmitted(1, Lineage().source(executors), range(executors), "job"))
    for start in starts[:-1]:
        assert isinstance(start, StartTasks)
        scheduler.handle(TaskFinished(start.executor, start.stage.id, start.partitions[0], (), seconds))
    assert isinstance(starts[-1], StartTasks)
    return scheduler, starts[-1]


def running(start: StartTasks, seconds: float) -> TaskRunning:
    return TaskRunning(start.executor, start.stage.id, start.partitions[0], seconds)


def test_a_slow_task_is_reported_once_when_it_has_run_for_long() -> None:
    scheduler, slow = one_slow(speculation=False)
    assert scheduler.handle(running(slow, 3.1)) == []
    assert scheduler.handle(running(slow, 10.0)) == []
    assert scheduler.handle(running(slow, 10.1)) == [
        TaskSlow(slow.executor, slow.stage.id, "job", slow.partitions[0], 10.1, 1.0, None)]
    assert scheduler.handle(running(slow, 19.0)) == []


def test_a_task_like_its_siblings_is_not_slow_however_long_they_take() -> None:
    scheduler, slow = one_slow(speculation=True, seconds=1000.0)
    assert scheduler.handle(running(slow, 3000.0)) == []
    assert scheduler.handle(running(slow, 3000.1))


def test_a_second_attempt_is_reported_at_once() -> None:
    scheduler, slow = one_slow(speculation=True)
    assert scheduler.handle(running(slow, 3.0)) == []
    again, report = scheduler.handle(running(slow, 3.1))
    assert isinstance(again, StartTasks) and isinstance(report, TaskSlow)
    assert scheduler.handle(running(slow, 11.0)) == []


@pytest.mark.parametrize(("tasks", "finish"), [(1, 0), (2, 1), (8, 3)])
def test_nothing_is_slow_before_it_is_known_what_is_usual(tasks: int, finish: int) -> None:
    scheduler = Scheduler(range(1, tasks + 1))
    starts = scheduler.handle(JobSubmitted(1, Lineage().source(tasks), range(tasks), ""))
    for start in starts[:finish]:
        assert isinstance(start, StartTasks)
        scheduler.handle(TaskFinished(start.executor, start.stage.id, start.partitions[0], (), 1.0))
    assert isinstance(starts[-1], StartTasks)
    assert scheduler.handle(running(starts[-1], 1000.0)) == []


def test_the_first_of_two_attempts_wins_and_the_other_is_cancelled() -> None:
    scheduler, slow = one_slow(speculation=True)
    again, report = scheduler.handle(running(slow, 5.0))
    assert isinstance(again, StartTasks) and again.executor != slow.executor
    assert (again.partitions, again.tried) == (slow.partitions, dict.fromkeys(slow.partitions, 1))
    assert isinstance(report, TaskSlow) and report.speculated == again.executor
    commands = scheduler.handle(finished(again)[0])
    assert StopTask(slow.executor, slow.stage.id, slow.partitions[0]) in commands
    assert commands[-1] == JobEnded(1, None)
    assert not any(scheduler._state.task_sets.load.values())


def test_map_output_of_the_slower_attempt_is_dropped() -> None:
    scheduler, lineage = Scheduler([1, 2, 3, 4], speculation=True), Lineage()
    starts = scheduler.handle(JobSubmitted(1, lineage.shuffle(lineage.source(4), 1), [0], ""))
    for start in starts[:-1]:
        assert isinstance(start, StartTasks)
        scheduler.handle(finished(start)[0])
    slow = starts[-1]
    assert isinstance(slow, StartTasks)
    again = scheduler.handle(running(slow, 5.0))[0]
    assert isinstance(again, StartTasks)
    scheduler.handle(finished(again)[0])
    late = finished(slow)[0]
    assert scheduler.handle(late) == [DropBlocks(slow.executor, late.made)]


def test_a_failing_attempt_counts_only_when_the_other_fails_too() -> None:
    scheduler, slow = one_slow(speculation=True)
    again = scheduler.handle(running(slow, 5.0))[0]
    assert isinstance(again, StartTasks)
    partition = slow.partitions[0]
    assert scheduler.handle(TaskFailed(again.executor, slow.stage.id, partition, FAILURE)) == []
    assert scheduler.handle(TaskFailed(slow.executor, slow.stage.id, partition, FAILURE))[0] == JobEnded(1, FAILURE)


def test_when_one_attempt_is_lost_the_other_goes_on() -> None:
    scheduler, slow = one_slow(speculation=True)
    again = scheduler.handle(running(slow, 5.0))[0]
    assert isinstance(again, StartTasks)
    assert not any(isinstance(command, StartTasks) for command in scheduler.handle(ExecutorLost(slow.executor)))
    assert scheduler.handle(finished(again)[0])[-1] == JobEnded(1, None)


def test_no_second_attempt_where_the_input_is_not() -> None:
    simulator, lineage = cluster(4, speculation=True)
    kept = lineage.source(4)
    simulator.keep(kept)
    done(simulator, 1, kept)
    starts = simulator.scheduler.handle(JobSubmitted(2, kept, range(4), ""))
    for start in starts[:-1]:
        assert isinstance(start, StartTasks)
        for event in finished(start):
            simulator.scheduler.handle(event)
    assert isinstance(starts[-1], StartTasks)
    (report,) = simulator.scheduler.handle(running(starts[-1], 11.0))
    assert isinstance(report, TaskSlow) and report.speculated is None
