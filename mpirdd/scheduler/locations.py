"""Which executors hold which blocks: the scheduler's account of all data in the cluster."""

from __future__ import annotations

from collections.abc import Mapping

from mpirdd.protocol.ids import BlockId, NodeId, Rank

Holders = tuple[Rank, ...]
"""The executors that hold a block, in the order in which they got it."""
_NONE: Mapping[int, Holders] = {}


class BlockLocations:
    """The account. The executors hold the truth; their messages correct it."""

    def __init__(self) -> None:
        self._holders: dict[tuple[str, NodeId], dict[int, Holders]] = {}
        self._alone: dict[Rank, Holders] = {}
        """For each executor, the one tuple that all blocks share that only it holds."""

    def add(self, block: BlockId, executor: Rank) -> None:
        kind, node, part = block
        of_node = self._holders.get((kind, node))
        if of_node is None:
            of_node = self._holders[kind, node] = {}
        holders = of_node.get(part)
        if holders is None:
            of_node[part] = self._alone.get(executor) or self._alone.setdefault(executor, (executor,))
        elif executor not in holders:
            of_node[part] = (*holders, executor)

    def discard(self, block: BlockId, executor: Rank) -> None:
        of_node = self._holders.get((block.kind, block.of), {})
        holders = of_node.get(block.part, ())
        if holders == (executor,):
            del of_node[block.part]
        elif executor in holders:
            of_node[block.part] = _without(holders, executor)

    def forget(self, node: NodeId) -> None:
        """Remove all blocks of the node."""
        for kind in ("rdd", "map", "in"):
            self._holders.pop((kind, node), None)

    def forget_shuffle(self, node: NodeId) -> None:
        """Remove the shuffle's map outputs and reduce inputs."""
        for kind in ("map", "in"):
            self._holders.pop((kind, node), None)

    def forget_kept(self, node: NodeId) -> None:
        """Remove the node's persisted partitions."""
        self._holders.pop(("rdd", node), None)

    def lose(self, executor: Rank) -> tuple[list[BlockId], list[BlockId]]:
        """Remove a lost executor. Cost: the whole account.

        Returns:
            The blocks that nobody holds any more, and the blocks that other executors still hold.
        """
        gone: list[BlockId] = []
        copied: list[BlockId] = []
        for (kind, node), of_node in self._holders.items():
            for index in [index for index, holders in of_node.items() if executor in holders]:
                block = BlockId(kind, node, index)  # type: ignore[arg-type]  # the key came from a BlockId
                self.discard(block, executor)
                (copied if index in of_node else gone).append(block)
        return gone, copied

    def holders(self, block: BlockId) -> Holders:
        """The executors that hold the block, in the order in which they got it."""
        kind, node, part = block
        return self._holders.get((kind, node), _NONE).get(part, ())

    def nodes(self, kind: str) -> set[NodeId]:
        """The nodes that have blocks of this kind."""
        return {node for (of_kind, node), of_node in self._holders.items() if of_kind == kind and of_node}

    def indexes(self, kind: str, node: NodeId) -> dict[int, Holders]:
        """All blocks of one kind of one node: index -> holders."""
        return self._holders.get((kind, node), {})


def _without(holders: Holders, executor: Rank) -> Holders:
    return tuple([holder for holder in holders if holder != executor])
