"""A network inside one process: the transport of a world of one rank, and the only fake of the tests.

It copies the bytes of every message, so ends share nothing by accident that they would not share over
MPI. There are no threads: an end that waits for another lets it take a step.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mpirdd.comm.transport import EpochOver, PendingCollective
from mpirdd.protocol.frames import Frames

_Fill = Callable[[list[bytes]], None]
"""Takes the pieces for this member, in the members' order."""


@dataclass(slots=True)
class Network:
    """``size`` ends in one process; rank 0 is the driver's, the others form the executors' group."""

    size: int
    host: str = "localhost"
    mailboxes: list[deque[tuple[int, Frames]]] = field(default_factory=list)
    collectives: dict[tuple[int, int], _Collective] = field(default_factory=dict)
    """Collectives by epoch and number."""
    dead: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.mailboxes = [deque() for _ in range(self.size)]

    def end(self, rank: int) -> InProcessTransport:
        return InProcessTransport(self, rank)

    def kill(self, rank: int) -> None:
        """Kill a rank as kill -9 does: its end is not used any more, and the others notice."""
        self.dead.append(rank)


class InProcessTransport:
    """``mpirdd.comm.transport.Transport`` over queues."""

    def __init__(self, network: Network, rank: int) -> None:
        self._network = network
        self.rank, self.size, self.host = rank, network.size, network.host
        self._group = InProcessGroup(network, rank, range(1, network.size), 0) if rank else None
        self._gone: set[int] = set()
        self._newly_gone: list[int] = []
        self.recovers = True

    def send(self, to: int, frames: Frames) -> None:
        if to not in self._gone:
            self._network.mailboxes[to].append((self.rank, [bytearray(frame) for frame in frames]))

    def poll(self) -> tuple[int, Frames] | None:
        for rank in self._network.dead:
            self.declare_lost(rank)
        mailbox = self._network.mailboxes[self.rank]
        while mailbox:
            sender, frames = mailbox.popleft()
            if sender not in self._gone:
                return sender, frames
        return None

    def lost(self) -> list[int]:
        lost, self._newly_gone = self._newly_gone, []
        return lost

    def declare_lost(self, rank: int) -> None:
        if rank not in self._gone:
            self._gone.add(rank)
            self._newly_gone.append(rank)

    def in_flight(self) -> bool:
        return False

    def group(self, *, collective: bool = False) -> InProcessGroup | None:
        return self._group

    def regroup(self, epoch: int, members: Sequence[int]) -> None:
        self._group = InProcessGroup(self._network, self.rank, members, epoch)

    def abort(self, code: int) -> None:
        for rank in range(self.size):
            if rank not in self._network.dead:
                self._network.kill(rank)

    def close(self) -> None:
        self._network.mailboxes[self.rank].clear()


class InProcessGroup:
    """``mpirdd.comm.transport.Group``: the n-th collective of each member belongs to the n-th of all others."""

    def __init__(self, network: Network, rank: int, members: Sequence[int], epoch: int) -> None:
        self._network = network
        self.members = tuple(members)
        self.index = self.members.index(rank)
        self.epoch = epoch
        self._started = 0

    def alltoall(self, send: Sequence[int], receive: list[int]) -> PendingCollective:
        width = len(send) // len(self.members)

        def fill(pieces: list[bytes]) -> None:
            receive[:] = array("q", b"".join(pieces))

        return self._start([array("q", send[at : at + width]).tobytes() for at in range(0, len(send), width)], fill)

    def alltoallv(
        self, send: memoryview, send_counts: Sequence[int], receive: memoryview, receive_counts: Sequence[int]
    ) -> PendingCollective:
        pieces, at = [], 0
        for count in send_counts:
            pieces.append(bytes(send[at : at + count]))
            at += count

        def fill(arrived: list[bytes]) -> None:
            assert [len(piece) for piece in arrived] == list(receive_counts)
            joined = b"".join(arrived)
            receive[: len(joined)] = joined

        return self._start(pieces, fill)

    def _start(self, pieces: list[bytes], fill: _Fill) -> PendingCollective:
        number = self.epoch, self._started
        self._started += 1
        collective = self._network.collectives.setdefault(number, _Collective(self.members))
        collective.given[self.index] = pieces
        return _InProcessPending(self._network, number, self.index, fill)


@dataclass(slots=True)
class _Collective:
    members: tuple[int, ...]
    given: dict[int, list[bytes]] = field(default_factory=dict)
    taken: int = 0


class _InProcessPending:
    def __init__(self, network: Network, number: tuple[int, int], index: int, fill: _Fill) -> None:
        self._network, self._number, self._index, self._fill = network, number, index, fill
        self._done = False

    def test(self) -> bool:
        if self._done:
            return True
        collective = self._network.collectives[self._number]
        count = len(collective.members)
        if len(collective.given) < count:
            if not set(collective.members).isdisjoint(self._network.dead):
                raise EpochOver
            return False
        self._fill([collective.given[member][self._index] for member in range(count)])
        collective.taken += 1
        if collective.taken == count:
            del self._network.collectives[self._number]
        self._done = True
        return True

    def leave(self) -> None:
        pass
