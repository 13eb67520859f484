"""The budget of a rank: what evicts what, and the part of the resident size."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from mpirdd.store.memory import Evictable, Memory, resident_bytes


class Thing(Evictable):
    def __init__(self, name: str, of: int = 0, *, kept: bool = False) -> None:
        super().__init__(of)
        self.name, self.kept, self.evicted = name, kept, 0

    def evict(self) -> None:
        self.evicted += 1

    def __repr__(self) -> str:
        return self.name


def test_the_least_recently_used_goes_first() -> None:
    memory = Memory(100)
    a, b, c = Thing("a"), Thing("b"), Thing("c")
    assert memory.hold(a, 40)
    assert memory.hold(b, 40)
    memory.used(a)
    assert memory.hold(c, 40)
    assert (a.evicted, b.evicted, c.evicted) == (0, 1, 0)
    assert (memory.used_bytes, b.memory_bytes) == (80, 0)


def test_the_peak_is_the_most_since_it_was_last_taken() -> None:
    memory, thing = Memory(100), Thing("thing")
    memory.hold(thing, 40)
    assert memory.claim(20)
    memory.release(20)
    memory.let_go(thing, 30)
    assert [memory.take_peak(), memory.take_peak()] == [60, 10]
    memory.reserve(5)
    memory.reserve(-15)
    assert memory.take_peak() == 15


def test_a_kept_partition_never_evicts_its_own_rdd() -> None:
    memory = Memory(100)
    first, second = Thing("first", 1, kept=True), Thing("second", 1, kept=True)
    assert memory.hold(first, 60)
    assert not memory.hold(second, 60)
    other = Thing("other", 2, kept=True)
    assert memory.hold(other, 60)
    assert (first.evicted, second.evicted) == (1, 0)


def test_nothing_is_evicted_for_what_does_not_fit_anyway() -> None:
    memory = Memory(100)
    held = Thing("held")
    memory.hold(held, 50)
    assert not memory.hold(Thing("large", 1, kept=True), 101)
    assert held.evicted == 0


def test_working_memory_takes_kept_partitions_down_to_half_of_the_budget() -> None:
    memory = Memory(100)
    kept = [Thing(f"kept {number}", number, kept=True) for number in range(10)]
    assert all(memory.hold(one, 10) for one in kept)
    assert memory.claim(30)
    assert memory.claim(20)
    assert not memory.claim(1)
    assert [one.evicted for one in kept] == [1] * 5 + [0] * 5
    memory.release(50)
    assert memory.hold(kept[0], 10)


def test_shuffle_data_is_pushed_out_whatever_there_is_of_it() -> None:
    memory = Memory(100)
    packs = [Thing(f"pack {number}") for number in range(10)]
    assert all(memory.hold(pack, 10) for pack in packs)
    assert memory.claim(50)
    assert sum(pack.evicted for pack in packs) >= 5
    assert memory.used_bytes <= 100


def test_shuffle_data_goes_to_disk_itself_when_kept_partitions_have_only_half() -> None:
    memory = Memory(100)
    assert memory.hold(Thing("kept", 1, kept=True), 50)
    assert memory.claim(50)
    pack = Thing("pack")
    assert not memory.hold(pack, 10)
    assert pack.memory_bytes == 0


def test_a_task_holds_half_of_the_budget_at_most() -> None:
    memory = Memory(100)
    assert not memory.claim(51)
    assert memory.claim(50)


def test_what_is_pinned_stays() -> None:
    memory = Memory(100)
    read = Thing("read", 1, kept=True)
    memory.hold(read, 100)
    read.pinned = True
    assert not memory.hold(Thing("new", 2, kept=True), 10)
    assert not memory.claim(10)
    assert read.evicted == 0
    read.pinned = False
    assert memory.hold(Thing("new", 2, kept=True), 10)


def test_what_is_let_go_counts_no_more() -> None:
    memory = Memory(100)
    thing = Thing("thing", 1, kept=True)
    memory.hold(thing, 60)
    memory.let_go(thing, 20)
    assert (memory.used_bytes, memory.kept_bytes, thing.memory_bytes) == (40, 40, 40)
    memory.let_go(thing)
    memory.let_go(thing)
    assert (memory.used_bytes, memory.kept_bytes) == (0, 0)


def test_after_an_interruption_the_account_is_made_again() -> None:
    memory = Memory(100)
    memory.hold(Thing("kept", 1, kept=True), 30)
    memory.claim(20)
    memory.held_bytes = memory.kept_bytes = 99
    memory.recount()
    assert (memory.held_bytes, memory.kept_bytes, memory.working_bytes) == (30, 30, 0)


def test_buffers_are_taken_in_any_case() -> None:
    memory = Memory(100)
    memory.take(150)
    assert memory.used_bytes == 150
    memory.take(-150)
    assert memory.used_bytes == 0


class Process:
    """A process with any resident size."""

    def __init__(self) -> None:
        self.size = 0

    def __call__(self) -> int:
        return self.size


def test_the_resident_size_refuses_what_measured_sizes_would_allow() -> None:
    process = Process()
    memory = Memory(64 << 20, process)
    pack, kept = Thing("pack"), Thing("kept", 1, kept=True)
    assert memory.hold(pack, 10 << 20)
    assert memory.claim(10 << 20)
    process.size = (64 + 32 + 1) << 20  # more than measured: over the limit and the slack
    assert not memory.claim(2 << 20)
    assert pack.evicted == 1
    process.size += 4 << 20
    assert not memory.hold(kept, 2 << 20)


def test_refusing_stops_when_it_does_not_help() -> None:
    """Freed memory may stay with the process: a task that spills without lowering the size goes
    on."""
    process = Process()
    memory = Memory(64 << 20, process)
    assert memory.claim(10 << 20)
    process.size = 200 << 20
    assert not memory.claim(2 << 20)
    assert all(memory.claim(2 << 20) for _ in range(8))


def test_the_ceiling_comes_down_again_with_the_resident_size() -> None:
    process = Process()
    memory = Memory(64 << 20, process)
    assert memory.claim(10 << 20)
    process.size = 200 << 20
    assert not memory.claim(2 << 20)
    process.size = 10 << 20
    assert memory.claim(2 << 20)
    process.size = 150 << 20
    assert not memory.claim(2 << 20)


def test_a_task_that_holds_little_is_not_refused_for_the_resident_size() -> None:
    process = Process()
    memory = Memory(64 << 20, process)
    process.size = 500 << 20
    assert memory.claim(1 << 20)
    assert memory.claim(1 << 20)


def test_this_process_has_a_resident_size() -> None:
    before = resident_bytes()
    data = bytearray(64 << 20)
    assert resident_bytes() - before > 60 << 20
    assert len(data) == 64 << 20


@given(st.lists(st.tuples(st.sampled_from(["hold", "keep", "let go", "claim", "release", "use"]),
                          st.integers(0, 7), st.integers(0, 60)), max_size=60))
@settings(deadline=None, max_examples=200)
def test_whatever_happens_the_account_adds_up(steps: list[tuple[str, int, int]]) -> None:
    memory = Memory(100)
    things = [Thing(f"pack {n}", n % 3) for n in range(8)]
    kept = [Thing(f"kept {n}", n % 3, kept=True) for n in range(8)]
    claimed = 0
    for what, which, size in steps:
        if what == "hold":
            memory.hold(things[which], size)
        elif what == "keep":
            memory.hold(kept[which], size)
        elif what == "let go":
            memory.let_go((things + kept)[which * 2], size)
        elif what == "use":
            memory.used(things[which])
        elif what == "claim":
            claimed += size if memory.claim(size) else 0
        else:
            memory.release(min(size, claimed))
            claimed -= min(size, claimed)
        assert memory.held_bytes == sum(thing.memory_bytes for thing in things + kept)
        assert memory.kept_bytes == sum(thing.memory_bytes for thing in kept)
        assert memory.working_bytes == claimed <= 50
        assert memory.used_bytes <= 100


