"""Observations of ranks on this host, alive or dead: their stacks, and how they ended.

The driver watches the executors of its host in this way, and the launcher all ranks of its host. Ranks on other hosts cannot be
observed from here; they write the stack of a fault to stderr, which mpirun forwards. Nothing here waits unless asked to: the
driver must take the messages of other ranks meanwhile.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from time import monotonic

from mpirdd.executor.stacks import Running, Seen, fatal_error, readable
from mpirdd.observe.endings import Ending, MemoryKills, state_of
from mpirdd.protocol.ids import Rank

_PATIENCE_S = 0.3
"""MPI may notice a death before mpirun has asked for the exit status; the kernel tells the status only from then on."""


class Witnesses:
    """Observes the processes of some ranks. Cost of each: two file descriptors, and 0.1 ms at the start."""

    def __init__(self) -> None:
        self._pids: dict[Rank, int] = {}
        self._seen: dict[Rank, Seen] = {}
        self._endings: dict[Rank, Ending] = {}
        self._kills = MemoryKills()
        self._dying: dict[Rank, float] = {}
        """By rank, the time until which its exit status may come."""
        self._asked: dict[Rank, str] = {}
        """By rank asked for its stack, the reason."""
        self._answers: dict[Rank, str] = {}

    def joined(self, rank: Rank, pid: int) -> bool:
        """Watch a process of this host. False if it has no stacks to show (yet)."""
        if pid == os.getpid():
            return True
        self._pids[rank] = pid
        if rank not in self._endings:
            self._endings[rank] = Ending(pid, self._kills)
        seen = Seen.of(pid)
        if seen is not None:
            self._seen[rank] = seen
        return seen is not None

    # --- of the living ----------------------------------------------------------------------------

    def ask(self, rank: Rank, why: str) -> bool:
        """Ask a living rank for its stack; ``answered`` gives it. False if the rank was asked already, or cannot be asked."""
        if rank in self._asked or rank not in self._seen:
            return False
        self._asked[rank] = why
        self._seen[rank].ask()
        return True

    def answered(self) -> Iterator[tuple[Rank, str, list[str]]]:
        """(rank, reason, lines of its stack) for each rank that has answered since the last call."""
        for rank, why in list(self._asked.items()):
            text = self._seen[rank].answer()
            if text is not None:
                del self._asked[rank]
                self._answers[rank] = text
                yield rank, why, list(readable(text))

    def running(self, rank: Rank) -> Running | None:
        """The task that the rank runs, or ran when it died; None if it ran none."""
        return self._seen[rank].running() if rank in self._seen else None

    def state(self, rank: Rank) -> str:
        """What keeps a living rank from answering; empty if nothing special does."""
        return state_of(self._pids[rank]) if rank in self._pids else ""

    # --- of the dead ------------------------------------------------------------------------------

    def ending(self, rank: Rank, *, wait: bool = False) -> str | None:
        """How a rank died, such as ``it was killed by signal 9``, with the task that it ran; empty if nobody knows, None if
        it will be known in a moment. ``wait``: wait for it instead."""
        told = self._endings[rank].told(wait=wait) if rank in self._endings else ""
        if told is None and monotonic() < self._dying.setdefault(rank, monotonic() + _PATIENCE_S):
            return None
        if not told and rank in self._seen:
            fault = fatal_error(self._seen[rank].last_words())
            told = f"it was ended by a fault in C code ({fault})" if fault else ""
        running = self.running(rank)
        return f"{told}, in {running}" if told and running is not None else told or ""

    def last_stack(self, rank: Rank) -> list[str]:
        """The lines of the stack with which a rank died or was given up; none if nobody knows it."""
        words = self._seen[rank].last_words() if rank in self._seen else ""
        return list(readable(words))

    def culprits(self) -> Iterator[Rank]:
        """The ranks that ended by a fault or with an exit code of their own. (An MPI that ends all ranks at the death of one
        kills the others.)"""
        for rank in sorted(self._pids):
            told = self._endings[rank].told(wait=True)
            faulty = rank in self._seen and bool(fatal_error(self._seen[rank].last_words()))
            if faulty or (told and not any(word in told for word in ("signal 9", "SIGTERM", "exit code 0"))):
                yield rank
