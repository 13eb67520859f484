"""What the scheduler does about executors that are lost, tasks that fail and tasks that are slow.

First thousands of seeded schedules in the simulator, whose account checks every command (nothing is computed again
that a survivor holds, nothing runs twice at a time, nothing goes to the lost), then single decisions.
"""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
from simulator import FAILURE, WAITS_FOR_EVER, Chaos, Lineage, Simulator, finished, play

from mpirdd.decisions.copies import Copies
from mpirdd.decisions.events import (
    BlocksGone,
    CancelStage,
    CancelTask,
    CloseStage,
    Command,
    DropBlocks,
    Event,
    ExchangeFinished,
    ExecutorLost,
    JobEnded,
    JobSubmitted,
    Recovering,
    Regroup,
    Regrouped,
    StartExchange,
    StartTasks,
    TaskFailed,
    TaskFinished,
    TaskRunning,
    TaskSlow,
)
from mpirdd.decisions.lineage import Concatenated, Narrow, Node, Source, walk
from mpirdd.decisions.scheduler import Scheduler
from mpirdd.words.ids import BlockId, Rank
from mpirdd.words.stage import Output

SCHEDULES = 700
"""For each kind; a failing one is repeated by its seed."""


def check_end(simulator: Simulator, seed: int, *, exact: bool = True) -> None:
    """Nothing is left over. ``exact``: the account and the executors agree on who holds what."""
    scheduler = simulator.scheduler
    assert not scheduler._runs and not scheduler._exchanges and not scheduler._making and not scheduler._outputs, seed
    assert not any(scheduler.load().values()), seed
    if exact:
        counted = {(rank, block) for block, ranks in simulator.account.holders.items() for rank in ranks}
        assert counted == {(executor.rank, block) for executor in simulator.living() for block in executor.blocks}, seed
        assert all(rank in scheduler.have.holders(block) for rank, block in counted), seed


# --- random schedules -------------------------------------------------------------------------------------------------


def test_jobs_succeed_while_one_executor_lives() -> None:
    lost = 0
    for seed in range(2 * SCHEDULES):
        simulator = play(seed, Chaos(dying=0.02, survivors=1), executors=(2, 8))
        assert not any(simulator.account.ended.values()), seed
        check_end(simulator, seed)
        assert all(count <= 1 + simulator.lost[block] for block, count in simulator.made.items()), seed
        lost += len(simulator.account.recovering)
    assert lost > SCHEDULES


def test_jobs_end_though_all_executors_may_die() -> None:
    none_left = 0
    for seed in range(SCHEDULES):
        simulator = play(seed, Chaos(dying=0.05), executors=(1, 5))
        failures = [failure for failure in simulator.account.ended.values() if failure is not None]
        assert all("all executors are lost" in failure.summary for failure in failures), seed
        assert not failures or not simulator.living(), seed
        none_left += bool(failures)
    assert none_left > SCHEDULES / 10


def test_what_is_kept_twice_ends_up_twice_whoever_dies() -> None:
    for seed in range(2 * SCHEDULES):
        simulator = play(seed, Chaos(dying=0.01, survivors=1), executors=(2, 8), copies=3)
        assert not any(simulator.account.ended.values()), seed
        check_end(simulator, seed)
        for block, ranks in simulator.account.holders.items():
            if block.kind == "rdd" and ranks:
                assert len(ranks) >= min(simulator.scheduler.kept[block.of], len(simulator.living())), seed


def test_jobs_succeed_though_tasks_fail_when_they_are_retried() -> None:
    for seed in range(SCHEDULES):
        simulator = play(seed, Chaos(failing=0.05, dying=0.005, survivors=1), executors=(2, 6), task_retries=50)
        assert not any(simulator.account.ended.values()), seed
        check_end(simulator, seed)


def test_jobs_succeed_with_second_attempts_of_slow_tasks() -> None:
    second = 0
    for seed in range(SCHEDULES):
        simulator = play(
            seed, Chaos(dawdling=0.2, dying=0.005, survivors=1), executors=(2, 8), copies=2, speculation=True)
        assert not any(simulator.account.ended.values()), seed
        check_end(simulator, seed, exact=False)  # a block may be dropped while the loser's news of it is on its way
        second += sum(slow.speculated is not None for slow in simulator.account.slow)
    assert second > SCHEDULES / 10


def test_barrier_stages_succeed_though_executors_die() -> None:
    """The widest random stage has 18 tasks."""
    for seed in range(SCHEDULES // 2):
        simulator = play(seed, Chaos(dying=0.005, survivors=18), executors=(19, 24), barriers=0.5, copies=2)
        for job, failure in simulator.account.ended.items():
            assert failure is None or (failure == WAITS_FOR_EVER and unites(simulator.account.targets[job])), seed
        check_end(simulator, seed)


def unites(target: Node) -> bool:
    """Whether tasks of one stage may have different functions, some with a barrier and some without."""
    return any(isinstance(node, Narrow) and isinstance(node.inputs, Concatenated) for node in walk(target))


def test_jobs_end_though_everything_goes_wrong_at_once() -> None:
    chaos = Chaos(failing=0.02, vanishing=0.02, dying=0.01, dawdling=0.1)
    for seed in range(2 * SCHEDULES):
        simulator = play(
            seed, chaos, cancelling=True, executors=(1, 8), copies=3, task_retries=1, speculation=True, barriers=0.1)
        check_end(simulator, seed, exact=False)


# --- what a loss costs ------------------------------------------------------------------------------------------------


def cluster(executors: int, *, task_retries: int = 0, speculation: bool = False) -> tuple[Simulator, Lineage]:
    return Simulator(executors, Random(0), task_retries=task_retries, speculation=speculation), Lineage()


def done(simulator: Simulator, job: int, node: Node, partitions: list[int] | None = None) -> None:
    simulator.submit(job, node, partitions)
    simulator.run()
    assert simulator.account.ended[job] is None


def held_by(simulator: Simulator, rank: Rank, kind: str) -> set[BlockId]:
    return {block for block in simulator.executors[rank].blocks if block.kind == kind}


def made_again(simulator: Simulator) -> set[BlockId]:
    assert max(simulator.made.values()) <= 2
    return {block for block, count in simulator.made.items() if count == 2}


def exchanged(simulator: Simulator) -> list[StartExchange]:
    """The exchanges from now on, as they are started."""
    plans: list[StartExchange] = []
    check = simulator.account.check

    def note(command: Command) -> None:
        if isinstance(command, StartExchange):
            plans.append(command)
        check(command)

    simulator.account.check = note  # type: ignore[method-assign]
    return plans


def test_lost_map_output_reruns_only_its_partition() -> None:
    simulator, lineage = cluster(3)
    shuffled = lineage.shuffle(lineage.source(9), 3)
    done(simulator, 1, shuffled, [0])
    lost = held_by(simulator, 2, "map")
    assert lost
    simulator.lose(2)
    done(simulator, 2, shuffled)
    assert made_again(simulator) == lost


def test_lost_reduce_partition_is_exchanged_again_and_no_other() -> None:
    simulator, lineage = cluster(3)
    shuffled = lineage.shuffle(lineage.source(6), 9)
    done(simulator, 1, shuffled)
    arrivals, maps = held_by(simulator, 2, "in"), held_by(simulator, 2, "map")
    plans = exchanged(simulator)
    simulator.lose(2)
    done(simulator, 2, lineage.map(shuffled))
    (plan,) = plans
    assert {part for parts in plan.owners.values() for part in parts} == {block.part for block in arrivals}
    assert made_again(simulator) == maps


def test_lost_map_output_is_not_rerun_while_what_was_made_of_it_survives() -> None:
    simulator, lineage = cluster(3)
    shuffled = lineage.shuffle(lineage.source(6), 3)
    done(simulator, 1, shuffled, [0])
    plans = exchanged(simulator)
    simulator.lose(2)
    done(simulator, 2, shuffled, [0])
    assert not made_again(simulator) and not plans


def test_kept_partition_with_a_replica_is_not_recomputed() -> None:
    simulator, lineage = cluster(3)
    kept = lineage.source(9)
    simulator.scheduler.kept[kept.id] = 2
    done(simulator, 1, kept)
    simulator.lose(2)
    done(simulator, 2, kept)
    assert not made_again(simulator)
    assert all(simulator.account.holders[BlockId("rdd", kept.id, part)] == {1, 3} for part in range(9))


def test_of_a_kept_node_only_the_lost_partitions_are_recomputed() -> None:
    simulator, lineage = cluster(3)
    kept = lineage.map(lineage.source(9))
    simulator.scheduler.kept[kept.id] = 1
    done(simulator, 1, kept)
    lost = held_by(simulator, 3, "rdd")
    assert lost
    simulator.lose(3)
    done(simulator, 2, kept)
    assert made_again(simulator) == lost


def test_loss_during_recovery_reruns_what_both_had() -> None:
    simulator, lineage = cluster(4)
    shuffled = lineage.shuffle(lineage.source(12), 4)
    done(simulator, 1, shuffled, [0])
    lost = held_by(simulator, 2, "map")
    simulator.lose(2)
    simulator.submit(2, shuffled)
    while not simulator.made.keys() & lost or max(simulator.made.values()) == 1:
        simulator.step()  # until the first lost partition has been made again
    more = held_by(simulator, 3, "map")
    simulator.lose(3)
    simulator.run()
    assert simulator.account.ended[2] is None
    again = {block for block, count in simulator.made.items() if count > 1}
    assert again == lost | more
    assert simulator.scheduler.epoch == 2


def test_several_losses_at_once_are_one_recovery_after_the_other() -> None:
    simulator, lineage = cluster(5)
    shuffled = lineage.shuffle(lineage.source(10), 5)
    simulator.submit(1, shuffled)
    for _ in range(20):
        simulator.step()
    simulator.lose(1, 2, 3, 4)
    simulator.run()
    assert simulator.account.ended[1] is None
    assert [recovery.lost for recovery in simulator.account.recovering] == [1, 2, 3, 4]


def test_a_source_is_read_again_only_for_lost_tasks() -> None:
    scheduler, lineage = Scheduler([1, 2]), Lineage()
    first, second = scheduler.handle(JobSubmitted(1, lineage.source(2), range(2), ""))
    assert isinstance(first, StartTasks) and isinstance(second, StartTasks)
    commands = scheduler.handle(ExecutorLost(2))
    assert not [command for command in commands if isinstance(command, StartTasks)]  # 1 is busy with its own
    (again,) = scheduler.handle(finished(first)[0])
    assert isinstance(again, StartTasks)
    assert (again.executor, again.stage, again.tasks) == (1, second.stage, second.tasks)


def test_a_lost_task_goes_to_another_holder_of_what_it_reads() -> None:
    simulator, lineage = cluster(3)
    kept = lineage.source(1)
    simulator.scheduler.kept[kept.id] = 2
    done(simulator, 1, kept)
    (start,) = simulator.scheduler.handle(JobSubmitted(2, kept, [0], ""))
    assert isinstance(start, StartTasks)
    (other,) = simulator.account.holders[BlockId("rdd", kept.id, 0)] - {start.executor}
    again = [command for command in simulator.scheduler.handle(ExecutorLost(start.executor))
             if isinstance(command, StartTasks)]
    assert [(command.executor, command.stage.id) for command in again] == [(other, start.stage.id)]


def test_a_lost_reduce_task_is_planned_at_once_and_does_not_wait_for_the_others() -> None:
    scheduler, plan = ready_to_exchange()
    for rank in (1, 2, 3):
        commands = scheduler.handle(ExchangeFinished(rank, plan.exchange))
    assert sum(isinstance(command, StartTasks) for command in commands) == 3
    reruns = [command for command in scheduler.handle(ExecutorLost(3)) if isinstance(command, StartTasks)]
    assert [command.stage.output.kind for command in reruns] == ["map"]
    for event in finished(reruns[0]):
        scheduler.handle(event)
    (exchange,) = scheduler.handle(Regrouped(1))
    assert isinstance(exchange, StartExchange)
    assert [part for parts in exchange.owners.values() for part in parts] == list(plan.owners[3])
    for rank in (1, 2):
        commands = scheduler.handle(ExchangeFinished(rank, exchange.exchange))
    (again,) = commands
    assert isinstance(again, StartTasks)
    assert tuple(task.partition for task in again.tasks) == plan.owners[3]


def test_lost_map_output_is_made_again_while_another_shuffle_is_under_way() -> None:
    scheduler, lineage = Scheduler([1, 2]), Lineage()
    left, right = lineage.shuffle(lineage.source(2), 2), lineage.shuffle(lineage.source(2), 2)
    starts = [command for command in scheduler.handle(JobSubmitted(1, lineage.zip(left, right), range(2), ""))
              if isinstance(command, StartTasks)]
    for start in starts:
        if start.stage.output.of == left.id or start.executor == 2:
            for event in finished(start):
                scheduler.handle(event)
    again = {(command.stage.output.of, task.partition) for command in scheduler.handle(ExecutorLost(2))
             if isinstance(command, StartTasks) for task in command.tasks}
    assert {shuffle for shuffle, _ in again} == {left.id, right.id}


def test_a_loss_says_what_was_lost() -> None:
    simulator, lineage = cluster(2)
    shuffled = lineage.shuffle(lineage.source(4), 2)
    done(simulator, 1, shuffled)
    maps = len(held_by(simulator, 2, "map"))
    assert Recovering(2, {"map": maps, "in": 1}, 0) in simulator.scheduler.handle(ExecutorLost(2))


# --- epochs -----------------------------------------------------------------------------------------------------------


def ready_to_exchange(executors: int = 3) -> tuple[Scheduler, StartExchange]:
    """All map tasks have been done; the exchange was started."""
    scheduler, lineage = Scheduler(range(1, executors + 1)), Lineage()
    commands = scheduler.handle(JobSubmitted(1, lineage.shuffle(lineage.source(executors), executors), range(executors), ""))
    for command in list(commands):
        assert isinstance(command, StartTasks)
        for event in finished(command):
            commands = scheduler.handle(event)
    return scheduler, next(command for command in commands if isinstance(command, StartExchange))


def test_a_loss_makes_exchanges_void_and_drops_what_they_brought() -> None:
    scheduler, plan = ready_to_exchange()
    scheduler.handle(ExchangeFinished(1, plan.exchange))
    commands = scheduler.handle(ExecutorLost(3))
    assert commands[0] == Regroup(1, (1, 2))
    brought = {command.executor: command.blocks for command in commands if isinstance(command, DropBlocks)}
    assert brought == {
        rank: tuple(BlockId("in", plan.shuffle or 0, part) for part in plan.owners[rank]) for rank in (1, 2)}
    assert scheduler.handle(ExchangeFinished(2, plan.exchange)) == []
    assert not scheduler.have.indexes("in", plan.shuffle or 0)


def test_no_exchange_starts_until_the_newest_group_stands() -> None:
    scheduler, _ = ready_to_exchange(4)
    started = [command for command in scheduler.handle(ExecutorLost(4)) if isinstance(command, StartTasks)]
    (rerun,) = started  # a task that needs no exchange does not wait
    for event in finished(rerun):
        assert not any(isinstance(command, StartExchange) for command in scheduler.handle(event))
    (regroup, *_) = scheduler.handle(ExecutorLost(3))
    assert regroup == Regroup(2, (1, 2))
    assert scheduler.handle(Regrouped(1)) == []
    assert not scheduler._exchanges


def test_the_exchange_starts_when_the_group_stands() -> None:
    scheduler, first = ready_to_exchange(3)
    for command in scheduler.handle(ExecutorLost(3)):
        if isinstance(command, StartTasks):
            for event in finished(command):
                scheduler.handle(event)
    (plan,) = scheduler.handle(Regrouped(1))
    assert isinstance(plan, StartExchange)
    assert plan.executors == (1, 2) and plan.exchange > first.exchange
    assert scheduler.handle(Regrouped(1)) == []


def test_messages_of_a_lost_executor_are_ignored() -> None:
    scheduler, lineage = Scheduler([1, 2]), Lineage()
    _, second = scheduler.handle(JobSubmitted(1, lineage.source(2), range(2), ""))
    assert isinstance(second, StartTasks)
    scheduler.handle(ExecutorLost(2))
    late = [*finished(second), TaskFailed(2, second.stage.id, 1, FAILURE), TaskRunning(2, second.stage.id, 1, 99.0),
            BlocksGone(2, ()), ExchangeFinished(2, 1), ExecutorLost(2)]
    assert [command for event in late for command in scheduler.handle(event)] == []


def test_without_executors_every_job_ends_with_a_failure_that_says_so() -> None:
    scheduler, lineage = Scheduler([1]), Lineage()
    scheduler.handle(JobSubmitted(1, lineage.source(2), range(2), "first"))
    before = scheduler.handle(ExecutorLost(1))[-1]
    (after,) = scheduler.handle(JobSubmitted(2, lineage.source(2), range(2), "second"))
    for command, label in ((before, "first"), (after, "second")):
        assert isinstance(command, JobEnded) and command.failure is not None
        assert "all executors are lost" in command.failure.summary
        assert command.failure.stage == label


# --- barriers ---------------------------------------------------------------------------------------------------------


def test_a_lost_barrier_task_runs_the_whole_stage_again() -> None:
    scheduler, lineage = Scheduler([1, 2, 3]), Lineage()
    starts = scheduler.handle(JobSubmitted(1, lineage.barrier(lineage.source(2)), range(2), ""))
    first = starts[0]
    assert isinstance(first, StartTasks)
    scheduler.handle(finished(first)[0])
    commands = scheduler.handle(ExecutorLost(2))
    again = [command for command in scheduler.handle(Regrouped(1)) if isinstance(command, StartTasks)]
    assert {(command.executor, command.tasks[0].partition) for command in again} == {(1, 0), (3, 1)}
    assert all(command.barrier == 2 and command.stage.id != first.stage.id for command in again)
    assert CloseStage(first.stage.id) in commands


def test_a_barrier_stage_is_given_up_when_any_executor_is_lost() -> None:
    """Its tasks would wait at the barrier for executors that wait for them to form the group."""
    scheduler, lineage = Scheduler([1, 2, 3]), Lineage()
    first = scheduler.handle(JobSubmitted(1, lineage.barrier(lineage.source(2)), range(2), ""))[0]
    assert isinstance(first, StartTasks)
    commands = scheduler.handle(ExecutorLost(3))
    assert commands[0] == Regroup(1, (1, 2))
    assert [command for command in commands if isinstance(command, CancelStage)] == [
        CancelStage(1, first.stage.id), CancelStage(2, first.stage.id)]
    assert sum(isinstance(command, StartTasks) for command in scheduler.handle(Regrouped(1))) == 2


def test_what_cancelled_barrier_tasks_may_leave_is_dropped() -> None:
    scheduler, lineage = Scheduler([1, 2, 3]), Lineage()
    kept = lineage.barrier(lineage.source(2))
    scheduler.kept[kept.id] = 1
    shuffled = lineage.shuffle(kept, 1)
    first = scheduler.handle(JobSubmitted(1, shuffled, [0], ""))[0]
    assert isinstance(first, StartTasks)
    left = BlockId("map", shuffled.id, 0), BlockId("rdd", kept.id, 0)
    commands = scheduler.handle(ExecutorLost(2))
    assert DropBlocks(1, left) in commands
    assert scheduler.handle(TaskFinished(1, first.stage.id, 0, left, 0.0)) == []
    assert not scheduler.have.holders(left[0]) and not scheduler.have.holders(left[1])


def test_a_barrier_task_that_lacks_a_block_cancels_the_others() -> None:
    simulator, lineage = cluster(2)
    kept = lineage.source(2)
    simulator.scheduler.kept[kept.id] = 1
    done(simulator, 1, kept)
    starts = simulator.scheduler.handle(JobSubmitted(2, lineage.barrier(kept), range(2), ""))
    plan = next((command for command in starts if isinstance(command, StartExchange)), None)
    if plan is not None:  # the partitions have to change places first
        for rank in (1, 2):
            starts = simulator.scheduler.handle(ExchangeFinished(rank, plan.exchange))
    first, second = (command for command in starts if isinstance(command, StartTasks))
    lacking = first.tasks[0].partition
    commands = simulator.scheduler.handle(BlocksGone(
        first.executor, (BlockId("rdd", kept.id, lacking),), first.stage.id, (lacking,)))
    assert CancelStage(second.executor, first.stage.id) in commands


def barriers_started(scheduler: Scheduler, *events: Event) -> list[tuple[Rank, int, int]]:
    """Where which partitions were started that wait for how many."""
    return [(command.executor, command.tasks[0].partition, command.barrier)
            for event in events for command in scheduler.handle(event) if isinstance(command, StartTasks)]


def test_a_barrier_stage_of_which_some_partitions_are_kept_runs_all_of_them() -> None:
    """A task that finds its partition would not come to the barrier, and the others would wait for it for ever."""
    simulator, lineage = cluster(3)
    kept = lineage.barrier(lineage.source(2))
    simulator.scheduler.kept[kept.id] = 1
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
    simulator.scheduler.kept[kept.id] = 1
    done(simulator, 1, kept)
    scheduler = simulator.scheduler
    starts = scheduler.handle(JobSubmitted(2, lineage.map(kept), range(2), ""))
    first, second = (command for command in starts if isinstance(command, StartTasks))
    assert first.barrier == second.barrier == 0
    scheduler.handle(finished(first)[0])
    again = barriers_started(scheduler, ExecutorLost(second.executor), Regrouped(1))
    assert [(partition, tasks) for _, partition, tasks in again] == [(0, 2), (1, 2)]


def test_what_a_barrier_stage_has_made_is_read_by_fewer_executors_than_it_needed() -> None:
    simulator, lineage = cluster(3)
    kept = lineage.barrier(lineage.source(3))
    simulator.scheduler.kept[kept.id] = 2
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


# --- retries ----------------------------------------------------------------------------------------------------------


def start_one(scheduler: Scheduler, partitions: int = 1) -> StartTasks:
    start = scheduler.handle(JobSubmitted(1, Lineage().source(partitions), range(partitions), ""))[0]
    assert isinstance(start, StartTasks)
    return start


def test_a_failed_task_is_tried_on_other_executors_as_often_as_set() -> None:
    scheduler = Scheduler([1, 2, 3], task_retries=2)
    start = start_one(scheduler)
    ranks = [start.executor]
    for _ in range(2):
        (again,) = scheduler.handle(TaskFailed(ranks[-1], start.stage.id, 0, FAILURE))
        assert isinstance(again, StartTasks) and again.tasks == start.tasks
        ranks.append(again.executor)
    assert sorted(ranks) == [1, 2, 3]
    tried = tuple(f"rank {rank} (unknown)" for rank in ranks)
    assert scheduler.handle(TaskFailed(ranks[-1], start.stage.id, 0, FAILURE))[0] == JobEnded(1, replace(FAILURE, tried=tried))


def test_the_only_executor_retries_itself() -> None:
    scheduler = Scheduler([1], task_retries=1)
    start = start_one(scheduler)
    (again,) = scheduler.handle(TaskFailed(1, start.stage.id, 0, FAILURE))
    assert isinstance(again, StartTasks) and again.executor == 1


def test_a_task_is_retried_where_its_input_is() -> None:
    simulator, lineage = cluster(4, task_retries=1)
    kept = lineage.source(1)
    simulator.scheduler.kept[kept.id] = 2
    done(simulator, 1, kept)
    (start,) = simulator.scheduler.handle(JobSubmitted(2, kept, [0], ""))
    assert isinstance(start, StartTasks)
    (again,) = simulator.scheduler.handle(TaskFailed(start.executor, start.stage.id, 0, FAILURE))
    assert isinstance(again, StartTasks)
    assert {start.executor, again.executor} == simulator.account.holders[BlockId("rdd", kept.id, 0)]


# --- slow tasks -------------------------------------------------------------------------------------------------------


def one_slow(*, speculation: bool, executors: int = 4, seconds: float = 1.0) -> tuple[Scheduler, StartTasks]:
    """As many tasks as executors; all but the last have finished after ``seconds``."""
    scheduler = Scheduler(range(1, executors + 1), speculation=speculation)
    starts = scheduler.handle(JobSubmitted(1, Lineage().source(executors), range(executors), "job"))
    for start in starts[:-1]:
        assert isinstance(start, StartTasks)
        scheduler.handle(TaskFinished(start.executor, start.stage.id, start.tasks[0].partition, (), seconds))
    assert isinstance(starts[-1], StartTasks)
    return scheduler, starts[-1]


def running(start: StartTasks, seconds: float) -> TaskRunning:
    return TaskRunning(start.executor, start.stage.id, start.tasks[0].partition, seconds)


def test_a_slow_task_is_reported_once_when_it_has_run_for_long() -> None:
    scheduler, slow = one_slow(speculation=False)
    assert scheduler.handle(running(slow, 3.1)) == []
    assert scheduler.handle(running(slow, 10.0)) == []
    assert scheduler.handle(running(slow, 10.1)) == [
        TaskSlow(slow.executor, slow.stage.id, "job", slow.tasks[0].partition, 10.1, 1.0, None)]
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
        scheduler.handle(TaskFinished(start.executor, start.stage.id, start.tasks[0].partition, (), 1.0))
    assert isinstance(starts[-1], StartTasks)
    assert scheduler.handle(running(starts[-1], 1000.0)) == []


def test_the_first_of_two_attempts_wins_and_the_other_is_cancelled() -> None:
    scheduler, slow = one_slow(speculation=True)
    again, report = scheduler.handle(running(slow, 5.0))
    assert isinstance(again, StartTasks) and again.executor != slow.executor and again.tasks == slow.tasks
    assert isinstance(report, TaskSlow) and report.speculated == again.executor
    commands = scheduler.handle(finished(again)[0])
    assert CancelTask(slow.executor, slow.stage.id, slow.tasks[0].partition) in commands
    assert commands[-1] == JobEnded(1, None)
    assert not any(scheduler.load().values())


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
    partition = slow.tasks[0].partition
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
    simulator.scheduler.kept[kept.id] = 1
    done(simulator, 1, kept)
    starts = simulator.scheduler.handle(JobSubmitted(2, kept, range(4), ""))
    for start in starts[:-1]:
        assert isinstance(start, StartTasks)
        for event in finished(start):
            simulator.scheduler.handle(event)
    assert isinstance(starts[-1], StartTasks)
    (report,) = simulator.scheduler.handle(running(starts[-1], 11.0))
    assert isinstance(report, TaskSlow) and report.speculated is None


# --- copies -----------------------------------------------------------------------------------------------------------


def test_a_job_does_not_wait_for_copies() -> None:
    simulator, lineage = cluster(3)
    kept = lineage.source(3)
    simulator.scheduler.kept[kept.id] = 2
    simulator.submit(1, kept)
    while 1 not in simulator.account.ended:
        simulator.step()
    assert all(len(simulator.account.holders[BlockId("rdd", kept.id, part)]) == 1 for part in range(3))
    simulator.run()
    assert all(len(simulator.account.holders[BlockId("rdd", kept.id, part)]) == 2 for part in range(3))


def test_copies_go_to_other_hosts() -> None:
    simulator, lineage = cluster(6)
    hosts = simulator.scheduler.hosts = {rank: "ab"[rank > 3] for rank in range(1, 7)}
    kept = lineage.source(12)
    simulator.scheduler.kept[kept.id] = 2
    done(simulator, 1, kept)
    for part in range(12):
        assert {hosts[rank] for rank in simulator.account.holders[BlockId("rdd", kept.id, part)]} == {"a", "b"}


def test_evicted_copies_are_not_made_again_and_again() -> None:
    simulator, lineage = cluster(2)
    kept = lineage.source(4)
    simulator.scheduler.kept[kept.id] = 2
    done(simulator, 1, kept)
    plans = exchanged(simulator)
    for part in range(4):
        simulator.executors[2].blocks.pop(BlockId("rdd", kept.id, part))
        simulator._tell(BlocksGone(2, (BlockId("rdd", kept.id, part),)))
    done(simulator, 2, kept)
    assert not plans and not made_again(simulator)


def test_copies_are_spread_over_executors_and_never_put_beside_the_first() -> None:
    executors = range(1, 9)
    copies = Copies(executors, {rank: f"host {rank // 3}" for rank in executors})
    load = dict.fromkeys(executors, 0)
    for part in range(80):
        holder = executors[part % 8]
        places = copies.places(BlockId("rdd", 1, part), [holder], 3)
        assert len({holder, *places}) == 3
        for place in places:
            load[place] += 1
    assert max(load.values()) <= 2 * 160 / 8


def test_no_more_copies_than_executors() -> None:
    assert Copies([1, 2], {}).places(BlockId("rdd", 1, 0), [2], 5) == [1]
    assert Copies([1], {}).places(BlockId("rdd", 1, 0), [1], 2) == []


def test_tasks_are_started_once_each_when_nothing_goes_wrong() -> None:
    simulator, lineage = cluster(3)
    shuffled = lineage.shuffle(lineage.source(6), 3)
    done(simulator, 1, shuffled)
    assert simulator.account.starts == {
        **{(Output("map", shuffled.id), part): 1 for part in range(6)},
        **{(Output("result", 1), part): 1 for part in range(3)},
    }


def test_a_task_that_takes_executor_after_executor_with_it_fails_its_job() -> None:
    scheduler = Scheduler(range(1, 9), most_losses=3)
    source = Source(1, "source", 1, None, iter, [0])
    commands = scheduler.handle(JobSubmitted(1, source, [0], "sum at job.py:4"))
    deaths = 0
    while not (ended := [command for command in commands if isinstance(command, JobEnded)]):
        (started,) = [command for command in commands if isinstance(command, StartTasks)]
        commands = scheduler.handle(ExecutorLost(started.executor))
        deaths += 1
    assert deaths == 3 and len(scheduler.executors) == 5
    assert ended[0].failure is not None and "3 executors when they died" in ended[0].failure.summary
