"""The driver's messages to executors."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

from mpirdd.comm.transport import Transport
from mpirdd.protocol.ids import Rank
from mpirdd.store.codec import encode


class Channel:
    """Sends messages to the living executors.

    Args:
        spares: this many ranks, the last ones, wait until they take the place of lost executors.
        lost: ranks that an earlier Context has lost; spares replace them.
    """

    def __init__(self, transport: Transport, *, spares: int, lost: Container[Rank]) -> None:
        living, width = [rank for rank in range(1, transport.size) if rank not in lost], transport.size - 1 - spares
        self.executors: list[Rank] = living[:width]
        """The executors not known to be lost, in the order of their ranks."""
        self.spares: list[Rank] = living[width:]
        """The waiting ranks not known to be lost."""
        self._transport = transport
        self._closed = False

    def close(self) -> None:
        """Send nothing from now on. Threads of cancelled jobs may still try after the stop, when executors already serve another
        Context."""
        self._closed = True

    def joins(self, spare: Rank) -> None:
        """The spare is an executor from now on."""
        self.spares.remove(spare)
        self.executors.append(spare)
        self.executors.sort()

    def lost(self, rank: Rank) -> None:
        """Send nothing more to the executor, or the spare."""
        (self.spares if rank in self.spares else self.executors).remove(rank)

    def send(self, rank: Rank, message: Any, *, by_value: bool = False) -> None:
        """Send a message. ``by_value`` ships definitions of the program's ``__main__`` along."""
        if not self._closed:
            self._transport.send(rank, encode(message, by_value=by_value))

    def send_all(self, message: Any, ranks: Iterable[Rank] | None = None) -> None:
        """Send one message, pickled once, to ``ranks``; by default to all executors and to the spares, which may need it
        later."""
        if self._closed:
            return
        frames = encode(message)
        for rank in (*self.executors, *self.spares) if ranks is None else ranks:
            self._transport.send(rank, frames)
