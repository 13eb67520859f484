"""Ranks that wait, and which of them takes the place of a lost executor."""

from __future__ import annotations

from collections import Counter, deque

from mpirdd.protocol.ids import Rank


class Spares:
    """The waiting spares of one scheduler, and the places that are vacant.

    A spare on the host of the lost executor comes first: the memory that the lost one had there is free, while a spare
    elsewhere takes a share from executors that live. But a host that has lost more than one is suspect, and its spares come
    last.
    """

    def __init__(self) -> None:
        self._hosts: dict[Rank, str] = {}
        self._losses: Counter[str] = Counter()
        self._vacant: deque[tuple[Rank, str, int]] = deque()
        """The lost executors that nobody has replaced, the earliest first: rank, host, place among the executors."""

    def __len__(self) -> int:
        return len(self._hosts)

    def started(self, rank: Rank, host: str) -> None:
        self._hosts[rank] = host

    def lost(self, rank: Rank) -> bool:
        """Was the lost rank one of them?"""
        return self._hosts.pop(rank, None) is not None

    def vacate(self, executor: Rank, host: str, place: int) -> None:
        """An executor is lost. ``place``: its index among the executors."""
        self._losses[host] += 1
        self._vacant.append((executor, host, place))

    def take_place(self) -> tuple[Rank, str, Rank, int] | None:
        """A spare and its host, the lost executor that it replaces, and that one's place; None if no spare waits or no
        place is vacant."""
        if not self._hosts or not self._vacant:
            return None
        instead, host, place = self._vacant.popleft()
        spare = min(self._hosts, key=lambda rank: (self._last(self._hosts[rank], host), rank))
        return spare, self._hosts.pop(spare), instead, place

    def _last(self, host: str, of_lost: str) -> int:
        """The order of hosts."""
        losses = self._losses[host]
        return -1 if host == of_lost and losses <= 1 else losses
