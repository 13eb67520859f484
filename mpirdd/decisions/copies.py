"""Where copies of a block go: to other hosts where there are any, spread over their executors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mpirdd.words.ids import BlockId, Rank


class Copies:
    """For one plan: who is alive and where. ``places`` remembers the executors outside a set of hosts, so that its
    cost does not grow with their number for each block."""

    def __init__(self, executors: Sequence[Rank], hosts: Mapping[Rank, str]) -> None:
        self._executors, self._hosts = executors, hosts
        self._outside: dict[frozenset[str], list[Rank]] = {}

    def places(self, block: BlockId, holders: Sequence[Rank], copies: int) -> list[Rank]:
        """Executors to give a copy to, so that ``copies`` hold the block in all, or as many as there are."""
        chosen: list[Rank] = []
        while len(holders) + len(chosen) < min(copies, len(self._executors)):
            chosen.append(self._next(block, [*holders, *chosen]))
        return chosen

    def _next(self, block: BlockId, holders: list[Rank]) -> Rank:
        candidates = self._outside_of(frozenset(self._hosts.get(rank, "") for rank in holders)) or self._executors
        first = block.part % len(candidates)
        for at in range(len(holders) + 1):  # at most so many of them are holders
            candidate = candidates[(first + at) % len(candidates)]
            if candidate not in holders:
                return candidate
        raise AssertionError("fewer executors than copies")

    def _outside_of(self, hosts: frozenset[str]) -> list[Rank]:
        if hosts not in self._outside:
            self._outside[hosts] = [rank for rank in self._executors if self._hosts.get(rank, "") not in hosts]
        return self._outside[hosts]
