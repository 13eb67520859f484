"""How ranks talk, as a protocol: the engine is written against this and never against MPI.

Two planes. *Control* is point to point: small pickled messages between the driver (rank 0) and the executors,
in order for each pair of ranks. *Data* is collective: the executors form a group that
exchanges bytes all-to-all. Nothing here blocks: a send is queued, a receive is polled, a collective is
started and tested, so that a rank can always turn to something else, or leave.

Losses. Where the MPI can survive the death of a rank, ``lost`` names those that have died. Point to point goes
on among the others. What was under way in the group raises ``EpochOver`` on whoever waits for the dead; all
survivors leave it, and begin a new *epoch* with a group of the living.

Two implementations pass one set of contract checks: MPI (``mpirdd.edge.mpi``) and the in-process network
(``mpirdd.together.inprocess``), which serves worlds of one rank and tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

Buffer = bytes | bytearray | memoryview
"""Contiguous bytes that can be sent as they are."""

Frames = list[Buffer]
"""One encoded value: a pickle first, then the raw buffers it refers to. Empty buffers are allowed."""


class EpochOver(Exception):
    """A member of the group is lost: nothing of this group will be completed any more."""


class Pending(Protocol):
    """A collective that has been started and must be tested until it is done."""

    def test(self) -> bool:
        """True when the collective is complete on this rank; makes progress otherwise.

        Raises:
            EpochOver: it never will be.
        """

    def leave(self) -> None:
        """Give it up. The buffers stay reserved, as bytes may still fall into them."""


class Group(Protocol):
    """The executors, for collectives. Every member starts the same collectives in the same order."""

    members: tuple[int, ...]
    """World ranks, in the group's order."""
    index: int
    """This rank's place in ``members``."""
    epoch: int
    """How many groups there have been before this one."""

    def alltoall(self, send: Sequence[int], receive: list[int]) -> Pending:
        """Give one integer (below 2**63) to each member; ``receive`` is filled when the pending is done."""

    def alltoallv(
        self, send: memoryview, send_counts: Sequence[int], receive: memoryview, receive_counts: Sequence[int]
    ) -> Pending:
        """Give ``send_counts[i]`` bytes to member i, taken in order from ``send``; likewise for receiving.

        Both buffers must stay untouched until the pending is done. Counts sum to less than 2 GiB.
        """


class Transport(Protocol):
    """One rank's end of the network."""

    rank: int
    size: int
    """Ranks in the world, the driver among them."""
    host: str

    def send(self, to: int, frames: Frames) -> None:
        """Queue a message; never blocks. The buffers must not change until the message has left."""

    def poll(self) -> tuple[int, Frames] | None:
        """The next message and the rank that sent it, or None; also moves what is in flight."""

    def in_flight(self) -> bool:
        """True while bytes of some message are still moving, so that waiting ranks should not sleep long."""

    @property
    def recovers(self) -> bool:
        """The others go on when a rank dies. If not, the MPI ends them."""

    def lost(self) -> list[int]:
        """Ranks that were found dead, or declared so, since the last call. Found by ``poll`` and by whatever
        talks to them."""

    def declare_lost(self, rank: int) -> None:
        """From now on nothing is sent to this rank, and nothing taken from it: it does not answer."""

    def group(self) -> Group | None:
        """The data plane; None on the driver."""

    def regroup(self, epoch: int, members: Sequence[int]) -> None:
        """Begin an epoch: ``group`` is from now on that of ``members``, on all of them. What is under way is
        left first."""

    def close(self) -> None:
        """Finish what is in flight and leave the network. Nothing may be sent afterwards."""
