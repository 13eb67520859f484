"""The executors' memory, by their reports to the driver: for ``storageInfo`` and the log."""

from __future__ import annotations

from typing import NamedTuple

from mpirdd.protocol.ids import BlockId, NodeId, Rank


class KeptSizes(NamedTuple):
    """The kept partitions of one node on one executor."""

    rank: Rank
    partitions: tuple[int, ...]
    memory_bytes: int
    disk_bytes: int


class ExecutorMemory:
    def __init__(self) -> None:
        self.limit_bytes: dict[Rank, int] = {}
        """Each executor's budget."""
        self.used_bytes: dict[Rank, int] = {}
        """The part of the budget that was in use at the executor's last report."""
        self._kept: dict[NodeId, dict[tuple[Rank, int], tuple[int, int]]] = {}

    def least_bytes(self) -> int:
        """The smallest budget."""
        return min(self.limit_bytes.values())

    def reported(self, rank: Rank, sizes: dict[BlockId, tuple[int, int]], used_bytes: int) -> None:
        self.used_bytes[rank] = used_bytes
        for block, size in sizes.items():
            self._kept.setdefault(block.of, {})[rank, block.part] = size

    def gone(self, rank: Rank, blocks: tuple[BlockId, ...]) -> None:
        for block in blocks:
            self._kept.get(block.of, {}).pop((rank, block.part), None)

    def forget(self, node: NodeId) -> None:
        """No executor keeps the node any more."""
        self._kept.pop(node, None)

    def executor_lost(self, rank: Rank) -> None:
        """The executor is gone."""
        self.limit_bytes.pop(rank, None)
        self.used_bytes.pop(rank, None)
        for kept in self._kept.values():
            for key in [key for key in kept if key[0] == rank]:
                del kept[key]

    def kept_bytes(self, rank: Rank) -> int:
        """An executor's kept bytes, in memory and on disk."""
        return sum(sum(size) for kept in self._kept.values() for (at, _), size in kept.items() if at == rank)

    def kept(self, node: NodeId) -> list[KeptSizes]:
        """The executors that keep something of the node."""
        by_rank: dict[Rank, list[tuple[int, tuple[int, int]]]] = {}
        for (rank, part), size in sorted(self._kept.get(node, {}).items()):
            by_rank.setdefault(rank, []).append((part, size))
        return [KeptSizes(rank, tuple(part for part, _ in parts), sum(size[0] for _, size in parts),
                          sum(size[1] for _, size in parts)) for rank, parts in by_rank.items()]
