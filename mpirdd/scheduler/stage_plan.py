"""The plan of one stage: its tasks, and the data that must exist before they can run."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from mpirdd.protocol.ids import BlockId, NodeId
from mpirdd.protocol.stage import Output, Pipe
from mpirdd.scheduler.lineage import Node
from mpirdd.scheduler.task_rule import TaskInputs, TaskRule


class Tasks:
    """The tasks of a stage in order, by partition of its target. The inputs of a task are computed on each request, so no object
    is held for each task."""

    __slots__ = ("partitions", "rule")

    def __init__(self, partitions: Sequence[int], rule: TaskRule) -> None:
        self.partitions = partitions if isinstance(partitions, range) else array("i", partitions)
        self.rule = rule

    def __len__(self) -> int:
        return len(self.partitions)

    def __iter__(self) -> Iterator[int]:
        return iter(self.partitions)

    def __getitem__(self, partition: int) -> TaskInputs:
        return self.rule.inputs(partition)

    def items(self) -> Iterator[tuple[int, TaskInputs]]:
        return zip(self.partitions, self.values(), strict=True)

    def values(self) -> Iterator[TaskInputs]:
        return map(self.rule.inputs, self.partitions)

    def where(self, wanted: Callable[[TaskInputs], bool]) -> Tasks:
        return Tasks([partition for partition, inputs in self.items() if wanted(inputs)], self.rule)


@dataclass(slots=True)
class Target:
    """Wanted partitions of a node, and the output that they are for."""

    node: Node
    partitions: Sequence[int]
    output: Output
    label: str


@dataclass(slots=True)
class StagePlan:
    """A stage that has work left."""

    target: Target
    pipes: dict[NodeId, Pipe]
    nodes: dict[NodeId, Node]
    tasks: Tasks
    absent: dict[NodeId, set[int]] = field(default_factory=dict)
    """By shuffle, the reduce partitions that no executor holds yet: an exchange must bring them."""
    unwritten: dict[NodeId, Sequence[int]] = field(default_factory=dict)
    """By shuffle, the map outputs that ``absent`` needs and that do not exist yet: other stages must write them first."""
    barrier: bool = False
    """The tasks wait for each other at a barrier: all must run at once, each on an executor of its own."""

    def without(self, making: set[BlockId]) -> StagePlan:
        """Leave out tasks that would compute a kept partition in ``making``, which another stage is computing. They can read it
        when that stage is done."""
        if not making:
            return self
        tasks = self.tasks.where(lambda inputs: making.isdisjoint(inputs.makes))
        if len(tasks) == len(self.tasks):
            return self
        if self.barrier:
            return replace(self, tasks=Tasks((), self.tasks.rule))
        reads = {block for inputs in tasks.values() for block in inputs.reads}
        absent = {shuffle: {part for part in parts if BlockId("in", shuffle, part) in reads}
                  for shuffle, parts in self.absent.items()}
        return replace(self, tasks=tasks, absent={shuffle: parts for shuffle, parts in absent.items() if parts})

    def of_first_makers(self) -> StagePlan:
        """Leave out tasks that would compute a kept partition which an earlier task of this plan computes. They run when they can
        read it. (For example, two partitions of a cartesian product need the same partition of a persisted parent.)"""
        if not self.tasks.rule.repeats:
            return self
        made: set[BlockId] = set()

        def first(inputs: TaskInputs) -> bool:
            if not made.isdisjoint(inputs.makes):
                return False
            made.update(inputs.makes)
            return True

        return replace(self, tasks=self.tasks.where(first))
