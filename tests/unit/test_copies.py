"""Copies of blocks kept more than once."""

from __future__ import annotations

from simulator import cluster, done, exchanged, made_again

from mpirdd.protocol.ids import BlockId
from mpirdd.scheduler.events import BlocksGone
from mpirdd.scheduler.placement import Copies


def test_a_job_does_not_wait_for_copies() -> None:
    simulator, lineage = cluster(3)
    kept = lineage.source(3)
    simulator.keep(kept, copies=2)
    simulator.submit(1, kept)
    while 1 not in simulator.account.ended:
        simulator.step()
    assert all(len(simulator.account.holders[BlockId("rdd", kept.id, part)]) == 1 for part in range(3))
    simulator.run()
    assert all(len(simulator.account.holders[BlockId("rdd", kept.id, part)]) == 2 for part in range(3))


def test_copies_go_to_other_hosts() -> None:
    simulator, lineage = cluster(6)
    hosts = {rank: "ab"[rank > 3] for rank in range(1, 7)}
    simulator.place_on(hosts)
    kept = lineage.source(12)
    simulator.keep(kept, copies=2)
    done(simulator, 1, kept)
    for part in range(12):
        assert {hosts[rank] for rank in simulator.account.holders[BlockId("rdd", kept.id, part)]} == {"a", "b"}


def test_evicted_copies_are_not_made_again_and_again() -> None:
    simulator, lineage = cluster(2)
    kept = lineage.source(4)
    simulator.keep(kept, copies=2)
    done(simulator, 1, kept)
    plans = exchanged(simulator)
    for part in range(4):
        simulator.executors[2].blocks.pop(BlockId("rdd", kept.id, part))
        simulator.tell(BlocksGone(2, (BlockId("rdd", kept.id, part),)))
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
