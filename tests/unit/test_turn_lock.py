"""The lock of the driver's turns, and signal handlers."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from http import HTTPStatus
from threading import Thread

import pytest

from mpirdd.driver.turn_lock import TurnLock
from mpirdd.protocol.errors import UsageError
from mpirdd.protocol.signals import raised_by_a_handler


class Came(Exception):
    pass


def send() -> None:
    """To the process: any of its threads may get it, those of pytest-xdist, too."""
    os.kill(os.getpid(), signal.SIGUSR1)
    for _ in range(1000):  # in the main thread the handler runs between two instructions
        pass


def raises(number: int, frame: object) -> None:
    raise Came


@pytest.fixture
def lock() -> Iterator[TurnLock]:
    before = signal.signal(signal.SIGUSR1, raises)
    lock = TurnLock()
    lock.look_for_handlers()
    yield lock
    signal.signal(signal.SIGUSR1, before)


def test_a_signal_waits_until_the_turn_is_over(lock: TurnLock) -> None:
    done = []
    with pytest.raises(Came):
        with lock:
            send()
            done.append("the turn")
        done.append("what comes after")
    assert done == ["the turn"]
    with lock:
        pass


def test_where_the_programs_code_runs_it_comes_at_once_and_the_lock_is_free_again(lock: TurnLock) -> None:
    with pytest.raises(Came), lock:
        with lock.interruptible():
            send()
        raise AssertionError("it has not come")
    with lock:
        pass


def test_a_thread_that_holds_it_and_asks_again_is_told_instead_of_waiting_for_ever(lock: TurnLock) -> None:
    with lock, pytest.raises(UsageError, match="signal handler"), lock:
        pass
    seen = []

    def take() -> None:
        with lock:
            seen.append(1)

    thread = Thread(target=take)
    thread.start()
    thread.join(10)
    assert seen == [1]


def test_handlers_are_given_back_and_those_that_nobody_has_set_are_not_touched(lock: TurnLock) -> None:
    assert signal.getsignal(signal.SIGUSR1) is not raises
    assert signal.getsignal(signal.SIGWINCH) is signal.SIG_DFL
    lock.give_handlers_back()
    assert signal.getsignal(signal.SIGUSR1) is raises
    own = signal.getsignal(signal.SIGUSR1)
    lock.look_for_handlers()
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # the program sets another one meanwhile
    lock.give_handlers_back()
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN
    assert own is raises


def test_signals_that_come_while_the_lock_is_waited_for_come_behind_the_turn(lock: TurnLock) -> None:
    done = []
    signal.signal(signal.SIGUSR1, lambda number, frame: done.append("signal"))
    lock.look_for_handlers()
    for _ in range(200):
        with lock:
            os.kill(os.getpid(), signal.SIGUSR1)
            done.append("turn")
    assert done == ["turn", "signal"] * 200


def from_a_handler(number: int, handler: object) -> BaseException:
    before = signal.signal(number, handler)  # type: ignore[arg-type]
    try:
        os.kill(os.getpid(), number)
    except Exception as error:
        assert raised_by_a_handler(error)
        return error
    finally:
        signal.signal(number, before)
    raise AssertionError("it has not come")


class Handler:
    def __call__(self, number: int, frame: object) -> None:
        raise Came

    def method(self, number: int, frame: object) -> None:
        self(number, frame)


@pytest.mark.parametrize("handler", [raises, lambda number, frame: raises(number, frame), Handler(), Handler().method],
                         ids=["function", "lambda", "object", "method"])
def test_what_handlers_raise_is_known_from_other_exceptions(handler: object) -> None:
    from_a_handler(signal.SIGALRM, handler)
    assert raised_by_a_handler(KeyboardInterrupt())
    try:
        raise Came
    except Came as error:
        assert not raised_by_a_handler(error)


def test_a_failed_look_up_in_an_enum_comes_from_no_handler() -> None:
    with pytest.raises(ValueError) as caught:
        HTTPStatus(999)
    assert not raised_by_a_handler(caught.value)
