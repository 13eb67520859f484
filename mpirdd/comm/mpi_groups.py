"""The executors' group over MPI, in two kinds with one contract: pairwise and collective.

*Pairwise* uses sends and receives of our own. ``alltoallv`` is one message for each two members that
have something to say. ``alltoall`` takes log2(n) steps of one message each (``comm/bruck.py``);
otherwise each of n members would post n messages of eight bytes. A member can leave either in the
middle. So after a loss MPI needs no repair: the survivors go on with a tag of the new epoch, which no
message of an older one matches. Collectives run one after the other, and a later message between two
ranks does not overtake an earlier one. So one tag is enough for all of an epoch.

*Collective* uses MPI's own ``Ialltoall`` and ``Ialltoallv``, which a site's MPI tunes for its network.
Nobody can leave one: a member that never comes keeps all others waiting. So this kind is for MPIs that
end the run when a rank dies. It relies on a promise of the executors: each comes to every exchange, in
the order of the driver's messages, whatever becomes of its tasks, jobs and blocks
(``executor/exchanges.py``).

Nothing blocks: both kinds are started, and then tested.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from mpirdd.comm.mpi_library import LOSSES, MPI
from mpirdd.comm.transport import EpochOver, PendingCollective
from mpirdd.protocol.errors import ClusterError

_TAGS = 32_000
"""MPI promises tags up to 32,767. After so many losses they begin again."""
_NUMBER_BYTES = 8

Requests = list[Any]
Steps = Callable[[Requests], Iterator[None]]
"""Adds the requests of a step to the list and yields; goes on when all of them are done."""


class PairwiseGroup:
    """``mpirdd.comm.transport.Group`` by sends and receives.

    Args:
        communicator: of all executors, in the order of their world ranks.
        left: keeps the buffers of collectives that this rank leaves in the middle.
    """

    def __init__(self, communicator: Any, members: Sequence[int], epoch: int, left: list[Any]) -> None:
        self._communicator, self._left = communicator, left
        self.members = tuple(members)
        self.epoch = epoch
        self._peers = [member - 1 for member in members]
        """The members' ranks in the communicator."""
        self.index = self._peers.index(communicator.Get_rank())
        self._tag = 1 + epoch % _TAGS
        self._last: _Stepwise | None = None

    def alltoall(self, send: Sequence[int], receive: list[int]) -> PendingCollective:
        return self._start(lambda requests: self._numbers(send, receive, requests))

    def alltoallv(
        self, send: memoryview, send_counts: Sequence[int], receive: memoryview, receive_counts: Sequence[int]
    ) -> PendingCollective:
        return self._start(lambda requests: self._trade(send, send_counts, receive, receive_counts, requests))

    def _start(self, steps: Steps) -> PendingCollective:
        self._last = _Stepwise(steps, self._last, self._left)
        return self._last

    def _numbers(self, send: Sequence[int], receive: list[int], requests: Requests) -> Iterator[None]:
        from mpirdd.comm.bruck import bruck  # late: runs with collectives never need it

        count, me = len(self.members), self.index
        steps = bruck(send, me, count)
        try:
            distance, given = next(steps)
            while True:
                taken = array("q", bytes(_NUMBER_BYTES * len(given)))
                self._receive(memoryview(taken).cast("B"), (me - distance) % count, requests)
                self._send(memoryview(given).cast("B"), (me + distance) % count, requests)
                yield
                distance, given = steps.send(taken)
        except StopIteration as end:
            receive[:] = end.value

    def _trade(
        self, send: memoryview, send_counts: Sequence[int], receive: memoryview, receive_counts: Sequence[int],
        requests: Requests,
    ) -> Iterator[None]:
        given, taken = _offsets(send_counts), _offsets(receive_counts)
        for other, count in enumerate(receive_counts):
            if count and other != self.index:
                self._receive(receive[taken[other] : taken[other] + count], other, requests)
        for other, count in enumerate(send_counts):
            if count and other != self.index:
                self._send(send[given[other] : given[other] + count], other, requests)
        own = receive_counts[self.index]
        receive[taken[self.index] : taken[self.index] + own] = send[given[self.index] : given[self.index] + own]
        yield

    def _send(self, data: memoryview, to: int, requests: Requests) -> None:
        requests.append(self._communicator.Isend([data, MPI.BYTE], self._peers[to], self._tag))

    def _receive(self, into: memoryview, source: int, requests: Requests) -> None:
        requests.append(self._communicator.Irecv([into, MPI.BYTE], self._peers[source], self._tag))


class _Stepwise:
    """A collective made of steps of sends and receives. It begins when the collective before it is done."""

    def __init__(self, steps: Steps, before: _Stepwise | None, left: list[Any]) -> None:
        self._requests: Requests = []
        self._steps: Iterator[None] | None = steps(self._requests)
        """Keeps the buffers alive; None when the collective is done."""
        self._before, self._left = before, left
        self._error: Exception | None = None
        with suppress(EpochOver, ClusterError):  # a part could not even start: the owner's ``test`` will say so
            self.test()

    def test(self) -> bool:
        if self._error is not None:
            raise self._error
        if self._steps is None:
            return True
        if self._before is not None and not self._before.test():
            return False
        self._before = None
        try:
            while not self._requests or MPI.Request.Testall(self._requests):
                self._requests.clear()
                if next(self._steps, self) is self:
                    self._steps = None
                    return True
        except MPI.Exception as error:
            self._error = _translated(error)
            raise self._error from None
        return False

    def leave(self) -> None:
        for request in self._requests:
            with suppress(MPI.Exception):
                if not request.Test():
                    request.Cancel()
        self._left.append((self._requests, self._steps))


class CollectiveGroup:
    """``mpirdd.comm.transport.Group`` by MPI's own collectives. It always has all executors.

    Args:
        communicator: of all executors and nobody else, in the order of their world ranks.
        left: keeps the requests of collectives that are left in the middle, when the process ends.
    """

    epoch = 0

    def __init__(self, communicator: Any, left: list[Any]) -> None:
        self._communicator, self._left = communicator, left
        self.members = tuple(range(1, communicator.Get_size() + 1))
        self.index: int = communicator.Get_rank()

    def alltoall(self, send: Sequence[int], receive: list[int]) -> PendingCollective:
        given, taken = array("q", send), array("q", bytes(_NUMBER_BYTES * len(send)))

        def take() -> None:
            receive[:] = taken

        return _Whole(lambda: self._communicator.Ialltoall([given, MPI.INT64_T], [taken, MPI.INT64_T]), take, self._left)

    def alltoallv(
        self, send: memoryview, send_counts: Sequence[int], receive: memoryview, receive_counts: Sequence[int]
    ) -> PendingCollective:
        give = [send, list(send_counts), _offsets(send_counts), MPI.BYTE]
        take = [receive, list(receive_counts), _offsets(receive_counts), MPI.BYTE]
        return _Whole(lambda: self._communicator.Ialltoallv(give, take), _do_nothing, self._left)


class _Whole:
    """A collective of MPI. Its request keeps the buffers alive."""

    def __init__(self, start: Callable[[], Any], then: Callable[[], None], left: list[Any]) -> None:
        self._then, self._left = then, left
        self._request: Any = None
        self._error: Exception | None = None
        try:
            self._request = start()
        except MPI.Exception as error:
            self._error = _translated(error)

    def test(self) -> bool:
        if self._error is not None:
            raise self._error
        if self._request is None:
            return True
        try:
            if not self._request.Test():
                return False
        except MPI.Exception as error:
            self._error = _translated(error)
            raise self._error from None
        self._request = None
        self._then()
        return True

    def leave(self) -> None:
        self._left.append(self._request)  # MPI cannot cancel a collective


def _do_nothing() -> None:
    pass


def _translated(error: Any) -> Exception:
    return EpochOver() if error.Get_error_class() in LOSSES else ClusterError(f"MPI failed: {error}")


def _offsets(counts: Sequence[int]) -> list[int]:
    offsets, at = [], 0
    for count in counts:
        offsets.append(at)
        at += count
    return offsets
