"""The driver's way to its executors."""

from __future__ import annotations

from mpirdd.comm.inprocess import Network
from mpirdd.driver.channel import Channel
from mpirdd.protocol import messages
from mpirdd.protocol.ids import StageId


def test_a_thread_that_comes_late_sends_nothing_to_the_executors_of_the_next_context() -> None:
    network = Network(4)
    channel = Channel(network.end(0), spares=1, lost=())
    ends = [network.end(rank) for rank in (1, 2, 3)]
    drop = messages.Drop(stages=(StageId(1),))
    channel.send_all(drop)
    assert all(end.poll() is not None for end in ends)
    channel.close()
    channel.send(1, drop)
    channel.send_all(drop)
    channel.send_all(drop, (1, 2))
    assert all(end.poll() is None for end in ends)
