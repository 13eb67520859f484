"""The MPI transport: the one module of mpirdd that imports mpi4py.

Theory of operation. A control message is an *envelope* and, behind it, what is too large to travel inside it.
The envelope (tag ``ENVELOPE``) lists the sizes of all frames and carries the small ones. Each large frame
follows in chunks (tag ``BULK``). MPI keeps messages of one sender, tag and communicator in order, so the
receiver can post the receives for the chunks as soon as it has the envelope, and messages are delivered in the
order in which they were sent. No message is larger than ``CHUNK_BYTES``, so no count comes near 2 GiB, on any
MPI.

Control runs on one duplicate of the world, data on another. An all-to-all is a send and a receive for each pair
of ranks that has something to say, posted at once: not MPI's own ``Ialltoallv``, which is no faster (17 ms
against 16 ms for 16 MiB a pair among 3 ranks), cannot be left when a member dies, and complains on stderr. So
after a loss nothing has to be repaired in MPI: the survivors give up what is under way and go on, with a tag of
the new epoch, which nothing of an older one can meet.

Losses. Under ULFM (``mpirun --with-ft ulfm``) a death makes every probe for any source raise, on every rank,
until it is acknowledged. Errors are returned, not fatal (``ERRORS_RETURN``), so that they arrive here as
exceptions. Where the MPI has no ULFM a death ends the run.

Thread level: SERIALIZED is asked for, as one thread at a time calls in here; MULTIPLE would take a lock a call.
"""

from __future__ import annotations

import os
import struct
from array import array
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Timer
from time import monotonic, sleep
from typing import Any

import mpi4py

from mpirdd.words.errors import ClusterError
from mpirdd.words.transport import Buffer, EpochOver, Frames, Pending

mpi4py.rc.thread_level = "serialized"
from mpi4py import MPI  # noqa: E402  (importing it starts MPI, with the thread level set just above)

ENVELOPE, BULK = 1, 2
INLINE_BYTES = 16 << 10
"""Frames up to this size travel inside the envelope: one message, and within the eager limit of the MPIs at hand."""
CHUNK_BYTES = 64 << 20
_CLOSE_TIMEOUT_S = 5.0


def ranks_on_this_host() -> int:
    """Counted by all ranks of the world together."""
    here = MPI.COMM_WORLD.Split_type(MPI.COMM_TYPE_SHARED)
    count: int = here.Get_size()
    here.Free()
    return count


@dataclass(slots=True)
class _Arrival:
    """A message of which the envelope is here and some of the chunks may not be."""

    frames: Frames
    requests: list[Any]

    def complete(self) -> bool:
        if self.requests and MPI.Request.Testall(self.requests):
            self.requests = []
        return not self.requests


class MpiTransport:
    """``mpirdd.words.transport.Transport`` over MPI. Made by all ranks of the world together."""

    def __init__(self) -> None:
        self.rank: int = MPI.COMM_WORLD.Get_rank()
        self.size: int = MPI.COMM_WORLD.Get_size()
        self.host: str = MPI.Get_processor_name()
        self._world = MPI.COMM_WORLD.Dup()
        self._world.Set_errhandler(MPI.ERRORS_RETURN)
        self._data = MPI.COMM_WORLD.Dup()
        self._data.Set_errhandler(MPI.ERRORS_RETURN)
        self._group = MpiGroup(self._data, range(1, self.size), 0) if self.rank else None
        self.recovers: bool = os.environ.get("OMPI_MCA_mpi_ft_enable") in ("1", "true")  # noqa: SIM112
        self._dead: set[int] = set()
        self._newly_dead: list[int] = []
        self._leaving: list[Any] = []
        self._leaving_buffers: list[Any] = []
        self._arriving: dict[int, deque[_Arrival]] = {}

    def send(self, to: int, frames: Frames) -> None:
        if to in self._dead:
            return
        sizes = [memoryview(frame).nbytes for frame in frames]
        inline = [frame for frame, size in zip(frames, sizes, strict=True) if size <= INLINE_BYTES]
        envelope = b"".join([struct.pack(f"<I{len(sizes)}Q", len(sizes), *sizes), *inline])
        self._start_send(envelope, to, ENVELOPE)
        for frame, size in zip(frames, sizes, strict=True):
            if size > INLINE_BYTES:
                for chunk in _chunks(memoryview(frame).cast("B")):
                    self._start_send(chunk, to, BULK)

    def poll(self) -> tuple[int, Frames] | None:
        if self._leaving:
            self._forget_what_left()
        try:
            message = self._world.Improbe(MPI.ANY_SOURCE, ENVELOPE, _STATUS)
            if message is not None:
                source = _STATUS.Get_source()
                arrival = self._open(message, source, _STATUS.Get_count(MPI.BYTE))
                if source in self._dead:
                    return None
                if not arrival.requests and source not in self._arriving:
                    return source, arrival.frames
                self._arriving.setdefault(source, deque()).append(arrival)
            if self._arriving:
                return self._deliver()
        except MPI.Exception as error:
            self._learn_of_losses(error)
        return None

    def in_flight(self) -> bool:
        return bool(self._leaving or self._arriving)

    def lost(self) -> list[int]:
        lost, self._newly_dead = self._newly_dead, []
        return lost

    def declare_lost(self, rank: int) -> None:
        if rank not in self._dead:
            self._dead.add(rank)
            self._newly_dead.append(rank)
            self._arriving.pop(rank, None)

    def group(self) -> MpiGroup | None:
        return self._group

    def regroup(self, epoch: int, members: Sequence[int]) -> None:
        self._group = MpiGroup(self._data, members, epoch)

    def close(self) -> None:
        deadline = monotonic() + _CLOSE_TIMEOUT_S
        while self._leaving and monotonic() < deadline:
            self._forget_what_left()
            sleep(0.0005)
        if MPI.Is_finalized():
            return
        if self._dead:  # MPI_Finalize may then wait for ever; everything that matters has been said
            last_resort = Timer(_CLOSE_TIMEOUT_S, os._exit, (0,))
            last_resort.daemon = True
            last_resort.start()
        MPI.Finalize()

    def abort(self, code: int) -> None:
        """End all ranks at once; for when this one cannot go on."""
        MPI.COMM_WORLD.Abort(code)

    def _start_send(self, buffer: Buffer, to: int, tag: int) -> None:
        try:
            self._leaving.append(self._world.Isend([buffer, MPI.BYTE], to, tag))
        except MPI.Exception as error:
            self._learn_of_losses(error)
            return
        self._leaving_buffers.append(buffer)

    def _forget_what_left(self) -> None:
        """Drop the buffers of finished sends."""
        try:
            done = MPI.Request.Testsome(self._leaving)
        except MPI.Exception as error:
            self._learn_of_losses(error)
            done = [i for i, request in enumerate(self._leaving) if _over(request)]
        if done:
            finished = set(done)
            self._leaving = [r for i, r in enumerate(self._leaving) if i not in finished]
            self._leaving_buffers = [b for i, b in enumerate(self._leaving_buffers) if i not in finished]

    def _learn_of_losses(self, error: Any) -> None:
        """Note who is dead and acknowledge it, so that any source can be probed for again. Raises what is no loss."""
        if error.Get_error_class() not in _LOSSES:
            raise ClusterError(f"MPI failed: {error}") from error
        failed = self._world.Get_failed()
        ranks = MPI.Group.Translate_ranks(failed, range(failed.size), self._world.Get_group())
        self._world.Ack_failed(failed.size)
        for rank in sorted(ranks):
            self.declare_lost(rank)

    def _open(self, message: Any, source: int, size: int) -> _Arrival:
        envelope = bytearray(size)
        message.Recv([envelope, MPI.BYTE])
        (count,) = struct.unpack_from("<I", envelope)
        sizes = struct.unpack_from(f"<{count}Q", envelope, 4)
        arrival = _Arrival([], [])
        at, view = 4 + 8 * count, memoryview(envelope)
        for frame_size in sizes:
            if frame_size <= INLINE_BYTES:
                arrival.frames.append(view[at : at + frame_size])
                at += frame_size
            else:
                frame = _fresh(frame_size)
                arrival.frames.append(frame)
                arrival.requests += [self._world.Irecv([chunk, MPI.BYTE], source, BULK) for chunk in _chunks(frame)]
        return arrival

    def _deliver(self) -> tuple[int, Frames] | None:
        for source, arrivals in self._arriving.items():
            if arrivals[0].complete():
                frames = arrivals.popleft().frames
                if not arrivals:
                    del self._arriving[source]
                return source, frames
        return None


class MpiGroup:
    """``mpirdd.words.transport.Group`` by sends and receives between each two of its members."""

    def __init__(self, communicator: Any, members: Sequence[int], epoch: int) -> None:
        self.members = tuple(members)
        self.epoch = epoch
        self.index = self.members.index(communicator.Get_rank())
        self._communicator = communicator
        self._tag = 1 + epoch % _TAGS

    def alltoall(self, send: Sequence[int], receive: list[int]) -> Pending:
        given, taken = array("q", send), array("q", bytes(8 * len(send)))
        eights = [8] * len(send)

        def take() -> None:
            receive[:] = taken

        return self._trade(memoryview(given).cast("B"), eights, memoryview(taken).cast("B"), eights, take)

    def alltoallv(
        self, send: memoryview, send_counts: Sequence[int], receive: memoryview, receive_counts: Sequence[int]
    ) -> Pending:
        return self._trade(send, send_counts, receive, receive_counts)

    def _trade(
        self, send: memoryview, send_counts: Sequence[int], receive: memoryview, receive_counts: Sequence[int], then: Any = None
    ) -> Pending:
        requests: list[Any] = []
        pending = _MpiPending(requests, (send, receive), then)
        given, taken = _offsets(send_counts), _offsets(receive_counts)
        own = receive_counts[self.index]
        receive[taken[self.index] : taken[self.index] + own] = send[given[self.index] : given[self.index] + own]
        others = [i for i in range(len(self.members)) if i != self.index]
        try:
            for i in others:
                if receive_counts[i]:
                    piece = receive[taken[i] : taken[i] + receive_counts[i]]
                    requests.append(self._communicator.Irecv([piece, MPI.BYTE], self.members[i], self._tag))
            for i in others:
                if send_counts[i]:
                    piece = send[given[i] : given[i] + send_counts[i]]
                    requests.append(self._communicator.Isend([piece, MPI.BYTE], self.members[i], self._tag))
        except MPI.Exception as error:
            pending.fail(error)
        return pending


class _MpiPending:
    """The sends and receives of a collective; keeps its buffers alive."""

    def __init__(self, requests: list[Any], buffers: object, then: Any) -> None:
        self._requests, self._buffers, self._then = requests, buffers, then
        self._error: Exception | None = None

    def fail(self, error: Any) -> None:
        """Some of it could not even be started; ``test`` will say so."""
        lost = error.Get_error_class() in _LOSSES
        self._error = EpochOver() if lost else ClusterError(f"MPI failed: {error}")

    def test(self) -> bool:
        if self._error is not None:
            raise self._error
        try:
            if not MPI.Request.Testall(self._requests):
                return False
        except MPI.Exception as error:
            self.fail(error)
            return self.test()
        if self._then is not None:
            self._then()
        self._requests, self._buffers, self._then = [], None, None
        return True

    def leave(self) -> None:
        for request in self._requests:
            with suppress(MPI.Exception):
                if not request.Test():
                    request.Cancel()
        _LEFT.append((self._requests, self._buffers))


_STATUS = MPI.Status()
_TAGS = 32_000
"""MPI promises tags up to 32,767. After so many losses they begin again."""
_LOSSES = {getattr(MPI, name) for name in ("ERR_PROC_FAILED", "ERR_PROC_FAILED_PENDING", "ERR_REVOKED") if hasattr(MPI, name)}
_LOSSES.add(MPI.ERR_IN_STATUS)
_LEFT: list[Any] = []
"""Collectives that were left, with their buffers, into which bytes may still fall: those of one round for each loss."""


def _over(request: Any) -> bool:
    """The send is done, or will never be."""
    try:
        return bool(request.Test())
    except MPI.Exception:
        return True


def _fresh(size: int) -> memoryview:
    """Writable memory that is not cleared first: bytearray would touch every page once more."""
    import numpy

    fresh: Any = numpy.empty(size, dtype=numpy.uint8)
    return memoryview(fresh)


def _chunks(view: memoryview) -> list[memoryview]:
    return [view[at : at + CHUNK_BYTES] for at in range(0, view.nbytes, CHUNK_BYTES)]


def _offsets(counts: Sequence[int]) -> list[int]:
    offsets, at = [], 0
    for count in counts:
        offsets.append(at)
        at += count
    return offsets
