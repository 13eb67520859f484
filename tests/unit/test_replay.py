"""The events of a run, played again against a fresh scheduler, give exactly the same commands: what
the scheduler knows came in as an event, and what the driver needs came out in a command.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable
from operator import add
from typing import Any

import pytest
from chaos import Cluster, may_die
from simulator import Chaos, Simulator, play

from mpirdd.api.storagelevel import StorageLevel
from mpirdd.scheduler.events import Command, DataDropped, Event, ExecutorLost, NodeKept, NodesForgotten, Recovering
from mpirdd.scheduler.scheduler import Scheduler

Recorded = list[tuple[Event, list[Command]]]


def assert_same_again(scheduler: Scheduler, recorded: Recorded) -> None:
    for place, (event, commands) in enumerate(recorded):
        assert scheduler.handle(event) == commands, f"event {place}: {event}"


def play_simulation(seed: int) -> Simulator:
    chaos = Chaos(failing=0.02, vanishing=0.02, dying=0.01, dawdling=0.1, sparing=0.02, survivors=1)
    return play(seed, chaos, cancelling=True, executors=(2, 8), copies=3, task_retries=2, speculation=True, barriers=0.1,
                spares=(0, 2))


def test_a_simulated_run_with_losses_plays_again() -> None:
    losses = 0
    for seed in range(200):
        simulator = play_simulation(seed)
        assert_same_again(Scheduler(simulator.first, task_retries=2, speculation=True), simulator.recorded)
        losses += len(simulator.account.recovering)
    assert losses > 100


@pytest.mark.parametrize("seed", range(4))
def test_a_run_of_the_whole_engine_with_losses_plays_again(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Persisted and replicated, unpersisted and forgotten RDDs, shuffles, a cancelled job, and
    executors that die."""
    recorded: Recorded = []
    schedulers: list[dict[str, Any]] = []
    begin, handle = Scheduler.__init__, Scheduler.handle

    def note_begin(self: Scheduler, executors: Iterable[int], **options: Any) -> None:
        schedulers.append({"executors": list(executors), **options})
        begin(self, executors, **options)

    def note(self: Scheduler, event: Event) -> list[Command]:
        commands = handle(self, event)
        recorded.append((event, list(commands)))
        return commands

    monkeypatch.setattr(Scheduler, "__init__", note_begin)
    monkeypatch.setattr(Scheduler, "handle", note)
    with Cluster(5, seed, kills=3, every=40, evicting=30) as cluster:
        sc = cluster.sc
        pairs = sc.parallelize(range(200), 9).map(may_die).map(lambda x: (x % 7, x)).persist(StorageLevel.MEMORY_ONLY_2)
        sums = pairs.reduceByKey(add, 4).cache()
        expected = {key: sum(range(key, 200, 7)) for key in range(7)}
        assert dict(sums.collect()) == expected
        assert pairs.join(sums, 3).count() == 200
        sums.unpersist()
        pairs.distinct()  # forgotten at once; nodes of jobs are not, as the recorded events refer to them
        gc.collect()
        assert dict(sums.collect()) == expected
        assert pairs.sortByKey(numPartitions=3).map(lambda pair: pair[0]).collect() == sorted(x % 7 for x in range(200))
        sc.stop()
    monkeypatch.undo()
    kinds = {type(event) for event, _ in recorded}
    assert {NodeKept, NodesForgotten, ExecutorLost} <= kinds
    assert any(isinstance(command, Recovering) for _, commands in recorded for command in commands)
    (options,) = schedulers
    assert_same_again(Scheduler(options.pop("executors"), **options), recorded)


def test_data_that_is_dropped_is_dropped_again() -> None:
    simulator = play(1, Chaos())
    simulator.tell(DataDropped(shuffles=tuple(node for node in simulator.account.nodes)))
    assert_same_again(Scheduler(simulator.executors), simulator.recorded)
