"""The map side of distinct, over records that lie in lists, as those of kept partitions do."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from tight import tight

from mpirdd.ops import distinct
from mpirdd.ops.combine import Combiner
from mpirdd.ops.partitioners import HashPartitioner
from mpirdd.ops.shuffle import write
from mpirdd.protocol.errors import RecordError
from mpirdd.store.chunks import Chunks
from mpirdd.store.codec import decode
from mpirdd.store.task_memory import TaskMemory


@pytest.fixture(params=[True, False], ids=["as here", "as on Python 3.10"], autouse=True)
def stops(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Values are looked up in two ways; the second one works on all versions."""
    if not request.param:
        monkeypatch.setattr(distinct, "_STOPS", False)


DISTINCT = Combiner(None, max, max, "distinct", keys_only=True)


def written(lists: list[list[Any]], memory: TaskMemory | None = None, partitions: int = 1) -> list[list[Any]]:
    """The values of each target partition, pack after pack."""
    found: list[list[Any]] = [[] for _ in range(partitions)]
    for pack in write(HashPartitioner(partitions), DISTINCT, 0, Chunks(lists), memory or TaskMemory.unbounded()):
        for partition, frames in pack.items():
            found[partition] += decode(frames)
    return found


class Watched(list):  # type: ignore[type-arg]
    """Counts how often somebody has cut it."""

    cuts = 0

    def __getitem__(self, place: Any) -> Any:
        self.cuts += 1
        return super().__getitem__(place)


def test_known_values_are_not_cut_from_their_list() -> None:
    lists = [Watched([*range(100)] * 1_000), Watched([*range(100)] * 1_000), Watched([*range(100)] * 500 + [*range(101)] * 500)]
    assert written(list(lists)) == [list(range(101))]
    assert [one.cuts for one in lists] == [2, 0, 1]  # once for the first batch, and for one with a new value


@pytest.mark.parametrize("place", [0, 1, 16_383, 16_384, 29_999])
@pytest.mark.parametrize("which", [1, 2, 3, 4])
def test_a_late_value_is_found_wherever_it_stands(which: int, place: int) -> None:
    lists = [[*range(100)] * 300 for _ in range(5)]
    lists[which][place] = 100
    assert written(lists) == [list(range(101))]


def test_of_equal_values_the_first_stays_and_order_is_that_of_first_occurrence() -> None:
    lists: list[list[Any]] = [[1, "b", 0] * 5_000, [True, "b", False] * 5_000, [1.0, "b", 0.0] * 5_000, ["c", 1, "a"] * 5_000]
    [values] = written(lists)
    assert [(type(value), value) for value in values] == [(int, 1), (str, "b"), (int, 0), (str, "c"), (str, "a")]


@pytest.mark.parametrize("which", [0, 1, 2, 3])
def test_a_value_that_cannot_be_hashed_is_named(which: int) -> None:
    lists: list[list[Any]] = [[*range(100)] * 300 for _ in range(4)]
    lists[which][20_000] = ["no", "hash"]
    with pytest.raises(RecordError, match="hash"):
        written(lists)


@pytest.mark.parametrize("seed", range(20))
def test_next_to_no_memory_loses_no_value(seed: int) -> None:
    lists = [[(place * 7 + number) % (50 + 40 * number) for place in range(20_000)] for number in range(6)]
    answers = [Random(f"{seed} {number}").random() < 0.5 for number in range(97)]
    found = written(lists, tight(1 << 12, answers)[0], 3)
    assert [set(values) for values in found] == [{value for value in range(250) if value % 3 == place} for place in range(3)]
