"""Exchanges under way, and the copies that are to be made of what is kept more than once."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import TypeVar

from mpirdd.decisions.events import Command, DropBlocks, ExchangeFinished, StartExchange
from mpirdd.decisions.placement import Copies
from mpirdd.decisions.plan import Have, Need
from mpirdd.words.ids import BlockId, NodeId, Rank

_Item = TypeVar("_Item")


@dataclass(slots=True)
class _Exchange:
    plan: StartExchange
    waiting: set[Rank]
    forgotten: set[NodeId] = field(default_factory=set)
    """Nodes whose blocks were dropped meanwhile: what arrives of them may be incomplete, or wanted by nobody."""


class Exchanges:
    """All exchanges of one scheduler, of which it gives ``have``, where arrivals are entered, and ``kept``. It asks for one
    only while no barrier stage runs."""

    def __init__(self, have: Have, kept: Mapping[NodeId, int]) -> None:
        self._have, self._kept = have, kept
        self._exchanges: dict[int, _Exchange] = {}
        self._uncopied: dict[BlockId, None] = {}
        self._ids = count(1)

    def under_way(self) -> bool:
        return bool(self._exchanges)

    def bring(self, need: Need, places: Mapping[int, Rank | None], executors: Sequence[Rank]) -> list[Command]:
        """Bring the absent reduce partitions to where the tasks that read them will run: one exchange a shuffle."""
        brought = {exchange.plan.shuffle for exchange in self._exchanges.values()}
        return [self._bring(shuffle, need, places, executors) for shuffle in need.absent if shuffle not in brought]

    def _bring(
        self, shuffle: NodeId, need: Need, places: Mapping[int, Rank | None], executors: Sequence[Rank]
    ) -> Command:
        owners: dict[Rank, dict[int, None]] = {}
        for partition, work in need.work.items():
            for block in work.reads:
                if block.of == shuffle and block.kind == "in" and block.part in need.absent[shuffle]:
                    place = places[partition]
                    assert place is not None
                    owners.setdefault(place, {})[block.part] = None
        maps: dict[Rank, list[int]] = {}
        for index, holders in sorted(self._have.indexes("map", shuffle).items()):
            maps.setdefault(holders[0], []).append(index)
        return self._start(executors, shuffle, _tuples(maps), _tuples(owners), {})

    def copy(self, wanted: Mapping[BlockId, set[Rank]], executors: Sequence[Rank]) -> list[Command]:
        """Copy blocks to these executors; not while others are copied, so that the next plan sees what those brought."""
        if not wanted or self._copying():
            return []
        copies: dict[Rank, list[tuple[BlockId, Rank]]] = {}
        for block, places in sorted(wanted.items()):
            copies.setdefault(self._have.holders(block)[0], []).extend((block, place) for place in sorted(places))
        return [self._start(executors, None, {}, {}, _tuples(copies))]

    def note_uncopied(self, block: BlockId) -> None:
        """It was made, or has lost a holder: if it is of a node kept more than once, ``copy_kept`` tries to copy it."""
        if block.kind == "rdd" and self._kept.get(block.of, 0) > 1:
            self._uncopied[block] = None

    def copy_kept(self, executors: Sequence[Rank], hosts: Mapping[Rank, str]) -> list[Command]:
        """Bring copies of what was noted to other executors. Nobody waits for them. Each block is tried once after it was
        noted, so that evictions start no endless copying."""
        if not self._uncopied or self._copying():
            return []
        choice = Copies(executors, hosts)
        wanted: dict[BlockId, set[Rank]] = {}
        for block in self._uncopied:
            holders = self._have.holders(block)
            places = choice.places(block, holders, self._kept.get(block.of, 0)) if holders else []
            if places:
                wanted[block] = set(places)
        self._uncopied.clear()
        return self.copy(wanted, executors)

    def finished(self, event: ExchangeFinished) -> list[Command] | None:
        """What executors drop of an exchange now that the last one is through with it; None if it is not over by this."""
        exchange = self._exchanges.get(event.exchange)
        if exchange is None:
            return None
        exchange.waiting.discard(event.executor)
        if exchange.waiting:
            return None
        del self._exchanges[event.exchange]
        unwanted: dict[Rank, list[BlockId]] = {}
        for block, executor, arrived in self._arrivals(exchange.plan):
            if block.of in exchange.forgotten or (block.kind == "rdd" and block.of not in self._kept):
                unwanted.setdefault(executor, []).append(block)
            elif arrived:
                self._have.add(block, executor)
        return _drops(unwanted)

    def forget(self, node: NodeId) -> None:
        """What arrives of the node does not count."""
        for exchange in self._exchanges.values():
            exchange.forgotten.add(node)

    def void(self, living: Container[Rank]) -> list[Command]:
        """The group is broken, so nobody can know what an exchange under way has brought to whom: drop what executors
        got of it."""
        unwanted: dict[Rank, list[BlockId]] = {}
        for exchange in self._exchanges.values():
            for block, executor, _ in self._arrivals(exchange.plan):
                if executor in living and executor not in self._have.holders(block):
                    unwanted.setdefault(executor, []).append(block)
                if self._have.holders(block):
                    self.note_uncopied(block)
        self._exchanges.clear()
        return _drops(unwanted)

    def _start(
        self,
        executors: Sequence[Rank],
        shuffle: NodeId | None,
        maps: dict[Rank, tuple[int, ...]],
        owners: dict[Rank, tuple[int, ...]],
        copies: dict[Rank, tuple[tuple[BlockId, Rank], ...]],
    ) -> Command:
        plan = StartExchange(next(self._ids), tuple(executors), shuffle, maps, owners, copies)
        self._exchanges[plan.exchange] = _Exchange(plan, set(executors))
        return plan

    def _copying(self) -> bool:
        return any(exchange.plan.copies for exchange in self._exchanges.values())

    def _arrivals(self, plan: StartExchange) -> Iterator[tuple[BlockId, Rank, bool]]:
        """What the exchange should have brought to whom, and whether it did: a sender that lacks a block says
        so first."""
        for executor, partitions in plan.owners.items():
            for partition in partitions:
                assert plan.shuffle is not None
                yield BlockId("in", plan.shuffle, partition), executor, True
        for sender, copies in plan.copies.items():
            for block, executor in copies:
                yield block, executor, sender in self._have.holders(block)


def _tuples(lists: Mapping[Rank, Iterable[_Item]]) -> dict[Rank, tuple[_Item, ...]]:
    return {rank: tuple(items) for rank, items in lists.items()}


def _drops(unwanted: Mapping[Rank, Sequence[BlockId]]) -> list[Command]:
    return [DropBlocks(executor, tuple(blocks)) for executor, blocks in unwanted.items()]
