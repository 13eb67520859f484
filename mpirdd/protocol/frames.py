"""Encoded values: the form that ranks send, keep and write."""

from __future__ import annotations

Buffer = bytes | bytearray | memoryview
"""Contiguous bytes, ready for sending."""

Frames = list[Buffer]
"""One encoded value: a pickle first, then the raw buffers it refers to. Empty buffers are allowed."""
