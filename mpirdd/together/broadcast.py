"""Broadcast variables on their way: the driver's end (``BroadcastSender``) and the executors' (``BroadcastReceiver``).

Theory of operation. A small value goes in a message to each executor that uses it. A large one is written into
shared memory (``storage/shared.py``) once, where the driver and the executors on its host map it. To other hosts it
goes in pieces, along a tree of one executor a host (``decisions/broadcasts.py``), each of whom writes what comes into
shared memory of its own host and passes it on at once; its neighbours are told when it is complete. So a host holds
one encoded copy, and arrays are views of it.

What is sent is a *copy* with a number of its own; a stage names the copies that it needs, and its tasks wait for
them in the executor's queue. After ``unpersist`` a new copy is made when a stage needs one. A copy is dropped when
no stage uses it and everybody who was to get it has it, so nothing of it can come behind its ``Drop``; where
something does (from an executor that was lost), its arrival is answered with another ``Drop``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pickle import PickleBuffer
from time import time_ns
from typing import Any

from mpirdd.decisions.broadcasts import Orders, Spread
from mpirdd.storage.codec import decode, inside
from mpirdd.storage.shared import Filling, Segment, attach, fill
from mpirdd.words.ids import Rank, StageId
from mpirdd.words.messages import (
    Broadcast,
    BroadcastArrived,
    BroadcastPiece,
    BroadcastRefused,
    BroadcastStream,
    Drop,
    Route,
    SharedBroadcast,
)
from mpirdd.words.transport import Frames

_DRIVER: Rank = 0
_PIECE_BYTES = 16 << 20
"""A leader passes on one piece while the next one comes."""

Send = Callable[[Rank, Any], None]
"""Queues a message for a rank."""

_UNSET = object()


# --- the driver's end -------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Variable:
    """What the driver knows of one broadcast variable."""

    copy: int
    needs: frozenset[int]
    """Broadcast variables inside the value."""
    frames: Frames
    """Small values only."""
    segment: Segment | None
    """Large values only."""
    spread: Spread | None = None
    """Where the copy of a large value is; None before it is sent."""
    attempts: int = 0
    """How often a large value was sent to some or all."""
    sent: set[Rank] = field(default_factory=set)
    """Who has been sent the copy."""
    stages: set[StageId] = field(default_factory=set)
    """Open stages that use it."""
    unpersisted: bool = False
    """The copy goes as soon as it can."""
    destroyed: bool = False
    """The variable goes with its copy."""


class BroadcastSender:
    """The driver's broadcast variables. Called under the driver's lock.

    Args:
        host: the driver's.
        hosts: of executors, lost ones among them or not; read at each use.
        shared_bytes: encoded values of this size and more are large.
    """

    def __init__(self, send: Send, *, host: str, hosts: Mapping[Rank, str], shared_bytes: int) -> None:
        self._send = send
        self._host, self._hosts, self._shared_bytes = host, hosts, shared_bytes
        self._lost: set[Rank] = set()
        self._variables: dict[int, _Variable] = {}
        self._by_copy: dict[int, int] = {}
        self._by_stage: defaultdict[StageId, set[int]] = defaultdict(set)
        # Executors outlive a Context, and so may what an earlier one has sent: its numbers are all smaller.
        self._copies = count(time_ns())

    @property
    def settled(self) -> bool:
        """Nothing is on its way."""
        return all(variable.spread is None or variable.spread.complete for variable in list(self._variables.values()))

    def add(self, variable: int, frames: Frames, needs: Collection[int]) -> Any:
        """Keep an encoded value for tasks; ``needs`` are the broadcast variables inside it.

        Returns:
            The value as it lies in shared memory, if its buffers are large; else None, as nothing would be gained by it.
        """
        views = [memoryview(frame).cast("B") for frame in frames]
        large = sum(view.nbytes for view in views) >= self._shared_bytes
        segment = fill(frames) if large else None
        kept: Frames = [] if large else [bytes(view) for view in views]
        self._variables[variable] = made = _Variable(next(self._copies), frozenset(needs), kept, segment)
        self._by_copy[made.copy] = variable
        if segment is None or needs or sum(view.nbytes for view in views[1:]) < self._shared_bytes:
            return None
        return decode(segment.frames)

    def provide(self, used: Iterable[int], stage: StageId, rank: Rank) -> dict[int, int]:
        """See to it that the executor gets what a stage uses; the copies that its tasks must wait for.

        Variables that have been destroyed are not among them: a task may still find kept what its function made with one.
        """
        copies: dict[int, int] = {}
        pending = list(used)
        for number in pending:  # grows while we go
            variable = self._variables.get(number)
            if variable is None or (variable.destroyed and stage not in variable.stages):
                continue
            variable.stages.add(stage)
            self._by_stage[stage].add(number)
            variable.unpersisted = variable.destroyed
            copies[number] = variable.copy
            self._send_copy(variable, rank)
            pending += [inner for inner in variable.needs if inner not in copies]
        return copies

    def stage_closed(self, stage: StageId) -> None:
        """No task of the stage will be started any more."""
        for number in self._by_stage.pop(stage, ()):
            variable = self._variables.get(number)
            if variable is not None:
                variable.stages.discard(stage)
                self._drop_if_idle(number, variable)

    def drop(self, variable: int, *, destroy: bool) -> bool:
        """Drop the executors' copies as soon as no stage uses them, and with ``destroy`` the variable; True if that is
        done already. One that is not there is no error."""
        found = self._variables.get(variable)
        if found is None:
            return True
        found.unpersisted = True
        found.destroyed = found.destroyed or destroy
        self._drop_if_idle(variable, found)
        return not found.unpersisted

    def drop_unused(self, variables: set[int], used: set[int]) -> set[int]:
        """Destroy those of ``variables``, which the program cannot use any more, that no function uses either; gives
        back the others."""
        while True:
            within = {inner for variable in self._variables.values() for inner in variable.needs}
            gone = {variable for variable in variables if variable not in used and variable not in within}
            if not gone:
                return variables
            for variable in gone:
                self.drop(variable, destroy=True)
            variables = variables - gone

    def receive(self, sender: Rank, message: BroadcastArrived | BroadcastRefused) -> None:
        """What an executor says of a copy."""
        number = self._by_copy.get(message.copy)
        if number is None:
            self._send(sender, Drop(broadcasts=(message.copy,)))
            return
        variable = self._variables[number]
        assert variable.spread is not None
        if isinstance(message, BroadcastRefused):
            self._carry_out(variable, variable.spread.refused(sender, message.source))
        else:
            variable.spread.arrived(sender)
            self._drop_if_idle(number, variable)

    def executor_lost(self, rank: Rank) -> None:
        """Send to others what they were to get from the lost executor, or by way of it. ``hosts`` may still hold it."""
        self._lost.add(rank)
        for number, variable in list(self._variables.items()):
            variable.sent.discard(rank)
            if variable.spread is not None:
                self._carry_out(variable, variable.spread.executor_lost(rank))
                self._drop_if_idle(number, variable)

    def clear(self) -> None:
        """Let go of everything, without telling anybody. Values that the program holds stay valid."""
        for variable in self._variables.values():
            if variable.segment is not None:
                variable.segment.close()
        self._variables.clear()
        self._by_copy.clear()
        self._by_stage.clear()

    def _send_copy(self, variable: _Variable, rank: Rank) -> None:
        """A small value to the executor, a large one to all of them; what has been sent is not sent again."""
        if variable.segment is None:
            if rank not in variable.sent:
                variable.sent.add(rank)
                self._send(rank, Broadcast(variable.copy, variable.frames))
        elif variable.spread is None:
            living = {rank: host for rank, host in self._hosts.items() if rank not in self._lost}
            variable.sent.update(living)
            variable.spread = Spread(living, self._host)
            self._carry_out(variable, variable.spread.start())

    def _carry_out(self, variable: _Variable, orders: Orders) -> None:
        assert variable.segment is not None
        _share(self._send, _DRIVER, variable.copy, variable.segment, orders.share)
        variable.attempts += 1
        _stream(self._send, _DRIVER, variable.copy, variable.attempts, variable.segment, orders.stream)
        for rank in orders.whole:
            self._send(rank, Broadcast(variable.copy, inside(variable.segment.frames), acknowledge=True))

    def _drop_if_idle(self, number: int, variable: _Variable) -> None:
        on_its_way = variable.spread is not None and not variable.spread.complete
        if not variable.unpersisted or variable.stages or on_its_way:
            return
        for rank in variable.sent:
            self._send(rank, Drop(broadcasts=(variable.copy,)))
        del self._by_copy[variable.copy]
        variable.sent.clear()
        variable.spread, variable.unpersisted = None, False
        if variable.destroyed:
            del self._variables[number]
            if variable.segment is not None:
                variable.segment.close()
        else:
            variable.copy = next(self._copies)
            self._by_copy[variable.copy] = number


# --- an executor's end ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Held:
    frames: Frames
    segment: Segment | None
    """The frames' memory, where other processes can map it."""
    charged_bytes: int
    value: Any = _UNSET
    """Decoded when a task first asks, then shared by all tasks here."""


@dataclass(slots=True)
class _Arriving:
    filling: Filling
    source: Rank
    attempt: int
    route: Route


class BroadcastReceiver:
    """The copies that one executor has. ``handlers`` take the messages about them, which never wait.

    Args:
        charge: told how much memory that counts as this executor's is taken, and minus that when it is free again.
    """

    def __init__(self, rank: Rank, send: Send, charge: Callable[[int], None] = lambda nbytes: None) -> None:
        self._tell_charge = charge
        self.charged_bytes = 0
        """Memory that counts as this executor's: of a host's shared memory, what it has filled."""
        self._rank, self._send = rank, send
        self._held: dict[int, _Held] = {}
        self._arriving: dict[int, _Arriving] = {}
        self.handlers: dict[type, Callable[[Any], None]] = {
            Broadcast: self._keep,
            SharedBroadcast: self._map,
            BroadcastStream: self._begin,
            BroadcastPiece: self._take_piece,
        }

    def has(self, copies: Iterable[int]) -> bool:
        """All of them are here."""
        return all(copy in self._held for copy in copies)

    def value(self, copy: int) -> Any:
        """The value; KeyError when it is not here."""
        held = self._held[copy]
        if held.value is _UNSET:
            held.value = decode(held.frames)
        return held.value

    def drop(self, copies: Iterable[int]) -> None:
        """Forget copies; those that are not here are no error. Memory stays as long as something refers to it."""
        for copy in copies:
            self._arriving.pop(copy, None)
            held = self._held.pop(copy, None)
            if held is not None:
                self._charge(-held.charged_bytes)
                if held.segment is not None:
                    held.segment.close()

    def clear(self) -> None:
        """Forget everything."""
        self.drop([*self._held, *self._arriving])

    def _keep(self, message: Broadcast) -> None:
        if message.copy not in self._held:
            self._hold(message.copy, message.frames, None, own=True)
        if message.acknowledge:
            self._send(_DRIVER, BroadcastArrived(message.copy))

    def _map(self, message: SharedBroadcast) -> None:
        if message.copy not in self._held:
            try:
                segment = attach(message.address)
            except OSError:
                self._send(_DRIVER, BroadcastRefused(message.copy, message.source))
                return
            self._hold(message.copy, segment.frames, segment, own=False)
        self._send(_DRIVER, BroadcastArrived(message.copy))

    def _begin(self, message: BroadcastStream) -> None:
        """Sent again, by the driver, when whoever was to send it was lost: what has come so far is of no use then."""
        copy, attempt, route = message.copy, message.attempt, message.route
        held, arriving = self._held.get(copy), self._arriving.get(copy)
        if held is not None:
            held.segment = held.segment or fill(held.frames)
            self._pass_on(copy, held.segment, route)
            _stream(self._send, self._rank, copy, attempt, held.segment, route.branches)
        elif arriving is None or arriving.attempt < attempt:
            self._arriving[copy] = _Arriving(Filling(message.sizes), message.source, attempt, route)
            _announce(self._send, self._rank, copy, attempt, message.sizes, route.branches)

    def _take_piece(self, message: BroadcastPiece) -> None:
        arriving = self._arriving.get(message.copy)
        if arriving is None or arriving.source != message.source:
            return  # of a stream that has been sent again
        arriving.filling.write(message.offset, message.data)
        for branch in arriving.route.branches:
            self._send(branch.to, BroadcastPiece(message.copy, self._rank, message.offset, PickleBuffer(message.data)))
        if arriving.filling.left_bytes == 0:
            del self._arriving[message.copy]
            segment = arriving.filling.finish()
            self._hold(message.copy, segment.frames, segment, own=True)
            self._pass_on(message.copy, segment, arriving.route)

    def _pass_on(self, copy: int, segment: Segment, route: Route) -> None:
        """A whole segment: to the neighbours, and word of it to the driver."""
        _share(self._send, self._rank, copy, segment, route.neighbours)
        self._send(_DRIVER, BroadcastArrived(copy))

    def _hold(self, copy: int, frames: Frames, segment: Segment | None, *, own: bool) -> None:
        size = sum(memoryview(frame).nbytes for frame in frames) if own else 0
        self._held[copy] = _Held(frames, segment, size)
        self._charge(size)

    def _charge(self, size: int) -> None:
        """The one place where the memory that broadcasts take here changes."""
        self.charged_bytes += size
        self._tell_charge(size)


# --- what both ends send ----------------------------------------------------------------------------------------------


def _share(send: Send, source: Rank, copy: int, segment: Segment, ranks: Sequence[Rank]) -> None:
    """Let executors on this host map the segment; where that is not possible, send them the frames."""
    address = segment.address
    for rank in ranks:
        if address is None:
            send(rank, Broadcast(copy, inside(segment.frames), acknowledge=True))
        else:
            send(rank, SharedBroadcast(copy, source, address))


def _stream(send: Send, source: Rank, copy: int, attempt: int, segment: Segment, routes: Sequence[Route]) -> None:
    """Send a whole segment along the routes. Queues views of its memory, so it costs none."""
    _announce(send, source, copy, attempt, segment.sizes, routes)
    for offset in range(0, segment.memory.nbytes if routes else 0, _PIECE_BYTES):
        piece = PickleBuffer(segment.memory[offset : offset + _PIECE_BYTES])
        for route in routes:
            send(route.to, BroadcastPiece(copy, source, offset, piece))


def _announce(
    send: Send, source: Rank, copy: int, attempt: int, sizes: tuple[int, ...], routes: Sequence[Route]
) -> None:
    for route in routes:
        send(route.to, BroadcastStream(copy, source, attempt, sizes, route))
