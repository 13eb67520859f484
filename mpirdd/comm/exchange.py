"""One exchange: every executor gives parcels to every other, in rounds of bounded size.

Theory of operation. A rank sends each peer one byte stream of parcels: a header (the block, and the
sizes of its frames) and the frames themselves. First all ranks tell each other the lengths of their
streams, and of their longest, so everybody knows the number of rounds. In each round every rank
puts the next ``quota`` bytes of every stream into one send buffer, ``Group.alltoallv`` moves them,
and the receiver's assemblers cut the arriving bytes into frames again. All rounds reuse the two
buffers, so an exchange needs ``2 * exchange_bytes`` besides the data, whatever its size, and no count
comes near 2 GiB. Parcels for the rank itself never touch the network.

Nothing blocks: ``exchange`` is a generator that yields whenever it has to wait, and the executor
decides what to do meanwhile. While bytes are moving it yields the number of the round, from 1 on (do
not sleep: some MPIs move bytes only inside calls). While it waits for others to come, it yields 0.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import NamedTuple

from mpirdd.comm.transport import Group, PendingCollective
from mpirdd.protocol.frames import Buffer, Frames
from mpirdd.protocol.ids import BlockId, Rank
from mpirdd.store.buffers import writable_memory
from mpirdd.store.fragments import Fragment

_HEADER = struct.Struct("<4sqqqI")
_KINDS = {"rdd": b"rdd ", "map": b"map ", "in": b"in  "}
_SMALL_BYTES = 1 << 16
_KIND_NAMES = {code: kind for kind, code in _KINDS.items()}


class Parcel(NamedTuple):
    """A fragment of a block on its way."""

    block: BlockId
    """The parcel's block at the receiver."""
    source: int
    """For ``in`` blocks: the map task that wrote it."""
    fragment: Fragment
    """At the sender it may lie on disk, and is read when its turn comes; at the receiver it is in memory."""


Deliver = Callable[[Parcel], None]
_VOID = -1


def exchange(
    group: Group,
    outgoing: Mapping[Rank, Iterable[Parcel]] | None,
    deliver: Deliver,
    exchange_bytes: int,
    claim: Callable[[int], None] = lambda nbytes: None,
    agreed: Callable[[dict[Rank, int], int], None] = lambda sent, received: None,
) -> Generator[int, None, bool]:
    """Send the parcels of ``outgoing`` to the ranks it names, and give everything that comes in to ``deliver``.

    All members of the group run this together, exchange after exchange in the same order. When the
    generator ends, this rank has all its parcels and may forget its own.

    Args:
        outgoing: parcels by rank; each iterable gives the same parcels each time. None on a rank that
            lacks the parcels it should send. The exchange is then void on all ranks: it delivers
            nothing anywhere, since a block with a part missing would pass for a whole one.
        exchange_bytes: size of each of the two buffers, at most.
        claim: gets the bytes that the buffers take, and minus that number when they are free again.
        agreed: gets, before any bytes move, the bytes to each other rank that gets some, and the bytes
            to come.

    Returns:
        False if the exchange was void, else True.
    """
    me = group.members[group.index]
    given = outgoing or {}
    streams = [_Stream([] if rank == me else given.get(rank, ())) for rank in group.members]
    longest = _VOID if outgoing is None else max(stream.size for stream in streams)
    incoming, longest_of = yield from _agree(group, [stream.size for stream in streams], longest)
    if _VOID in longest_of:
        return False
    agreed({rank: stream.size for rank, stream in zip(group.members, streams, strict=True) if stream.size}, sum(incoming))
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
        send, receive = writable_memory(send_bytes), writable_memory(receive_bytes)
        yield from _rounds(group, streams, incoming, assemblers, rounds, quota, send, receive)
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
        yield from _finish(group.alltoallv(send, send_counts, receive, receive_counts), number + 1)
        at = 0
        for assembler, count in zip(assemblers, receive_counts, strict=True):
            assembler.feed(receive[at : at + count])
            at += count


def _agree(group: Group, sizes: list[int], longest: int) -> Generator[int, None, tuple[list[int], list[int]]]:
    """The bytes that each member will send here, and the longest stream of each member."""
    if len(sizes) == 1:
        return [0], [longest]
    told = [0] * (2 * len(sizes))
    yield from _finish(group.alltoall([number for size in sizes for number in (size, longest)], told), 0)
    return told[::2], told[1::2]


def _finish(pending: PendingCollective, number: int) -> Generator[int, None, None]:
    """Wait for a collective. Give it up if the executor leaves the exchange, or the epoch is over."""
    try:
        while not pending.test():
            yield number
    except BaseException:  # GeneratorExit above all, when the exchange is left in the middle
        pending.leave()
        raise


class _Stream:
    """The parcels for one peer as one run of bytes, handed out piece by piece; copies once, into the send buffer.

    Goes through the parcels twice, for their sizes and to send them: headers kept from the first pass would take more
    memory than small buckets do.
    """

    def __init__(self, parcels: Iterable[Parcel]) -> None:
        self.size = sum(map(_length, parcels))
        self._parcels = iter(parcels)
        self._buffers: deque[memoryview] = deque()
        """The rest of the parcel under way. Later parcels are not read yet."""

    def take(self, into: memoryview) -> None:
        """Fill ``into`` with the next bytes; there are enough."""
        buffers = self._buffers
        at, wanted = 0, into.nbytes
        while at < wanted:
            if not buffers:
                parcel = next(self._parcels)
                buffers.append(memoryview(_header(parcel)))
                buffers.extend(map(_bytes_of, parcel.fragment.read()))
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
        """The parcel's frames that are complete."""
        self._frame: memoryview | None = None
        """The frame that is arriving."""
        self._filled = 0

    def feed(self, data: memoryview) -> None:
        at = 0
        while at < data.nbytes:
            at += self._take_header(data[at:]) if self._header is None else self._take_frame(data[at:])

    def _take_header(self, data: memoryview) -> int:
        """Take (a part of) a header; the number of bytes used. Headers are small, so a cut one waits in ``_partial``."""
        had = len(self._partial)
        needed = _HEADER.size
        if had >= needed:  # the fixed part is here, and holds the number of sizes
            needed += 8 * _HEADER.unpack_from(self._partial)[4]
        self._partial += data[: needed - had]
        used = len(self._partial) - had
        if len(self._partial) >= _HEADER.size:
            kind, of, index, source, count = _HEADER.unpack_from(self._partial)
            if len(self._partial) == _HEADER.size + 8 * count:
                self._sizes = struct.unpack_from(f"<{count}Q", self._partial, _HEADER.size)
                self._header = BlockId(_KIND_NAMES[kind], of, index), source  # type: ignore[arg-type]
                self._partial = bytearray()
                self._frames = []
                self._pass_over_empty_frames()
        return used

    def _take_frame(self, data: memoryview) -> int:
        """Take (a part of) a frame; the number of bytes used."""
        size = self._sizes[len(self._frames)]
        if self._frame is None:
            if not self._frames and size <= min(data.nbytes, _SMALL_BYTES):
                # The pickle, which nobody writes to. As bytes it takes a fifth of the memory that a view of its own needs.
                self._frames.append(bytes(data[:size]))
                self._pass_over_empty_frames()
                return size
            self._frame, self._filled = writable_memory(size), 0
        count = min(size - self._filled, data.nbytes)
        self._frame[self._filled : self._filled + count] = data[:count]
        self._filled += count
        if self._filled == size:
            self._frames.append(self._frame)
            self._frame = None
            self._pass_over_empty_frames()
        return count

    def _pass_over_empty_frames(self) -> None:
        """No bytes come for empty frames. Deliver the parcel when all frames are here."""
        while len(self._frames) < len(self._sizes) and not self._sizes[len(self._frames)]:
            self._frames.append(bytearray())
        if len(self._frames) == len(self._sizes):
            assert self._header is not None
            block, source = self._header
            self._header = None
            self._deliver(Parcel(block, source, Fragment(self._frames)))


def _length(parcel: Parcel) -> int:
    """The parcel's bytes in a stream."""
    sizes = parcel.fragment.sizes
    return _HEADER.size + 8 * len(sizes) + sum(sizes)


def _header(parcel: Parcel) -> bytes:
    sizes, block = parcel.fragment.sizes, parcel.block
    head = _HEADER.pack(_KINDS[block.kind], block.of, block.part, parcel.source, len(sizes))
    return head + struct.pack(f"<{len(sizes)}Q", *sizes)


def _bytes_of(frame: Buffer) -> memoryview:
    view = memoryview(frame)
    return view.cast("B") if view.nbytes else memoryview(b"")
