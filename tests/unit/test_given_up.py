"""Executors that are given up: the stack that is shown is that of their last silence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mpirdd.comm.inprocess import Network
from mpirdd.driver import failure_detector
from mpirdd.driver.channel import Channel
from mpirdd.driver.failure_detector import GIVEN_UP, FailureDetector
from mpirdd.driver.losses import Losses
from mpirdd.observe.bus import Bus
from mpirdd.observe.stack_event import Stack
from mpirdd.protocol.ids import Rank
from mpirdd.protocol.messages import StackTold, TellStack
from mpirdd.protocol.settings import Settings
from mpirdd.scheduler.events import Event, ExecutorLost, Recovering


class Silence:
    """Executors 1 and 2 on another host than the driver; 1 says nothing while time goes by."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(failure_detector, "monotonic", lambda: self.now)
        self.asked: list[Rank] = []
        self.told: list[Event] = []
        self.stacks: list[Any] = []
        bus, transport = Bus(), Network(3).end(0)
        bus.subscribe({Stack: self.stacks.append})
        self.detector = FailureDetector(transport, Settings(ping_s=1.0, executor_timeout_s=4.0), [1, 2], self._send, {})
        for rank in (1, 2):
            self.detector.joined(rank, "elsewhere", 70 + rank)
        self.losses = Losses(
            Channel(transport, spares=0, lost=()), self.detector, forget=[], tell=self.told.append, bus=bus, epoch=0, log=None)

    def _send(self, rank: Rank, message: Any) -> None:
        if isinstance(message, TellStack):
            self.asked.append(rank)

    def goes_by(self) -> Iterator[float]:
        """Look every half second, for 10 s."""
        until = self.now + 10.0
        while self.now < until:
            self.now += 0.5
            self.detector.heard(2)
            self.losses.look()
            yield self.now

    def answer(self, function: str) -> None:
        text = f'Stack (most recent call first):\n  File "job.py", line 1 in {function}'
        self.losses.stack_told(2, StackTold(GIVEN_UP, 1, text, ""))


@pytest.fixture
def silence(monkeypatch: pytest.MonkeyPatch) -> Silence:
    return Silence(monkeypatch)


def lost(silence: Silence) -> Stack | None:
    """Rank 1 is; the stack that is shown."""
    assert silence.told == [ExecutorLost(1, "it did not answer for 4 s")]
    silence.losses.recovering(Recovering(1, {}, 0, 1))
    return silence.stacks[0] if silence.stacks else None


def test_the_stack_of_an_executor_is_asked_for_before_it_is_given_up(silence: Silence) -> None:
    for _ in silence.goes_by():
        if silence.asked and not silence.told:
            silence.answer("stuck")
    stack = lost(silence)
    assert silence.asked == [2] and stack is not None and "in stuck" in stack.text


def test_after_it_has_been_heard_again_it_is_asked_for_again(silence: Silence) -> None:
    for _ in silence.goes_by():
        if silence.asked:
            silence.answer("slow")
            silence.detector.heard(1)
            break
    assert silence.told == []
    for _ in silence.goes_by():
        pass
    assert silence.asked == [2, 2] and lost(silence) is None, "nobody has told the stack of the second silence"
