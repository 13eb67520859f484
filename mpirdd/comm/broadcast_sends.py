"""The messages with which both ends of a broadcast pass a value on (``comm/broadcast.py``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pickle import PickleBuffer
from typing import Any

from mpirdd.protocol.ids import Rank
from mpirdd.protocol.messages import BroadcastPiece, BroadcastStream, BroadcastValue, Route, SharedBroadcast
from mpirdd.store.codec import inside
from mpirdd.store.shared_memory import SharedFrames

_PIECE_BYTES = 16 << 20
"""Of each message. A leader passes one piece on while the next one arrives."""

Send = Callable[[Rank, Any], None]
"""Queues a message for a rank."""


def share(send: Send, source: Rank, version: int, shared: SharedFrames, ranks: Sequence[Rank]) -> None:
    """Let executors on this host map the memory; if they cannot, send them the frames."""
    address = shared.address
    for rank in ranks:
        if address is None:
            send(rank, BroadcastValue(version, inside(shared.frames), acknowledge=True))
        else:
            send(rank, SharedBroadcast(version, source, address))


def stream(send: Send, source: Rank, version: int, attempt: int, shared: SharedFrames, routes: Sequence[Route]) -> None:
    """Send a whole value along the routes. Queues views of its memory, so it takes no more memory."""
    announce(send, source, version, attempt, shared.sizes, routes)
    for offset in range(0, shared.memory.nbytes if routes else 0, _PIECE_BYTES):
        piece = PickleBuffer(shared.memory[offset : offset + _PIECE_BYTES])
        for route in routes:
            send(route.to, BroadcastPiece(version, source, offset, piece))


def announce(
    send: Send, source: Rank, version: int, attempt: int, sizes: tuple[int, ...], routes: Sequence[Route]
) -> None:
    for route in routes:
        send(route.to, BroadcastStream(version, source, attempt, sizes, route))
