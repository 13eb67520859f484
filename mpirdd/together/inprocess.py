"""A network inside one process: the transport of a world of one rank, and the only fake of the tests.

Every message is joined to bytes and cut again, so nothing is shared by accident that would not be shared over MPI.
There are no threads: whoever waits for another end lets it take a step.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mpirdd.words.transport import Frames, Pending

_Fill = Callable[[list[bytes]], None]
"""Takes the pieces for this member, in the members' order."""


@dataclass(slots=True)
class Network:
    """``size`` ends in one process; rank 0 is the driver's, the others form the executors' group."""

    size: int
    host: str = "localhost"
    mailboxes: list[deque[tuple[int, Frames]]] = field(default_factory=list)
    collectives: dict[int, _Collective] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.mailboxes = [deque() for _ in range(self.size)]

    def end(self, rank: int) -> InProcessTransport:
        return InProcessTransport(self, rank)


class InProcessTransport:
    """``mpirdd.words.transport.Transport`` over queues."""

    def __init__(self, network: Network, rank: int) -> None:
        self._network = network
        self.rank, self.size, self.host = rank, network.size, network.host
        self._group = InProcessGroup(network, rank - 1) if rank else None

    def send(self, to: int, frames: Frames) -> None:
        self._network.mailboxes[to].append((self.rank, [bytearray(frame) for frame in frames]))

    def poll(self) -> tuple[int, Frames] | None:
        mailbox = self._network.mailboxes[self.rank]
        return mailbox.popleft() if mailbox else None

    def in_flight(self) -> bool:
        return False

    def group(self) -> InProcessGroup | None:
        return self._group

    def close(self) -> None:
        self._network.mailboxes[self.rank].clear()


class InProcessGroup:
    """``mpirdd.words.transport.Group``: the n-th collective of each member belongs to the n-th of all others."""

    def __init__(self, network: Network, index: int) -> None:
        self._network = network
        self.members = tuple(range(1, network.size))
        self.index = index
        self._started = 0

    def alltoall(self, send: Sequence[int], receive: list[int]) -> Pending:
        sent = [int(number).to_bytes(8, "little", signed=True) for number in send]
        taken = bytearray(8 * len(sent))

        def fill(pieces: list[bytes]) -> None:
            taken[:] = b"".join(pieces)
            receive[:] = [int.from_bytes(piece, "little", signed=True) for piece in pieces]

        return self._start(sent, fill)

    def alltoallv(
        self, send: memoryview, send_counts: Sequence[int], receive: memoryview, receive_counts: Sequence[int]
    ) -> Pending:
        pieces, at = [], 0
        for count in send_counts:
            pieces.append(bytes(send[at : at + count]))
            at += count

        def fill(arrived: list[bytes]) -> None:
            assert [len(piece) for piece in arrived] == list(receive_counts)
            joined = b"".join(arrived)
            receive[: len(joined)] = joined

        return self._start(pieces, fill)

    def _start(self, pieces: list[bytes], fill: _Fill) -> Pending:
        number = self._started
        self._started += 1
        collective = self._network.collectives.setdefault(number, _Collective(len(self.members)))
        collective.given[self.index] = pieces
        return _InProcessPending(self._network, number, self.index, fill)


@dataclass(slots=True)
class _Collective:
    members: int
    given: dict[int, list[bytes]] = field(default_factory=dict)
    taken: int = 0


class _InProcessPending:
    def __init__(self, network: Network, number: int, index: int, fill: _Fill) -> None:
        self._network, self._number, self._index, self._fill = network, number, index, fill
        self._done = False

    def test(self) -> bool:
        if self._done:
            return True
        collective = self._network.collectives[self._number]
        if len(collective.given) < collective.members:
            return False
        self._fill([collective.given[member][self._index] for member in range(collective.members)])
        collective.taken += 1
        if collective.taken == collective.members:
            del self._network.collectives[self._number]
        self._done = True
        return True
