"""The scheduler on lost executors: what it makes again, and what becomes of exchanges."""

from __future__ import annotations

from account import FAILURE
from lineages import Lineage
from simulator import Simulator, cluster, done, exchanged, finished, made_again

from mpirdd.protocol.ids import BlockId, Rank
from mpirdd.scheduler.events import (
    BlocksGone,
    CloseStage,
    DropBlocks,
    ExchangeFinished,
    ExecutorLost,
    JobEnded,
    JobSubmitted,
    NewEpoch,
    Recovering,
    StartExchange,
    StartTasks,
    TaskFailed,
    TaskRunning,
)
from mpirdd.scheduler.scheduler import Scheduler

# --- what a loss costs ------------------------------------------------------------------------------------------------


def held_by(simulator: Simulator, rank: Rank, kind: str) -> set[BlockId]:
    return {block for block in simulator.executors[rank].blocks if block.kind == kind}


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
    simulator.keep(kept, copies=2)
    done(simulator, 1, kept)
    simulator.lose(2)
    done(simulator, 2, kept)
    assert not made_again(simulator)
    assert all(simulator.account.holders[BlockId("rdd", kept.id, part)] == {1, 3} for part in range(9))


def test_of_a_kept_node_only_the_lost_partitions_are_recomputed() -> None:
    simulator, lineage = cluster(3)
    kept = lineage.map(lineage.source(9))
    simulator.keep(kept)
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
    assert simulator.account.epoch == 2


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
    assert (again.executor, again.stage) == (1, second.stage)
    assert (again.partitions, again.splits) == (second.partitions, second.splits)
    assert again.tried == dict.fromkeys(second.partitions, 1)


def test_a_lost_task_goes_to_another_holder_of_what_it_reads() -> None:
    simulator, lineage = cluster(3)
    kept = lineage.source(1)
    simulator.keep(kept, copies=2)
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
        commands = scheduler.handle(event)
    exchange = commands[-1]
    assert isinstance(exchange, StartExchange)
    assert [part for parts in exchange.owners.values() for part in parts] == list(plan.owners[3])
    for rank in (1, 2):
        commands = scheduler.handle(ExchangeFinished(rank, exchange.exchange))
    (again,) = commands
    assert isinstance(again, StartTasks)
    assert again.partitions == plan.owners[3]


def test_lost_map_output_is_made_again_while_another_shuffle_is_under_way() -> None:
    scheduler, lineage = Scheduler([1, 2]), Lineage()
    left, right = lineage.shuffle(lineage.source(2), 2), lineage.shuffle(lineage.source(2), 2)
    starts = [command for command in scheduler.handle(JobSubmitted(1, lineage.zip(left, right), range(2), ""))
              if isinstance(command, StartTasks)]
    for start in starts:
        if start.stage.output.of == left.id or start.executor == 2:
            for event in finished(start):
                scheduler.handle(event)
    again = {(command.stage.output.of, partition) for command in scheduler.handle(ExecutorLost(2))
             if isinstance(command, StartTasks) for partition in command.partitions}
    assert {shuffle for shuffle, _ in again} == {left.id, right.id}


def test_a_loss_says_what_was_lost() -> None:
    simulator, lineage = cluster(2)
    shuffled = lineage.shuffle(lineage.source(4), 2)
    done(simulator, 1, shuffled)
    maps = len(held_by(simulator, 2, "map"))
    assert Recovering(2, {"map": maps, "in": 1}, 0, 1) in simulator.scheduler.handle(ExecutorLost(2))


# --- epochs -----------------------------------------------------------------------------------------------------------


def ready_to_exchange(executors: int = 3) -> tuple[Scheduler, StartExchange]:
    """All map tasks have finished; the exchange has started."""
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
    assert commands[0] == NewEpoch(1, (1, 2))
    brought = {command.executor: command.blocks for command in commands if isinstance(command, DropBlocks)}
    assert brought == {
        rank: tuple(BlockId("in", plan.shuffle or 0, part) for part in plan.owners[rank]) for rank in (1, 2)}
    assert scheduler.handle(ExchangeFinished(2, plan.exchange)) == []
    assert not scheduler._state.locations.indexes("in", plan.shuffle or 0)


def test_an_exchange_made_void_by_a_loss_starts_again_behind_the_drops() -> None:
    """A late drop would take what the new exchange has brought."""
    scheduler, lineage = Scheduler([1, 2, 3]), Lineage()
    commands = scheduler.handle(JobSubmitted(1, lineage.shuffle(lineage.source(2), 3), range(3), ""))
    for start in list(commands):  # on 1 and 2, so that 3 has none of the map outputs
        assert isinstance(start, StartTasks)
        for event in finished(start):
            commands = scheduler.handle(event)
    assert [type(command) for command in commands] == [CloseStage, StartExchange]
    commands = scheduler.handle(ExecutorLost(3))
    assert [type(command) for command in commands] == [NewEpoch, Recovering, DropBlocks, DropBlocks, StartExchange]


def test_after_losses_the_exchange_is_started_among_the_living_once_all_map_outputs_are_there() -> None:
    scheduler, first = ready_to_exchange(4)
    reruns: list[StartTasks] = []
    for lost, living in ((4, (1, 2, 3)), (3, (1, 2))):
        commands = scheduler.handle(ExecutorLost(lost))
        assert commands[0] == NewEpoch(5 - lost, living)
        assert not any(isinstance(command, StartExchange) for command in commands)
        reruns += [command for command in commands if isinstance(command, StartTasks)]
    plans: list[StartExchange] = []
    while reruns:
        start = reruns.pop(0)
        for event in finished(start):
            assert not plans
            commands = scheduler.handle(event)
            reruns += [command for command in commands if isinstance(command, StartTasks)]
            plans += [command for command in commands if isinstance(command, StartExchange)]
    (plan,) = plans
    assert plan.executors == (1, 2) and plan.exchange > first.exchange


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
