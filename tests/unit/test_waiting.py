"""The sleep of a waiting rank, with a clock that only sleeping moves."""

from __future__ import annotations

import os

import pytest

from mpirdd.comm import waiting
from mpirdd.comm.waiting import Waiting


class Clock:
    """Time that passes by sleeping, or by ``yield_s`` for each yield."""

    def __init__(self) -> None:
        self.now = 100.0
        self.sleeps: list[float] = []
        self.yields = 0

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds

    def sched_yield(self) -> None:
        self.yields += 1
        self.now += 1e-6


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(waiting, "perf_counter", lambda: clock.now)
    monkeypatch.setattr(waiting, "sleep", clock.sleep)
    monkeypatch.setattr(os, "sched_yield", clock.sched_yield)
    return clock


def wait(clock: Clock, waits: Waiting, seconds: float, *, busy: bool = False) -> None:
    until = clock.now + seconds
    while clock.now < until:
        waits.pause(busy=busy)


def test_a_short_wait_only_yields(clock: Clock) -> None:
    wait(clock, Waiting(spin_s=1e-4, poll_sleep_s=0.01), 9e-5)
    assert clock.yields and not clock.sleeps


def test_a_long_wait_sleeps_longer_and_longer_up_to_the_bound(clock: Clock) -> None:
    wait(clock, Waiting(spin_s=1e-4, poll_sleep_s=0.01), 2.0)
    assert clock.sleeps == sorted(clock.sleeps)
    assert max(clock.sleeps) == 0.01


def test_who_has_waited_for_half_a_minute_looks_less_often(clock: Clock) -> None:
    wait(clock, Waiting(spin_s=1e-4, poll_sleep_s=0.01), 29.0)
    assert max(clock.sleeps) == 0.01
    waits = Waiting(spin_s=1e-4, poll_sleep_s=0.01)
    wait(clock, waits, 31.0)
    assert max(clock.sleeps) == 0.05
    waits.reset()
    clock.sleeps.clear()
    wait(clock, waits, 1.0)
    assert max(clock.sleeps) == 0.01


def test_what_comes_is_noticed_a_sixteenth_late_at_most(clock: Clock) -> None:
    began = clock.now
    waits = Waiting(spin_s=1e-4, poll_sleep_s=10.0)
    while clock.now - began < 1.0:
        before = clock.now - began
        waits.pause()
        if clock.sleeps:
            assert clock.sleeps[-1] <= before / 16 + 1e-9


def test_a_reset_begins_anew(clock: Clock) -> None:
    waits = Waiting(spin_s=1e-4, poll_sleep_s=0.01)
    wait(clock, waits, 1.0)
    waits.reset()
    clock.sleeps.clear()
    wait(clock, waits, 5e-5)
    assert not clock.sleeps


def test_time_between_a_reset_and_the_next_pause_does_not_count(clock: Clock) -> None:
    """A task that ran for an hour does not tell how soon the next message comes."""
    waits = Waiting(spin_s=1e-4, poll_sleep_s=0.01)
    waits.pause()
    waits.reset()
    clock.now += 3_600
    waits.pause()
    assert not clock.sleeps


def test_moving_bytes_keep_a_rank_awake_but_not_for_ever(clock: Clock) -> None:
    waits = Waiting(spin_s=1e-4, poll_sleep_s=0.01)
    wait(clock, waits, 0.4, busy=True)
    assert not clock.sleeps
    wait(clock, waits, 1.0, busy=True)
    assert clock.sleeps
