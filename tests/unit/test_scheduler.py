"""The scheduler: seeded random schedules in the simulator, then single decisions one by one."""

from __future__ import annotations

from random import Random
from time import perf_counter

import pytest
from simulator import Chaos, Lineage, Simulator, random_lineage

from mpirdd.decisions.lineage import Node, walk

SCHEDULES = 700
"""For each kind; a failing one is repeated by its seed."""


def play(seed: int, chaos: Chaos, *, cancelling: bool = False) -> Simulator:
    """A program: a few jobs over a random lineage, some one after the other and some at once."""
    random = Random(seed)
    nodes = random_lineage(random, random.randint(2, 14))
    simulator = Simulator(random.randint(1, 5), random, chaos)
    simulator.scheduler.kept.update(node.id for node in nodes if random.random() < 0.25)
    for job in range(1, random.randint(2, 5)):
        node = random.choice(nodes[-6:])
        parts = range(node.num_partitions)
        simulator.submit(job, node, parts if random.random() < 0.6 else random.sample(parts, random.randint(0, len(parts))))
        for _ in range(random.choice([0, 5, 50, 500])):
            simulator.step()
        if cancelling and random.random() < 0.4:
            simulator.cancel(random.randint(1, job))
    simulator.run()
    return simulator


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


def test_jobs_end_though_everything_goes_wrong_at_once() -> None:
    for seed in range(SCHEDULES):
        play(seed, Chaos(vanishing=0.02, failing=0.02), cancelling=True)


def test_nothing_is_left_of_what_nobody_refers_to() -> None:
    """Nodes are forgotten as soon as no job needs them, while late tasks and exchanges are still under way."""
    for seed in range(SCHEDULES):
        random = Random(seed)
        nodes = random_lineage(random, random.randint(2, 14))
        simulator = Simulator(random.randint(1, 5), random, Chaos(failing=0.05))
        simulator.scheduler.kept.update(node.id for node in nodes if random.random() < 0.25)
        needed: dict[int, Node] = {}
        for job in range(1, random.randint(2, 4)):
            needed[job] = random.choice(nodes[-6:])
            simulator.submit(job, needed[job])
            for _ in range(random.choice([0, 5, 50, 500])):
                simulator.step()
            if random.random() < 0.5:
                simulator.cancel(job)
        while not all(job in simulator.account.ended for job in needed) and random.random() < 0.99:
            simulator.step()
        for job in needed:
            simulator.cancel(job)
        for id in simulator.account.nodes.copy():
            simulator.forget(id)
        simulator.run()
        assert not any(executor.blocks for executor in simulator.executors.values()), seed
