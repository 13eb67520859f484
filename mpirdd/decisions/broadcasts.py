"""Who sends a large broadcast value to whom: pure bookkeeping of one value on its way.

Executors on the driver's host map the driver's memory. To every other host the value travels once, to a *leader*,
whose neighbours map the leader's memory; leaders pass it on along a binomial tree, so that nobody, the driver
included, sends it more than log2(hosts) times. Every executor tells the driver when it has the value. When one is
lost, whatever hung on it and has not got the value is sent it by the driver, along a tree of those alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from mpirdd.words.ids import Rank
from mpirdd.words.messages import Route

_DRIVER: Rank = 0


class Orders(NamedTuple):
    """What the driver is to do."""

    share: tuple[Rank, ...] = ()
    """Let these executors of its own host map its memory."""
    stream: tuple[Route, ...] = ()
    """Send the value to these leaders, who pass it on."""
    whole: tuple[Rank, ...] = ()
    """Send the value to these executors in a message, for themselves alone."""


class Spread:
    """One value on its way to the living executors.

    Args:
        hosts: the living executors and where they run.
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
        """How the value gets to everybody. Called once, first."""
        return self._orders(self._hosts)

    def arrived(self, rank: Rank) -> None:
        """The executor has the value."""
        self._waiting.discard(rank)

    def refused(self, rank: Rank, source: Rank) -> Orders:
        """The executor cannot map the memory of ``source``."""
        if rank not in self._waiting or self._sources[rank] != source:
            return Orders()  # it has been sent the value in another way meanwhile
        self._sources[rank] = _DRIVER
        return Orders(whole=(rank,))

    def executor_lost(self, rank: Rank) -> Orders:
        """The executor is gone. What it owed to others they get from the driver."""
        orphans = [waiting for waiting in self._waiting if self._hangs_on(waiting, rank)]
        self._hosts.pop(rank, None)
        self._waiting.discard(rank)
        return self._orders(orphans)

    def _hangs_on(self, rank: Rank, lost: Rank) -> bool:
        """The value would come to the rank by way of the lost one. What somebody has got, he is sure to pass on."""
        source = self._sources[rank]
        while source != _DRIVER:
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
        self._sources.update(dict.fromkeys(near, _DRIVER))
        leaders = sorted(by_host.values())
        neighbours = {first: tuple(others) for first, *others in leaders}
        routes = binomial([first for first, *_ in leaders], neighbours)
        self._note_sources(_DRIVER, routes)
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
