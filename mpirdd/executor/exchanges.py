"""An executor's part in exchanges: the parcels that it sends and gets, and leaving after a loss.

All executors take part in every exchange, in the same order. Otherwise those that take part would wait for ever, since nobody can
leave a collective of MPI. Five rules ensure it:

* The driver sends each exchange to all living executors, and messages of one sender keep their order. One exchange runs at a
  time, so several jobs and threads need no communicators of their own.
* Only a death (``leave``) takes an unfinished exchange out of the queue. Failed or interrupted tasks, cancelled jobs, forgotten
  nodes and the end of the Context do not: the bytes arrive, and unwanted ones are dropped afterwards.
* An executor that lacks data to send takes part all the same, and says so with its sizes. The exchange is then void for all.
* A parcel that cannot be stored on arrival fails the task that reads it. Data that cannot be read for sending ends the rank and,
  if this MPI cannot go on without a rank, the run.
* No task begins while an exchange is under way here; a task that runs already ends first. Barrier stages run while no exchange
  does.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from time import perf_counter

from mpirdd.comm.exchange import Parcel, exchange
from mpirdd.comm.transport import EpochOver, Group, Transport
from mpirdd.executor.context_state import ContextState
from mpirdd.executor.reports import Reports, Tell
from mpirdd.protocol import messages
from mpirdd.protocol.errors import ClusterError, InternalError
from mpirdd.protocol.frames import Frames
from mpirdd.protocol.ids import BlockId, NodeId, Rank
from mpirdd.protocol.owners import NOBODY, tables_of
from mpirdd.store.fragments import Fragment
from mpirdd.store.shuffle_blocks import Pack

_EMPTY = -1
"""The source of a parcel that only announces an empty block."""
_NOTHING: Frames = [b""]
_MOST_RANKS = 64
"""The report to the driver names at most this many receivers and sums up the rest: n ranks that each name n receivers would send
it n x n names."""
_FEW = 4
"""Up to this many wanted partitions are searched for in C: 10 ns a bucket each, where a Python look at each bucket takes 50."""


Packs = Sequence[tuple[int, Pack]]
"""(map task, pack) for each pack."""


class _Parcels:
    """The parcels for one executor: buckets of packs, and copied blocks. It makes the parcels of buckets during iteration:
    parcels for a million small buckets would take as much memory as the buckets."""

    def __init__(self, blocks: Mapping[int, BlockId], packs: Packs) -> None:
        self._blocks, self._packs = blocks, packs
        self.buckets = array("q")
        """For each bucket two numbers: the index of its pack, and its index in the pack."""
        self.copies: list[Parcel] = []

    def __iter__(self) -> Iterator[Parcel]:
        numbers = iter(self.buckets)
        for number, place in zip(numbers, numbers, strict=True):
            task, pack = self._packs[number]
            yield Parcel(self._blocks[pack.partitions[place]], task, pack.buckets[place])
        yield from self.copies


Outgoing = dict[Rank, _Parcels]
"""By executor, its parcels, if it gets any."""


def _addressed(shuffle: NodeId, packs: Packs, tables: Sequence[array[int]], members: Sequence[Rank]) -> Outgoing:
    """The buckets of the packs, by the executor that gets them. Cost: 0.2 us a bucket; nothing for an empty one."""
    outgoing: Outgoing = {}
    if not packs or not tables:
        return outgoing
    blocks = {partition: BlockId("in", shuffle, partition) for partition, owner in enumerate(tables[0]) if owner != NOBODY}
    for table in tables:  # the first one names all partitions
        wanted = [partition for partition, owner in enumerate(table) if owner != NOBODY]
        of_table: list[_Parcels | None] = [None] * len(members)
        for number, (_, pack) in enumerate(packs):
            for place, owner in _found(pack.partitions, wanted, table):
                parcels = of_table[owner]
                if parcels is None:
                    parcels = of_table[owner] = outgoing.setdefault(members[owner], _Parcels(blocks, packs))
                parcels.buckets.extend((number, place))
    return outgoing


def _found(partitions: array[int], wanted: Sequence[int], table: array[int]) -> Iterator[tuple[int, int]]:
    """(index in ``partitions``, owner) of each wanted partition. Both sequences of partitions rise."""
    if len(wanted) <= _FEW:
        for partition in wanted:
            if partition in partitions:
                yield partitions.index(partition), table[partition]
        return
    for place, partition in enumerate(partitions):
        if partition > wanted[-1]:
            return
        owner = table[partition]
        if owner != NOBODY:
            yield place, owner


class Exchanges:
    """An executor's exchanges: one runs at a time, in the order of the driver's messages."""

    def __init__(self, transport: Transport, state: ContextState, reports: Reports, tell: Tell) -> None:
        self._transport, self._state, self._reports, self._tell = transport, state, reports, tell
        self._queue: deque[tuple[messages.Exchange, Sequence[BlockId], Outgoing | None]] = deque()
        """Each with the reduce inputs that it brings here, and the outgoing parcels; None if some of these are missing."""
        self._running: Generator[int, None, None] | None = None
        self._round = 0

    def __len__(self) -> int:
        """The number of exchanges under way or waiting."""
        return len(self._queue)

    @property
    def moving(self) -> bool:
        """Are bytes under way?"""
        return self._round > 0

    def add(self, message: messages.Exchange) -> None:
        """Queue an exchange, and take the blocks to send now: a later message may drop them from the store."""
        packs, gone = self._packs(message)
        members = sorted(self._group().members)
        tables = list(tables_of(message.owners, len(members)))
        outgoing: Outgoing = {}
        ins: list[BlockId] = []
        if message.shuffle is not None:
            here = members.index(self._transport.rank)
            ins = [BlockId("in", message.shuffle, partition) for table in tables for partition, owner in enumerate(table)
                   if owner == here]
            outgoing = _addressed(message.shuffle, packs, tables, members)
        for block, rank in message.copies:
            if block in self._state.store:
                parcels = [Parcel(block, source, fragment) for source, fragment in self._state.store.fragments(block)]
                outgoing.setdefault(rank, _Parcels({}, ())).copies += (
                    parcels or [Parcel(block, _EMPTY, Fragment(_NOTHING))])
            else:
                gone.append(block)
        if gone:
            self._tell(messages.Gone(tuple(gone)))
        lacking = any(block.kind == "map" for block in gone)
        self._queue.append((message, ins, None if lacking else outgoing))

    def _packs(self, message: messages.Exchange) -> tuple[list[tuple[int, Pack]], list[BlockId]]:
        """The packs of this executor's map outputs, each with its map task; and the map outputs that are missing here."""
        packs: list[tuple[int, Pack]] = []
        gone: list[BlockId] = []
        for block in [BlockId("map", message.shuffle, task) for task in message.maps if message.shuffle is not None]:
            if block in self._state.store:
                packs += [(block.part, pack) for pack in self._state.store.shuffles.packs(block)]
            else:
                gone.append(block)
        return packs, gone

    def move(self) -> bool:
        """Advance the exchange under way, or begin the next one; False if it can only wait."""
        if self._running is None:
            self._running = self._run(*self._queue[0])
        before = self._round
        try:
            self._round = next(self._running)
        except StopIteration:
            self._running, self._round = None, 0
            self._queue.popleft()
            return True
        except EpochOver:
            self.leave()  # the driver learns of the loss too, and will send orders
            return True
        return self._round != before

    def leave(self) -> None:
        """Give up all exchanges under way or waiting. Raises ClusterError if this MPI cannot go on without the lost rank."""
        if not self._queue:
            return
        if not self._transport.recovers:
            raise ClusterError("another rank is lost in the middle of an exchange, and this MPI cannot go on without it")
        if self._running is not None:
            self._running.close()
        self._running, self._round = None, 0
        self._queue.clear()
        self._state.store.abandon_arrivals()

    def regroup(self, message: messages.Regroup) -> None:
        """A rank is lost: later exchanges are among the living."""
        for rank in message.lost:
            self._transport.declare_lost(rank)
        self.leave()
        self._transport.regroup(message.epoch, message.members)

    def _run(
        self, message: messages.Exchange, ins: Sequence[BlockId], outgoing: Outgoing | None
    ) -> Generator[int, None, None]:
        group = self._group()
        store, costs = self._state.store, self._state.costs
        store.begin_arrivals(ins, message.levels)
        self._reports.send()  # costs so far belong to the tasks before it
        sent: dict[Rank, int] = {}
        received = 0

        def agreed(to: dict[Rank, int], here: int) -> None:
            nonlocal received
            sent.update(to)
            received = here

        began, counted_s = perf_counter(), costs.counted_s
        whole = yield from exchange(group, outgoing, self._deliver, message.buffer_bytes, store.memory.take, agreed)
        costs.add_rest("exchange_s", began, counted_s)  # without file costs in between, which count elsewhere
        if whole:
            store.complete_arrivals()
            stayed = sum(store.shuffles.reduce_input(block).nbytes for block in ins if block in store) - received
            if stayed > 0:
                sent[self._transport.rank] = stayed
        else:
            store.abandon_arrivals()
        self._reports.send(of_exchange=True)
        ended = perf_counter()
        most = sent if len(sent) <= _MOST_RANKS else dict(sorted(sent.items(), key=lambda to: -to[1])[:_MOST_RANKS])
        rest = sum(sent.values()) - sum(most.values())
        self._tell(messages.Exchanged(message.exchange, ended - began, most, rest, received, ended))

    def _group(self) -> Group:
        """The group of executors. All have the driver's settings, so all choose the same kind of group."""
        group = self._transport.group(collective=self._state.settings.collective(self._transport.recovers))
        if group is None:
            raise InternalError("an exchange on a rank that is no executor")
        return group

    def _deliver(self, parcel: Parcel) -> None:
        if parcel.source == _EMPTY:
            self._state.store.expect(parcel.block)
        else:
            self._state.store.arrive(parcel.block, parcel.source, parcel.fragment)
