"""Placement: which executor runs a task or gets a copy, as a pure function of the existing data.

A task that reads blocks goes to the executor that holds most of them. A task that reads a shuffle which nobody holds yet goes to
executor *partition modulo executors*, so RDDs with equal partitioners meet without moving. A task that reads only splits may run
anywhere; if the file system tells which hosts have its data, it prefers them (``FreeTasks``). Copies go to other hosts if there
are any, spread over their executors.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Collection, Mapping, Sequence

from mpirdd.protocol.ids import DRIVER, BlockId, Rank
from mpirdd.scheduler.lineage import Source
from mpirdd.scheduler.locations import BlockLocations
from mpirdd.scheduler.stage_plan import StagePlan
from mpirdd.scheduler.task_rule import TaskInputs

ANYWHERE: Rank = DRIVER
"""The place of a task that any executor can run; the driver itself runs none."""
Places = Sequence[Rank]
"""The executor of each task of a stage, by partition, at four bytes each; empty if all tasks may run anywhere."""


def places_of(plan: StagePlan, locations: BlockLocations, executors: Sequence[Rank]) -> Places:
    """Choose the executors of tasks: for a barrier stage in turn, for tasks that read blocks by the place of these."""
    if not plan.barrier and not plan.tasks.rule.reads:
        return ()
    places = array("i", [ANYWHERE]) * plan.target.node.num_partitions
    if plan.barrier:
        for partition, executor in zip(plan.tasks, executors, strict=False):
            places[partition] = executor
        return places
    if (one_block := plan.tasks.rule.one_block) is not None:
        held = locations.indexes(*one_block)
        for partition in plan.tasks:
            holders = sorted(held.get(partition, ())) or executors
            places[partition] = holders[partition % len(holders)]
        return places
    for partition, inputs in plan.tasks.items():
        if inputs.reads:
            places[partition] = _place(partition, inputs, locations, executors)
    return places


def _place(partition: int, inputs: TaskInputs, locations: BlockLocations, executors: Sequence[Rank]) -> Rank:
    held: dict[Rank, int] = {}
    for block in inputs.reads:
        for executor in locations.holders(block):
            held[executor] = held.get(executor, 0) + 1
    if held:
        most = max(held.values())
        best = sorted([executor for executor, number in held.items() if number == most])
        return best[partition % len(best)]  # not always the first, or a cartesian product would crowd there
    return executors[partition % len(executors)]


def able(
    inputs: TaskInputs, locations: BlockLocations, executors: Collection[Rank]
) -> Collection[Rank]:
    """The executors that hold all that a task reads; ``executors`` if it reads only splits."""
    if not inputs.reads:
        return executors
    first, *others = (locations.holders(block) for block in inputs.reads)
    return [executor for executor in first if all(executor in holders for holders in others)]


def lacking(
    plan: StagePlan, places: Places, locations: BlockLocations
) -> dict[BlockId, set[Rank]]:
    """The blocks that tasks read and their executors lack, with those executors."""
    wanted: dict[BlockId, set[Rank]] = {}
    where_it_is = plan.tasks.rule.one_block is not None and not plan.barrier  # each task was placed beside its one block
    for partition, inputs in () if where_it_is or not places else plan.tasks.items():
        for block in inputs.reads:
            if places[partition] not in locations.holders(block):
                wanted.setdefault(block, set()).add(places[partition])
    return wanted


class Copies:
    """Chooses the executors that get copies, for one plan. It remembers the executors outside a set of hosts, so the cost of a
    block does not grow with the number of executors."""

    def __init__(self, executors: Sequence[Rank], hosts: Mapping[Rank, str]) -> None:
        self._executors, self._hosts = executors, hosts
        self._outside: dict[frozenset[str], list[Rank]] = {}

    def places(self, block: BlockId, holders: Sequence[Rank], copies: int) -> list[Rank]:
        """Choose the executors to give a copy to, so that ``copies`` executors hold the block in all, or as many as there are."""
        chosen: list[Rank] = []
        while len(holders) + len(chosen) < min(copies, len(self._executors)):
            chosen.append(self._next(block, [*holders, *chosen]))
        return chosen

    def _next(self, block: BlockId, holders: list[Rank]) -> Rank:
        candidates = self._outside_of(frozenset(self._hosts.get(rank, "") for rank in holders)) or self._executors
        first = block.part % len(candidates)
        for at in range(len(holders) + 1):  # at most ``len(holders)`` of the candidates are holders
            candidate = candidates[(first + at) % len(candidates)]
            if candidate not in holders:
                return candidate
        raise AssertionError("fewer executors than copies")

    def _outside_of(self, hosts: frozenset[str]) -> list[Rank]:
        if hosts not in self._outside:
            self._outside[hosts] = [rank for rank in self._executors if self._hosts.get(rank, "") not in hosts]
        return self._outside[hosts]


def preferred(plan: StagePlan) -> dict[int, tuple[str, ...]]:
    """By task, the hosts that have the data of its splits; empty if no file system has told any."""
    known = {id: node.hosts for id, node in plan.nodes.items() if isinstance(node, Source) and node.hosts}
    if not known:
        return {}
    return {partition: tuple(dict.fromkeys(host for source, at in inputs.splits if source in known for host in known[source][at]))
            for partition, inputs in plan.tasks.items()}


class FreeTasks:
    """Tasks that any executor can run and that no executor has got yet, in order.

    An executor gets first the tasks that prefer its host, then those without a preference, then tasks of the hosts with the most
    left. So no task waits for a host while an executor is idle: a preference never costs time. If all executors take equally
    long, nearly all tasks run beside their data.
    """

    def __init__(self, partitions: Sequence[int], hosts: Mapping[int, Sequence[str]]) -> None:
        self._hosts = hosts
        self._order: Sequence[int] = () if hosts else partitions
        self._given = 0
        self._back: deque[int] = deque()
        """These three are used if no task prefers a host: the first ``_given`` tasks in order are given out, and ``_back`` are
        those that came back. This takes no memory for each task."""
        self._left: dict[int, None] = {}
        self._queues: dict[str, deque[int]] = {}
        """By host, "" for tasks without one. A task of several hosts is in several queues, and in ``_left`` until it is taken."""
        for partition in partitions if hosts else ():
            self.append(partition)

    def __len__(self) -> int:
        return len(self._order) - self._given + len(self._back) + len(self._left)

    def append(self, partition: int) -> None:
        if not self._hosts:
            self._back.append(partition)
            return
        self._left[partition] = None
        for host in self._hosts.get(partition) or ("",):
            self._queues.setdefault(host, deque()).append(partition)

    @property
    def choosy(self) -> bool:
        """Does any task prefer a host?"""
        return bool(self._hosts)

    def take(self, count: int, host: str, *, only_near: bool = False) -> list[int]:
        """Up to ``count`` tasks for an executor on ``host``; with ``only_near``, none that prefers other hosts."""
        if not self._hosts:
            fresh = list(self._order[self._given : self._given + count])
            self._given += len(fresh)
            return fresh + [self._back.popleft() for _ in range(min(count - len(fresh), len(self._back)))]
        taken: list[int] = []
        for queue in ((host, "") if host else ("",)):
            self._take_from(queue, count, taken)
        while not only_near and len(taken) < count and self._left:
            # A queue's length may include tasks taken through another host; they are dropped when they come up.
            self._take_from(max(self._queues, key=lambda each: len(self._queues[each])), len(taken) + 1, taken)
        return taken

    def _take_from(self, host: str, count: int, taken: list[int]) -> None:
        queue = self._queues.get(host)
        while queue and len(taken) < count:
            partition = queue.popleft()
            if partition in self._left:
                del self._left[partition]
                taken.append(partition)
