"""What is kept, where, and how large: ``Context.storageInfo``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from mpirdd.decisions.lineage import Node
from mpirdd.roles.driver import Driver
from mpirdd.user.storagelevel import StorageLevel
from mpirdd.words.settings import shown_size


@dataclass(frozen=True, slots=True)
class KeptOn:
    """What one executor keeps of an RDD."""

    rank: int
    host: str
    partitions: tuple[int, ...]
    memory_bytes: int
    """Measured on a sample, for records kept as objects."""
    disk_bytes: int


@dataclass(frozen=True, slots=True)
class StorageInfo:
    """One persisted RDD, as the executors have reported it; copies that were under way are waited for."""

    id: int
    name: str
    """The name that was set, else the operation and its place in the program."""
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


def storage_infos(driver: Driver, levels: Mapping[Node, StorageLevel], names: Mapping[Node, str]) -> Iterator[StorageInfo]:
    """In the order in which the RDDs were made."""
    for node, level in sorted(levels.items(), key=lambda item: item[0].id):
        on = [KeptOn(kept.rank, driver.hosts[kept.rank], kept.partitions, kept.memory_bytes, kept.disk_bytes)
              for kept in driver.memory.kept(node.id)]
        yield StorageInfo(
            node.id, names.get(node) or node.label, level, len({part for one in on for part in one.partitions}),
            node.num_partitions, sum(one.memory_bytes for one in on), sum(one.disk_bytes for one in on), tuple(on))
