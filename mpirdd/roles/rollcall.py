"""Who is alive: what the MPI notices of dead executors, and what silence means of the others.

MPI names ranks whose process has died. A stopped process, or one behind a cut cable, says nothing: so the
driver pings (``heartbeats``), and gives up who owes an answer for too long. A single long call of C code keeps
an executor from answering, too: on the driver's own host one that uses its core is let be.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from time import monotonic
from typing import Any

from mpirdd.roles.heartbeats import Heartbeats
from mpirdd.roles.processes import cpu_ticks
from mpirdd.words import messages
from mpirdd.words.errors import ClusterError
from mpirdd.words.ids import Rank
from mpirdd.words.settings import Settings
from mpirdd.words.transport import Transport


class RollCall:
    """One for each driver."""

    def __init__(
        self, transport: Transport, settings: Settings, executors: Iterable[Rank], send: Callable[[Rank, Any], None]
    ) -> None:
        self.hosts: dict[Rank, str] = {}
        self.pids: dict[Rank, int] = {}
        self.lost: dict[Rank, str] = {}
        """Why each of them was given up."""
        self._transport, self._send = transport, send
        self._timeout_s = settings.executor_timeout_s
        self._heartbeats = Heartbeats(executors, ping_s=settings.ping_s, timeout_s=self._timeout_s, now=monotonic())
        self._ticks: dict[Rank, int] = {}

    def joined(self, rank: Rank, host: str, pid: int) -> None:
        self.hosts[rank], self.pids[rank] = host, pid

    def heard(self, rank: Rank) -> bool:
        """A message has come. False when it is nobody's any more: the executor was given up, and lives after all."""
        if rank in self.lost:
            return False
        self._heartbeats.heard(rank, monotonic())
        return True

    def newly_lost(self) -> Iterator[Rank]:
        """Executors that are gone since the last call. To be called whenever there is nothing else to do.

        Raises:
            ClusterError: one is, and this MPI cannot go on without it.
        """
        yield from self._note(self._transport.lost(), "it died")
        if self._heartbeats.due(now := monotonic()):
            yield from self._look(now)

    def _note(self, ranks: Iterable[Rank], why: str) -> Iterator[Rank]:
        for rank in ranks:
            if rank not in self.lost:
                self.lost[rank] = why
                self._heartbeats.forget(rank)
                yield rank

    def _look(self, now: float) -> Iterator[Rank]:
        to_ping, late, silent = self._heartbeats.look(now)
        for rank in to_ping:
            self._send(rank, messages.Ping())
        for rank in late + silent:
            if self.hosts.get(rank) == self._transport.host:
                ticks, before = cpu_ticks(self.pids[rank]), self._ticks.get(rank)
                if ticks is None:
                    yield from self._give_up(rank, "its process has ended")
                elif before is not None and ticks > before:
                    self._heartbeats.heard(rank, now)
                self._ticks[rank] = ticks or 0
        for rank in silent:
            if self._heartbeats.is_silent(rank):
                self._end_process(rank)
                yield from self._give_up(rank, f"it did not answer for {self._timeout_s:g} s")

    def _give_up(self, rank: Rank, why: str) -> Iterator[Rank]:
        if not self._transport.recovers:
            raise ClusterError(
                f"rank {rank} (host {self.hosts.get(rank, 'unknown')}) is lost: {why}. This MPI cannot go on without it; "
                "with Open MPI 5 or newer, `mpirdd run` survives that")
        yield from self._note([rank], why)
        self._transport.declare_lost(rank)  # the transport will name it next time, which is no news then

    def _end_process(self, rank: Rank) -> None:
        """So that nothing of it is left, should it wake up again."""
        pid, host = self.pids.get(rank), self.hosts.get(rank)
        if pid is None:
            return
        if host == self._transport.host:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
            return
        neighbours = [other for other in self.hosts if self.hosts[other] == host and other != rank and other not in self.lost]
        for other in neighbours[:1]:
            self._send(other, messages.EndProcess(pid))
