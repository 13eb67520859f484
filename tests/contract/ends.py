"""Contract checks as programs for every end of a network, and the two ways to run them.

A check is a generator function that each rank runs with its own ``End``; it yields whenever it
waits. In one process the ends take turns. Under mpirun each rank runs its own and gathers the
verdicts of all, so a check fails on all ranks together.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

import pytest

from mpirdd.comm.inprocess import Network
from mpirdd.comm.transport import Group, PendingCollective, Transport

Steps = Generator[None, None, None]
Message = tuple[int, list[bytes]]
"""The sender and the frames."""

_MOST_TURNS = 200_000
_LIMIT_S = 60.0


@dataclass(frozen=True)
class End:
    """A check's view: one rank's transport, and a meeting point beside the network."""

    transport: Transport
    collective: bool
    """Use the collectives of MPI."""
    arrive: Callable[[], Callable[[], bool]]
    """Say that this rank is here; the returned function tells whether all are."""

    @property
    def rank(self) -> int:
        return self.transport.rank

    @property
    def group(self) -> Group | None:
        return self.transport.group(collective=self.collective)

    @property
    def others(self) -> list[int]:
        return [rank for rank in range(self.transport.size) if rank != self.rank]

    def meet(self) -> Steps:
        """Wait for all ranks without looking at the transport."""
        together = self.arrive()
        while not together():
            yield

    def receive(self, count: int) -> Generator[None, None, list[Message]]:
        """The next ``count`` messages, in the order of their arrival."""
        messages: list[Message] = []
        while len(messages) < count:
            received = self.transport.poll()
            if received is None:
                yield
            else:
                messages.append((received[0], [bytes(frame) for frame in received[1]]))
        return messages


Check = Callable[[End], Steps]


def member(check: Callable[[Group], Steps]) -> Check:
    """A check for the executors' group; the driver's end does nothing."""

    def check_end(end: End) -> Steps:
        group = end.group
        if group is not None:
            yield from check(group)

    return check_end


def finish(pending: PendingCollective) -> Steps:
    while not pending.test():
        yield


def run_in_process(check: Check, size: int) -> None:
    """Run all ends in turns, until each has finished."""
    network, arrived = Network(size), [0] * size

    def arrive(rank: int) -> Callable[[], bool]:
        arrived[rank] += 1
        meeting = arrived[rank]
        return lambda: min(arrived) >= meeting

    ends = [End(network.end(rank), False, lambda rank=rank: arrive(rank)) for rank in range(size)]  # type: ignore[misc]
    running = [check(end) for end in ends]
    for _ in range(_MOST_TURNS):
        if not running:
            return
        running = [steps for steps in running if _goes_on(steps)]
    pytest.fail(f"{len(running)} of {size} ends still wait after {_MOST_TURNS} turns")


def run_over_mpi(check: Check, transport: Transport, world: Any, *, collective: bool) -> list[str]:
    """Run this rank's end; return what went wrong on each rank, the same list everywhere."""
    end = End(transport, collective, lambda: world.Ibarrier().Test)
    problem, deadline = "", monotonic() + _LIMIT_S
    try:
        for _ in check(end):
            if monotonic() > deadline:
                raise TimeoutError(f"still waiting after {_LIMIT_S:.0f} s")
            os.sched_yield()
    except Exception:
        problem = f"--- rank {transport.rank}\n{traceback.format_exc()}"
    gathered: Sequence[str] = world.allgather(problem)
    return [text for text in gathered if text]


def _goes_on(steps: Steps) -> bool:
    try:
        next(steps)
    except StopIteration:
        return False
    return True
