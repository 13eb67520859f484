"""The tree along which a large broadcast value travels: pure bookkeeping of one value on its way.

Executors on the driver's host map the driver's memory. To every other host the value travels once,
to a *leader*, and the leader's neighbours map the leader's memory. Leaders pass the value on along a
binomial tree, so nobody, not even the driver, sends it more than log2(hosts) times. Every executor
tells the driver when it has the value. When an executor is lost, the driver sends the value to those
that depended on it and still lack the value, along a tree of those alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from mpirdd.protocol.ids import DRIVER, Rank
from mpirdd.protocol.messages import Route


class Orders(NamedTuple):
    """The messages that the driver must send now."""

    share: tuple[Rank, ...] = ()
    """Let these executors of its own host map its memory."""
    stream: tuple[Route, ...] = ()
    """Send the value to these leaders, who pass it on."""
    whole: tuple[Rank, ...] = ()
    """Send the value to these executors in a message, for themselves alone."""


class BroadcastTree:
    """One value on its way to the living executors.

    Args:
        hosts: the living executors and their hosts.
        home: the driver's host.
    """

    def __init__(self, hosts: Mapping[Rank, str], home: str) -> None:
        self._hosts, self._home = dict(hosts), home
        self._sources: dict[Rank, Rank] = {}
        self._waiting: set[Rank] = set()

    @property
    def complete(self) -> bool:
        """All living executors have the value."""
        return not self._waiting

    def start(self) -> Orders:
        """The first orders: how the value reaches everybody. Called once."""
        return self._orders(self._hosts)

    def arrived(self, rank: Rank) -> None:
        """The executor has the value."""
        self._waiting.discard(rank)

    def joined(self, rank: Rank, host: str) -> Orders:
        """The executor is new, and gets the value from the driver."""
        self._hosts[rank] = host
        return self._orders([rank])

    def refused(self, rank: Rank, source: Rank) -> Orders:
        """The executor cannot map the memory of ``source``."""
        if rank not in self._waiting or self._sources[rank] != source:
            return Orders()  # meanwhile the driver has sent it the value in another way
        self._sources[rank] = DRIVER
        return Orders(whole=(rank,))

    def executor_lost(self, rank: Rank) -> Orders:
        """The executor is gone. The driver sends the value to those that would have got it from there."""
        orphans = [waiting for waiting in self._waiting if self._hangs_on(waiting, rank)]
        self._hosts.pop(rank, None)
        self._waiting.discard(rank)
        return self._orders(orphans)

    def _hangs_on(self, rank: Rank, lost: Rank) -> bool:
        """True if the value would reach the rank through the lost one. A rank that has the value will
        pass it on."""
        source = self._sources[rank]
        while source != DRIVER:
            if source == lost:
                return True
            if source not in self._waiting:
                return False
            source = self._sources[source]
        return False

    def _orders(self, ranks: Iterable[Rank]) -> Orders:
        by_host: dict[str, list[Rank]] = {}
        for rank in sorted(ranks):
            by_host.setdefault(self._hosts[rank], []).append(rank)
            self._waiting.add(rank)
        near = tuple(by_host.pop(self._home, ()))
        self._sources.update(dict.fromkeys(near, DRIVER))
        leaders = sorted(by_host.values())
        neighbours = {first: tuple(others) for first, *others in leaders}
        routes = binomial([first for first, *_ in leaders], neighbours)
        self._note_sources(DRIVER, routes)
        return Orders(near, routes)

    def _note_sources(self, source: Rank, routes: Sequence[Route]) -> None:
        pending = [(source, route) for route in routes]
        for parent, route in pending:  # grows while we go
            self._sources[route.to] = parent
            self._sources.update(dict.fromkeys(route.neighbours, route.to))
            pending += [(route.to, branch) for branch in route.branches]


def binomial(leaders: Sequence[Rank], neighbours: Mapping[Rank, tuple[Rank, ...]]) -> tuple[Route, ...]:
    """A binomial tree over the leaders, below a root that is not one of them; the largest branch first.

    >>> [route.to for route in binomial([1, 2, 3, 4, 5, 6, 7], {})]
    [4, 2, 1]
    """
    routes, left = [], len(leaders)
    while left:
        half = left // 2  # of the root and ``left`` others, the later half goes to the next branch
        leader = leaders[half]
        routes.append(Route(leader, neighbours.get(leader, ()), binomial(leaders[half + 1 : left], neighbours)))
        left = half
    return tuple(routes)
