"""Thousands of seeded schedules of the real scheduler in the simulator. Its account checks every
command: the scheduler recomputes nothing that a survivor holds, runs nothing twice at a time, and
sends nothing to the lost.
"""

from __future__ import annotations

import os
from random import Random

from account import WAITS_FOR_EVER
from lineages import random_lineage
from simulator import Chaos, Simulator, play

from mpirdd.scheduler.lineage import Concatenated, Narrow, Node, Shuffled, walk

SCHEDULES = 700 if os.environ.get("MPIRDD_SCHEDULES") == "all" else 200
"""For each kind; a failing one is repeated by its seed."""


# --- nobody dies -------------------------------------------------------------------------------------------------------


def test_calm_schedules_make_everything_once() -> None:
    for seed in range(SCHEDULES):
        simulator = play(seed, Chaos())
        assert not any(simulator.account.ended.values()), seed
        assert all(count == 1 for count in simulator.made.values()), seed
        assert all(count == 1 for results in simulator.account.results.values() for count in results.values()), seed


def test_jobs_end_though_blocks_vanish() -> None:
    for seed in range(SCHEDULES):
        simulator = play(seed, Chaos(vanishing=0.05))
        assert not any(simulator.account.ended.values()), seed


def test_jobs_end_though_tasks_fail() -> None:
    for seed in range(SCHEDULES):
        play(seed, Chaos(failing=0.05))


def test_jobs_end_though_others_are_cancelled() -> None:
    for seed in range(SCHEDULES):
        play(seed, Chaos(), cancelling=True)


def test_jobs_end_though_blocks_vanish_tasks_fail_and_others_are_cancelled() -> None:
    for seed in range(SCHEDULES):
        play(seed, Chaos(vanishing=0.02, failing=0.02), cancelling=True)


def test_nothing_is_left_of_what_nobody_refers_to() -> None:
    """The program forgets nodes as soon as no job needs them, with late tasks and exchanges still
    under way."""
    for seed in range(SCHEDULES):
        random = Random(seed)
        nodes = random_lineage(random, random.randint(2, 14))
        simulator = Simulator(random.randint(1, 5), random, Chaos(failing=0.05))
        simulator.keep(*[node for node in nodes if random.random() < 0.25])
        jobs = range(1, random.randint(2, 4))
        for job in jobs:
            simulator.submit(job, random.choice(nodes[-6:]))
            for _ in range(random.choice([0, 5, 50, 500])):
                simulator.step()
        for job in jobs:
            simulator.cancel(job)
        for node in list(simulator.account.nodes):
            simulator.forget(node)
        simulator.run()
        assert not any(executor.blocks for executor in simulator.executors.values()), seed


def test_dropped_shuffles_are_made_again_for_who_needs_them() -> None:
    """Unlike a forgotten node, jobs under way may want a shuffle that the program drops to free
    memory."""
    for seed in range(SCHEDULES):
        random = Random(seed)
        nodes = random_lineage(random, random.randint(4, 14))
        simulator = Simulator(random.randint(1, 4), random)
        simulator.submit(1, nodes[-1])
        simulator.submit(2, random.choice(nodes))
        for _ in range(5):
            for _ in range(random.randint(0, 30)):
                simulator.step()
            shuffles = [id for id, node in simulator.account.nodes.items() if isinstance(node, Shuffled)]
            if shuffles:
                simulator.drop_shuffle(random.choice(shuffles))
        simulator.run()
        assert not any(simulator.account.ended.values()), seed


# --- executors die -----------------------------------------------------------------------------------------------------


def check_end(simulator: Simulator, seed: int, *, exact: bool = True) -> None:
    """Nothing is left over. ``exact``: the account and the executors agree on who holds what."""
    state = simulator.scheduler._state
    task_sets = state.task_sets
    assert not task_sets._task_sets and not task_sets._outputs, seed
    assert not any(task_sets.load.values()) and not state.exchanges.under_way(), seed
    if exact:
        counted = {(rank, block) for block, ranks in simulator.account.holders.items() for rank in ranks}
        assert counted == {(executor.rank, block) for executor in simulator.living() for block in executor.blocks}, seed
        assert all(rank in simulator.holders(block) for rank, block in counted), seed


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
                assert len(ranks) >= min(simulator.scheduler._state.kept[block.of], len(simulator.living())), seed


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


def test_jobs_succeed_while_spares_join() -> None:
    """Some spares are there from the start, others come in the middle; they die, too, before and after they have joined."""
    joined = waiting_lost = 0
    for seed in range(2 * SCHEDULES):
        chaos = Chaos(dying=0.02, survivors=1, sparing=0.05, dawdling=0.05)
        simulator = play(seed, chaos, executors=(1, 5), copies=3, speculation=seed % 2 == 0, spares=(1, 5))
        assert not any(simulator.account.ended.values()), seed
        check_end(simulator, seed, exact=seed % 2 == 1)
        joined += len(simulator.account.joined)
        waiting_lost += sum(executor.dead for executor in simulator.executors.values()) - len(simulator.account.recovering)
    assert joined > SCHEDULES and waiting_lost > SCHEDULES / 10


def unites(target: Node) -> bool:
    """May tasks of one stage have different functions, some with a barrier and some without?"""
    return any(isinstance(node, Narrow) and isinstance(node.inputs, Concatenated) for node in walk(target))


def test_jobs_end_though_everything_goes_wrong_at_once() -> None:
    chaos = Chaos(failing=0.02, vanishing=0.02, dying=0.01, dawdling=0.1, sparing=0.01)
    for seed in range(2 * SCHEDULES):
        simulator = play(
            seed, chaos, cancelling=True, executors=(1, 8), copies=3, task_retries=1, speculation=True, barriers=0.1,
            spares=(0, 3))
        check_end(simulator, seed, exact=False)
