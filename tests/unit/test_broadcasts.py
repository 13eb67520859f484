"""Who sends a broadcast value to whom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

import pytest

from mpirdd.comm.broadcast_tree import BroadcastTree, Orders, binomial
from mpirdd.protocol.messages import Route


def everybody(routes: Sequence[Route]) -> Iterator[int]:
    for route in routes:
        yield route.to
        yield from route.neighbours
        yield from everybody(route.branches)


def rounds(routes: Sequence[Route]) -> int:
    """How often a value is sent until the last leader has it, if each sends to its branches in their order."""
    return max((place + 1 + rounds(route.branches) for place, route in enumerate(routes)), default=0)


@pytest.mark.parametrize("leaders", [0, 1, 2, 3, 4, 7, 8, 100, 1023])
def test_a_tree_reaches_each_leader_once_in_the_fewest_rounds(leaders: int) -> None:
    routes = binomial(range(1, leaders + 1), {})
    assert sorted(everybody(routes)) == list(range(1, leaders + 1))
    assert rounds(routes) == leaders.bit_length()  # log2 of leaders and driver, rounded up


def test_on_the_drivers_host_all_map_its_memory() -> None:
    assert BroadcastTree({1: "a", 2: "a", 3: "a"}, "a").start() == Orders(share=(1, 2, 3))


def test_one_executor_of_each_other_host_is_sent_the_value() -> None:
    orders = BroadcastTree({1: "a", 2: "b", 3: "b", 4: "c", 5: "b", 6: "a"}, "a").start()
    assert orders == Orders(share=(1, 6), stream=(Route(4, (), ()), Route(2, (3, 5), ())))


def test_it_is_complete_when_all_have_told() -> None:
    spread = BroadcastTree({1: "a", 2: "b"}, "a")
    spread.start()
    assert not spread.complete
    spread.arrived(1)
    assert not spread.complete
    spread.arrived(2)
    assert spread.complete


def test_who_cannot_map_is_sent_the_value_once() -> None:
    spread = BroadcastTree({1: "b", 2: "b"}, "a")
    spread.start()
    assert spread.refused(2, 1) == Orders(whole=(2,))
    assert spread.refused(2, 1) == Orders()


def test_a_lost_relay_owes_only_what_hung_on_it() -> None:
    hosts = {rank: f"h{rank}" for rank in range(1, 8)} | {8: "h4", 9: "h2"}
    spread = BroadcastTree(hosts, "driver")
    relays = {route.to: sorted(everybody([route])) for route in spread.start().stream}
    assert relays == {1: [1], 2: [2, 3, 9], 4: [4, 5, 6, 7, 8]}
    orders = spread.executor_lost(4)
    assert sorted(everybody(orders.stream)) == [5, 6, 7, 8]
    assert spread.executor_lost(1) == Orders()


def test_who_has_it_passes_it_on_though_its_own_source_is_lost() -> None:
    spread = BroadcastTree({rank: f"h{rank}" for rank in range(1, 8)}, "driver")
    spread.start()  # 4 sends to 6, 6 to 7
    spread.arrived(6)
    assert sorted(everybody(spread.executor_lost(4).stream)) == [5]
    assert sorted(everybody(spread.executor_lost(6).stream)) == [7]


def test_the_driver_sends_to_a_host_whose_leader_was_lost() -> None:
    spread = BroadcastTree({1: "b", 2: "b", 3: "b"}, "a")
    spread.start()
    spread.arrived(1)
    spread.arrived(2)
    assert spread.executor_lost(1) == Orders(stream=(Route(3, (), ()),))
    assert not spread.complete
    assert spread.executor_lost(3) == Orders()
    assert spread.complete


@pytest.mark.parametrize("seed", range(50))
def test_whatever_is_lost_all_survivors_are_waited_for_until_they_have_it(seed: int) -> None:
    random = Random(seed)
    hosts = {rank: f"h{random.randrange(8)}" for rank in range(1, 20)}
    spread, living, having = BroadcastTree(hosts, "h0"), set(hosts), set()
    spread.start()
    while not spread.complete:
        rank = random.choice(sorted(living))
        if random.random() < 0.3:
            living.discard(rank)
            orders = spread.executor_lost(rank)
            sent_again = [*orders.share, *everybody(orders.stream), *orders.whole]
            assert len(sent_again) == len(set(sent_again))
            assert not set(sent_again) & having
            assert set(sent_again) <= living
        else:
            spread.arrived(rank)
            having.add(rank)
    assert living <= having
