"""The sorted shuffle against a plain dict, with memory enough and with hardly any."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from operator import add
from typing import Any

import pytest

from mpirdd.ops.combine import Combiner, combined
from mpirdd.ops.partitioners import FunctionPartitioner, HashPartitioner
from mpirdd.ops.sort_merge_shuffle import key_hash, read, write
from mpirdd.protocol.frames import Frames
from mpirdd.store.codec import decode
from mpirdd.store.memory import Memory
from mpirdd.store.scratch import Scratch
from mpirdd.store.task_memory import TaskMemory

SUM = Combiner(None, add, add, "reduceByKey")
GROUP = Combiner(lambda value: [value], add, add, "groupByKey", groups=True)
PARTITIONS = 3
RECORDS = [(f"key {number * 7919 % 3_001}", number) for number in range(20_000)]
SKEWED = [("skewed" if number % 2 else f"key {number}", f"value {number:060d}") for number in range(20_000)]

pytestmark = pytest.mark.timeout(60)


@pytest.fixture(params=[1 << 20, 1 << 28], ids=["1 MiB", "256 MiB"])
def memory(request: pytest.FixtureRequest) -> TaskMemory:
    return TaskMemory(Memory(request.param), Scratch())


def shuffled(records: list[Any], combiner: Combiner, memory: TaskMemory, maps: int = 4) -> list[list[Any]]:
    """The reduce partitions; each map task takes a stretch of the records."""
    buckets: list[list[Frames]] = [[] for _ in range(PARTITIONS)]
    length = -(-len(records) // maps)
    for source in range(maps):
        mine = records[source * length : (source + 1) * length]
        for pack in write(HashPartitioner(PARTITIONS), combiner, source, iter(mine), memory):
            for partition, piece in pack.items():
                buckets[partition].append(piece)
    memory.close()
    return [[(key, list(value) if combiner.groups else value) for key, value in read(combiner, bucket, memory)]
            for bucket in buckets]


def plain(records: Iterable[tuple[Any, Any]]) -> dict[Any, list[Any]]:
    groups: dict[Any, list[Any]] = {}
    for key, value in records:
        groups.setdefault(key, []).append(value)
    return groups


def test_sums_are_those_of_a_dict(memory: TaskMemory) -> None:
    partitions = shuffled(RECORDS, SUM, memory)
    assert {key: [value] for part in partitions for key, value in part} == {
        key: [sum(values)] for key, values in plain(RECORDS).items()}
    assert sum(map(len, partitions)) == 3_001


@pytest.mark.parametrize("records", [RECORDS, SKEWED])
def test_groups_keep_the_order_of_values(memory: TaskMemory, records: list[Any]) -> None:
    partitions = shuffled(records, GROUP, memory)
    assert {key: values for part in partitions for key, values in part} == plain(records)
    assert sum(map(len, partitions)) == len(plain(records))


def test_a_map_task_with_little_memory_ends_with_one_sorted_output() -> None:
    memory = TaskMemory(Memory(1 << 20), Scratch())
    pieces: list[list[int]] = [[] for _ in range(PARTITIONS)]
    keys: list[list[Any]] = [[] for _ in range(PARTITIONS)]
    for pack in write(HashPartitioner(PARTITIONS), SUM, 0, iter([(f"key {n % 15_000}", n) for n in range(60_000)]), memory):
        for partition, frames in pack.items():
            hashes, pairs = decode(frames)
            pieces[partition] += hashes
            keys[partition] += [key for key, _ in pairs]
    assert memory.spilled_bytes > 0
    for hashes, of_partition in zip(pieces, keys, strict=True):
        assert hashes == sorted(hashes) == [key_hash(key) for key in of_partition]
        assert len(set(of_partition)) == len(of_partition)  # combined across runs
    assert sum(map(len, keys)) == 15_000


@pytest.mark.parametrize("beyond", [-1, 0, 1, 2])
def test_a_last_flush_of_few_records_or_none_makes_no_small_packs(beyond: int) -> None:
    def memory() -> TaskMemory:
        return TaskMemory(Memory(1 << 20), Scratch())

    first, _, _ = next(combined(SUM, ((number, 1) for number in count()), memory()))
    records = ((number, 1) for number in range(len(first) + beyond))
    packs = list(write(HashPartitioner(PARTITIONS), SUM, 0, records, memory()))
    assert len(packs) < 100, "with one record a pack: thousands"


def test_the_reduce_side_gives_keys_in_the_order_of_their_hashes() -> None:
    for part in shuffled(RECORDS, SUM, TaskMemory(Memory(1 << 28), Scratch())):
        hashes = [key_hash(key) for key, _ in part]
        assert hashes == sorted(hashes)


@dataclass(frozen=True)
class Unplaced:
    """Equal by its number, and only its own partitioner knows where it belongs."""

    number: int

    def __hash__(self) -> int:
        return self.number


def test_keys_without_a_stable_hash_are_combined_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    memory = TaskMemory(Memory(1 << 24), Scratch())
    records = [(Unplaced(number % 10), 1) for number in range(100)]
    packs = list(write(FunctionPartitioner(1, lambda key: key.number), SUM, 0, iter(records), memory))
    buckets = [pack[0] for pack in packs]
    assert dict(read(SUM, buckets, memory)) == {Unplaced(number): 10 for number in range(10)}


def test_nothing_in_nothing_out(memory: TaskMemory) -> None:
    assert shuffled([], SUM, memory) == shuffled([], GROUP, memory) == [[], [], []]
