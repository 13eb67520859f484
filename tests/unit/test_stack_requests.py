"""Who is asked for the stack of which rank, and requests of ``mpirdd stack``."""

from __future__ import annotations

from math import inf
from pathlib import Path
from typing import Any

import pytest

from mpirdd.driver.stack_requests import StackInbox, StackRequests
from mpirdd.driver.witnesses import Witnesses
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
