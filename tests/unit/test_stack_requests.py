"""Who is asked for the stack of which rank, and requests of ``mpirdd stack``."""

from __future__ import annotations

import json
from itertools import count
from math import inf
from pathlib import Path
from threading import Thread
from time import sleep
from typing import Any

import pytest

from mpirdd.driver.stack_requests import StackInbox, StackRequests
from mpirdd.driver.witnesses import Witnesses
from mpirdd.launch.far_stacks import of_ranks
from mpirdd.observe.stack_event import ASKED, REQUEST
from mpirdd.protocol.messages import TellStack

HOSTS = {1: "home", 2: "a", 3: "a", 4: "b", 5: "a"}


@pytest.mark.parametrize(("rank", "lost", "itself", "asked"), [
    (2, (), True, [3, 5, 2]), (3, (), False, [5, 2]), (3, (2, 5), True, [3]), (3, (2, 5), False, []), (4, (), True, [4]),
    (4, (), False, []), (5, (2,), False, [3]), (1, (), True, [1]), (1, (), False, []),
])
def test_neighbours_are_asked_one_after_the_other(rank: int, lost: tuple[int, ...], itself: bool, asked: list[int]) -> None:
    sent: list[tuple[int, Any]] = []
    requests = StackRequests(
        Witnesses(), hosts=HOSTS, pids=dict.fromkeys(HOSTS, 77), lost=lost, home="home",
        send=lambda to, message: sent.append((to, message)))
    assert requests.ask(rank, "why", itself=itself) == bool(asked)
    assert sent == [(to, TellStack("why", rank, 77)) for to in asked[:1]]
    for number in range(1, len(asked)):
        assert not requests.answered(rank, "why", "") if number == 1 else requests.look(inf) is None
        assert [to for to, _ in sent] == asked[:number + 1]
    if asked:
        requests.look(0.0)
        assert len(sent) == len(asked)
        assert requests.answered(rank, "why", "text")
    assert not requests.answered(rank, "why", "text"), "once"
    requests.look(inf)
    assert len(sent) == len(asked)


@pytest.mark.parametrize("text", ["0123456789abcdef", "0123456789abcdefg", "x", "", "../../etc/passwd!"])
def test_only_tokens_are_taken_and_once(tmp_path: Path, text: str) -> None:
    log, request = tmp_path / "run.jsonl", tmp_path / f"run.jsonl{REQUEST}"
    inbox = StackInbox(str(log))
    assert inbox.taken(1.0) is None
    request.write_text(text)
    assert inbox.taken(1.5) is None, "looks once a second"
    good = text == "0123456789abcdef"
    assert inbox.taken(2.5) == (ASKED + text if good else None)
    assert request.exists() != good
    assert inbox.taken(9.0) is None


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("0123456789abcdef")
    (tmp_path / f"run.jsonl{REQUEST}").symlink_to(tmp_path / "other")
    assert StackInbox(str(tmp_path / "run.jsonl")).taken(1.0) is None
    assert StackInbox(None).taken(1.0) is None


def test_of_two_commands_at_a_time_both_are_answered(tmp_path: Path) -> None:
    log = tmp_path / "run.jsonl"
    log.write_text("")
    told: list[list[str]] = []
    commands = [Thread(target=lambda: told.append(list(of_ranks(str(log), {"a": [1]})))) for _ in range(2)]
    for command in commands:
        command.start()
    sleep(0.5)  # an unmended pair has left both requests by then
    inbox, looks = StackInbox(str(log)), count(1.0)
    while any(command.is_alive() for command in commands):
        if (why := inbox.taken(next(looks))) is not None:
            with log.open("a") as file:
                file.write(json.dumps({"event": "stack", "t": 1.0, "executor": 1, "why": why, "text": "its stack"}) + "\n")
        sleep(0.05)
    assert told == [["rank 1, on a: between two tasks", "its stack"]] * 2
    assert list(tmp_path.iterdir()) == [log]


def test_a_request_that_nobody_takes_is_withdrawn_and_a_stale_one_replaced(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mpirdd.launch.far_stacks._TAKEN_S", 0.3)
    log, request = tmp_path / "run.jsonl", tmp_path / f"run.jsonl{REQUEST}"
    log.write_text("")
    request.write_text("0123456789abcdef")
    (told,) = of_ranks(str(log), {"a": [1]})
    assert "the driver takes no questions" in told
    assert not request.exists()
