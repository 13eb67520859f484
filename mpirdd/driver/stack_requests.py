"""Asks ranks for their stacks, on all hosts: those of the driver's host through the system, others by a message.

The message goes to another rank of that host, if there is one, as a rank may hang in C code. That one
may hang, too: then the next is asked, and in the end the rank itself. ``mpirdd stack EVENTS`` asks
through a file beside the event log, as it may run on any host that sees the log, and reads the
answers in the log.
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
"""A rank answers for a neighbour that does not show its stack after 2 s."""
_NEIGHBOURS = 2
"""So many are asked, one after the other."""


class StackRequests:
    """Args:
        hosts, pids: of all ranks that have started, lost ones among them.
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
        """Who has been asked for whose stack and why: when to ask the next one, and those."""

    def ask(self, rank: Rank, why: str, *, itself: bool = True) -> bool:
        """Ask a rank for its stack. ``itself``: also where only the rank itself could answer. False: nobody can."""
        if self._witnesses.ask(rank, why):
            return True
        who = [*self._neighbours(rank), *([rank] if itself else [])]
        if who:
            self._ask_next(rank, why, who)
        return bool(who)

    def look(self, now: float) -> None:
        """Ask others where those that were asked have not answered in time."""
        for (rank, why), (due, who) in list(self._pending.items()) if self._pending else ():
            if now >= due:
                self._ask_next(rank, why, who)

    def answered(self, rank: Rank, why: str, text: str) -> bool:
        """Is this the answer? Not if it is empty and somebody else can be asked, nor if there was one already."""
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
        """The next ones on its host, so that one that hangs is asked for few."""
        host = self._hosts.get(rank)
        there = [other for other, at in self._hosts.items() if at == host != self._home and other not in self._lost]
        return sorted((other for other in there if other != rank), key=lambda other: (other < rank, other))[:_NEIGHBOURS]


class StackInbox:
    """Where ``mpirdd stack`` leaves its requests.

    Args:
        log: the path of the event log, if there is one.
    """

    def __init__(self, log: str | None) -> None:
        self._path, self._due = log and log + REQUEST, 0.0

    def taken(self, now: float) -> str | None:
        """Why everybody is to be asked, if somebody wants that. Looks once a second: a look takes some 2 us, more on a network
        file system."""
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
