"""Barrier stages: all tasks at once, or none."""

from __future__ import annotations

from lineages import Lineage
from simulator import cluster, done, finished, made_again

from mpirdd.protocol.ids import BlockId, Rank
from mpirdd.scheduler.events import (
    BlocksGone,
    CloseStage,
    DropBlocks,
    Event,
    ExchangeFinished,
    ExecutorLost,
    JobEnded,
    JobSubmitted,
    JobWithdrawn,
    NewEpoch,
    NodeKept,
    StartExchange,
    StartTasks,
    StopStage,
    TaskFinished,
)
from mpirdd.scheduler.scheduler import Scheduler


def test_a_lost_barrier_task_runs_the_whole_stage_again() -> None:
    scheduler, lineage = Scheduler([1, 2, 3]), Lineage()
    starts = scheduler.handle(JobSubmitted(1, lineage.barrier(lineage.source(2)), range(2), ""))
    first = starts[0]
    assert isinstance(first, StartTasks)
    scheduler.handle(finished(first)[0])
    commands = scheduler.handle(ExecutorLost(2))
    again = [command for command in commands if isinstance(command, StartTasks)]
    assert {(command.executor, command.partitions[0]) for command in again} == {(1, 0), (3, 1)}
    assert all(len(command.barrier) == 2 and command.stage.id != first.stage.id for command in again)
    assert CloseStage(first.stage.id) in commands


def test_a_barrier_stage_is_given_up_when_any_executor_is_lost() -> None:
    """Its tasks would wait at the barrier for executors that wait for them in the exchange."""
    scheduler, lineage = Scheduler([1, 2, 3]), Lineage()
    first = scheduler.handle(JobSubmitted(1, lineage.barrier(lineage.source(2)), range(2), ""))[0]
    assert isinstance(first, StartTasks)
    commands = scheduler.handle(ExecutorLost(3))
    assert commands[0] == NewEpoch(1, (1, 2))
    assert [command for command in commands if isinstance(command, StopStage)] == [
        StopStage(1, first.stage.id), StopStage(2, first.stage.id)]
    assert sum(isinstance(command, StartTasks) for command in commands) == 2


def test_what_cancelled_barrier_tasks_may_leave_is_dropped() -> None:
    scheduler, lineage = Scheduler([1, 2, 3]), Lineage()
    kept = lineage.barrier(lineage.source(2))
    scheduler.handle(NodeKept(kept.id))
    shuffled = lineage.shuffle(kept, 1)
    first = scheduler.handle(JobSubmitted(1, shuffled, [0], ""))[0]
    assert isinstance(first, StartTasks)
    left = BlockId("map", shuffled.id, 0), BlockId("rdd", kept.id, 0)
    commands = scheduler.handle(ExecutorLost(2))
    assert DropBlocks(1, left) in commands
    assert scheduler.handle(TaskFinished(1, first.stage.id, 0, left, 0.0)) == []
    assert not scheduler._state.locations.holders(left[0]) and not scheduler._state.locations.holders(left[1])


def test_a_barrier_task_that_lacks_a_block_cancels_the_others() -> None:
    simulator, lineage = cluster(2)
    kept = lineage.source(2)
    simulator.keep(kept)
    done(simulator, 1, kept)
    starts = simulator.scheduler.handle(JobSubmitted(2, lineage.barrier(kept), range(2), ""))
    plan = next((command for command in starts if isinstance(command, StartExchange)), None)
    if plan is not None:  # the partitions have to change places first
        for rank in (1, 2):
            starts = simulator.scheduler.handle(ExchangeFinished(rank, plan.exchange))
    first, second = (command for command in starts if isinstance(command, StartTasks))
    lacking = first.partitions[0]
    commands = simulator.scheduler.handle(BlocksGone(
        first.executor, (BlockId("rdd", kept.id, lacking),), first.stage.id, (lacking,)))
    assert StopStage(second.executor, first.stage.id) in commands


def barriers_started(scheduler: Scheduler, *events: Event) -> list[tuple[Rank, int, int]]:
    """Where which partitions were started that wait for how many."""
    return [(command.executor, command.partitions[0], len(command.barrier))
            for event in events for command in scheduler.handle(event) if isinstance(command, StartTasks)]


def test_a_barrier_stage_of_which_some_partitions_are_kept_runs_all_of_them() -> None:
    """A task that finds its partition would not come to the barrier, and the others would wait for it for ever."""
    simulator, lineage = cluster(3)
    kept = lineage.barrier(lineage.source(2))
    simulator.keep(kept)
    done(simulator, 1, kept)
    simulator.lose(next(iter(simulator.account.holders[BlockId("rdd", kept.id, 1)])))
    done(simulator, 2, lineage.map(kept))
    assert made_again(simulator) == {BlockId("rdd", kept.id, 0), BlockId("rdd", kept.id, 1)}


def test_a_lost_map_output_behind_a_barrier_runs_the_whole_stage_again() -> None:
    """Alone, its task would gather the messages of nobody else."""
    simulator, lineage = cluster(3)
    shuffled = lineage.shuffle(lineage.barrier(lineage.source(2)), 3)
    done(simulator, 1, shuffled)
    simulator.lose(next(iter(simulator.account.holders[BlockId("map", shuffled.id, 1)])))
    done(simulator, 2, shuffled)
    assert made_again(simulator) >= {BlockId("map", shuffled.id, 0), BlockId("map", shuffled.id, 1)}


def test_results_of_a_kept_barrier_stage_that_is_lost_on_the_way_are_computed_together() -> None:
    simulator, lineage = cluster(3)
    kept = lineage.barrier(lineage.source(2))
    simulator.keep(kept)
    done(simulator, 1, kept)
    scheduler = simulator.scheduler
    starts = scheduler.handle(JobSubmitted(2, lineage.map(kept), range(2), ""))
    first, second = (command for command in starts if isinstance(command, StartTasks))
    assert first.barrier == second.barrier == ()
    scheduler.handle(finished(first)[0])
    again = barriers_started(scheduler, ExecutorLost(second.executor))
    assert [(partition, tasks) for _, partition, tasks in again] == [(0, 2), (1, 2)]


def test_what_a_barrier_stage_has_made_is_read_by_fewer_executors_than_it_needed() -> None:
    simulator, lineage = cluster(3)
    kept = lineage.barrier(lineage.source(3))
    simulator.keep(kept, copies=2)
    done(simulator, 1, kept)
    simulator.lose(1)
    done(simulator, 2, lineage.map(kept))
    assert not made_again(simulator)


def test_a_barrier_stage_that_has_lost_an_executor_too_many_fails() -> None:
    scheduler, lineage = Scheduler([1, 2]), Lineage()
    scheduler.handle(JobSubmitted(1, lineage.barrier(lineage.source(2)), range(2), ""))
    (ended,) = (command for command in scheduler.handle(ExecutorLost(2)) if isinstance(command, JobEnded))
    assert ended.failure is not None
    assert "needs an executor for each of its 2 tasks" in ended.failure.summary


def test_what_a_late_task_has_made_is_gone_when_a_barrier_stage_that_would_make_it_is_given_up() -> None:
    """The drop takes it from the executor, so nothing may count on it."""
    scheduler, lineage = Scheduler([1, 2, 3]), Lineage()
    kept = lineage.source(2)
    scheduler.handle(NodeKept(kept.id))
    early = scheduler.handle(JobSubmitted(1, kept, range(2), ""))[0]
    assert isinstance(early, StartTasks)
    scheduler.handle(JobWithdrawn(1))
    scheduler.handle(JobSubmitted(2, lineage.barrier(kept), range(2), ""))
    block = BlockId("rdd", kept.id, 0)
    scheduler.handle(TaskFinished(1, early.stage.id, 0, (block,), 0.0))
    assert scheduler._state.locations.holders(block) == (1,)
    assert DropBlocks(1, (block,)) in scheduler.handle(ExecutorLost(3))
    assert scheduler._state.locations.holders(block) == ()
