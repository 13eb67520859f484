"""The block store in a small budget: data comes out as it went in, in order, from memory or from
disk."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mpirdd.protocol.errors import CorruptSpill, ScratchFull
from mpirdd.protocol.frames import Frames
from mpirdd.protocol.ids import BlockId
from mpirdd.protocol.stage import Level
from mpirdd.store.blocks import BlockStore
from mpirdd.store.codec import decode, encode
from mpirdd.store.fragments import Fragment
from mpirdd.store.memory import Memory
from mpirdd.store.scratch import Scratch
from mpirdd.store.shuffle_blocks import Pack

LEVELS = [Level(True, False, False), Level(True, False, True), Level(True, True, False), Level(True, True, True),
          Level(False, True, False)]
KB = 1 << 10
BUDGET = 256 * KB


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlockStore]:
    scratch = Scratch(str(tmp_path))
    yield BlockStore(Memory(BUDGET), scratch)
    scratch.remove()


def rdd(part: int, of: int = 1) -> BlockId:
    return BlockId("rdd", of, part)


def records(number: int, count: int = 100) -> list[tuple[int, str]]:
    return [(number, f"record {number} {index}") for index in range(count)]


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("count", [0, 1, 65, 1_000, 20_000])
def test_what_is_kept_is_what_was_computed(store: BlockStore, level: Level, count: int) -> None:
    given = records(1, count)
    result, kept = store.kept.keep(rdd(0), level, iter(given))
    assert list(result) == given
    assert kept == (rdd(0) in store)
    assert kept or (not level.disk and count > 1_000)
    store.kept.end_task()
    if kept:
        assert list(store.kept.records(rdd(0))) == list(store.kept.records(rdd(0))) == given
    assert store.memory.used_bytes <= BUDGET
    store.clear()
    assert store.memory.used_bytes == 0


@pytest.mark.parametrize("level", LEVELS)
def test_a_partition_larger_than_the_budget_is_never_held_whole(store: BlockStore, level: Level) -> None:
    """The test counts living records; the store may hold what the budget allows, and a chunk."""
    living = peak = 0

    class Record:
        def __init__(self) -> None:
            nonlocal living, peak
            self.data = bytes(1_000)
            living += 1
            peak = max(peak, living)

        def __del__(self) -> None:
            nonlocal living
            living -= 1

        def __reduce__(self) -> Any:
            return bytes, (self.data,)

    result, _ = store.kept.keep(rdd(0), level, (Record() for _ in range(5_000)))
    assert sum(1 for _ in result) == 5_000
    assert peak < 1.5 * BUDGET / 1_000


def test_what_did_not_fit_and_was_not_read_to_the_end_is_let_go_with_its_task(store: BlockStore) -> None:
    result, kept = store.kept.keep(rdd(0), Level(), iter(records(1, 20_000)))
    assert (next(result), kept) == ((1, "record 1 0"), False)
    assert store.memory.used_bytes > 0
    store.kept.end_task()
    assert store.memory.used_bytes == 0


def test_dropped_partitions_are_told_and_those_on_disk_are_not(store: BlockStore) -> None:
    for part in range(6):
        store.kept.keep(rdd(part, of=part), Level(disk=part % 2 == 1), records(part, 500))
        store.kept.end_task()
    sizes, gone = store.take_changes()
    assert gone
    assert all(block.part % 2 == 0 and block not in store for block in gone)
    assert all(rdd(part, of=part) in store for part in (1, 3, 5))
    assert any(memory == 0 and disk > 0 for memory, disk in sizes.values())
    for part in (1, 3, 5):
        assert list(store.kept.records(rdd(part, of=part))) == records(part, 500)
    assert store.take_changes() == ({}, ())


def test_arrays_in_memory_are_handed_out_without_a_copy(store: BlockStore) -> None:
    array = np.arange(5_000.0)
    for level in LEVELS[:4]:
        store.kept.keep(rdd(0), level, iter([array]))
        (read,) = store.kept.records(rdd(0))
        assert np.shares_memory(read, array)
        assert read.flags.writeable != level.encoded
        store.kept.end_task()


def test_records_kept_as_bytes_are_fresh_each_time(store: BlockStore) -> None:
    store.kept.keep(rdd(0), Level(encoded=True), iter([[1, 2]]))
    (first,) = store.kept.records(rdd(0))
    first.append(3)
    assert list(store.kept.records(rdd(0))) == [[1, 2]]


def test_what_the_task_reads_is_not_pushed_out_while_it_runs(store: BlockStore) -> None:
    store.kept.keep(rdd(0, of=1), Level(), records(1, 1_500))
    store.kept.end_task()
    store.kept.pin(rdd(0, of=1))
    _, kept = store.kept.keep(rdd(0, of=2), Level(), records(2, 1_500))
    assert not kept
    assert rdd(0, of=1) in store
    store.kept.end_task()


def test_an_error_while_computing_keeps_nothing(store: BlockStore) -> None:
    def failing() -> Iterator[int]:
        yield from range(1_000)
        raise ZeroDivisionError

    for level in LEVELS:
        with pytest.raises(ZeroDivisionError):
            store.kept.keep(rdd(0), level, failing())
        store.kept.end_task()
        assert rdd(0) not in store
        assert store.memory.used_bytes == 0


# --- shuffles ---------------------------------------------------------------------------------------------------------


def bucket_of(pack: Pack, part: int) -> Frames:
    return pack.buckets[pack.partitions.index(part)].read()


def bucket(map_task: int, pack: int, part: int, size: int) -> Frames:
    return encode([(map_task, pack, part), "x" * size])


@given(st.lists(st.lists(st.lists(st.sampled_from([0, 10, 40_000]), min_size=3, max_size=3), max_size=4), max_size=6))
@settings(deadline=None, max_examples=40)
def test_a_shuffle_in_one_store_gives_each_partition_its_buckets_in_order(sizes: list[list[list[int]]]) -> None:
    scratch = Scratch()
    store = BlockStore(Memory(BUDGET), scratch)
    for task, packs in enumerate(sizes):
        store.shuffles.write_map(BlockId("map", 1, task), (
            {part: bucket(task, pack, part, size) for part, size in enumerate(row) if size} for pack, row in enumerate(packs)))
        assert store.memory.used_bytes <= BUDGET
    for part in range(3):
        store.expect(BlockId("in", 1, part))
    for task in reversed(range(len(sizes))):
        for pack in store.shuffles.packs(BlockId("map", 1, task)):
            for part, place in zip(pack.partitions, pack.buckets, strict=True):
                assert place.sizes == tuple(map(len, place.read()))
                # every second one as if it had come from elsewhere
                come = place if task % 2 else Fragment(list(map(bytearray, place.read())))
                store.arrive(BlockId("in", 1, part), task, come)
                assert store.memory.used_bytes <= BUDGET
    store.complete_arrivals()
    for part in range(3):
        expected = [(task, pack, part) for task, packs in enumerate(sizes) for pack, row in enumerate(packs) if row[part]]
        for _ in range(2):
            assert [decode(frames)[0] for frames in store.shuffles.reduce_input(BlockId("in", 1, part))] == expected
    store.drop_node(1)
    assert (store.memory.used_bytes, list(store)) == (0, [])
    scratch.remove()


def test_packs_that_do_not_fit_are_read_back_bucket_by_bucket(store: BlockStore) -> None:
    packs = ({part: encode(bytes([part]) * 50_000) for part in range(4)} for _ in range(10))
    store.shuffles.write_map(BlockId("map", 1, 0), packs)
    assert store.files.written_bytes > 0
    for pack in store.shuffles.packs(BlockId("map", 1, 0)):
        for part in (3, 0):
            assert decode(bucket_of(pack, part)) == bytes([part]) * 50_000


def test_a_failing_map_task_leaves_nothing(store: BlockStore) -> None:
    def packs() -> Iterator[Any]:
        yield {0: encode(bytes(100_000))}
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.shuffles.write_map(BlockId("map", 1, 0), packs())
    assert (store.memory.used_bytes, list(store)) == (0, [])


def test_a_void_exchange_leaves_nothing(store: BlockStore) -> None:
    store.arrive(BlockId("in", 1, 0), 0, Fragment(encode(bytes(100_000))))
    store.arrive(BlockId("rdd", 2, 0), 1, Fragment(encode([1, 2])))
    store.abandon_arrivals()
    assert (store.memory.used_bytes, list(store)) == (0, [])


def test_a_void_exchange_leaves_nothing_on_disk(store: BlockStore) -> None:
    store.arrive(BlockId("in", 1, 0), 0, Fragment(encode(bytes(1_000))))
    store.begin_arrivals([], {2: Level(False, True)})
    for source in range(20):
        for part in range(3):  # in turns, so their places on disk are mixed
            store.arrive(BlockId("in", 1, part), source, Fragment(encode(os.urandom(50_000))))
        store.arrive(rdd(0, of=2), 0, Fragment(encode(os.urandom(50_000))))
    file = store.files._current
    assert file is not None and file.size > 3_000_000
    store.abandon_arrivals()
    assert (file.size, store.memory.used_bytes) == (0, 0)


@pytest.mark.parametrize("level", LEVELS)
def test_a_copied_partition_arrives_whole_and_is_not_dropped(store: BlockStore, tmp_path: Path, level: Level) -> None:
    source = BlockStore(Memory(10 << 20), Scratch(str(tmp_path)))
    given = records(1, 20_000)
    source.kept.keep(rdd(0), level, iter(given))
    for at, fragment in source.fragments(rdd(0)):
        store.arrive(rdd(0), at, Fragment(fragment.read()))
    store.complete_arrivals()
    assert list(store.kept.records(rdd(0))) == given
    store.kept.keep(rdd(0, of=9), Level(), records(2, 1_500))  # pushes it to disk, not away
    store.kept.end_task()
    assert list(store.kept.records(rdd(0))) == given
    assert store.take_changes()[1] == ()


def test_an_in_block_is_copied_piece_by_piece(store: BlockStore) -> None:
    block = BlockId("in", 1, 0)
    for task in range(5):
        store.arrive(block, task, Fragment(encode([task] * 10_000 + ["x" * 60_000])))
    store.complete_arrivals()
    other = BlockStore()
    for at, fragment in store.fragments(block):
        other.arrive(block, at, Fragment(fragment.read()))
    other.complete_arrivals()
    assert [decode(frames)[0] for frames in other.shuffles.reduce_input(block)] == list(range(5))


@pytest.mark.parametrize(("level", "where"), [
    (Level(False, True), (False, True)), (Level(True, True), (True, False)), (Level(True, False), (True, False)),
    (Level(True, False, True), (True, False))])
@pytest.mark.parametrize("encoded", [False, True])
def test_copies_lie_where_their_level_says(
    store: BlockStore, tmp_path: Path, level: Level, where: tuple[bool, bool], encoded: bool
) -> None:
    source = BlockStore(Memory(10 << 20), Scratch(str(tmp_path)))
    source.kept.keep(rdd(0), Level(encoded=encoded), iter(records(1)))
    store.begin_arrivals([], {1: level})
    for at, fragment in source.fragments(rdd(0)):
        store.arrive(rdd(0), at, Fragment(fragment.read()))
    store.complete_arrivals()
    (in_memory, on_disk), = store.take_changes()[0].values()
    assert (in_memory > 0, on_disk > 0) == where
    assert list(store.kept.records(rdd(0))) == records(1)


# --- failing disks ----------------------------------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True, text=True, timeout=20)
    if mounted.returncode:
        pytest.skip(f"a tmpfs cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True, timeout=20)


def test_on_a_full_disk_the_task_that_writes_fails_and_the_store_goes_on(small_disk: Path) -> None:
    store = BlockStore(Memory(BUDGET), Scratch(str(small_disk)))
    noise = [os.urandom(100_000) for _ in range(60)]
    with pytest.raises(ScratchFull, match=str(small_disk)):
        store.kept.keep(rdd(0), Level(False, True), iter(noise))
    store.kept.end_task()
    with pytest.raises(ScratchFull):
        store.shuffles.write_map(BlockId("map", 1, 0), ({0: encode(data)} for data in noise))
    assert store.memory.used_bytes == 0
    result, kept = store.kept.keep(rdd(1), Level(False, True), iter(noise[:3]))
    assert (list(result), kept) == (noise[:3], True)


def used_bytes(folder: Path) -> int:
    status = os.statvfs(folder)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def test_what_a_failed_task_has_written_is_given_back_though_others_blocks_lie_in_the_same_file(small_disk: Path) -> None:
    store = BlockStore(Memory(BUDGET), Scratch(str(small_disk)))
    noise = [os.urandom(100_000) for _ in range(60)]
    store.shuffles.write_map(BlockId("map", 1, 0), ({0: encode(data)} for data in noise[:6]))
    before = used_bytes(small_disk)
    assert 300_000 < before < 700_000
    with pytest.raises(ScratchFull):
        store.shuffles.write_map(BlockId("map", 1, 1), ({0: encode(data)} for data in noise))
    assert used_bytes(small_disk) <= before + BUDGET  # the first task's packs that had still been in memory
    before = used_bytes(small_disk)
    for level in (Level(False, True), Level(True, True)):
        with pytest.raises(ScratchFull):
            store.kept.keep(rdd(0), level, iter(noise))
        store.kept.end_task()
        assert used_bytes(small_disk) <= before
    for part, pack in enumerate(store.shuffles.packs(BlockId("map", 1, 0))):
        assert decode(bucket_of(pack, 0)) == noise[part]


class FailingDisk:
    """Spill files whose disk is full after ``writes`` more values."""

    def __init__(self, store: BlockStore, writes: int) -> None:
        self._move, self._left = store.files.move, writes

    def __call__(self, fragments: Iterable[Fragment]) -> None:
        self._left -= 1
        if self._left < 0:
            raise ScratchFull("full")
        self._move(fragments)


def test_what_has_left_memory_when_the_disk_is_full_counts_there_no_more(
    store: BlockStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [os.urandom(20_000) for _ in range(6)]
    store.kept.keep(rdd(0), Level(True, True, True), iter(given))
    store.kept.end_task()
    before = store.memory.held_bytes
    monkeypatch.setattr(store.files, "move", FailingDisk(store, 2))
    with pytest.raises(ScratchFull):
        store.kept.keep(rdd(0, of=9), Level(), (os.urandom(20_000) for _ in range(12)))
    store.kept.end_task()
    monkeypatch.undo()
    assert before - 3 * 20_000 < store.memory.held_bytes <= before - 2 * 20_000
    assert list(store.kept.records(rdd(0))) == given
    store.clear()
    assert store.memory.held_bytes == 0


@pytest.mark.parametrize("level", [Level(True, True, True), Level(True, True)])
def test_a_partition_that_fits_neither_in_memory_nor_on_disk_leaves_nothing_there(
    store: BlockStore, monkeypatch: pytest.MonkeyPatch, level: Level
) -> None:
    monkeypatch.setattr(store.files, "move", FailingDisk(store, 2))
    with pytest.raises(ScratchFull):
        store.kept.keep(rdd(0), level, iter([os.urandom(20_000) for _ in range(60)]))
    store.kept.end_task()
    assert store.files._current is not None and store.files._current.size == 0
    assert store.memory.used_bytes == 0


def test_what_could_not_arrive_whole_is_given_back_at_once(small_disk: Path) -> None:
    store = BlockStore(Memory(BUDGET), Scratch(str(small_disk)))
    for source in range(60):
        store.arrive(BlockId("in", 1, 0), source, Fragment(encode(os.urandom(100_000))))
    assert used_bytes(small_disk) < 200_000
    store.complete_arrivals()
    with pytest.raises(ScratchFull):
        list(store.shuffles.reduce_input(BlockId("in", 1, 0)))


def test_what_arrives_on_a_full_disk_fails_the_task_that_reads_it_and_can_be_sent_again(small_disk: Path) -> None:
    store = BlockStore(Memory(BUDGET), Scratch(str(small_disk)))
    block = BlockId("in", 1, 0)
    for source in range(60):
        store.arrive(block, source, Fragment(encode(os.urandom(100_000))))
    store.complete_arrivals()
    with pytest.raises(ScratchFull, match="--scratch"):
        list(store.shuffles.reduce_input(block))
    store.drop_failed()
    assert store.take_changes()[1] == (block,)
    assert block not in store


def test_a_damaged_kept_partition_is_not_read_as_data(store: BlockStore) -> None:
    store.kept.keep(rdd(0), Level(False, True), iter(records(1, 5_000)))
    assert store.files._current is not None
    os.pwrite(store.files._current._file, b"\x00\xff\x00", 5_000)
    with pytest.raises(CorruptSpill):
        list(store.kept.records(rdd(0)))
