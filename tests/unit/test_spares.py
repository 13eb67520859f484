"""Spares: which of them takes the place of a lost executor, what it gets to do, and what the user is told."""

from __future__ import annotations

from random import Random

from lineages import Lineage
from simulator import Chaos, Simulator, made_again

from mpirdd.observe.notices import of_loss, of_lost_spare
from mpirdd.observe.run_events import ExecutorLost as LossTold
from mpirdd.observe.spare_events import SpareLost
from mpirdd.protocol.ids import BlockId, Rank
from mpirdd.scheduler.events import (
    Command,
    ExecutorLost,
    JobEnded,
    JobSubmitted,
    NewEpoch,
    SpareGone,
    SpareJoins,
    SpareStarted,
    StartTasks,
    TaskRunning,
)
from mpirdd.scheduler.scheduler import Scheduler
from mpirdd.scheduler.spares import Spares


def cluster(executors: int, spares: int, chaos: Chaos | None = None) -> tuple[Simulator, Lineage]:
    simulator = Simulator(executors, Random(0), chaos, spares=spares)
    simulator.place_on(dict.fromkeys(simulator.executors, "a"))
    for _ in range(spares):
        simulator.start_spare("a")
    return simulator, Lineage()


def test_a_spare_makes_what_the_lost_one_held_and_nothing_moves() -> None:
    simulator, lineage = cluster(3, 1)
    shuffled = lineage.shuffle(lineage.source(6), 9)
    simulator.keep(shuffled)
    simulator.submit(1, shuffled)
    simulator.run()
    before = {block: set(ranks) for block, ranks in simulator.account.holders.items() if block.kind == "rdd"}
    assert {BlockId("rdd", shuffled.id, part) for part in (1, 4, 7)} == {block for block in before if before[block] == {2}}
    simulator.lose(2)
    assert simulator.account.joined == [SpareJoins(4, 2)]
    simulator.submit(2, shuffled)
    simulator.run()
    after = {block: set(ranks) for block, ranks in simulator.account.holders.items() if block.kind == "rdd"}
    assert after == {block: {4} if ranks == {2} else ranks for block, ranks in before.items()}
    lost = {block for block, ranks in before.items() if ranks == {2}}
    assert {block for block in made_again(simulator) if block.kind == "rdd"} == lost


def test_a_spare_gets_its_part_of_the_free_tasks_at_once() -> None:
    scheduler, lineage = Scheduler([1, 2]), Lineage()
    scheduler.handle(SpareStarted(3, "a"))
    assert not [command for command in scheduler.handle(JobSubmitted(1, lineage.source(40), range(40), "job"))
                if getattr(command, "executor", 0) == 3]
    commands = scheduler.handle(ExecutorLost(2))
    assert commands[:2] == [SpareJoins(3, 2), NewEpoch(1, (1, 3))]
    (tasks,) = [command for command in commands if isinstance(command, StartTasks)]
    assert tasks.executor == 3 and len(tasks.partitions) >= 5


def test_a_spare_that_starts_after_a_loss_joins_at_once() -> None:
    scheduler = Scheduler([1, 2, 3])
    scheduler.handle(ExecutorLost(2))
    assert scheduler.handle(SpareStarted(4, "a")) == [SpareJoins(4, 2), NewEpoch(2, (1, 4, 3))]


def test_spares_that_start_after_several_losses_restore_the_order() -> None:
    scheduler = Scheduler([1, 2, 3, 4])
    for lost in (2, 1):
        scheduler.handle(ExecutorLost(lost))
    assert scheduler.handle(SpareStarted(5, "a")) == [SpareJoins(5, 2), NewEpoch(3, (5, 3, 4))]
    assert scheduler.handle(SpareStarted(6, "a")) == [SpareJoins(6, 1), NewEpoch(4, (6, 5, 3, 4))]
    for lost in (4, 6):
        scheduler.handle(ExecutorLost(lost))
    assert scheduler.handle(SpareStarted(7, "a"))[1] == NewEpoch(7, (5, 3, 7))
    assert scheduler.handle(SpareStarted(8, "a"))[1] == NewEpoch(8, (8, 5, 3, 7))


def test_more_losses_than_spares_and_a_spare_that_is_lost_while_it_waits() -> None:
    simulator, lineage = cluster(4, 2)
    simulator.submit(1, lineage.source(30))
    simulator.lose(6)
    simulator.lose(1, 2, 3)
    assert simulator.account.joined == [SpareJoins(5, 1)]
    assert [(each.joins, each.left, each.spares) for each in simulator.account.recovering] == [(5, 4, 0), (0, 3, 0), (0, 2, 0)]
    simulator.run()
    assert simulator.account.ended == {1: None}


def test_the_last_executor_may_die_where_a_spare_waits() -> None:
    simulator, lineage = cluster(1, 1)
    simulator.submit(1, lineage.shuffle(lineage.source(5), 3))
    for _ in range(10):
        simulator.step()
    simulator.lose(1)
    simulator.run()
    assert simulator.account.ended == {1: None}


def only_task(commands: list[Command]) -> StartTasks:
    (started,) = [command for command in commands if isinstance(command, StartTasks)]
    return started


def test_no_task_is_blamed_for_a_spare_that_was_dead_when_it_joined() -> None:
    """An executor and a spare die at the same time, and the driver learns of the executor first."""
    scheduler = Scheduler([1], most_losses=2)
    for spare in (2, 3, 4):
        scheduler.handle(SpareStarted(spare, "a"))
    scheduler.handle(JobSubmitted(1, Lineage().source(1), [0], "job"))
    assert only_task(scheduler.handle(ExecutorLost(1))).executor == 2
    started = only_task(scheduler.handle(ExecutorLost(2)))
    assert started.executor == 3 and started.suspects == (0,)
    scheduler.handle(TaskRunning(3, started.stage.id, 0, 0.0))
    (ended,) = [command for command in scheduler.handle(ExecutorLost(3)) if isinstance(command, JobEnded)]
    assert ended.failure is not None and "2 executors died while this task ran there" in ended.failure.summary


def chosen(spares: Spares) -> Rank:
    found = spares.take_place()
    assert found is not None
    return found[0]


def test_spares_of_the_same_host_come_first_unless_it_loses_one_after_the_other() -> None:
    spares = Spares()
    for rank, host in ((7, "b"), (8, "a"), (9, "a"), (10, "c")):
        spares.started(rank, host)
    spares.vacate(1, "a", 0)
    assert chosen(spares) == 8
    spares.vacate(2, "a", 0)
    assert chosen(spares) == 7
    spares.vacate(7, "b", 0)
    assert chosen(spares) == 10
    spares.vacate(3, "c", 0)
    assert chosen(spares) == 9
    assert spares.take_place() is None
    assert not spares.lost(8)


def test_a_waiting_spare_gets_no_message_and_its_loss_breaks_nothing() -> None:
    scheduler = Scheduler([1, 2])
    scheduler.handle(SpareStarted(3, "a"))
    assert scheduler.handle(ExecutorLost(3, "it died")) == [SpareGone(3, 0, "it died")]
    assert scheduler.handle(ExecutorLost(3, "it died")) == []


def test_the_user_is_told() -> None:
    assert of_loss(LossTold(3, "h1", "it was killed by signal 9", {"map": 2}, 1, 7, joins=8, spares=0)) == (
        "mpirdd: lost the executor on rank 3 (host h1): it was killed by signal 9. Recomputing what is still needed of 2 map "
        "outputs, 1 task; the spare on rank 8 takes its place: 7 executors as before, no spare left.\n")
    assert of_lost_spare(SpareLost(9, "h2", "it died", 1)) == (
        "mpirdd: lost the spare on rank 9 (host h2): it died. It had nothing to do yet; 1 spare left.\n")
