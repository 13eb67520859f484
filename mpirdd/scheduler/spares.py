"""Spares: ranks that wait, and the choice of the one that takes the place of a lost executor."""

from __future__ import annotations

from collections import Counter, deque

from mpirdd.protocol.ids import Rank


class Spares:
    """The waiting spares of one scheduler, and the vacant places.

    A spare on the host of the lost executor comes first: the memory of the lost one is free there, while a spare elsewhere takes
    a share from living executors. But a host that has lost more than one executor is suspect, and its spares come last.
    """

    def __init__(self) -> None:
        self._hosts: dict[Rank, str] = {}
        self._losses: Counter[str] = Counter()
        self._vacant: deque[tuple[Rank, str, int]] = deque()
        """Lost executors that have no replacement, the earliest first: rank, host, place."""

    def __len__(self) -> int:
        return len(self._hosts)

    def started(self, rank: Rank, host: str) -> None:
        self._hosts[rank] = host

    def lost(self, rank: Rank) -> bool:
        """Remove a lost rank; was it a waiting spare?"""
        return self._hosts.pop(rank, None) is not None

    def vacate(self, executor: Rank, host: str, place: int) -> None:
        """An executor is lost. ``place`` is its index among the executors while nobody is missing."""
        self._losses[host] += 1
        self._vacant.append((executor, host, place))

    def take_place(self) -> tuple[Rank, str, Rank, int] | None:
        """Take a spare for a vacant place: (spare, its host, the lost executor, the place). None if no spare waits or no
        place is vacant."""
        if not self._hosts or not self._vacant:
            return None
        instead, host, place = self._vacant.popleft()
        spare = min(self._hosts, key=lambda rank: (self._last(self._hosts[rank], host), rank))
        return spare, self._hosts.pop(spare), instead, place

    def _last(self, host: str, of_lost: str) -> int:
        """The sort key of hosts: the lowest first."""
        losses = self._losses[host]
        return -1 if host == of_lost and losses <= 1 else losses
