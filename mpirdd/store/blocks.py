"""The blocks of one executor, by id, in memory and on disk.

The store has two parts: ``shuffles`` holds the ``map`` and ``in`` blocks (``store/shuffle_blocks.py``), ``kept`` the ``rdd``
blocks (``store/kept_partitions.py``). Tasks use these directly. This module handles blocks of every kind: listing, exchanging,
dropping them. All blocks count against one budget and go to the same spill files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from mpirdd.protocol.errors import ScratchError
from mpirdd.protocol.ids import BlockId, NodeId
from mpirdd.protocol.stage import Level
from mpirdd.store.fragments import Fragment, SpillFiles, afresh, take_back
from mpirdd.store.kept_partitions import KeptPartition, KeptPartitions, Sizes
from mpirdd.store.memory import Memory
from mpirdd.store.scratch import Scratch
from mpirdd.store.shuffle_blocks import ReduceInput, ShuffleBlocks

_FILE_BYTES = 256 << 20
"""A spill file takes up to this many bytes of blocks (or as many as the budget): its space is free when all of them are gone."""


class BlockStore:
    """Owned by one executor; not shared.

    Args:
        memory: the budget; by default an unlimited one.
        through_files: write the output of map tasks, and copies of kept partitions, to files at once, however much memory there
            is (``--mode mapreduce``).
    """

    def __init__(
        self, memory: Memory | None = None, scratch: Scratch | None = None, *, through_files: bool = False
    ) -> None:
        self.memory = memory or Memory(1 << 60)
        scratch = scratch or Scratch()
        self.files = SpillFiles(scratch, max(_FILE_BYTES, min(self.memory.limit_bytes, 1 << 40)))
        self.shuffles = ShuffleBlocks(self.memory, self.files, through_files=through_files)
        self.kept = KeptPartitions(self.memory, scratch, self.files, through_files=through_files)
        self._arriving: dict[BlockId, ReduceInput | KeptPartition] = {}
        self._levels_of_copies: Mapping[NodeId, Level] = {}
        self._dropped: set[BlockId] = set()
        """Blocks that could not be stored; still unreported."""

    def __contains__(self, block: BlockId) -> bool:
        return block in self._part(block)

    def __iter__(self) -> Iterator[BlockId]:
        yield from self.shuffles
        yield from self.kept

    def drop(self, block: BlockId) -> None:
        """Forget the block; a missing one is no error."""
        self._part(block).drop(block)
        self._dropped.discard(block)

    def drop_node(self, node: NodeId, *, kinds: tuple[str, ...] = ("rdd", "map", "in")) -> None:
        """Forget the node's blocks of these kinds."""
        for block in [block for block in self._all() if block.of == node and block.kind in kinds]:
            self.drop(block)

    def clear(self) -> None:
        """Forget everything."""
        for block in self._all():
            self.drop(block)
        self.abandon_arrivals()
        self.kept.end_task()
        self.files.forget()

    # --- exchanges ----------------------------------------------------------------------------------------------------

    def begin_arrivals(self, inputs: Iterable[BlockId], levels: Mapping[NodeId, Level]) -> None:
        """An exchange will bring these ``in`` blocks (some perhaps empty), and copies of kept partitions, whose nodes have these
        levels."""
        self._levels_of_copies = levels
        for block in inputs:
            self.expect(block)

    def expect(self, block: BlockId) -> None:
        """The exchange under way brings this block, which may be empty."""
        self._arriving[block] = (
            self.shuffles.new_input(block) if block.kind == "in"
            else self.kept.new_copy(block, self._levels_of_copies.get(block.of, Level())))

    def arrive(self, block: BlockId, source: int, fragment: Fragment) -> None:
        """Store a fragment of an expected block, from another executor or from this one. For ``in`` blocks ``source`` is the map
        task; for ``rdd`` blocks it is 1 if the sender holds the records as objects, 0 if it holds bytes."""
        if block not in self._arriving:
            self.expect(block)
        arriving = self._arriving[block]
        if arriving.failed is not None:
            return
        try:
            arriving.add(source, fragment)
        except ScratchError as error:  # the exchange goes on, here and elsewhere; a task that needs the block fails
            arriving.failed = afresh(error)
            self.memory.let_go(arriving)
            arriving.take_back()

    def complete_arrivals(self) -> None:
        """The exchange has ended: the arrived blocks are complete."""
        for block, arrived in self._arriving.items():
            self._dropped.discard(block)
            if isinstance(arrived, ReduceInput):
                self.shuffles.put(block, arrived)
            else:
                self.kept.put(block, arrived)
        self._arriving.clear()

    def abandon_arrivals(self) -> None:
        """The exchange is void."""
        for arriving in self._arriving.values():
            self.memory.let_go(arriving)
        take_back(chain.from_iterable(arriving.owned for arriving in self._arriving.values()))  # they lie mixed in the file
        self._arriving.clear()

    def fragments(self, block: BlockId) -> Iterator[tuple[int, Fragment]]:
        """The fragments of a whole ``in`` or ``rdd`` block, as ``arrive`` takes them on another executor."""
        return self._part(block).fragments(block)

    # --- reports to the driver --------------------------------------------------------------------------------------

    def drop_failed(self) -> None:
        """Forget blocks that could not be stored on arrival, so that they are sent again."""
        for block in [*self.shuffles.failed(), *self.kept.failed()]:
            self.drop(block)
            self._dropped.add(block)

    def take_changes(self) -> tuple[dict[BlockId, Sizes], tuple[BlockId, ...]]:
        """Changes since the last call: (sizes of kept partitions, blocks dropped for lack of memory or because they could not be
        stored)."""
        sizes, gone = self.kept.take_changes()
        gone += [block for block in self._dropped if block not in self]
        self._dropped.clear()
        return sizes, tuple(sorted(gone))

    def _part(self, block: BlockId) -> ShuffleBlocks | KeptPartitions:
        return self.kept if block.kind == "rdd" else self.shuffles

    def _all(self) -> list[BlockId]:
        return [*self.shuffles.blocks(), *self.kept.blocks()]
