"""Writable memory for incoming bytes."""

from __future__ import annotations

from typing import Any

_LARGE_BYTES = 1 << 16
"""From this size on, clearing costs more than asking numpy, which is imported only then."""


def writable_memory(size: int) -> memoryview:
    """``size`` writable bytes. Large memory is not cleared first: ``bytearray`` would touch every page once more."""
    if size < _LARGE_BYTES:
        return memoryview(bytearray(size))
    import numpy

    fresh: Any = numpy.empty(size, dtype=numpy.uint8)
    return memoryview(fresh)
