"""The blocks of shuffles: the output of map tasks, and the input of reduce tasks.

* A ``map`` block is the output of one map task, in *packs*: one for each time that the task wrote out its records. A pack
  holds one encoded bucket for each reduce partition that gets something. It goes to a spill file as a whole; buckets are read
  back one by one.
* An ``in`` block is the output of all map tasks for one reduce partition: buckets in the order of the map tasks. It refers to
  buckets in packs of this executor, and owns those that arrived from other executors.

A bucket is encoded once, when its map task writes it. So its size is known exactly, and reading it twice gives fresh records,
whatever the first reader did to its own.
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
"""By reduce partition, rising; without partitions that get nothing."""


class Pack(Evictable):
    """The buckets of a map task for all reduce partitions, from one time that it wrote out its records."""

    def __init__(self, of: NodeId, buckets: EncodedBuckets, files: SpillFiles) -> None:
        super().__init__(of)
        self.partitions = array("q", buckets)
        """The reduce partition of each bucket, rising. In a shuffle of 10,000 x 10,000 partitions a pack has few buckets, and an
        array takes a tenth of the memory of a dict."""
        self.buckets = list(map(_owned, buckets.values()))
        frames = list(chain.from_iterable(buckets.values()))
        self.nbytes = memory_bytes(frames)
        self.encoded_bytes = sum(map(len, frames))
        self._files = files

    def take_back(self) -> None:
        """Nobody will read the pack: free its space on disk."""
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
        """The map task of each bucket."""
        self.nbytes = 0
        """Encoded bytes of all buckets."""
        self.owned: list[Fragment] = []
        """Its buckets from other executors."""
        self.failed: ScratchError | None = None
        """An arriving bucket could not be stored: a reader of the block gets this error."""

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
        """Add a bucket of map task ``source``. A bucket in a pack of this executor is only referred to; one that has arrived is
        owned from now on. Raises ScratchError."""
        if not bucket.owned:
            bucket.owned = True
            if not self._memory.hold(self, bucket.memory_bytes):
                self._files.move([bucket])
            self.owned.append(bucket)
        self.nbytes += bucket.nbytes
        self._buckets.append(bucket)
        self._sources.append(source)

    def finish(self) -> None:
        """All buckets are here: sort them by map task. The buckets of one task keep their order of arrival."""
        order = sorted(range(len(self._sources)), key=self._sources.__getitem__)
        self._buckets = [self._buckets[place] for place in order]
        self._sources = array("q", sorted(self._sources))

    def take_back(self) -> None:
        """Nobody will read the block: free its space on disk."""
        take_back(self.owned)
        self.owned, self._buckets, self._sources = [], [], array("q")

    def evict(self) -> None:
        self._files.move(self.owned)


class ShuffleBlocks:
    """The ``map`` and ``in`` blocks of one executor.

    Args:
        through_files: write the output of map tasks to files at once, however much memory there is.
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
        """Store the packs of a map task, each as it comes, in place of an older output. Returns their encoded bytes.

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
        except BaseException:  # even an interrupted task leaves no half of its output
            for pack in reversed(written):
                self._memory.let_go(pack)
                pack.take_back()
            raise
        self._maps[block] = written
        return sum([pack.encoded_bytes for pack in written])

    def packs(self, block: BlockId) -> list[Pack]:
        """The packs of a ``map`` block. Raises KeyError if it is not here."""
        return self._maps[block]

    def reduce_input(self, block: BlockId) -> ReduceInput:
        """An ``in`` block. Raises KeyError if it is not here."""
        return self._ins[block]

    def new_input(self, block: BlockId) -> ReduceInput:
        """An empty ``in`` block; not here before ``put``."""
        return ReduceInput(block.of, self._memory, self._files)

    def put(self, block: BlockId, arrived: ReduceInput) -> None:
        """The input that an exchange brought is complete."""
        self.drop(block)
        arrived.finish()
        self._ins[block] = arrived

    def fragments(self, block: BlockId) -> Iterator[tuple[int, Fragment]]:
        """The buckets of a whole ``in`` block, as ``ReduceInput.add`` takes them on another executor."""
        return enumerate(self._ins[block].buckets())

    def drop(self, block: BlockId) -> None:
        """Forget the block; a missing one is no error."""
        for pack in self._maps.pop(block, ()):
            self._memory.let_go(pack)
        held = self._ins.pop(block, None)
        if held is not None:
            self._memory.let_go(held)

    def failed(self) -> list[BlockId]:
        """Blocks that could not be stored on arrival."""
        return [block for block, held in self._ins.items() if held.failed is not None]


def _owned(frames: Frames) -> Fragment:
    bucket = Fragment(frames)
    bucket.owned = True
    return bucket
