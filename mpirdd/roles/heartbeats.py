"""Which executors are silent: whom to ask whether it is alive, and whom to give up. Pure; time comes from outside.

An executor that has said nothing for ``ping_s`` is pinged; it answers from a thread of its own, also while a
task runs for hours. What counts against it is the time during which the driver has looked for its answer in
vain: time in which the driver itself did not look (the program computes between two jobs, the whole run was
suspended) counts for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mpirdd.words.ids import Rank


@dataclass(slots=True)
class _Executor:
    heard: float
    pinged: bool = False
    silent_s: float = 0.0


class Heartbeats:
    """One for each driver. Times are of any clock that does not go back, in seconds."""

    def __init__(self, executors: Iterable[Rank], *, ping_s: float, timeout_s: float, now: float) -> None:
        self._ping_s, self._timeout_s = ping_s, timeout_s
        self._executors = {rank: _Executor(now) for rank in executors}
        self._looked = now
        self._next_look = now + ping_s

    def heard(self, rank: Rank, now: float) -> None:
        executor = self._executors.get(rank)
        if executor is not None:
            executor.heard, executor.pinged, executor.silent_s = now, False, 0.0

    def is_silent(self, rank: Rank) -> bool:
        """It is to be given up, and has not been heard since."""
        return rank in self._executors and self._executors[rank].silent_s >= self._timeout_s

    def forget(self, rank: Rank) -> None:
        self._executors.pop(rank, None)

    def due(self, now: float) -> bool:
        """It is time to look again; for a caller that asks very often."""
        return now >= self._next_look

    def look(self, now: float) -> tuple[list[Rank], list[Rank], list[Rank]]:
        """Executors to ping now, those that have owed an answer for a while, and those to give up."""
        looked_s = min(now - self._looked, 2 * self._ping_s)
        self._looked, self._next_look = now, now + self._ping_s / 2
        to_ping: list[Rank] = []
        late: list[Rank] = []
        silent: list[Rank] = []
        for rank, executor in self._executors.items():
            if executor.pinged:
                executor.silent_s += looked_s
                (silent if executor.silent_s >= self._timeout_s else late).append(rank)
            elif now - executor.heard >= self._ping_s:
                executor.pinged, executor.silent_s = True, 0.0
                to_ping.append(rank)
        return to_ping, late, silent
