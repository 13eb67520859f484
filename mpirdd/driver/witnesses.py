"""What is seen of ranks on this host, while they live and when they have died: their stacks, and how they ended.

The driver watches the executors of its host so, and the launcher watches all ranks of its host. Of ranks on other hosts
nothing is known here: they write the stack of a fault to stderr, which mpirun brings along. Nothing here waits, unless it is
asked to: the driver has to take the messages of other ranks meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from time import monotonic

from mpirdd.executor.stacks import Running, Seen, fatal_error, readable
from mpirdd.observe.endings import Ending, state_of
from mpirdd.protocol.ids import Rank

_PATIENCE_S = 0.3
"""MPI may notice a death before mpirun has asked for the exit status, which the kernel tells from then on."""


class Witnesses:
    """Of some ranks' processes. Cost of each: two file descriptors, and 0.1 ms when it joins."""

    def __init__(self) -> None:
        self._pids: dict[Rank, int] = {}
        self._seen: dict[Rank, Seen] = {}
        self._endings: dict[Rank, Ending] = {}
        self._dying: dict[Rank, float] = {}
        """Until when the status of each of these may come."""
        self._asked: dict[Rank, str] = {}
        """The ranks that were asked for their stacks, and why."""
        self._answers: dict[Rank, str] = {}

    def joined(self, rank: Rank, pid: int) -> bool:
        """Watch this process of this host. False if it has no stacks to show (yet)."""
        if pid == os.getpid():
            return True
        self._pids[rank] = pid
        if rank not in self._endings:
            self._endings[rank] = Ending(pid)
        seen = Seen.of(pid)
        if seen is not None:
            self._seen[rank] = seen
        return seen is not None

    # --- of the living ----------------------------------------------------------------------------

    def ask(self, rank: Rank, why: str) -> bool:
        """Ask a living rank for its stack; ``answered`` gives it. False if that was done before, or cannot be."""
        if rank in self._asked or rank not in self._seen:
            return False
        self._asked[rank] = why
        self._seen[rank].ask()
        return True

    def answered(self) -> Iterator[tuple[Rank, str, list[str]]]:
        """The ranks that have answered since, why they were asked, and their stacks as lines."""
        for rank, why in list(self._asked.items()):
            text = self._seen[rank].answer()
            if text is not None:
                del self._asked[rank]
                self._answers[rank] = text
                yield rank, why, list(readable(text))

    def running(self, rank: Rank) -> Running | None:
        """The task that the rank runs, or ran when it died."""
        return self._seen[rank].running() if rank in self._seen else None

    def state(self, rank: Rank) -> str:
        """What keeps a living rank from answering; empty for nothing special."""
        return state_of(self._pids[rank]) if rank in self._pids else ""

    # --- of the dead ------------------------------------------------------------------------------

    def ending(self, rank: Rank, *, wait: bool = False) -> str | None:
        """How a rank has died, as ``it was killed by signal 9``, with the task that it ran; empty where nobody knows, None where
        it will be known in a moment."""
        told = self._endings[rank].told(wait=wait) if rank in self._endings else ""
        if told is None and monotonic() < self._dying.setdefault(rank, monotonic() + _PATIENCE_S):
            return None
        if not told and rank in self._seen:
            fault = fatal_error(self._seen[rank].last_words())
            told = f"it was ended by a fault in C code ({fault})" if fault else ""
        running = self.running(rank)
        return f"{told}, in {running}" if told and running is not None else told or ""

    def last_stack(self, rank: Rank) -> list[str]:
        """The stack with which a rank has died, or has been given up, as lines; none where nobody knows it."""
        words = self._seen[rank].last_words() if rank in self._seen else ""
        return list(readable(words))

    def culprits(self) -> Iterator[Rank]:
        """The ranks that have ended by a fault or with an exit code of their own. An MPI that ends all ranks at the death of
        one kills the others."""
        for rank in sorted(self._pids):
            told = self._endings[rank].told(wait=True)
            faulty = rank in self._seen and bool(fatal_error(self._seen[rank].last_words()))
            if faulty or (told and not any(word in told for word in ("signal 9", "SIGTERM", "exit code 0"))):
                yield rank
