"""The transport protocol: the engine uses this and never MPI itself.

Two planes. *Control* is point to point: small pickled messages between the driver (rank 0) and the
executors, in order for each pair of ranks. *Data* is all-to-all: the executors form a group that
exchanges bytes. Nothing here blocks: sends are queued, receives polled, collectives started and
tested. So a rank can always turn to something else.

Losses. If the MPI survives the death of a rank, ``lost`` names the dead. Point to point goes on
among the others. Collectives under way raise ``EpochOver`` on members that wait for the dead; all
survivors leave them, and begin a new *epoch* with a group of the living. If the MPI survives no death,
nobody ever has to leave a collective, and collectives may be MPI's own.

Two implementations pass one set of contract checks: MPI (``mpirdd.comm.mpi``) and the in-process network
(``mpirdd.comm.inprocess``), which serves worlds of one rank and tests.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from mpirdd.protocol.frames import Frames


class EpochOver(Exception):
    """A member of the group is lost: no collective of this group will complete any more."""


class PendingCollective(Protocol):
    """A collective under way. Its owner must test it until it is done."""

    def test(self) -> bool:
        """True when the collective is complete on this rank; makes progress otherwise.

        Raises:
            EpochOver: it will never be complete.
        """

    def leave(self) -> None:
        """Give it up. The buffers stay reserved, since bytes may still arrive in them."""


class Group(Protocol):
    """The executors, for collectives. Every member starts the same collectives in the same order."""

    members: tuple[int, ...]
    """World ranks, in the group's order."""
    index: int
    """This rank's place in ``members``."""
    epoch: int
    """The number of groups before this one."""

    def alltoall(self, send: Sequence[int], receive: list[int]) -> PendingCollective:
        """Give equally many integers (below 2**63) to each member, those for member 0 first. ``receive``, as long as ``send``,
        is filled when the pending collective is done."""

    def alltoallv(
        self, send: memoryview, send_counts: Sequence[int], receive: memoryview, receive_counts: Sequence[int]
    ) -> PendingCollective:
        """Give ``send_counts[i]`` bytes to member i, taken in order from ``send``; likewise for receiving.

        Both buffers must stay untouched until the pending collective is done. Counts sum to less than 2 GiB.
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
        """The rank that sent the next message, and the message; None without one. Also moves messages in flight on."""

    def in_flight(self) -> bool:
        """True while bytes of a message are still moving: a waiting rank should not sleep long."""

    @property
    def recovers(self) -> bool:
        """True if the other ranks go on when one dies. If not, the MPI ends them."""

    def lost(self) -> list[int]:
        """Ranks found dead, or declared lost, since the last call. ``poll`` and sends to a rank
        discover its death."""

    def declare_lost(self, rank: int) -> None:
        """The rank does not answer: from now on send it nothing, and take nothing from it."""

    def group(self, *, collective: bool = False) -> Group | None:
        """The data plane; None on the driver.

        Args:
            collective: use MPI's collectives, which nobody can leave. Only where ``recovers`` is False. A group that lacks
                some executors never uses them.
        """

    def regroup(self, epoch: int, members: Sequence[int]) -> None:
        """Begin an epoch: from now on the ``group`` of each member is ``members``. Leave collectives
        under way first."""

    def abort(self, code: int) -> None:
        """End all ranks at once, with this exit code, when this one cannot go on."""

    def close(self) -> None:
        """Finish messages in flight and leave the network. Send nothing afterwards."""
