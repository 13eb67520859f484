"""``mpirdd stack EVENTS`` for ranks on other hosts: asks the run's driver, which answers in the event log.

The request is a file beside the log, with a token; whoever may write there may ask. While the driver runs a job, it takes the
request within a second, asks the ranks, and writes each answer into the log as a ``stack`` event with that token. Of two commands
at a time, the second leaves its request when the first one's is gone.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from secrets import token_hex

from mpirdd.observe.event_files import Tail
from mpirdd.observe.stack_event import ASKED, REQUEST
from mpirdd.protocol.errors import UsageError

_TAKEN_S, _ANSWERED_S = 4.0, 9.0
"""A driver that runs a job takes a request within the first time. Ranks answer within the second."""
_LOOK_S = 0.1


def of_ranks(log: str, elsewhere: Mapping[str, Sequence[int]]) -> Iterator[str]:
    """Lines about the ranks on other hosts, by host.

    Raises:
        UsageError: the request cannot be written.
    """
    hosts = {rank: host for host, ranks in elsewhere.items() for rank in ranks}
    tail, request, token = Tail(log, begin=os.path.getsize(log)), log + REQUEST, token_hex(8)
    _leave(request, token)
    answers: dict[int, tuple[str, str]] = {}
    over, taken = False, False
    deadline = time.monotonic() + _TAKEN_S
    try:
        while not over and not answers.keys() >= hosts.keys() and time.monotonic() < deadline:
            time.sleep(_LOOK_S)
            if not taken and not _lies_there(request, token):
                taken, deadline = True, time.monotonic() + _ANSWERED_S
            for event in tail.new():
                over = over or event["event"] == "end"
                if event["event"] == "stack" and event.get("why") == ASKED + token:
                    answers[event["executor"]] = str(event.get("text", "")), str(event.get("doing", ""))
    finally:
        if _lies_there(request, token):
            with suppress(FileNotFoundError):
                os.unlink(request)
    for rank, host in sorted(hosts.items()):
        if rank in answers:
            text, doing = answers[rank]
            yield f"rank {rank}, on {host}: {f'in {doing}' if doing else 'the driver' if rank == 0 else 'between two tasks'}"
            yield text or "  no stack: it does not answer"
    silent = sorted(hosts.keys() - answers.keys())
    if silent and not over:
        yield from _unanswered(silent, hosts, log, taken=taken)


def _unanswered(silent: Sequence[int], hosts: Mapping[int, str], log: str, *, taken: bool) -> Iterator[str]:
    who = f"ranks {', '.join(map(str, silent))} are" if len(silent) > 1 else f"rank {silent[0]} is"
    where = ", ".join(sorted({hosts[rank] for rank in silent}))
    why = "nobody has answered for them" if taken else "the driver takes no questions: it does so only while it runs a job"
    yield f"{who} on {where}, and {why}. Run `mpirdd stack {log}` there"


def _leave(path: str, token: str) -> None:
    """Write the request, when no other one lies there."""
    deadline = time.monotonic() + _TAKEN_S
    try:
        while True:
            with suppress(FileExistsError), open(path, "x") as file:
                file.write(token)
                return
            if time.monotonic() > deadline:  # the command that left it was killed
                with suppress(FileNotFoundError):
                    os.unlink(path)
            time.sleep(_LOOK_S)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}. Through this file mpirdd asks the run for the stacks of "
                         "ranks on other hosts") from None


def _lies_there(path: str, token: str) -> bool:
    """Has nobody taken or replaced this request?"""
    with suppress(OSError), open(path) as file:
        return file.read() == token
    return False
