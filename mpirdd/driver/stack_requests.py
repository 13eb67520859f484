"""Requests for the stacks of ranks on all hosts: on the driver's host through the system, elsewhere by a message.

The message goes to another rank of that host, if there is one, because the rank itself may hang in C code. The neighbour may
hang too: then the next one is asked, and in the end the rank itself. ``mpirdd stack EVENTS`` asks through a file beside the
event log, since it may run on any host that sees the log; it reads the answers in the log.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Container, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any

from mpirdd.driver.witnesses import Witnesses
from mpirdd.observe.stack_event import ASKED, REQUEST
from mpirdd.protocol import messages
from mpirdd.protocol.ids import Rank

_LOOK_S = 1.0
_PATIENCE_S = 2.5
"""A rank answers for a neighbour after 2 s, if that one does not show its stack."""
_NEIGHBOURS = 2
"""At most this many neighbours are asked, one after the other."""


class StackRequests:
    """Args:
        hosts, pids: of all ranks that have started, lost ones included.
        home: the driver's host.
        send: queues a message for a rank.
    """

    def __init__(
        self, witnesses: Witnesses, *, hosts: Mapping[Rank, str], pids: Mapping[Rank, int], lost: Container[Rank], home: str,
        send: Callable[[Rank, Any], None],
    ) -> None:
        self._witnesses, self._hosts, self._pids, self._lost = witnesses, hosts, pids, lost
        self._home, self._send = home, send
        self._pending: dict[tuple[Rank, str], tuple[float, list[Rank]]] = {}
        """By rank and reason: the time to ask the next rank, and the ranks still to ask."""

    def ask(self, rank: Rank, why: str, *, itself: bool = True) -> bool:
        """Ask for a rank's stack; False if nobody can answer. ``itself``: the rank itself may be asked, too."""
        if self._witnesses.ask(rank, why):
            return True
        who = [*self._neighbours(rank), *([rank] if itself else [])]
        if who:
            self._ask_next(rank, why, who)
        return bool(who)

    def look(self, now: float) -> None:
        """Where an answer is overdue, ask the next rank."""
        for (rank, why), (due, who) in list(self._pending.items()) if self._pending else ():
            if now >= due:
                self._ask_next(rank, why, who)

    def answered(self, rank: Rank, why: str, text: str) -> bool:
        """Is this the answer? Not if it is empty and another rank can be asked, nor if there was an answer already."""
        _, who = self._pending.get((rank, why), (0.0, None))
        if who is None:
            return False
        if who and not text:
            self._ask_next(rank, why, who)
            return False
        del self._pending[rank, why]
        return True

    def _ask_next(self, rank: Rank, why: str, who: list[Rank]) -> None:
        if who:
            self._pending[rank, why] = monotonic() + _PATIENCE_S, who[1:]
            self._send(who[0], messages.TellStack(why, rank, self._pids.get(rank, 0)))
        else:
            del self._pending[rank, why]

    def _neighbours(self, rank: Rank) -> list[Rank]:
        """The next ranks on its host, so a rank that hangs is asked about few others."""
        host = self._hosts.get(rank)
        there = [other for other, at in self._hosts.items() if at == host != self._home and other not in self._lost]
        return sorted((other for other in there if other != rank), key=lambda other: (other < rank, other))[:_NEIGHBOURS]


class StackInbox:
    """The file in which ``mpirdd stack`` leaves its requests.

    Args:
        log: the path of the event log; None if there is none.
    """

    def __init__(self, log: str | None) -> None:
        self._path, self._due = log and log + REQUEST, 0.0

    def taken(self, now: float) -> str | None:
        """Take a request to ask all ranks: the reason to give them, or None. Looks once a second: a look takes some 2 us, more on
        a network file system."""
        if self._path is None or now < self._due:
            return None
        self._due = now + _LOOK_S
        with suppress(OSError):
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            with open(descriptor, "rb") as file:
                mine = os.fstat(descriptor).st_uid == os.geteuid()
                found = re.fullmatch(rb"[0-9a-f]{16}", file.read(17))
            if mine and found:
                os.unlink(self._path)
                return ASKED + found[0].decode()
        return None
