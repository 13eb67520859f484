"""The driver on spares: the memory that one of them gets."""

from __future__ import annotations

from mpirdd.comm.inprocess import Network
from mpirdd.driver.channel import Channel
from mpirdd.driver.spares import Spares
from mpirdd.observe.bus import Bus
from mpirdd.observe.executor_memory import ExecutorMemory
from mpirdd.protocol.ids import Rank
from mpirdd.protocol.messages import Started
from mpirdd.scheduler.events import SpareJoins


def test_a_spare_may_join_while_executors_are_still_starting() -> None:
    channel = Channel(Network(4).end(0), spares=1, lost=())
    hosts: dict[Rank, str] = {}
    memory = ExecutorMemory()
    spares = Spares(channel, hosts, memory, home="a", fixed_memory=False, bus=Bus(), tell=lambda event: None)
    spares.started(3, Started("a", True, 1, 1000))
    channel.lost(1)
    spares.joins(SpareJoins(3, 1))
    assert channel.executors == [2, 3]
    assert hosts == {3: "a"}
    assert 0 < memory.limit_bytes[3] <= 1000
