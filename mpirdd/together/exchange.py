"""One exchange: every executor gives parcels to every other, in rounds of bounded size.

Theory of operation. What a rank has for a peer is one byte stream: parcels, each a header (what it is, and the
sizes of its frames) and the frames themselves. First all ranks tell each other how long their streams are, and
how long their longest is; from that, everybody knows the number of rounds. In each round every rank puts the
next ``quota`` bytes of every stream into one send buffer, ``Group.alltoallv`` moves them, and the receiver's
assemblers cut what arrives into frames again. The two buffers are reused, so an exchange needs ``2 *
exchange_bytes`` besides the data, whatever its size; no count comes near 2 GiB. Parcels for the rank itself
never touch the network.

Nothing blocks: ``exchange`` is a generator that yields whenever it has to wait, and the executor decides what
to do meanwhile. It yields the number of the round under way, from 1 on, while bytes are moving (do not sleep:
some MPIs move bytes only while they are being called), and 0 while it waits for others to come.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mpirdd.words.ids import BlockId, Rank
from mpirdd.words.transport import Buffer, Frames, Group, Pending

_HEADER = struct.Struct("<4sqqqI")
_KINDS = {"rdd": b"rdd ", "map": b"map ", "in": b"in  "}
_KIND_NAMES = {code: kind for kind, code in _KINDS.items()}


class Elsewhere(Protocol):
    """Frames that are read when they are to be sent, such as those on disk."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """Bytes of each frame."""

    def read(self) -> Frames: ...


@dataclass(frozen=True, slots=True)
class Parcel:
    """A piece of a block on its way."""

    block: BlockId
    """The block it belongs to at the receiver."""
    source: int
    """For ``in`` blocks: the map task it comes from."""
    frames: Frames | Elsewhere
    """What arrives is in memory always."""


Deliver = Callable[[Parcel], None]
_VOID = -1


def exchange(
    group: Group,
    outgoing: Mapping[Rank, Sequence[Parcel]] | None,
    deliver: Deliver,
    exchange_bytes: int,
    claim: Callable[[int], None] = lambda nbytes: None,
) -> Generator[int, None, bool]:
    """Give ``outgoing`` to the ranks it names, and everything that comes in to ``deliver``.

    All members of the group run this together, exchange after exchange in the same order. When the generator
    ends, this rank has all its parcels and its own may be forgotten.

    ``outgoing`` is None on a rank that has not got what it should give: then the exchange is void on all ranks. Nothing
    is delivered anywhere, as a block with a part missing would be taken for the whole one, and the generator returns
    False (else True).

    ``claim`` is told how much the buffers take, and minus that when they are free again.
    """
    me = group.members[group.index]
    given = outgoing or {}
    streams = [_Stream([] if rank == me else given.get(rank, ())) for rank in group.members]
    longest = _VOID if outgoing is None else max(stream.size for stream in streams)
    incoming, longest_of = yield from _agree(group, [stream.size for stream in streams], longest)
    if _VOID in longest_of:
        return False
    for parcel in given.get(me, ()):
        deliver(parcel)
    quota = max(exchange_bytes // max(len(streams) - 1, 1), 1)
    rounds = -(-max(longest_of) // quota)
    if not rounds:
        return True
    assemblers = [_Assembler(deliver) for _ in streams]
    send_bytes = sum(min(quota, stream.size) for stream in streams)
    receive_bytes = sum(min(quota, size) for size in incoming)
    claim(send_bytes + receive_bytes)
    try:
        yield from _rounds(group, streams, incoming, assemblers, rounds, quota, _buffer(send_bytes), _buffer(receive_bytes))
    finally:
        claim(-send_bytes - receive_bytes)
    return True


def _rounds(
    group: Group,
    streams: Sequence[_Stream],
    incoming: Sequence[int],
    assemblers: Sequence[_Assembler],
    rounds: int,
    quota: int,
    send: memoryview,
    receive: memoryview,
) -> Generator[int, None, None]:
    for number in range(rounds):
        done = number * quota
        send_counts = [min(quota, max(0, stream.size - done)) for stream in streams]
        receive_counts = [min(quota, max(0, size - done)) for size in incoming]
        at = 0
        for stream, count in zip(streams, send_counts, strict=True):
            stream.take(send[at : at + count])
            at += count
        yield from _finish([group.alltoallv(send, send_counts, receive, receive_counts)], number + 1)
        at = 0
        for assembler, count in zip(assemblers, receive_counts, strict=True):
            assembler.feed(receive[at : at + count])
            at += count


def _agree(group: Group, sizes: list[int], longest: int) -> Generator[int, None, tuple[list[int], list[int]]]:
    """How much each member will send here, and the longest stream of each member."""
    count = len(sizes)
    if count == 1:
        return [0], [longest]
    incoming, longest_of = [0] * count, [0] * count
    pendings = [group.alltoall(sizes, incoming), group.alltoall([longest] * count, longest_of)]
    yield from _finish(pendings, 0)
    return incoming, longest_of


def _finish(pendings: Sequence[Pending], number: int) -> Generator[int, None, None]:
    """Until they are done; when the exchange is left in the middle, or the epoch is over, what is under way is given up."""
    try:
        for pending in pendings:
            while not pending.test():
                yield number
    except BaseException:
        for pending in pendings:
            pending.leave()
        raise


class _Stream:
    """The parcels for one peer as one run of bytes, handed out piece by piece; copies once, into the send buffer."""

    def __init__(self, parcels: Sequence[Parcel]) -> None:
        self._parcels = iter(parcels)
        self._headers = [_header(parcel) for parcel in parcels]
        self.size = sum(size for size, _ in self._headers)
        self._next_header = iter(self._headers)
        self._buffers: deque[memoryview] = deque()
        """What is left of the parcel under way. Of those behind it nothing is read yet."""

    def take(self, into: memoryview) -> None:
        """Fill ``into`` with the next bytes; there are enough."""
        buffers = self._buffers
        at, wanted = 0, into.nbytes
        while at < wanted:
            if not buffers:
                _, header = next(self._next_header)
                frames = next(self._parcels).frames
                buffers.append(memoryview(header))
                buffers.extend(map(_bytes_of, frames if isinstance(frames, list) else frames.read()))
            first = buffers[0]
            count = min(first.nbytes, wanted - at)
            into[at : at + count] = first[:count]
            at += count
            if count == first.nbytes:
                buffers.popleft()
            else:
                buffers[0] = first[count:]


class _Assembler:
    """Cuts one peer's stream into parcels again, wherever the rounds cut it."""

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver
        self._partial = bytearray()
        self._header: tuple[BlockId, int] | None = None
        self._sizes: tuple[int, ...] = ()
        self._frames: Frames = []
        self._filled = 0

    def feed(self, data: memoryview) -> None:
        at = 0
        while at < data.nbytes:
            at += self._take_header(data[at:]) if self._header is None else self._take_frame(data[at:])

    def _take_header(self, data: memoryview) -> int:
        """Bytes used. Headers are small, so one that is cut waits in ``_partial``."""
        had = len(self._partial)
        needed = _HEADER.size
        if had >= needed:  # the fixed part is here, and says how many sizes follow
            needed += 8 * _HEADER.unpack_from(self._partial)[4]
        self._partial += data[: needed - had]
        used = len(self._partial) - had
        if len(self._partial) >= _HEADER.size:
            kind, of, index, source, count = _HEADER.unpack_from(self._partial)
            if len(self._partial) == _HEADER.size + 8 * count:
                self._sizes = struct.unpack_from(f"<{count}Q", self._partial, _HEADER.size)
                self._header = BlockId(_KIND_NAMES[kind], of, index), source  # type: ignore[arg-type]
                self._partial = bytearray()
                self._frames = [_buffer(self._sizes[0])]
                self._filled = 0
                self._finish_full_frames()
        return used

    def _take_frame(self, data: memoryview) -> int:
        frame = memoryview(self._frames[-1])
        count = min(frame.nbytes - self._filled, data.nbytes)
        frame[self._filled : self._filled + count] = data[:count]
        self._filled += count
        self._finish_full_frames()
        return count

    def _finish_full_frames(self) -> None:
        """Begin the next frame while the current one is full (empty ones are at once), and deliver after the last."""
        while self._header is not None and self._filled == memoryview(self._frames[-1]).nbytes:
            if len(self._frames) < len(self._sizes):
                self._frames.append(_buffer(self._sizes[len(self._frames)]))
                self._filled = 0
            else:
                block, source = self._header
                self._header = None
                self._deliver(Parcel(block, source, self._frames))


def _header(parcel: Parcel) -> tuple[int, bytes]:
    """The parcel's length, header included, and its header."""
    frames, block = parcel.frames, parcel.block
    sizes = tuple(memoryview(frame).nbytes for frame in frames) if isinstance(frames, list) else frames.sizes
    head = _HEADER.pack(_KINDS[block.kind], block.of, block.part, parcel.source, len(sizes))
    head += struct.pack(f"<{len(sizes)}Q", *sizes)
    return len(head) + sum(sizes), head


def _bytes_of(frame: Buffer) -> memoryview:
    view = memoryview(frame)
    return view.cast("B") if view.nbytes else memoryview(b"")


def _buffer(size: int) -> memoryview:
    """Writable memory; large ones are not cleared first, as that would touch every page once more."""
    if size < 1 << 16:
        return memoryview(bytearray(size))
    import numpy

    fresh: Any = numpy.empty(size, dtype=numpy.uint8)
    return memoryview(fresh)
