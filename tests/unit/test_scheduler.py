"""The scheduler, one decision after the other. test_schedules.py has random schedules,
test_recovery.py and test_barriers.py lost executors, test_attempts.py failing and slow tasks,
test_copies.py copies.
"""

from __future__ import annotations

from collections import deque
from time import perf_counter
from typing import Any

import pytest
from account import FAILURE
from lineages import Lineage
from simulator import cluster, done, finished

from mpirdd.protocol.ids import BlockId, Rank
from mpirdd.protocol.stage import Output
from mpirdd.scheduler import planner as plan
from mpirdd.scheduler.events import (
    BlocksGone,
    CloseStage,
    Command,
    DropBlocks,
    DropNodes,
    ExchangeFinished,
    JobEnded,
    JobSubmitted,
    JobWithdrawn,
    NodeKept,
    NodeReleased,
    RootsChanged,
    StartTasks,
    StopStage,
    TaskFailed,
    TaskFinished,
)
from mpirdd.scheduler.scheduler import Scheduler


def tasks(commands: list[Command]) -> dict[Rank, list[int]]:
    """Started partitions, by executor."""
    started: dict[Rank, list[int]] = {}
    for command in commands:
        if isinstance(command, StartTasks):
            started.setdefault(command.executor, []).extend(command.partitions)
    return started


def test_a_job_without_partitions_ends_at_once() -> None:
    assert Scheduler([1]).handle(JobSubmitted(1, Lineage().source(3), [], "")) == [JobEnded(1, None)]


def test_a_job_runs_only_the_partitions_it_was_asked_for() -> None:
    simulator, lineage = cluster(3)
    simulator.submit(1, lineage.map(lineage.source(100)), [7])
    simulator.run()
    assert simulator.account.results[1] == {7: 1}


def test_a_shuffle_that_was_done_is_not_done_again() -> None:
    simulator, lineage = cluster(3)
    shuffled = lineage.shuffle(lineage.source(4), 5)
    simulator.submit(1, shuffled)
    simulator.run()
    made, exchanges = simulator.made.copy(), simulator.exchanges
    simulator.submit(2, lineage.map(shuffled))
    simulator.run()
    assert (simulator.made, simulator.exchanges) == (made, exchanges)


def test_the_rest_of_a_shuffle_needs_an_exchange_but_no_map_task() -> None:
    simulator, lineage = cluster(3)
    shuffled = lineage.shuffle(lineage.source(4), 5)
    simulator.submit(1, shuffled, [0])
    simulator.run()
    assert simulator.exchanges == 1
    made = simulator.made.copy()
    simulator.submit(2, shuffled)
    simulator.run()
    assert (simulator.made, simulator.exchanges) == (made, 2)


def test_two_jobs_share_one_map_stage() -> None:
    simulator, lineage = cluster(2)
    shuffled = lineage.shuffle(lineage.source(6), 3)
    simulator.submit(1, shuffled)
    simulator.submit(2, lineage.map(shuffled))
    simulator.run()
    assert all(count == 1 for count in simulator.made.values())
    assert simulator.exchanges == 1


def test_equal_partitions_of_joined_shuffles_meet_without_copies() -> None:
    simulator, lineage = cluster(3)
    left, right = (lineage.shuffle(lineage.source(4), 7) for _ in range(2))
    simulator.submit(1, left)
    simulator.run()
    simulator.submit(2, lineage.zip(left, right))
    simulator.run()
    assert simulator.exchanges == 2  # one a shuffle, none for copies


def test_what_several_tasks_would_keep_is_computed_by_one() -> None:
    simulator, lineage = cluster(4)
    kept = lineage.source(3)
    simulator.keep(kept)
    simulator.submit(1, lineage.cartesian(kept, kept))
    simulator.run()
    assert simulator.made == {BlockId("rdd", kept.id, index): 1 for index in range(3)}


def test_a_cartesian_product_of_kept_partitions_uses_all_executors_alike() -> None:
    simulator, lineage = cluster(4)
    left, right = lineage.source(8), lineage.source(8)
    simulator.keep(left, right)
    for job, node in enumerate((left, right), 1):
        simulator.submit(job, node)
        simulator.run()
    load: dict[Rank, int] = {}
    check = simulator.account.check

    def count(command: Command) -> None:
        for rank, partitions in tasks([command]).items():
            load[rank] = load.get(rank, 0) + len(partitions)
        check(command)

    simulator.account.check = count  # type: ignore[method-assign]
    simulator.submit(3, lineage.cartesian(left, right))
    simulator.run()
    assert sum(load.values()) == 64
    assert max(load.values()) <= 2 * 64 / 4


def test_tasks_go_where_what_they_read_is_kept() -> None:
    simulator, lineage = cluster(3)
    kept = lineage.source(9)
    simulator.keep(kept)
    simulator.submit(1, kept)
    simulator.run()
    started = tasks(simulator.scheduler.handle(JobSubmitted(2, lineage.map(kept), range(9), "")))
    for rank, partitions in started.items():
        assert all(rank in simulator.account.holders[BlockId("rdd", kept.id, index)] for index in partitions)
    assert sum(map(len, started.values())) == 9


def test_many_small_tasks_go_out_in_few_messages() -> None:
    scheduler = Scheduler([1, 2, 3])
    waiting = deque(scheduler.handle(JobSubmitted(1, Lineage().source(1_000), range(1_000), "")))
    messages = 0
    while waiting:
        command = waiting.popleft()
        if isinstance(command, StartTasks):
            messages += 1
            for event in finished(command):
                waiting.extend(scheduler.handle(TaskFinished(event.executor, event.stage, event.partition, (), 1e-6)))
    assert messages < 40


def test_long_tasks_are_handed_out_so_that_no_executor_is_left_with_many() -> None:
    scheduler = Scheduler([1, 2])
    first, second = scheduler.handle(JobSubmitted(1, Lineage().source(12), range(12), ""))
    assert isinstance(first, StartTasks) and isinstance(second, StartTasks)
    held_by_slow = len(second.partitions)
    done, waiting = 0, deque([first])
    while waiting:
        for event in finished(waiting.popleft()):
            done += 1
            waiting.extend(c for c in scheduler.handle(TaskFinished(1, event.stage, event.partition, (), 10.0))
                           if isinstance(c, StartTasks))
    assert done == 12 - held_by_slow
    assert held_by_slow <= 3


def test_free_tasks_go_on_when_the_last_task_of_an_executor_lacked_a_block() -> None:
    """The executor has no other task of the stage whose end could bring the next one."""
    simulator, lineage = cluster(1)
    kept = lineage.source(8)
    simulator.keep(kept)
    simulator.submit(1, kept, [0])
    simulator.run()
    simulator.executors[1].blocks.clear()
    simulator.submit(2, kept)
    simulator.run()
    assert simulator.account.ended[2] is None


def test_a_copy_that_never_came_is_not_counted_on() -> None:
    simulator, lineage = cluster(2)
    left, right = lineage.source(2), lineage.source(2)
    simulator.keep(left, right)
    for job, node in enumerate((left, right), 1):
        simulator.submit(job, node)
        simulator.run()
    for executor in simulator.executors.values():
        executor.blocks.clear()
    simulator.submit(3, lineage.cartesian(left, right))
    simulator.run()
    assert simulator.account.ended[3] is None


def test_a_failure_ends_the_job_and_cancels_its_tasks_but_no_other_job() -> None:
    scheduler, lineage = Scheduler([1, 2]), Lineage()
    failing = scheduler.handle(JobSubmitted(1, lineage.source(2), range(2), ""))[0]
    scheduler.handle(JobSubmitted(2, lineage.source(2), range(2), ""))
    assert isinstance(failing, StartTasks)
    stage = failing.stage.id
    assert scheduler.handle(TaskFailed(1, stage, 0, FAILURE)) == [
        JobEnded(1, FAILURE), StopStage(2, stage), CloseStage(stage)]


def test_a_failing_map_task_ends_every_job_that_waits_for_it() -> None:
    scheduler, lineage = Scheduler([1]), Lineage()
    shuffled = lineage.shuffle(lineage.source(1), 1)
    start = scheduler.handle(JobSubmitted(1, shuffled, [0], ""))[0]
    assert scheduler.handle(JobSubmitted(2, lineage.map(shuffled), [0], "")) == []
    assert isinstance(start, StartTasks)
    ended = [command for command in scheduler.handle(TaskFailed(1, start.stage.id, 0, FAILURE))
             if isinstance(command, JobEnded)]
    assert ended == [JobEnded(1, FAILURE), JobEnded(2, FAILURE)]


def test_a_cancelled_job_leaves_a_map_stage_to_the_other_job_that_wants_it() -> None:
    scheduler, lineage = Scheduler([1]), Lineage()
    shuffled = lineage.shuffle(lineage.source(1), 1)
    scheduler.handle(JobSubmitted(1, shuffled, [0], ""))
    scheduler.handle(JobSubmitted(2, lineage.map(shuffled), [0], ""))
    assert scheduler.handle(JobWithdrawn(1)) == []


def test_late_map_output_of_a_cancelled_job_is_dropped() -> None:
    scheduler, lineage = Scheduler([1]), Lineage()
    start = scheduler.handle(JobSubmitted(1, lineage.shuffle(lineage.source(1), 1), [0], ""))[0]
    scheduler.handle(JobWithdrawn(1))
    assert isinstance(start, StartTasks)
    late = finished(start)[0]
    assert scheduler.handle(late) == [DropBlocks(1, late.made)]


def test_late_map_output_is_not_dropped_while_its_executor_makes_the_same_again() -> None:
    """The drop could reach the executor after it has made the block for the second time, and take that one."""
    scheduler, lineage = Scheduler([1]), Lineage()
    shuffled = lineage.shuffle(lineage.source(1), 1)
    start = scheduler.handle(JobSubmitted(1, shuffled, [0], ""))[0]
    scheduler.handle(JobWithdrawn(1))
    scheduler.handle(JobSubmitted(2, shuffled, [0], ""))
    assert isinstance(start, StartTasks)
    assert scheduler.handle(finished(start)[0]) == []


def test_what_is_no_longer_kept_is_dropped_when_it_comes() -> None:
    scheduler, source = Scheduler([1]), Lineage().source(1)
    scheduler.handle(NodeKept(source.id))
    start = scheduler.handle(JobSubmitted(1, source, [0], ""))[0]
    assert scheduler.handle(NodeReleased(source.id)) == [DropNodes((1,), kept=(source.id,))]
    assert isinstance(start, StartTasks)
    block = BlockId("rdd", source.id, 0)
    commands = scheduler.handle(TaskFinished(1, start.stage.id, 0, (block,), 0.0))
    assert commands[0] == DropBlocks(1, (block,))


def test_a_failing_map_task_does_not_end_a_job_that_needs_its_shuffle_no_more() -> None:
    simulator, lineage = cluster(1)
    shuffled = lineage.shuffle(lineage.source(1), 2)
    simulator.submit(1, shuffled, [0])
    simulator.run()
    scheduler = simulator.scheduler
    assert tasks(scheduler.handle(JobSubmitted(2, shuffled, [0], ""))) == {1: [0]}
    scheduler.handle(BlocksGone(1, (BlockId("map", shuffled.id, 0),)))
    start = scheduler.handle(JobSubmitted(3, shuffled, [1], ""))[0]
    assert isinstance(start, StartTasks) and start.stage.output.kind == "map"
    commands = scheduler.handle(TaskFailed(1, start.stage.id, 0, FAILURE))
    assert [command.job for command in commands if isinstance(command, JobEnded)] == [3]


def test_planning_costs_no_more_for_each_of_many_shuffles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts how often the scheduler looks at a stage; looking at all of them at each event is
    quadratic."""
    looks = 0
    flatten = plan._flatten

    def counted(*arguments: Any) -> Any:
        nonlocal looks
        looks += 1
        return flatten(*arguments)

    monkeypatch.setattr(plan, "_flatten", counted)
    simulator, lineage = cluster(2)
    node = lineage.source(2)
    for _ in range(300):
        node = lineage.shuffle(node, 2)
    simulator.submit(1, node)
    simulator.run()
    assert looks < 5 * 300


def test_commands_name_the_jobs_that_a_stage_runs_for() -> None:
    scheduler, lineage = Scheduler([1]), Lineage()
    shuffled = lineage.shuffle(lineage.source(3), 2)
    start = scheduler.handle(JobSubmitted(1, shuffled, range(2), "job"))[0]
    assert isinstance(start, StartTasks) and (start.total, start.jobs) == (3, (1,))
    assert scheduler.handle(JobSubmitted(2, lineage.map(shuffled), range(2), "job")) == []
    for event in finished(start):
        commands = scheduler.handle(event)
    started = [command for command in commands if isinstance(command, StartTasks)]
    assert all(command.jobs == (1, 2) for command in started)


def test_what_later_jobs_would_not_look_at_is_dropped() -> None:
    simulator, lineage = cluster(2)
    first = lineage.shuffle(lineage.source(2), 2)
    output = lineage.map(first)
    last = lineage.map(lineage.shuffle(output, 2))
    simulator.keep(output, last)
    done(simulator, 1, last)
    scheduler = simulator.scheduler
    second = last.parents[0].id
    assert scheduler.handle(RootsChanged((last, output), frozenset({output.id, last.id}))) == [
        DropNodes((1, 2), shuffles=(first.id, second))]
    assert scheduler.handle(RootsChanged((last,), frozenset({output.id, last.id}))) == [
        DropNodes((1, 2), kept=(output.id,))]
    assert scheduler.handle(RootsChanged((last,), frozenset({output.id, last.id}))) == []


def test_events_about_what_is_long_over_change_nothing() -> None:
    scheduler = Scheduler([1])
    assert scheduler.handle(TaskFinished(1, 99, 0, (), 0.0)) == []
    assert scheduler.handle(TaskFailed(1, 99, 0, FAILURE)) == []
    assert scheduler.handle(ExchangeFinished(1, 99)) == []
    assert scheduler.handle(JobWithdrawn(99)) == []
    assert scheduler.handle(BlocksGone(1, (BlockId("rdd", 9, 9),), 99, (0,))) == []


def test_deep_lineage_is_planned_without_recursion() -> None:
    simulator, lineage = cluster(2)
    node = lineage.source(2)
    for depth in range(5_000):
        node = lineage.map(node) if depth % 3 else lineage.coalesce(node, 2)
    simulator.submit(1, node)
    simulator.run()
    assert simulator.account.ended == {1: None}


def test_thousands_of_executors_are_scheduled() -> None:
    """Prints the rate; asserts only that it ends."""
    executors = 2_000
    simulator, lineage = cluster(executors)
    node = lineage.map(lineage.shuffle(lineage.source(4 * executors), executors))
    began = perf_counter()
    simulator.submit(1, node)
    simulator.run(steps=1_000_000)
    seconds = perf_counter() - began
    assert len(simulator.account.results[1]) == executors
    print(f"{executors} executors: {len(simulator.recorded)} events in {seconds:.2f} s, simulation and checks included: "
          f"{len(simulator.recorded) / seconds:,.0f} a second")


def test_tasks_are_started_once_each_when_nothing_goes_wrong() -> None:
    simulator, lineage = cluster(3)
    shuffled = lineage.shuffle(lineage.source(6), 3)
    done(simulator, 1, shuffled)
    assert simulator.account.starts == {
        **{(Output("map", shuffled.id), part): 1 for part in range(6)},
        **{(Output("result", 1), part): 1 for part in range(3)},
    }
