"""The MPI transport.

Theory of operation. A control message is an *envelope*, followed by frames that are too large for
it. The envelope (tag ``ENVELOPE``) lists the sizes of all frames and carries the small ones. Each
large frame follows in chunks (tag ``BULK``). MPI keeps messages of one sender, tag and communicator
in order, so the receiver can post the receives for the chunks as soon as it has the envelope, and
messages arrive in the order of sending. No message is larger than ``CHUNK_BYTES``, so no count
comes near 2 GiB, on any MPI.

Control runs on a duplicate of the world, data on a communicator of the executors: pairwise or by
MPI's own collectives (``comm/mpi_groups.py``).

Losses. Under ULFM (``mpirun --with-ft ulfm``), after a death every probe for any source raises, on
every rank, until the rank acknowledges the death. MPI returns errors instead of aborting
(``ERRORS_RETURN``), so they arrive here as exceptions. Without ULFM a death ends the run.
"""

from __future__ import annotations

import os
import struct
from collections import deque
from collections.abc import Sequence
from threading import Timer
from time import monotonic, sleep
from typing import Any

from mpirdd.comm.mpi_groups import CollectiveGroup, PairwiseGroup
from mpirdd.comm.mpi_library import LOSSES, MPI, survives_losses
from mpirdd.comm.transport import Group
from mpirdd.protocol.errors import ClusterError
from mpirdd.protocol.frames import Buffer, Frames
from mpirdd.store.buffers import writable_memory

ENVELOPE, BULK = 1, 2
INLINE_BYTES = 16 << 10
"""Frames up to this size travel inside the envelope: one message, and within the eager limit of the MPIs at hand."""
CHUNK_BYTES = 64 << 20
_CLOSE_TIMEOUT_S = 5.0


class _Arrival:
    """A message whose envelope has arrived; some chunks may be missing."""

    __slots__ = ("frames", "requests")

    def __init__(self, frames: Frames, requests: list[Any]) -> None:
        self.frames, self.requests = frames, requests

    def complete(self) -> bool:
        if self.requests and MPI.Request.Testall(self.requests):
            self.requests = []
        return not self.requests


class MpiTransport:
    """``mpirdd.comm.transport.Transport`` over MPI. Made by all ranks of the world together."""

    def __init__(self) -> None:
        self.rank: int = MPI.COMM_WORLD.Get_rank()
        self.size: int = MPI.COMM_WORLD.Get_size()
        self.host: str = MPI.Get_processor_name()
        self._world = MPI.COMM_WORLD.Dup()
        self._world.Set_errhandler(MPI.ERRORS_RETURN)
        self._executors = MPI.COMM_WORLD.Split(0 if self.rank else MPI.UNDEFINED, self.rank)
        self._status = MPI.Status()
        self._left: list[Any] = []
        """Abandoned collectives and messages, with buffers that may still receive bytes: for each loss
        those of one round and of one sender."""
        self._pairwise: PairwiseGroup | None = None
        self._collective: CollectiveGroup | None = None
        if self.rank:
            self._executors.Set_errhandler(MPI.ERRORS_RETURN)
            self._pairwise = PairwiseGroup(self._executors, range(1, self.size), 0, self._left)
            self._collective = CollectiveGroup(self._executors, self._left)
        self.recovers = survives_losses()
        self._dead: set[int] = set()
        self._newly_dead: list[int] = []
        self._leaving: list[Any] = []
        self._leaving_buffers: list[tuple[int, Buffer]] = []
        """For each of ``_leaving``, its destination and what MPI reads."""
        self._stuck: list[tuple[Any, Buffer]] = []
        """Sends to lost ranks, with what MPI still reads. A rank that is stopped may never receive them, or do so later."""
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
            message = self._world.Improbe(MPI.ANY_SOURCE, ENVELOPE, self._status)
            if message is not None:
                source, size = self._status.Get_source(), self._status.Get_count(MPI.BYTE)
                if source in self._dead:  # its chunks stay where they are
                    message.Recv([bytearray(size), MPI.BYTE])
                    return None
                arrival = self._open(message, source, size)
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
            self._left += self._arriving.pop(rank, ())
            to_it = [i for i, (to, _) in enumerate(self._leaving_buffers) if to == rank]
            self._stuck += [(self._leaving[i], self._leaving_buffers[i][1]) for i in to_it]
            self._forget(to_it)

    def group(self, *, collective: bool = False) -> Group | None:
        whole = self._pairwise is not None and len(self._pairwise.members) == self.size - 1
        return self._collective if collective and whole else self._pairwise

    def regroup(self, epoch: int, members: Sequence[int]) -> None:
        self._pairwise = PairwiseGroup(self._executors, members, epoch, self._left)

    def close(self) -> None:
        deadline = monotonic() + _CLOSE_TIMEOUT_S
        while self._leaving and monotonic() < deadline:
            self._forget_what_left()
            sleep(0.0005)
        if MPI.Is_finalized():
            return
        if self._dead:  # MPI_Finalize may then wait for ever; all messages that matter have arrived
            last_resort = Timer(_CLOSE_TIMEOUT_S, os._exit, (0,))
            last_resort.daemon = True
            last_resort.start()
        MPI.Finalize()

    def abort(self, code: int) -> None:
        MPI.COMM_WORLD.Abort(code)

    def _start_send(self, buffer: Buffer, to: int, tag: int) -> None:
        try:
            self._leaving.append(self._world.Isend([buffer, MPI.BYTE], to, tag))
        except MPI.Exception as error:
            self._learn_of_losses(error)
            return
        self._leaving_buffers.append((to, buffer))

    def _forget_what_left(self) -> None:
        """Drop the buffers of finished sends."""
        try:
            done = MPI.Request.Testsome(self._leaving)
        except MPI.Exception as error:
            self._learn_of_losses(error)
            done = [i for i, request in enumerate(self._leaving) if _over(request)]
        if done:
            self._forget(done)
        if self._stuck:
            self._stuck = [(request, buffer) for request, buffer in self._stuck if not _over(request)]

    def _forget(self, places: Sequence[int]) -> None:
        """Drop these of ``_leaving``."""
        forgotten = set(places)
        self._leaving = [r for i, r in enumerate(self._leaving) if i not in forgotten]
        self._leaving_buffers = [b for i, b in enumerate(self._leaving_buffers) if i not in forgotten]

    def _learn_of_losses(self, error: Any) -> None:
        """Note the dead and acknowledge them, so probes for any source work again. Raises
        ClusterError for an error that is no loss."""
        if error.Get_error_class() not in LOSSES:
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
                frame = writable_memory(frame_size)
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


def _over(request: Any) -> bool:
    """The send is done, or will never be."""
    try:
        return bool(request.Test())
    except MPI.Exception:
        return True


def _chunks(view: memoryview) -> list[memoryview]:
    return [view[at : at + CHUNK_BYTES] for at in range(0, view.nbytes, CHUNK_BYTES)]
