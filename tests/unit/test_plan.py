"""``missing``: what must run, given what exists. A table of cases, then the flattening to pipes."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest
from lineages import Lineage

from mpirdd.protocol.ids import BlockId
from mpirdd.protocol.stage import Output
from mpirdd.scheduler.lineage import Concatenated, Node
from mpirdd.scheduler.locations import BlockLocations
from mpirdd.scheduler.planner import missing, needed
from mpirdd.scheduler.stage_plan import StagePlan, Target

# --- a table: (how the lineage is made, what exists, what is kept, what is wanted) -> the stages that must run --------

SOURCE, SHUFFLE, LAST = 1, 2, 3
"""Node ids in ``shuffled``: a source of 3 partitions, a shuffle of it to 2, and a map of that."""


def shuffled(lineage: Lineage) -> Node:
    return lineage.map(lineage.shuffle(lineage.source(3), 2))


def joined(lineage: Lineage) -> Node:
    """Nodes: sources 1 and 3, their shuffles 2 and 4, joined in 5."""
    left = lineage.shuffle(lineage.source(2), 2)
    return lineage.zip(left, lineage.shuffle(lineage.source(3), 2))


def chained(lineage: Lineage) -> Node:
    """Two shuffles, one after the other: 2 and 3, of source 1."""
    return lineage.shuffle(lineage.shuffle(lineage.source(2), 2), 2)


def mapped(lineage: Lineage) -> Node:
    """Node 2 is a map of source 1, node 3 of node 2."""
    return lineage.map(lineage.map(lineage.source(3)))


def maps(shuffle: int, *parts: int) -> list[BlockId]:
    return [BlockId("map", shuffle, part) for part in parts]


def ins(shuffle: int, *parts: int) -> list[BlockId]:
    return [BlockId("in", shuffle, part) for part in parts]


def rdds(node: int, *parts: int) -> list[BlockId]:
    return [BlockId("rdd", node, part) for part in parts]


Stages = list[tuple[str, int, list[int]]]
"""(kind of output, of what, partitions), the target's stage first."""

CASES: list[tuple[str, Callable[[Lineage], Node], list[BlockId], set[int], list[int], Stages]] = [
    ("nothing is wanted", shuffled, [], set(), [], []),
    ("nothing exists", shuffled, [], set(), [0, 1], [("result", 0, [0, 1]), ("map", 2, [0, 1, 2])]),
    ("one partition needs all of a shuffle's maps", shuffled, [], set(), [1], [("result", 0, [1]), ("map", 2, [0, 1, 2])]),
    ("some map output exists", shuffled, maps(2, 0, 2), set(), [0], [("result", 0, [0]), ("map", 2, [1])]),
    ("all map output exists", shuffled, maps(2, 0, 1, 2), set(), [0], [("result", 0, [0])]),
    ("what was exchanged needs no maps", shuffled, ins(2, 0), set(), [0], [("result", 0, [0])]),
    ("another partition was exchanged", shuffled, ins(2, 0), set(), [1], [("result", 0, [1]), ("map", 2, [0, 1, 2])]),
    ("the kept result exists", shuffled, rdds(3, 0, 1), {3}, [0, 1], [("result", 0, [0, 1])]),
    ("one kept partition was lost", shuffled, rdds(3, 0), {3}, [0, 1], [("result", 0, [0, 1]), ("map", 2, [0, 1, 2])]),
    ("a lost kept partition that was exchanged", shuffled, [*rdds(3, 0), *ins(2, 1)], {3}, [0, 1], [("result", 0, [0, 1])]),
    ("blocks of a node that is no longer kept do not count", shuffled, rdds(3, 0, 1), set(), [0],
     [("result", 0, [0]), ("map", 2, [0, 1, 2])]),
    ("both sides of a join", joined, [], set(), [0], [("result", 0, [0]), ("map", 4, [0, 1, 2]), ("map", 2, [0, 1])]),
    ("one side of a join exists", joined, maps(2, 0, 1), set(), [0], [("result", 0, [0]), ("map", 4, [0, 1, 2])]),
    ("two shuffles in a row", chained, [], set(), [0], [("result", 0, [0]), ("map", 3, [0, 1]), ("map", 2, [0, 1])]),
    ("the second shuffle's maps exist, so the first is not looked at", chained, maps(3, 0, 1), set(), [0],
     [("result", 0, [0])]),
    ("a map of the second shuffle was lost", chained, maps(3, 0), set(), [0],
     [("result", 0, [0]), ("map", 3, [1]), ("map", 2, [0, 1])]),
    ("a lost map whose input was exchanged", chained, [*maps(3, 0), *ins(2, 1)], set(), [0],
     [("result", 0, [0]), ("map", 3, [1])]),
    ("no shuffle at all", mapped, [], set(), [2], [("result", 0, [2])]),
]


@pytest.mark.parametrize(
    ("make", "exist", "kept", "wanted", "stages"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_missing(
    make: Callable[[Lineage], Node], exist: list[BlockId], kept: set[int], wanted: list[int], stages: Stages
) -> None:
    planned = [(stage.target.output.kind, stage.target.output.of, list(stage.tasks))
               for stage in plan(make(Lineage()), wanted, exist, kept)]
    assert planned[:1] == stages[:1]
    assert sorted(planned) == sorted(stages)  # stages that do not need each other may come in any order


def plan(
    node: Node, wanted: Iterable[int] | None = None, exist: Iterable[BlockId] = (), kept: Iterable[int] = ()
) -> list[StagePlan]:
    locations = BlockLocations()
    for block in exist:
        locations.add(block, 1)
    partitions = range(node.num_partitions) if wanted is None else wanted
    return missing(Target(node, partitions, Output("result", 0), "job"), locations, set(kept))


# --- what a plan says -------------------------------------------------------------------------------------------------


def test_a_stage_is_blocked_until_the_maps_it_needs_exist() -> None:
    result, maps_of_second, maps_of_first = plan(chained(Lineage()))
    assert bool(result.unwritten) and bool(maps_of_second.unwritten) and not maps_of_first.unwritten
    result, second = plan(chained(Lineage()), exist=maps(2, 0, 1))
    assert bool(result.unwritten) and not second.unwritten


def test_a_stage_names_the_reduce_partitions_that_an_exchange_must_bring() -> None:
    (stage,) = plan(shuffled(Lineage()), exist=[*maps(2, 0, 1, 2), *ins(2, 0)])
    assert stage.absent == {SHUFFLE: {1}}
    assert not stage.unwritten


def test_a_shared_shuffle_is_planned_once() -> None:
    lineage = Lineage()
    shuffle = lineage.shuffle(lineage.source(2), 2)
    stages = plan(lineage.union(shuffle, lineage.map(shuffle)))
    assert [stage.target.output for stage in stages] == [Output("result", 0), Output("map", shuffle.id)]


def test_work_lists_what_a_task_reads_and_keeps() -> None:
    lineage = Lineage()
    left, right = lineage.source(2), lineage.shuffle(lineage.source(2), 2)
    kept = lineage.map(lineage.zip(left, right))
    (stage,) = plan(kept, [1], exist=maps(right.id, 0, 1), kept=[kept.id])
    assert stage.tasks[1].splits == ((left.id, 1),)
    assert stage.tasks[1].reads == (BlockId("in", right.id, 1),)
    assert stage.tasks[1].makes == (BlockId("rdd", kept.id, 1),)


def test_a_kept_partition_that_is_read_twice_is_made_once() -> None:
    lineage = Lineage()
    node = lineage.source(1)
    keep = []
    for _ in range(40):  # 2 ** 40 paths from the last one to the source
        node = lineage.zip(node, node)
        keep.append(node.id)
    (stage,) = plan(node, kept=keep)
    assert sorted(block.of for block in stage.tasks[0].makes) == keep
    assert len(stage.tasks[0].splits) <= 2


# --- pipes ------------------------------------------------------------------------------------------------------------


def test_one_to_one_steps_become_one_pipe() -> None:
    (stage,) = plan(mapped(Lineage()))
    assert [(pipe.kind, pipe.head, pipe.steps) for pipe in stage.pipes.values()] == [("source", 1, (2, 3))]


def test_a_kept_node_ends_a_pipe() -> None:
    (stage,) = plan(mapped(Lineage()), kept=[2])
    assert stage.pipes[3].parents == (2,)
    assert (stage.pipes[2].keep, stage.pipes[2].head, stage.pipes[2].steps) == (True, 1, (2,))


def test_what_lies_behind_a_kept_node_that_is_all_there_is_left_out() -> None:
    lineage = Lineage()
    kept = lineage.zip(lineage.source(2), lineage.source(2))
    (stage,) = plan(lineage.map(kept), exist=rdds(kept.id, 0, 1), kept=[kept.id])
    assert set(stage.pipes) == {kept.id + 1, kept.id}


@pytest.mark.parametrize("length", [10_000])
def test_long_lineage_is_flattened_without_recursion(length: int) -> None:
    lineage = Lineage()
    node = lineage.source(1)
    for place in range(length):
        node = lineage.map(node) if place % 2 else lineage.coalesce(node, 1)
    (stage,) = plan(node)
    assert sum(1 + len(pipe.steps) for pipe in stage.pipes.values()) == length + 1


def united(lineage: Lineage, unions: int) -> Node:
    """``u = u.union(base)`` in a loop."""
    base = lineage.source(1)
    node = base
    for _ in range(unions):
        node = lineage.union(node, base)
    return node


def test_unions_in_a_loop_cost_each_task_one_look(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0
    of = Concatenated.of

    def counted(inputs: Concatenated, partition: int) -> tuple[tuple[int, int], ...]:
        nonlocal looks
        looks += 1
        return of(inputs, partition)

    monkeypatch.setattr(Concatenated, "of", counted)
    (stage,) = plan(united(Lineage(), 1_500))
    assert len(stage.tasks) == 1_501 and all(len(inputs.splits) == 1 for inputs in stage.tasks.values())
    assert looks == 1_501
    assert len(stage.pipes) == 2


def test_a_kept_union_inside_another_is_read_where_it_is() -> None:
    lineage = Lineage()
    inner = united(lineage, 3)
    outer = lineage.union(lineage.source(2), inner)
    (stage,) = plan(outer, exist=rdds(inner.id, 0, 1, 2, 3), kept=[inner.id])
    assert [inputs.reads for inputs in stage.tasks.values()] == [(), (), *((block,) for block in rdds(inner.id, 0, 1, 2, 3))]


@pytest.mark.parametrize("counts", [(1,), (2, 0, 3), (0, 0, 4, 1), (0,), ()])
def test_partitions_of_a_union_come_one_parent_after_the_other(counts: tuple[int, ...]) -> None:
    inputs = Concatenated(counts)
    expected = [((parent, index),) for parent, count in enumerate(counts) for index in range(count)]
    assert [inputs.of(partition) for partition in range(sum(counts))] == expected
    with pytest.raises(IndexError):
        inputs.of(sum(counts))


# --- the account of blocks --------------------------------------------------------------------------------------------


def test_have_names_holders_in_the_order_in_which_they_got_the_block() -> None:
    locations, block = BlockLocations(), BlockId("rdd", 1, 0)
    for executor in (3, 1, 3):
        locations.add(block, executor)
    assert locations.holders(block) == (3, 1)
    locations.discard(block, 3)
    assert locations.holders(block) == (1,)
    locations.discard(block, 1)
    assert locations.indexes("rdd", 1) == {}
    locations.discard(block, 1)


def test_have_forgets_a_lost_executor_and_nothing_else() -> None:
    locations = BlockLocations()
    for part, executors in enumerate([[1], [1, 2], [2]]):
        for executor in executors:
            locations.add(BlockId("map", 5, part), executor)
    locations.lose(1)
    assert locations.indexes("map", 5) == {1: (2,), 2: (2,)}


def test_have_forgets_by_node_and_kind() -> None:
    locations = BlockLocations()

    def fill() -> None:
        for kind in ("rdd", "map", "in"):
            locations.add(BlockId(kind, 7, 0), 1)

    fill()
    locations.forget_kept(7)
    assert [kind for kind in ("rdd", "map", "in") if locations.indexes(kind, 7)] == ["map", "in"]
    fill()
    locations.forget_shuffle(7)
    assert [kind for kind in ("rdd", "map", "in") if locations.indexes(kind, 7)] == ["rdd"]
    locations.forget(7)
    assert not locations.indexes("rdd", 7)


# --- what is still needed ---------------------------------------------------------------------------------------------


def locations_of(*blocks: BlockId) -> BlockLocations:
    locations = BlockLocations()
    for block in blocks:
        locations.add(block, 1)
    return locations


def test_what_lies_behind_partitions_that_are_all_kept_is_not_needed() -> None:
    last = Lineage()
    goal = last.map(chained(last))  # 4, of shuffle 3, of shuffle 2, of source 1
    assert needed([goal], locations_of()) == ({1, 2, 3, 4}, set())
    assert needed([goal], locations_of(*rdds(3, 0), *maps(3, 0, 1))) == ({1, 2, 3, 4}, set())
    assert needed([goal], locations_of(*rdds(3, 0, 1), *rdds(2, 0, 1))) == ({4}, {3})
    assert needed([], locations_of(*rdds(3, 0, 1))) == (set(), set())


def test_what_another_root_reaches_by_another_way_is_needed() -> None:
    lineage = Lineage()
    goal = chained(lineage)
    middle = lineage.map(goal.parents[0])  # 4, of shuffle 2
    locations = locations_of(*rdds(3, 0, 1), *rdds(2, 0, 1))
    assert needed([goal, middle], locations) == ({4}, {2, 3})
    assert needed([middle, goal], locations_of(*rdds(3, 0, 1))) == ({1, 2, 4}, {3})
