"""Where things go: a pure function of what exists.

A task that reads blocks goes to the executor that holds most of them; one that reads a shuffle which nobody holds yet
goes to its partition's place among the living executors, so that RDDs with equal partitioners meet without moving; a
task that only reads splits is free. Copies go to other hosts where there are any, spread over their executors.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from mpirdd.decisions.plan import Have, Need, Work
from mpirdd.words.ids import BlockId, Rank


def place(partition: int, work: Work, have: Have, executors: Sequence[Rank]) -> Rank | None:
    """The executor for a task; None when any will do."""
    if not work.reads:
        return None
    held: dict[Rank, int] = {}
    for block in work.reads:
        for executor in have.holders(block):
            held[executor] = held.get(executor, 0) + 1
    if held:
        most = max(held.values())
        best = sorted(executor for executor, number in held.items() if number == most)
        return best[partition % len(best)]  # not always the first, or a cartesian product would crowd there
    return executors[partition % len(executors)]


def able(work: Work, have: Have, executors: Collection[Rank]) -> Collection[Rank]:
    """Executors that have all that a task reads; all of ``executors`` if it reads only splits."""
    if not work.reads:
        return executors
    first, *others = (have.holders(block) for block in work.reads)
    return [executor for executor in first if all(executor in holders for holders in others)]


def lacking(need: Need, places: Mapping[int, Rank | None], have: Have) -> dict[BlockId, set[Rank]]:
    """Blocks that tasks read but their executors do not hold."""
    wanted: dict[BlockId, set[Rank]] = {}
    for partition, work in need.work.items():
        at = places[partition]
        for block in work.reads:
            if at is not None and at not in have.holders(block):
                wanted.setdefault(block, set()).add(at)
    return wanted


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
