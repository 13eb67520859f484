"""Hadoop's frames around LZ4 and Snappy, which have none that Hadoop uses: blocks, each of one or more pieces.

    block   4 bytes: its length, unpacked; then pieces until they unpack to so much
    piece   4 bytes: its length, packed; then an LZ4 or Snappy block

All lengths are big-endian. ``BlockDecompressor`` unpacks one block, so a file is a row of streams to its reader.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_PIECE_BYTES = 128 << 10
"""Unpacked bytes of the pieces that are written. Hadoop reads into buffers of 256 KiB, packed and unpacked."""
_MOST_PIECE_BYTES = 64 << 20
"""Packed bytes of a piece that is believed."""


class BlockCompressor:
    """Each block that it writes is one piece."""

    def __init__(self, pack: Callable[[bytes], bytes]) -> None:
        self._pack = pack
        self._waiting = bytearray()
        self._is_empty = True

    def compress(self, data: bytes, /) -> bytes:
        self._waiting += data
        whole = len(self._waiting) // _PIECE_BYTES * _PIECE_BYTES
        blocks = [self._block(bytes(self._waiting[at : at + _PIECE_BYTES])) for at in range(0, whole, _PIECE_BYTES)]
        del self._waiting[:whole]
        return b"".join(blocks)

    def flush(self) -> bytes:
        if self._waiting:
            return self._block(bytes(self._waiting))
        return bytes(4) if self._is_empty else b""  # as Hadoop writes nothing at all

    def _block(self, data: bytes) -> bytes:
        self._is_empty = False
        packed = self._pack(data)
        return len(data).to_bytes(4, "big") + len(packed).to_bytes(4, "big") + packed


class BlockDecompressor:
    """Unpacks one block, with the interface of ``bz2.BZ2Decompressor``.

    Args:
        unpack: ``unpack(library, piece, most)`` gives at most ``most`` bytes, or raises.
        library: what does it.
    """

    def __init__(self, unpack: Callable[[Any, bytes, int], bytes], library: Any) -> None:
        self._unpack, self._library = unpack, library
        self._input = bytearray()
        self._output = b""
        self._left: int | None = None
        """Bytes of the block that are still to be unpacked; None before its length is known."""

    @property
    def eof(self) -> bool:
        return self._left == 0 and not self._output

    @property
    def needs_input(self) -> bool:
        return not self._output and self._left != 0 and len(self._input) < self._next_bytes()

    @property
    def unused_data(self) -> bytes:
        return bytes(self._input)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        self._input += data
        while not self._output and self._left != 0 and len(self._input) >= self._next_bytes():
            self._advance()
        if not self._output and self._left and self._next_bytes() > _MOST_PIECE_BYTES:
            raise ValueError(f"a piece of {self._next_bytes() - 4} bytes")
        given, self._output = self._output[:max_length], self._output[max_length:]
        return given

    def _next_bytes(self) -> int:
        """Bytes of input that the next step takes: a block's length, or a piece with its length."""
        if self._left is None or len(self._input) < 4:
            return 4
        return 4 + self._number()

    def _advance(self) -> None:
        if self._left is None:
            self._left = self._number()
            del self._input[:4]
            return
        end = self._next_bytes()
        self._output = self._unpack(self._library, bytes(self._input[4:end]), self._left)
        if not self._output or len(self._output) > self._left:
            raise ValueError(f"a piece of {len(self._output)} bytes, where {self._left} are left of the block")
        self._left -= len(self._output)
        del self._input[:end]

    def _number(self) -> int:
        return int.from_bytes(self._input[:4], "big")
