"""Groups and pairs through the shuffle write and read, against a plain dict."""

from __future__ import annotations

from collections import defaultdict
from itertools import chain

import pytest

from mpirdd.ops.combine import Combiner
from mpirdd.ops.operators import append, extend, new_list
from mpirdd.ops.partitioners import FunctionPartitioner, HashPartitioner, Partitioner
from mpirdd.ops.shuffle import read, write
from mpirdd.protocol.errors import RecordError
from mpirdd.store.task_memory import TaskMemory

GROUPS = Combiner(new_list, append, extend, "groupByKey", groups=True)
PAIRS = Combiner(new_list, append, extend, "join", apart=True)


@pytest.mark.parametrize("keys", [30, 9_000, 40_000])
@pytest.mark.parametrize("partitioner", [HashPartitioner(3), FunctionPartitioner(3, abs)])
def test_groups_are_those_of_a_dict_whether_the_map_side_groups_or_not(keys: int, partitioner: Partitioner) -> None:
    records = [(place * 7_919 % keys, place) for place in range(50_000)]
    memory = TaskMemory.unbounded()
    packs = [list(write(partitioner, GROUPS, source, records[source::2], memory)) for source in range(2)]
    expected: dict[int, list[int]] = defaultdict(list)
    for key, place in records[::2] + records[1::2]:
        expected[key].append(place)
    found = [list(read(GROUPS, [pack[at] for pack in chain(*packs) if at in pack], memory)) for at in range(3)]
    assert found == [[pair for pair in expected.items() if pair[0] % 3 == at] for at in range(3)]


@pytest.mark.parametrize("combiner", [GROUPS, PAIRS])
def test_a_record_that_is_no_pair_is_named_however_late_it_comes(combiner: Combiner) -> None:
    records = [*((place, place) for place in range(70_000)), (1, 2, 3)]
    with pytest.raises(RecordError, match=rf"{combiner.operation} needs \(key, value\) pairs; got \(1, 2, 3\)"):
        list(write(HashPartitioner(2), combiner, 0, records, TaskMemory.unbounded()))


@pytest.mark.parametrize(("hot", "cold", "hot_first"), [
    (36_000, 10, True), (36_000, 1_000, True), (4_000, 10_000, True), (36_000, 10_000, True), (400, 10_000, True),
    (0, 20_000, True), (36_000, 500, False),
])
def test_the_size_of_groups_is_about_right_where_one_key_has_most_values(hot: int, cold: int, hot_first: bool) -> None:
    """Too large a size spills for nothing: a skewed key among the groups looked at once stood for thousands of them."""
    import tracemalloc

    from mpirdd.ops.group import _weigh

    tracemalloc.start()
    held: dict[int, list[str]] = defaultdict(list)
    keys = [*[0] * hot, *range(1, cold + 1)] if hot_first else [*range(1, cold + 1), *[0] * hot]
    for place, key in enumerate(keys):
        held[key].append(f"{place:050d}")
    del keys
    real = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    measured = _weigh(held, held[cold], hot + cold)
    assert 0.6 * real < measured < 1.7 * real


@pytest.mark.parametrize("sides", [2, 3])
@pytest.mark.parametrize("cold", [100, 10_000])
def test_the_size_of_groups_of_several_sides_is_about_right_beside_a_skewed_key(sides: int, cold: int) -> None:
    """The number of sides was taken for the number of values, so no key looked skewed: 3 GB for 16 MB."""
    import tracemalloc

    from mpirdd.ops.group import _weigh

    tracemalloc.start()
    held = {key: tuple([] for _ in range(sides)) for key in range(cold + 1)}
    for place in range(36_000):
        held[0][place % 7 == 0].append(f"{place:050d}")
    for key in range(1, cold + 1):
        held[key][key % sides].append(f"{key:050d}")
    real = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    measured = _weigh(held, held[cold][cold % sides], 36_000 + cold, sides)
    assert 0.6 * real < measured < 1.7 * real
