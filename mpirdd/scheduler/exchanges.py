"""Exchanges under way, and the copies of nodes that are to be kept on several executors."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import TypeVar

from mpirdd.protocol.ids import BlockId, NodeId, Rank
from mpirdd.protocol.values import dataclass, field
from mpirdd.scheduler.events import Command, DropBlocks, ExchangeFinished, StartExchange
from mpirdd.scheduler.locations import BlockLocations
from mpirdd.scheduler.placement import Copies, Places
from mpirdd.scheduler.stage_plan import StagePlan

_Item = TypeVar("_Item")


@dataclass(slots=True)
class _Exchange:
    command: StartExchange
    waiting: set[Rank]
    """The executors that have not finished it."""
    forgotten: set[NodeId] = field(default_factory=set)
    """Nodes whose blocks were dropped during the exchange: arriving blocks may be incomplete, or nobody wants them."""


class Exchanges:
    """All exchanges of one scheduler. Its owner starts one only while no barrier stage runs.

    Args:
        locations: the account to which arriving blocks are added.
        kept: persisted nodes, and the number of copies that each is to have.
    """

    def __init__(self, locations: BlockLocations, kept: Mapping[NodeId, int]) -> None:
        self._locations, self._kept = locations, kept
        self._exchanges: dict[int, _Exchange] = {}
        self._uncopied: dict[BlockId, None] = {}
        self._ids = count(1)

    def under_way(self) -> bool:
        return bool(self._exchanges)

    def bring(
        self, plan: StagePlan, places: Places, executors: Sequence[Rank]
    ) -> list[Command]:
        """Bring the absent reduce partitions to the executors of the tasks that read them: one exchange for each shuffle."""
        brought = {exchange.command.shuffle for exchange in self._exchanges.values()}
        return [self._bring(shuffle, plan, places, executors) for shuffle in plan.absent if shuffle not in brought]

    def _bring(
        self, shuffle: NodeId, plan: StagePlan, places: Places, executors: Sequence[Rank]
    ) -> Command:
        owners: dict[Rank, dict[int, None]] = {}
        for partition, inputs in plan.tasks.items():
            for block in inputs.reads:
                if block.of == shuffle and block.kind == "in" and block.part in plan.absent[shuffle]:
                    owners.setdefault(places[partition], {})[block.part] = None
        maps: dict[Rank, list[int]] = {}
        for index, holders in sorted(self._locations.indexes("map", shuffle).items()):
            maps.setdefault(holders[0], []).append(index)
        return self._start(executors, shuffle, _tuples(maps), _tuples(owners), {})

    def copy(self, wanted: Mapping[BlockId, set[Rank]], executors: Sequence[Rank]) -> list[Command]:
        """Copy blocks to these executors. Does nothing while other copies are under way: the next plan must see their result."""
        if not wanted or self._copying():
            return []
        copies: dict[Rank, list[tuple[BlockId, Rank]]] = {}
        for block, places in sorted(wanted.items()):
            sender = self._locations.holders(block)[0]
            copies.setdefault(sender, []).extend((block, place) for place in sorted(places))
        return [self._start(executors, None, {}, {}, _tuples(copies))]

    def note_uncopied(self, block: BlockId) -> None:
        """The block was made, or has lost a holder. If its node is to have several copies, ``copy_kept`` tries to copy it."""
        if block.kind == "rdd" and self._kept.get(block.of, 0) > 1:
            self._uncopied[block] = None

    def copy_kept(self, executors: Sequence[Rank], hosts: Mapping[Rank, str]) -> list[Command]:
        """Copy the noted blocks to other executors, in the background. Each noted block is tried once, so evictions cannot cause
        endless copying."""
        if not self._uncopied or self._copying():
            return []
        choice = Copies(executors, hosts)
        wanted: dict[BlockId, set[Rank]] = {}
        for block in self._uncopied:
            holders = self._locations.holders(block)
            places = choice.places(block, holders, self._kept.get(block.of, 0)) if holders else []
            if places:
                wanted[block] = set(places)
        self._uncopied.clear()
        return self.copy(wanted, executors)

    def finished(self, event: ExchangeFinished) -> list[Command] | None:
        """An executor has finished its part of an exchange.

        Returns:
            The drops for executors, if this was the last part; None if other executors are still at work.
        """
        exchange = self._exchanges.get(event.exchange)
        if exchange is None:
            return None
        exchange.waiting.discard(event.executor)
        if exchange.waiting:
            return None
        del self._exchanges[event.exchange]
        unwanted: dict[Rank, list[BlockId]] = {}
        for block, executor, arrived in self._arrivals(exchange.command):
            if block.of in exchange.forgotten or (block.kind == "rdd" and block.of not in self._kept):
                unwanted.setdefault(executor, []).append(block)
            elif arrived:
                self._locations.add(block, executor)
        return _drops(unwanted)

    def forget(self, node: NodeId) -> None:
        """Blocks of the node that arrive in exchanges under way do not count."""
        for exchange in self._exchanges.values():
            exchange.forgotten.add(node)

    def void(self, living: Container[Rank]) -> list[Command]:
        """A rank is lost. Nobody can know what the exchanges under way have brought to whom, so executors drop all of it."""
        unwanted: dict[Rank, list[BlockId]] = {}
        for exchange in self._exchanges.values():
            for block, executor, _ in self._arrivals(exchange.command):
                if executor in living and executor not in self._locations.holders(block):
                    unwanted.setdefault(executor, []).append(block)
                if self._locations.holders(block):
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
        command = StartExchange(next(self._ids), tuple(executors), shuffle, maps, owners, copies)
        self._exchanges[command.exchange] = _Exchange(command, set(executors))
        return command

    def _copying(self) -> bool:
        return any(exchange.command.copies for exchange in self._exchanges.values())

    def _arrivals(self, command: StartExchange) -> Iterator[tuple[BlockId, Rank, bool]]:
        """(block, receiver, arrived?) for all that the exchange should have brought. A sender that lacks a block has reported it
        before."""
        for executor, partitions in command.owners.items():
            for partition in partitions:
                assert command.shuffle is not None
                yield BlockId("in", command.shuffle, partition), executor, True
        for sender, copies in command.copies.items():
            for block, executor in copies:
                yield block, executor, sender in self._locations.holders(block)


def _tuples(lists: Mapping[Rank, Iterable[_Item]]) -> dict[Rank, tuple[_Item, ...]]:
    return {rank: tuple(items) for rank, items in lists.items()}


def _drops(unwanted: Mapping[Rank, Sequence[BlockId]]) -> list[Command]:
    return [DropBlocks(executor, tuple(blocks)) for executor, blocks in unwanted.items()]
