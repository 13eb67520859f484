"""A cancelled task is interrupted, and again if the first time has had no effect."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from mpirdd.comm.inprocess import Network
from mpirdd.executor import interrupt
from mpirdd.executor.interrupt import Interrupted, Watch
from mpirdd.protocol import messages
from mpirdd.store.codec import encode

pytestmark = pytest.mark.timeout(30)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Iterator[Network]:
    monkeypatch.setattr(interrupt, "_AGAIN_S", 0.05)
    before = signal.getsignal(signal.SIGURG)
    yield Network(2, "here")
    signal.signal(signal.SIGURG, before)


def test_a_task_that_swallows_an_interruption_gets_another_one(network: Network) -> None:
    watch = Watch(network.end(1), lambda: None)
    watch.begin(7, 0)
    network.end(0).send(1, encode(messages.CancelStage(7)))
    seen = 0
    while seen < 3:
        try:
            time.sleep(20)
        except Interrupted:
            seen += 1
    watch.end()
    received = watch.poll()
    assert received is not None  # the executor's loop gets the message as well


def test_a_task_of_another_stage_goes_on(network: Network) -> None:
    watch = Watch(network.end(1), lambda: None)
    watch.begin(8, 0)
    network.end(0).send(1, encode(messages.CancelStage(7)))
    network.end(0).send(1, encode(messages.CancelTask(8, 1)))
    network.end(0).send(1, encode(messages.CancelTask(8, 0)))
    with pytest.raises(Interrupted):
        time.sleep(20)
    watch.end()
    assert [watch.poll() is not None for _ in range(4)] == [True, True, True, False]
