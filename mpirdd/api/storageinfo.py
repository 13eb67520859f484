"""Kept partitions, their places and sizes: ``Context.storageInfo``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mpirdd.api.html import card
from mpirdd.api.storagelevel import StorageLevel
from mpirdd.driver.driver import Driver
from mpirdd.protocol.shown import shown_size
from mpirdd.protocol.values import dataclass
from mpirdd.scheduler.lineage import Node


@dataclass(frozen=True, slots=True)
class KeptOn:
    """One executor's kept partitions of an RDD."""

    rank: int
    host: str
    partitions: tuple[int, ...]
    memory_bytes: int
    """Measured on a sample, for records kept as objects."""
    disk_bytes: int


@dataclass(frozen=True, slots=True)
class StorageInfo:
    """One persisted RDD, as the executors reported it, after the end of copies under way."""

    id: int
    name: str
    """The name set by the program, else the operation and its place in the program."""
    level: StorageLevel
    partitions_kept: int
    partitions: int
    """All of the RDD's."""
    memory_bytes: int
    disk_bytes: int
    executors: tuple[KeptOn, ...]

    def __str__(self) -> str:
        where = ", ".join(f"rank {on.rank} ({on.host}): {len(on.partitions)}" for on in self.executors)
        return (f"{self.name}: {self.partitions_kept} of {self.partitions} partitions, "
                f"{shown_size(self.memory_bytes)} in memory, {shown_size(self.disk_bytes)} on disk"
                + (f" ({where})" if where else ""))

    def _repr_html_(self) -> str:
        return card(self.name, [
            ("storage level", self.level), ("partitions kept", f"{self.partitions_kept} of {self.partitions}"),
            ("in memory", shown_size(self.memory_bytes)), ("on disk", shown_size(self.disk_bytes)),
            *((f"rank {on.rank} ({on.host})", f"{len(on.partitions)} partitions") for on in self.executors)])


def storage_infos(driver: Driver, levels: Mapping[Node, StorageLevel], names: Mapping[Node, str]) -> Iterator[StorageInfo]:
    """The RDDs in the order of their creation."""
    for node, level in sorted(levels.items(), key=lambda item: item[0].id):
        on = [KeptOn(kept.rank, driver.hosts[kept.rank], kept.partitions, kept.memory_bytes, kept.disk_bytes)
              for kept in driver.memory.kept(node.id)]
        yield StorageInfo(
            node.id, names.get(node) or node.label, level, len({part for one in on for part in one.partitions}),
            node.num_partitions, sum(one.memory_bytes for one in on), sum(one.disk_bytes for one in on), tuple(on))
