"""The blocks of shuffles: what map tasks wrote, and what has been brought together for reduce tasks.

* A ``map`` block is what one map task wrote: *packs*, one for each time that the task wrote out what it had gathered.
  A pack holds one encoded bucket for each reduce partition that gets something. It goes to a spill file as a whole;
  buckets are read back one by one.
* An ``in`` block is what all map tasks wrote for one reduce partition: buckets in the order of the map tasks. It
  refers to those of this executor's packs, and owns those that arrived from other executors.

A bucket is encoded once, when its map task writes it: its size is then known exactly, and reading it twice gives
fresh records, whatever the first reader did to its own.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from itertools import chain

from mpirdd.protocol.errors import ScratchError
from mpirdd.protocol.frames import Frames
from mpirdd.protocol.ids import BlockId, NodeId
from mpirdd.store.fragments import Fragment, SpillFiles, afresh, memory_bytes, take_back
from mpirdd.store.memory import Evictable, Memory

EncodedBuckets = dict[int, Frames]
"""By reduce partition, rising; without those that get nothing."""


class Pack(Evictable):
    """What a map task had gathered for all reduce partitions when it wrote it out."""

    def __init__(self, of: NodeId, buckets: EncodedBuckets, files: SpillFiles) -> None:
        super().__init__(of)
        self.partitions = array("q", buckets)
        """The reduce partition of each bucket, rising. A shuffle of 10,000 x 10,000 partitions has few buckets in a pack, and
        an array takes a tenth of what a dict does."""
        self.buckets = list(map(_owned, buckets.values()))
        frames = list(chain.from_iterable(buckets.values()))
        self.nbytes = memory_bytes(frames)
        self.encoded_bytes = sum(map(len, frames))
        self._files = files

    def take_back(self) -> None:
        """Nobody will read it: its space on disk is free again."""
        take_back(self.buckets)
        self.buckets, self.partitions = [], array("q")

    def evict(self) -> None:
        self._files.move(self.buckets)


class ReduceInput(Evictable):
    """An ``in`` block: the buckets for one reduce partition, in the order of (map task, pack)."""

    def __init__(self, of: NodeId, memory: Memory, files: SpillFiles) -> None:
        super().__init__(of)
        self._memory, self._files = memory, files
        self._buckets: list[Fragment] = []
        self._sources = array("q")
        """The map task of each."""
        self.nbytes = 0
        """Encoded bytes of all buckets."""
        self._arrived: list[Fragment] = []
        """Those that this block owns."""
        self.failed: ScratchError | None = None
        """What arrived could not be stored: a reader of the block gets this error."""

    def __len__(self) -> int:
        return len(self._buckets)

    def __iter__(self) -> Iterator[Frames]:
        """The buckets, each read when its turn comes."""
        if self.failed is not None:
            raise afresh(self.failed)
        self._memory.used(self)
        return (bucket.read() for bucket in self._buckets)

    def buckets(self) -> Iterator[Fragment]:
        return iter(self._buckets)

    def add(self, source: int, bucket: Fragment) -> None:
        """Add a bucket of map task ``source``. One that a pack of this executor owns is referred to; one that has
        arrived is owned from now on. Raises ScratchError."""
        if not bucket.owned:
            bucket.owned = True
            if not self._memory.hold(self, bucket.memory_bytes):
                self._files.move([bucket])
            self._arrived.append(bucket)
        self.nbytes += bucket.nbytes
        self._buckets.append(bucket)
        self._sources.append(source)

    def finish(self) -> None:
        """All is there: put it in order. What one task sent stays in the order in which it came."""
        order = sorted(range(len(self._sources)), key=self._sources.__getitem__)
        self._buckets = [self._buckets[place] for place in order]
        self._sources = array("q", sorted(self._sources))

    def take_back(self) -> None:
        """Nobody will read it: its space on disk is free again."""
        take_back(self._arrived)
        self._arrived, self._buckets, self._sources = [], [], array("q")

    def evict(self) -> None:
        self._files.move(self._arrived)


class ShuffleBlocks:
    """The ``map`` and ``in`` blocks of one executor.

    Args:
        through_files: what map tasks write goes to files at once, however much memory there is.
    """

    def __init__(self, memory: Memory, files: SpillFiles, *, through_files: bool) -> None:
        self._memory, self._files, self._through_files = memory, files, through_files
        self._maps: dict[BlockId, list[Pack]] = {}
        self._ins: dict[BlockId, ReduceInput] = {}

    def __contains__(self, block: BlockId) -> bool:
        return block in self._maps or block in self._ins

    def __iter__(self) -> Iterator[BlockId]:
        return iter(self.blocks())

    def blocks(self) -> list[BlockId]:
        return [*self._maps, *self._ins]

    def write_map(self, block: BlockId, packs: Iterable[EncodedBuckets]) -> int:
        """Take the packs of a map task, each as it comes, in place of those that are here. Returns their
        encoded bytes.

        Raises:
            ScratchError: they fit neither in memory nor on disk.
        """
        self.drop(block)
        written: list[Pack] = []
        try:
            for buckets in packs:
                pack = Pack(block.of, buckets, self._files)
                if self._through_files or not self._memory.hold(pack, pack.nbytes):
                    pack.evict()
                written.append(pack)
        except BaseException:  # an interrupted task, too, leaves no half of its output
            for pack in reversed(written):
                self._memory.let_go(pack)
                pack.take_back()
            raise
        self._maps[block] = written
        return sum([pack.encoded_bytes for pack in written])

    def packs(self, block: BlockId) -> list[Pack]:
        """Of a ``map`` block. KeyError when it is not here."""
        return self._maps[block]

    def reduce_input(self, block: BlockId) -> ReduceInput:
        """An ``in`` block. KeyError when it is not here."""
        return self._ins[block]

    def new_input(self, block: BlockId) -> ReduceInput:
        """An empty ``in`` block, not here before ``put``."""
        return ReduceInput(block.of, self._memory, self._files)

    def put(self, block: BlockId, arrived: ReduceInput) -> None:
        """What an exchange brought is whole."""
        self.drop(block)
        arrived.finish()
        self._ins[block] = arrived

    def fragments(self, block: BlockId) -> Iterator[tuple[int, Fragment]]:
        """A whole ``in`` block, as ``ReduceInput.add`` takes it on another executor."""
        return enumerate(self._ins[block].buckets())

    def drop(self, block: BlockId) -> None:
        """Forget the block; one that is not here is no error."""
        for pack in self._maps.pop(block, ()):
            self._memory.let_go(pack)
        held = self._ins.pop(block, None)
        if held is not None:
            self._memory.let_go(held)

    def failed(self) -> list[BlockId]:
        """Blocks that could not be stored when they arrived."""
        return [block for block, held in self._ins.items() if held.failed is not None]


def _owned(frames: Frames) -> Fragment:
    bucket = Fragment(frames)
    bucket.owned = True
    return bucket
