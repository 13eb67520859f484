"""Batches end when the process outgrows what was foreseen, whoever gathers."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from operator import add, attrgetter, itemgetter
from threading import Event
from typing import Any

import pytest
from tight import tight

from mpirdd.ops.combine import Combiner, aggregated, aggregated_pairs, combined
from mpirdd.ops.group import cogroup, group_lists, group_pairs, grouped
from mpirdd.ops.join import join, select
from mpirdd.ops.partitioners import HashPartitioner
from mpirdd.ops.range_bounds import Bound
from mpirdd.ops.range_partitioner import RangePartitioner
from mpirdd.ops.shuffle import write
from mpirdd.ops.sort import sort
from mpirdd.ops.spread import new_files, spread_all
from mpirdd.store.codec import decode, encode
from mpirdd.store.measure import size_of
from mpirdd.store.memory_watch import MemoryWatch
from mpirdd.store.pieces import bounded
from mpirdd.store.scratch import Scratch
from mpirdd.store.spill_trigger import SpillTrigger
from mpirdd.store.spilled_list import SpilledList, keep
from mpirdd.store.task_memory import TaskMemory

pytestmark = pytest.mark.timeout(60)

SUM = Combiner(None, add, add, "reduceByKey")
GROUPS = Combiner(lambda value: [value], add, add, "groupByKey", groups=True)
SMALL = 20_000
HUGE = 64 << 20


class Process:
    """Lends without end, and is as large as it is told."""

    task_limit_bytes = sys.maxsize
    process_limit_bytes = sys.maxsize

    def __init__(self) -> None:
        self.size, self.asked = 1 << 20, [0]

    def claim(self, nbytes: int) -> bool:
        self.asked.append(nbytes)
        return nbytes < 1 << 30

    def release(self, nbytes: int) -> None: ...

    def process_bytes(self) -> int:
        return self.size


def uneven(process: Process, memory: TaskMemory) -> Iterator[tuple[int, Any]]:
    """Small records, and then records that each make the process larger by ``HUGE``."""
    for place in range(SMALL):
        yield place, place
    for place in range(40):
        process.size += HUGE
        Event().wait(0.001)
        if len(memory.full) == 0 and place == 0:
            while not memory.full:  # the watch looks every few milliseconds
                Event().wait(0.001)
        yield SMALL + place, place


def one_by_one(records: Iterator[Any]) -> Iterator[list[Any]]:
    return ([record] for record in records)


WAYS: dict[str, Callable[[Iterator[Any], TaskMemory], Any]] = {
    "combined": lambda records, memory: [len(held) for held, _, _ in combined(SUM, records, memory)],
    "grouped": lambda records, memory: [len(held) for held, _, _ in grouped("groupByKey", records, memory)],
    "write": lambda records, memory: list(write(HashPartitioner(2), None, 0, records, memory)),
    "aggregated": lambda records, memory: list(aggregated(SUM, one_by_one(records), memory)),
    "aggregated_pairs": lambda records, memory: list(aggregated_pairs(SUM, records, memory)),
    "group_pairs": lambda records, memory: list(group_pairs("groupByKey", records, memory)),
    "group_lists": lambda records, memory: list(
        group_lists(([(key, [value])] for key, value in records), memory)),
    "cogroup": lambda records, memory: list(cogroup("cogroup", [records, []], memory)),
    "join": lambda records, memory: list(join("join", [], records, memory)),
    "select": lambda records, memory: list(select(True, "intersection", [], records, memory)),
    "sort": lambda records, memory: list(sort(records, itemgetter(0), False, memory)),
    "keep": lambda records, memory: keep(records, memory),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_batch_ends_when_records_become_large(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    process = Process()
    memory = TaskMemory(process, Scratch())
    taken, at_looks = 0, []
    watch = memory.watch

    def looking(growth_bytes: int) -> int:
        at_looks.append(taken)
        return watch(growth_bytes)

    def counted() -> Iterator[Any]:
        nonlocal taken
        for record in uneven(process, memory):
            taken += 1
            yield record

    monkeypatch.setattr(memory, "watch", looking)
    WAYS[way](counted(), memory)
    memory.close()
    assert taken == SMALL + 40, "records were lost"
    assert any(SMALL < at <= SMALL + 17 for at in at_looks), "nobody measured when the first large records had come"
    assert max(process.asked) >= HUGE, "what measuring does not see was not claimed"


def test_records_may_end_where_memory_does() -> None:
    for records in range(1, 800):  # with some of these the last one is refused
        memory, _ = tight(1 << 14)

        def pairs(records: int = records, memory: TaskMemory = memory) -> Iterator[tuple[int, int]]:
            yield from ((number, 1) for number in range(records))
            memory.full.append(None)  # the process is found too large when there is nothing more to take

        assert sorted(aggregated_pairs(SUM, pairs(), memory)) == [(number, 1) for number in range(records)]
        memory.close()


def test_no_record_is_lost_when_a_batch_ends_early() -> None:
    process = Process()
    memory = TaskMemory(process, Scratch())
    memory.watch(0)
    source = iter(range(1_000_000))
    first = memory.batch(source, 800)
    process.size += HUGE
    while not memory.full:
        Event().wait(0.001)
    short = memory.batch(source, 1_000)
    memory.full.clear()
    process.size -= HUGE
    assert [*first, *short, next(source)] == list(range(802))
    memory.close()


def test_a_batch_ends_without_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that gives up Python's lock often, for a moment each time, does not let the thread in."""
    monkeypatch.setattr(MemoryWatch, "_look", lambda watch: None)
    process = Process()
    memory = TaskMemory(process, Scratch())

    def records() -> Iterator[int]:
        yield from range(SMALL)
        for place in range(100):
            process.size += HUGE
            time.sleep(0.002)
            yield SMALL + place

    memory.watch(0)
    source = records()
    assert SMALL < len(memory.batch(source, 2 * SMALL)) <= SMALL + 32
    assert memory.batch(source, 5), "a full memory still takes a record"
    memory.close()


def test_a_process_of_unknown_size_is_not_watched() -> None:
    memory = TaskMemory.unbounded()
    assert memory.watch(5) == 0
    assert len(memory.batch(iter(range(10)), 100)) == 10


class Limited(Process):
    task_limit_bytes = 48 << 20

    def __init__(self) -> None:
        super().__init__()
        self.lent = 0

    def claim(self, nbytes: int) -> bool:
        self.lent += nbytes
        if self.lent > self.task_limit_bytes:
            self.lent -= nbytes
            return False
        return True

    def release(self, nbytes: int) -> None:
        self.lent -= nbytes


def tiny_and_large(process: Process, memory: TaskMemory) -> Iterator[tuple[int, bytes]]:
    yield from ((place, b"x") for place in range(SMALL))
    for place in range(30):
        process.size += 3 << 20
        if place == 10:
            until = time.monotonic() + 2
            while not memory.full and time.monotonic() < until:  # on a slow machine the watch ended a batch before
                Event().wait(0.001)
        yield SMALL + place, bytes(3 << 20)


def test_no_bucket_holds_many_large_records() -> None:
    """The last of the range partitions has all of them."""
    bounds = tuple(Bound(place * SMALL // 4) for place in range(1, 4))
    splitter = RangePartitioner(4, bounds)
    process = Limited()
    memory = TaskMemory(process, Scratch())
    packs = write(splitter, None, 0, tiny_and_large(process, memory), memory)
    buckets = [bucket for pack in packs for bucket in pack.values()]
    memory.close()
    assert sum(len(decode(bucket)) for bucket in buckets) == SMALL + 30
    assert max(sum(map(len, bucket)) for bucket in buckets) < 8 << 20
    assert len(buckets) < 200


def test_no_pack_of_buckets_holds_many_large_records() -> None:
    """While a pack is encoded, the records that it is made of are in memory as well."""
    process = Limited()
    memory = TaskMemory(process, Scratch())
    packs = [list(pack.values())
             for pack in write(HashPartitioner(16), None, 0, tiny_and_large(process, memory), memory)]
    memory.close()
    assert sum(len(decode(bucket)) for pack in packs for bucket in pack) == SMALL + 30
    assert max(sum(len(frame) for bucket in pack for frame in bucket) for pack in packs) < (48 << 20) // 8 + (4 << 20)
    assert len(packs) < 40


def test_no_piece_that_is_spread_over_files_holds_many_large_records() -> None:
    process = Limited()
    memory = TaskMemory(process, Scratch())
    trigger = SpillTrigger(memory)
    files = new_files(memory)
    batches = iter(lambda: trigger.take(records), [])
    records = tiny_and_large(process, memory)
    spread_all(batches, 0, files, trigger)
    pieces = [piece for file in files for piece in file.pieces()]
    assert sum(map(len, pieces)) == SMALL + 30
    assert max(sum(len(value) for _, value in piece) for piece in pieces) < 8 << 20
    memory.close()


def test_a_large_piece_that_is_decoded_ends_the_batch_without_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryWatch, "_look", lambda watch: None)
    process = Limited()
    memory = TaskMemory(process, Scratch())
    memory.watch(0)
    process.size += 1 << 30
    for size, is_full in ((10, False), (1 << 20, True)):
        memory.decode(encode(bytes(size)))
        assert bool(memory.full) is is_full
    memory.close()


def test_no_piece_of_a_list_on_disk_holds_many_large_records() -> None:
    process = Limited()
    memory = TaskMemory(process, Scratch())
    spilled = keep(tiny_and_large(process, memory), memory)
    assert isinstance(spilled, SpilledList)
    pieces = list(spilled.pieces())
    assert sum(map(len, pieces)) == SMALL + 30
    assert max(sum(len(value) for _, value in piece) for piece in pieces) < 8 << 20
    assert len(pieces) < 200


def test_records_cut_by_bytes_come_once_and_in_order() -> None:
    tiny_then_large = [b"x"] * 5_000 + [bytes(1 << 20) for _ in range(24)]
    pieces = list(bounded(tiny_then_large, size_of(tiny_then_large), 4 << 20))
    assert [len(record) for piece in pieces for record in piece] == list(map(len, tiny_then_large))
    assert max(sum(map(len, piece)) for piece in pieces) <= 4 << 20
    assert len(pieces) < 40
    assert list(bounded(tiny_then_large[:9], 300, 4 << 20)) == [tiny_then_large[:9]]
    assert list(bounded([], 0, 4)) == []
    unmeasured = [len] * 10  # what they hold was seen from outside
    assert list(map(len, bounded(unmeasured, 50 << 20, 10 << 20))) == [2] * 5


class Large:
    """256 KiB, in memory and when it is pickled; counts those in memory."""

    alive = most = 0

    def __init__(self, key: int) -> None:
        self.key, self.data = key, bytes(1 << 18)
        Large.alive += 1
        Large.most = max(Large.most, Large.alive)

    def __reduce__(self) -> tuple[Any, ...]:
        return Large, (self.key,), {"pad": os.urandom(1 << 18)}

    def __setstate__(self, state: object) -> None: ...

    def __del__(self) -> None:
        Large.alive -= 1


def test_a_sort_does_not_hold_a_large_record_of_each_of_many_runs() -> None:
    memory, lender = tight(2 << 20)
    keys = [number * 37 % 160 for number in range(160)]
    in_order = [record.key for record in sort(map(Large, keys), attrgetter("key"), False, memory)]
    assert in_order == sorted(keys)
    assert Large.most <= 16, "records of twice the limit were in memory"
    assert lender.most <= 2 << 20
    memory.close()
