"""The failure detector: MPI's reports of dead executors, and the silence of others.

MPI names ranks whose process has died. A stopped process, or one behind a cut cable, says nothing. So the detector pings an
executor that has been silent for ``ping_s``. The executor answers from a thread of its own, even while a task runs for hours. The
detector gives up an executor that owes an answer for too long. A single long call of C code also keeps an executor from
answering: on the driver's own host, the detector spares a process that uses its core.

Time counts against an executor only while the driver looks for its answer in vain. Time in which the driver itself did not look
(the program computes between two jobs, the whole run was suspended) does not count.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any

from mpirdd.comm.transport import Transport
from mpirdd.driver.stack_requests import StackRequests
from mpirdd.driver.witnesses import Witnesses
from mpirdd.observe.endings import cpu_ticks
from mpirdd.protocol import messages
from mpirdd.protocol.errors import ClusterError
from mpirdd.protocol.ids import Rank
from mpirdd.protocol.settings import Settings
from mpirdd.protocol.values import dataclass

GIVEN_UP = "given up"
"""The reason in requests for the stack of an executor that owes an answer for too long."""


class FailureDetector:
    """One for each driver."""

    def __init__(
        self, transport: Transport, settings: Settings, executors: Iterable[Rank], send: Callable[[Rank, Any], None],
        lost: Mapping[Rank, str],
    ) -> None:
        self.hosts: dict[Rank, str] = {}
        self.pids: dict[Rank, int] = {}
        self.lost = dict(lost)
        """By lost rank, the reason for giving it up."""
        self.witnesses = Witnesses()
        """The observers of executors on the driver's host."""
        self.stacks = StackRequests(
            self.witnesses, hosts=self.hosts, pids=self.pids, lost=self.lost, home=transport.host, send=send)
        self._transport, self._send = transport, send
        self._timeout_s = settings.executor_timeout_s
        self._silences = Silences(executors, ping_s=settings.ping_s, timeout_s=self._timeout_s, now=monotonic())
        self._ticks: dict[Rank, int] = {}
        self._exits: dict[Rank, int] = {}
        self._dying: list[Rank] = []
        """Dead ranks for which the kernel will tell in a moment how they died."""
        self.last_stacks: dict[Rank, list[str]] = {}
        """The stack of each executor that is about to be given up; empty until it is told."""

    def joined(self, rank: Rank, host: str, pid: int) -> None:
        self.hosts[rank], self.pids[rank] = host, pid
        if host == self._transport.host:
            self.witnesses.joined(rank, pid)

    def exiting(self, rank: Rank, code: int) -> None:
        """The executor has announced that a task ends its process."""
        self._exits[rank] = code

    def heard(self, rank: Rank) -> bool:
        """A message has come. Returns False if the driver has given up its sender, which lives after all: the caller must ignore
        the message."""
        if rank in self.lost:
            return False
        self._not_silent(rank, monotonic())
        return True

    def _not_silent(self, rank: Rank, now: float) -> None:
        self._silences.heard(rank, now)
        if self.last_stacks:
            self.last_stacks.pop(rank, None)  # that of another silence would mislead

    def newly_lost(self) -> Iterator[Rank]:
        """Yield the executors lost since the last call. Call this when there is nothing else to do.

        Raises:
            ClusterError: an executor is lost, and this MPI cannot go on without it.
        """
        self._dying += [rank for rank in self._transport.lost() if rank not in self.lost and rank not in self._dying]
        for rank in list(self._dying):
            how = "" if rank in self._exits else self.witnesses.ending(rank)
            if how is not None:
                self._dying.remove(rank)
                yield from self._note([rank], how or "it died")
        if self._silences.due(now := monotonic()):
            yield from self._look(now)

    def _note(self, ranks: Iterable[Rank], why: str) -> Iterator[Rank]:
        for rank in ranks:
            if rank not in self.lost:
                exited = f"a task called os._exit({self._exits[rank]}) there" if rank in self._exits else ""
                self.lost[rank] = exited or why
                self._silences.forget(rank)
                yield rank

    def _look(self, now: float) -> Iterator[Rank]:
        to_ping, late, silent = self._silences.look(now)
        for rank in to_ping:
            self._send(rank, messages.Ping())
        for rank in late + silent:
            if self.hosts.get(rank) == self._transport.host:
                ticks, before = cpu_ticks(self.pids[rank]), self._ticks.get(rank)
                if ticks is None:
                    how = self.witnesses.ending(rank)
                    if how is not None and rank not in self._dying:
                        yield from self._give_up(rank, how or "its process has ended")
                elif before is not None and ticks > before:
                    self._not_silent(rank, now)
                self._ticks[rank] = ticks or 0
        for rank in silent:
            if self._silences.is_silent(rank):
                if rank not in self.last_stacks and self.stacks.ask(rank, GIVEN_UP, itself=False):
                    self.last_stacks[rank] = []  # it has until the next look to send its stack
                    continue
                state = self.witnesses.state(rank)
                if self._transport.recovers:  # otherwise its death would end this rank too, before the message is out
                    self._end_process(rank)
                yield from self._give_up(
                    rank, f"it did not answer for {self._timeout_s:g} s{state and ': '}{state}")

    def _give_up(self, rank: Rank, why: str) -> Iterator[Rank]:
        if not self._transport.recovers:
            raise ClusterError(
                f"rank {rank} (host {self.hosts.get(rank, 'unknown')}) is lost: {why}. This MPI cannot go on without it; "
                "with Open MPI 5 or newer, `mpirdd run` survives that")
        yield from self._note([rank], why)
        self._transport.declare_lost(rank)  # the transport will report it next time; that is no news then

    def _end_process(self, rank: Rank) -> None:
        """Kill a given-up executor that might wake up again."""
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


# --- silence --------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Silence:
    heard: float
    """When the executor last sent something."""
    pinged: bool = False
    silent_s: float = 0.0
    """How long the driver has looked for its answer in vain."""


class Silences:
    """The silence of each executor. Pure: the caller passes times, in seconds, of any clock that does not go back."""

    def __init__(self, executors: Iterable[Rank], *, ping_s: float, timeout_s: float, now: float) -> None:
        self._ping_s, self._timeout_s = ping_s, timeout_s
        self._executors = {rank: _Silence(now) for rank in executors}
        self._looked = now
        self._next_look = now + ping_s

    def heard(self, rank: Rank, now: float) -> None:
        silence = self._executors.get(rank)
        if silence is not None:
            silence.heard, silence.pinged, silence.silent_s = now, False, 0.0

    def is_silent(self, rank: Rank) -> bool:
        """Did ``look`` name the executor as silent, and has no message come since?"""
        return rank in self._executors and self._executors[rank].silent_s >= self._timeout_s

    def forget(self, rank: Rank) -> None:
        self._executors.pop(rank, None)

    def due(self, now: float) -> bool:
        """Is it time to look again? For a caller that asks very often."""
        return now >= self._next_look

    def look(self, now: float) -> tuple[list[Rank], list[Rank], list[Rank]]:
        """(executors to ping now, executors that owe an answer, executors to give up)."""
        looked_s = min(now - self._looked, 2 * self._ping_s)
        self._looked, self._next_look = now, now + self._ping_s / 2
        to_ping: list[Rank] = []
        late: list[Rank] = []
        silent: list[Rank] = []
        for rank, silence in self._executors.items():
            if silence.pinged:
                silence.silent_s += looked_s
                (silent if silence.silent_s >= self._timeout_s else late).append(rank)
            elif now - silence.heard >= self._ping_s:
                silence.pinged, silence.silent_s = True, 0.0
                to_ping.append(rank)
        return to_ping, late, silent
