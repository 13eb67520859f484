"""``run_task``: one partition of a stage, by hand-made stages over the real block store."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from lineages import Lineage

from mpirdd.executor.task import LONGEST_CHAIN, BlocksMissing, Outcome, run_task
from mpirdd.protocol.ids import BlockId, NodeId
from mpirdd.protocol.stage import ClosureId, Output, Stage
from mpirdd.scheduler.lineage import Node, walk
from mpirdd.scheduler.locations import BlockLocations
from mpirdd.scheduler.planner import missing
from mpirdd.scheduler.stage_plan import Target
from mpirdd.store.blocks import BlockStore
from mpirdd.store.codec import encode
from mpirdd.store.fragments import Fragment
from mpirdd.store.task_memory import TaskMemory

Step = Callable[..., Iterable[Any]]


class Bench:
    """A lineage with real functions, run task by task on one store."""

    def __init__(self) -> None:
        self.lineage = Lineage()
        self.store = BlockStore()
        self.closures: dict[ClosureId, Callable[..., Any]] = {
            ClosureId("action", 0): lambda partition, records: list(records)}
        self.kept: set[NodeId] = set()
        self.calls: list[tuple[NodeId, int]] = []
        """(node, partition) of each step that was called, in order."""
        self.locations = BlockLocations()

    def source(self, *splits: list[Any]) -> Node:
        node = self.lineage.source(len(splits))
        self.closures[ClosureId("step", node.id)] = lambda index: iter(splits[index])
        return node

    def step(self, node: Node, step: Step) -> Node:
        def counted(partition: int, *records: Any) -> Iterable[Any]:
            self.calls.append((node.id, partition))
            return step(partition, *records)

        self.closures[ClosureId("step", node.id)] = counted
        return node

    def map(self, parent: Node, function: Callable[[Any], Any]) -> Node:
        return self.step(self.lineage.map(parent), lambda partition, records: map(function, records))

    def shuffle(self, parent: Node, partitions: int) -> Node:
        node = self.lineage.shuffle(parent, partitions)
        self.closures[ClosureId("step", node.id)] = (
            lambda buckets, memory: iter([list(map(bytes, bucket)) for bucket in buckets]))
        return node

    def keep(self, node: Node) -> Node:
        self.kept.add(node.id)
        return node

    def stage(self, node: Node, output: Output = Output("result", 0)) -> tuple[Stage, dict[tuple[NodeId, int], Any]]:  # noqa: B008
        """The stage that the planner makes, with all splits of all sources."""
        stage = missing(Target(node, range(node.num_partitions), output, "test"), self.locations, self.kept)[0]
        splits = {(source.id, index): index for source in walk(node) if not source.parents
                  for index in range(source.num_partitions)}
        return Stage(1, "test", node.id, output, stage.pipes), splits

    def run(self, node: Node, partition: int = 0) -> Outcome:
        stage, splits = self.stage(node)
        return run_task(stage, partition, store=self.store, closures=self.closures, splits=splits,
                        memory=TaskMemory.unbounded())


def concatenate(partition: int, *parts: Iterable[Any]) -> Iterable[Any]:
    for part in parts:
        yield from part


def test_steps_run_in_order() -> None:
    bench = Bench()
    node = bench.map(bench.map(bench.source([1, 2], [3]), lambda x: x + 1), lambda x: x * 10)
    assert bench.run(node, 0).result == [20, 30]
    assert bench.run(node, 1).result == [40]


def test_nothing_is_computed_before_the_action_asks() -> None:
    bench = Bench()
    seen: list[int] = []

    def note(number: int) -> int:
        seen.append(number)
        return number

    node = bench.map(bench.source([1, 2, 3]), note)
    bench.closures[ClosureId("action", 0)] = lambda partition, records: next(records)
    assert bench.run(node).result == 1
    assert seen == [1]


@pytest.mark.parametrize("length", [LONGEST_CHAIN - 1, LONGEST_CHAIN, LONGEST_CHAIN + 1, 20_000])
def test_long_chains_of_steps_do_not_recurse(length: int) -> None:
    bench = Bench()
    node = bench.source([0, 1])
    for _ in range(length):
        node = bench.step(bench.lineage.map(node), lambda partition, records: (x + 1 for x in records))
    assert bench.run(node).result == [length, length + 1]


def test_long_chains_of_unions_do_not_recurse() -> None:
    bench = Bench()
    node = bench.source([0])
    for number in range(1, 3_000):
        node = bench.step(bench.lineage.zip(node, bench.source([number])), concatenate)
    assert bench.run(node).result == list(range(3_000))


def test_a_narrow_node_gets_its_parents_in_the_order_of_its_inputs() -> None:
    bench = Bench()
    left, right = bench.source([1], [2], [3], [4]), bench.source(["a"], ["b"])
    coalesced = bench.step(bench.lineage.coalesce(left, 2), concatenate)
    assert bench.run(coalesced, 1).result == [3, 4]
    crossed = bench.step(bench.lineage.cartesian(left, right), concatenate)
    assert bench.run(crossed, 5).result == [3, "b"]


def test_a_kept_partition_is_stored_reported_and_read_the_next_time() -> None:
    bench = Bench()
    kept = bench.keep(bench.map(bench.source([1, 2]), lambda x: x + 1))
    node = bench.map(kept, lambda x: -x)
    first = bench.run(node)
    assert first.result == [-2, -3]
    assert first.made == [BlockId("rdd", kept.id, 0)]
    assert list(bench.store.kept.records(BlockId("rdd", kept.id, 0))) == [2, 3]
    calls = len(bench.calls)
    again = bench.run(node)
    assert (again.result, again.made) == ([-2, -3], [])
    assert len(bench.calls) == calls + 1  # the step behind the kept node only


def test_a_kept_partition_that_several_read_is_computed_once() -> None:
    bench = Bench()
    kept = bench.keep(bench.step(bench.lineage.coalesce(bench.map(bench.source([1], [2]), lambda x: x + 1), 1), concatenate))
    node = bench.step(bench.lineage.zip(kept, bench.map(kept, str), kept), concatenate)
    outcome = bench.run(node)
    assert outcome.result == [2, 3, "2", "3", 2, 3]
    assert outcome.made == [BlockId("rdd", kept.id, 0)]
    assert bench.calls.count((kept.id, 0)) == 1
    assert [call[0] for call in bench.calls].count(kept.id - 1) == 2  # its parent, for both partitions


def test_diamonds_over_kept_nodes_cost_what_the_nodes_cost() -> None:
    """Not what the paths cost: there are 2 ** 60 of them."""
    bench = Bench()
    node = bench.source([1])
    for _ in range(60):
        node = bench.keep(bench.step(bench.lineage.zip(node, node), lambda partition, a, b: [sum(a) + sum(b)]))
    assert bench.run(node).result == [2**60]
    assert len(bench.calls) == 60


def test_map_tasks_store_their_buckets() -> None:
    bench = Bench()
    node = bench.source([1, 2, 3])
    bench.closures[ClosureId("write", 9)] = lambda partition, records, memory: [dict(enumerate(map(encode, records)))]
    stage, splits = bench.stage(node, Output("map", 9))
    outcome = run_task(stage, 0, store=bench.store, closures=bench.closures, splits=splits,
                       memory=TaskMemory.unbounded())
    assert (outcome.result, outcome.made) == (None, [BlockId("map", 9, 0)])
    assert [len(pack.buckets) for pack in bench.store.shuffles.packs(BlockId("map", 9, 0))] == [3]


def test_a_shuffle_s_head_reads_what_was_exchanged() -> None:
    bench = Bench()
    shuffled = bench.shuffle(bench.source([1]), 2)
    for source, bucket in (3, [b"y", b"z"]), (1, [b"x"]):
        bench.store.arrive(BlockId("in", shuffled.id, 1), source, Fragment(bucket))
    bench.store.complete_arrivals()
    assert bench.run(shuffled, 1).result == [[b"x"], [b"y", b"z"]]


def test_missing_blocks_are_named_before_any_function_runs() -> None:
    bench = Bench()
    shuffled = bench.shuffle(bench.source([1]), 2)
    kept = bench.keep(bench.map(shuffled, lambda x: x))
    node = bench.step(bench.lineage.zip(bench.map(bench.source([1], [2]), lambda x: x), kept), concatenate)
    with pytest.raises(BlocksMissing) as missing_blocks:
        bench.run(node, 1)
    assert set(missing_blocks.value.blocks) == {BlockId("rdd", kept.id, 1), BlockId("in", shuffled.id, 1)}
    assert bench.calls == []


def test_a_kept_block_that_the_driver_counted_on_is_missing_when_it_is_gone() -> None:
    """The driver sends no splits for what it thinks is kept, and leaves out what lies behind."""
    bench = Bench()
    kept = bench.keep(bench.step(bench.lineage.zip(bench.source([1]), bench.source([2])), concatenate))
    bench.locations.add(BlockId("rdd", kept.id, 0), 1)
    with pytest.raises(BlocksMissing) as missing_blocks:
        bench.run(bench.map(kept, lambda x: x))
    assert missing_blocks.value.blocks == (BlockId("rdd", kept.id, 0),)


def test_what_the_user_s_function_raises_passes_through_and_keeps_nothing() -> None:
    bench = Bench()
    kept = bench.keep(bench.map(bench.source([1, 0]), lambda x: 1 // x))
    with pytest.raises(ZeroDivisionError):
        bench.run(kept)
    assert list(bench.store) == []
