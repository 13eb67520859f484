"""The MPI transport: the one module of mpirdd that imports mpi4py.

Theory of operation. A control message is an *envelope* and, behind it, what is too large to travel inside it.
The envelope (tag ``ENVELOPE``) lists the sizes of all frames and carries the small ones. Each large frame
follows in chunks (tag ``BULK``). MPI keeps messages of one sender, tag and communicator in order, so the
receiver can post the receives for the chunks as soon as it has the envelope, and messages are delivered in the
order in which they were sent. No message is larger than ``CHUNK_BYTES``, so no count comes near 2 GiB, on any
MPI.

Control runs on a duplicate of the world; the executors' collectives run on a communicator without the driver.
Errors are returned, not fatal (``ERRORS_RETURN``), so that they arrive here as exceptions.

Thread level: SERIALIZED is asked for, as one thread at a time calls in here; MULTIPLE would take a lock a call.
"""

from __future__ import annotations

import struct
from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic, sleep
from typing import Any

import mpi4py

from mpirdd.words.transport import Buffer, Frames, Pending

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
        color = MPI.UNDEFINED if self.rank == 0 else 0
        executors = MPI.COMM_WORLD.Split(color, self.rank)
        self._group = MpiGroup(executors) if self.rank else None
        self._leaving: list[Any] = []
        self._leaving_buffers: list[Any] = []
        self._arriving: dict[int, deque[_Arrival]] = {}

    def send(self, to: int, frames: Frames) -> None:
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
        message = self._world.Improbe(MPI.ANY_SOURCE, ENVELOPE, _STATUS)
        if message is not None:
            source = _STATUS.Get_source()
            arrival = self._open(message, source, _STATUS.Get_count(MPI.BYTE))
            if not arrival.requests and source not in self._arriving:
                return source, arrival.frames
            self._arriving.setdefault(source, deque()).append(arrival)
        if self._arriving:
            return self._deliver()
        return None

    def in_flight(self) -> bool:
        return bool(self._leaving or self._arriving)

    def group(self) -> MpiGroup | None:
        return self._group

    def close(self) -> None:
        deadline = monotonic() + _CLOSE_TIMEOUT_S
        while self._leaving and monotonic() < deadline:
            self._forget_what_left()
            sleep(0.0005)
        if not MPI.Is_finalized():
            MPI.Finalize()

    def abort(self, code: int) -> None:
        """End all ranks at once; for when this one cannot go on."""
        MPI.COMM_WORLD.Abort(code)

    def _start_send(self, buffer: Buffer, to: int, tag: int) -> None:
        self._leaving.append(self._world.Isend([buffer, MPI.BYTE], to, tag))
        self._leaving_buffers.append(buffer)

    def _forget_what_left(self) -> None:
        """Drop the buffers of finished sends."""
        done = MPI.Request.Testsome(self._leaving)
        if done:
            finished = set(done)
            self._leaving = [r for i, r in enumerate(self._leaving) if i not in finished]
            self._leaving_buffers = [b for i, b in enumerate(self._leaving_buffers) if i not in finished]

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
    """``mpirdd.words.transport.Group`` on a communicator of executors."""

    def __init__(self, communicator: Any) -> None:
        communicator.Set_errhandler(MPI.ERRORS_RETURN)
        self._communicator = communicator
        self.index: int = communicator.Get_rank()
        world = MPI.COMM_WORLD.Get_group()
        group = communicator.Get_group()
        self.members: tuple[int, ...] = tuple(MPI.Group.Translate_ranks(group, range(group.size), world))

    def alltoall(self, send: Sequence[int], receive: list[int]) -> Pending:
        given, taken = array("q", send), array("q", bytes(8 * len(send)))
        request = self._communicator.Ialltoall([given, MPI.INT64_T], [taken, MPI.INT64_T])

        def take() -> None:
            receive[:] = taken

        return _MpiPending(request, (given, taken), take)

    def alltoallv(
        self, send: memoryview, send_counts: Sequence[int], receive: memoryview, receive_counts: Sequence[int]
    ) -> Pending:
        sending = [send, list(send_counts), _offsets(send_counts), MPI.BYTE]
        receiving = [receive, list(receive_counts), _offsets(receive_counts), MPI.BYTE]
        return _MpiPending(self._communicator.Ialltoallv(sending, receiving), (sending, receiving))


class _MpiPending:
    """Keeps the buffers of a collective alive until it is done."""

    def __init__(self, request: Any, buffers: object, then: Any = None) -> None:
        self._request, self._buffers, self._then = request, buffers, then

    def test(self) -> bool:
        if self._request is None:
            return True
        if not self._request.Test():
            return False
        if self._then is not None:
            self._then()
        self._request = self._buffers = self._then = None
        return True


_STATUS = MPI.Status()


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
