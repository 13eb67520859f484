"""The blocks of one executor, by id.

Three kinds of value, as their ids say: ``rdd`` blocks hold records as they are (a list, or a numpy array of
them), so that reading a cached partition costs nothing; ``map`` blocks hold one encoded bucket for each reduce
partition, ``in`` blocks the encoded buckets of all map tasks for one reduce partition. Buckets are encoded
once, when they are written: their size is then known exactly, and reading one twice gives fresh records,
whatever the first reader did to its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mpirdd.words.ids import BlockId, NodeId
from mpirdd.words.transport import Frames

Buckets = list[Frames | None]
"""By reduce partition; None where a map task had nothing for it."""


class BlockStore:
    """Get, put and drop. Owned by one executor; not shared."""

    def __init__(self) -> None:
        self._blocks: dict[BlockId, Any] = {}

    def __contains__(self, block: BlockId) -> bool:
        return block in self._blocks

    def __iter__(self) -> Iterator[BlockId]:
        return iter(self._blocks)

    def get(self, block: BlockId) -> Any:
        """The block's value; KeyError when it is not here."""
        return self._blocks[block]

    def put(self, block: BlockId, value: Any) -> None:
        self._blocks[block] = value

    def drop(self, block: BlockId) -> None:
        self._blocks.pop(block, None)

    def drop_node(self, node: NodeId, *, kinds: tuple[str, ...] = ("rdd", "map", "in")) -> None:
        for block in [block for block in self._blocks if block.of == node and block.kind in kinds]:
            del self._blocks[block]

    def clear(self) -> None:
        self._blocks.clear()
