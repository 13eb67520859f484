"""Broadcast variables on their way: the driver's end (``BroadcastSender``) and the executors' (``BroadcastReceiver``).

Theory of operation. A small value goes in a message to each executor that uses it. The driver writes a large value into shared
memory (``store/shared_memory.py``) once; the driver and the executors on its host map it. To other hosts the value goes in
pieces, along a tree of one executor a host (``comm/broadcast_tree.py``). That executor writes each piece into shared memory of
its own host and passes it on at once; it tells its neighbours when the value is complete. So a host holds each value once,
encoded, and arrays are views of it.

Each sent value has a *version*, a number that is never used twice. A stage names the versions that it needs, and its tasks wait
for them in the executor's queue. After ``unpersist`` a value gets a new version. The driver drops a version when no stage uses
it and every recipient has it, so no message about it can follow its ``Drop``. If one does (from a lost executor), the driver
answers with another ``Drop``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Container, Iterable, Mapping, Sequence
from itertools import count
from pickle import PickleBuffer
from time import time_ns
from typing import Any

from mpirdd.comm.broadcast_tree import BroadcastTree, Orders
from mpirdd.protocol.frames import Frames
from mpirdd.protocol.ids import DRIVER, Rank, StageId
from mpirdd.protocol.messages import (
    BroadcastArrived,
    BroadcastPiece,
    BroadcastRefused,
    BroadcastStream,
    BroadcastValue,
    Drop,
    Route,
    SharedBroadcast,
)
from mpirdd.protocol.stage import VariableId
from mpirdd.protocol.values import dataclass, field
from mpirdd.store.codec import decode, inside
from mpirdd.store.shared_memory import Filling, SharedFrames, attach, fill

_PIECE_BYTES = 16 << 20
"""Of each message. A leader passes one piece on while the next one arrives."""
Send = Callable[[Rank, Any], None]
"""Queues a message for a rank."""
_UNSET = object()


# --- the driver's end -------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Variable:
    """The driver's knowledge of one broadcast variable."""

    version: int
    needs: frozenset[VariableId]
    """Broadcast variables inside the value."""
    frames: Frames
    """Small values only."""
    shared: SharedFrames | None
    """Large values only."""
    spread: BroadcastTree | None = None
    """How far the large value has got; None before the driver sends it."""
    attempts: int = 0
    """How often the driver has sent the large value, to some or all."""
    sent: set[Rank] = field(default_factory=set)
    """The ranks to which the driver has sent this version."""
    stages: set[StageId] = field(default_factory=set)
    """Open stages that use it."""
    unpersisted: bool = False
    """The driver drops the version as soon as it can."""
    destroyed: bool = False
    """The driver drops the variable with its version."""


class BroadcastSender:
    """The driver's broadcast variables. Called under the driver's lock.

    Args:
        host: the driver's host.
        hosts: the hosts of executors, perhaps of lost ones, too; read at each use.
        shared_bytes: encoded values of at least this size are large.
    """

    def __init__(self, send: Send, *, host: str, hosts: Mapping[Rank, str], shared_bytes: int) -> None:
        self._send = send
        self._host, self._hosts, self._shared_bytes = host, hosts, shared_bytes
        self._lost: set[Rank] = set()
        self._variables: dict[VariableId, _Variable] = {}
        self._by_version: dict[int, VariableId] = {}
        self._by_stage: defaultdict[StageId, set[VariableId]] = defaultdict(set)
        # Executors outlive a Context, and so may messages of an earlier one: all versions of that one
        # are smaller.
        self._versions = count(time_ns())

    @property
    def settled(self) -> bool:
        """Nothing is on its way."""
        return all(variable.spread is None or variable.spread.complete for variable in list(self._variables.values()))

    def add(self, variable: VariableId, frames: Frames, needs: Collection[VariableId]) -> Frames:
        """Keep an encoded value for tasks; ``needs`` lists the broadcast variables inside it.

        Returns:
            The frames as they are kept, those of a large value in shared memory.
        """
        views = [memoryview(frame).cast("B") for frame in frames]
        large = sum(view.nbytes for view in views) >= self._shared_bytes
        shared = fill(frames) if large else None
        kept: Frames = [] if large else [bytes(view) for view in views]
        self._variables[variable] = made = _Variable(next(self._versions), frozenset(needs), kept, shared)
        self._by_version[made.version] = variable
        return kept if shared is None else shared.frames

    def provide(self, used: Iterable[VariableId], stage: StageId, rank: Rank) -> dict[VariableId, int]:
        """Send the executor the values that a stage uses; return the versions for which its tasks
        must wait. Leaves out destroyed variables: tasks may find kept partitions, and then do not call
        the function that uses the variable.
        """
        versions: dict[VariableId, int] = {}
        pending = list(used)
        for number in pending:  # grows while we go
            variable = self._variables.get(number)
            if variable is None or (variable.destroyed and stage not in variable.stages):
                continue
            variable.stages.add(stage)
            self._by_stage[stage].add(number)
            variable.unpersisted = variable.destroyed
            versions[number] = variable.version
            self._send_value(variable, rank)
            pending += [inner for inner in variable.needs if inner not in versions]
        return versions

    def stage_closed(self, stage: StageId) -> None:
        """No task of the stage will start any more."""
        for number in self._by_stage.pop(stage, ()):
            variable = self._variables.get(number)
            if variable is not None:
                variable.stages.discard(stage)
                self._drop_if_idle(number, variable)

    def drop(self, variable: VariableId, *, destroy: bool) -> bool:
        """Drop the value on executors as soon as no stage uses it, and with ``destroy`` the variable itself. True if that is
        already done. An unknown variable is no error."""
        found = self._variables.get(variable)
        if found is None:
            return True
        found.unpersisted = True
        found.destroyed = found.destroyed or destroy
        self._drop_if_idle(variable, found)
        return not found.unpersisted

    def drop_unused(self, variables: set[int], used: Container[VariableId]) -> set[int]:
        """The program cannot use ``variables`` any more: destroy those that no function uses either;
        return the others."""
        while True:
            within = {inner for variable in self._variables.values() for inner in variable.needs}
            gone = {variable for variable in variables if variable not in used and variable not in within}
            if not gone:
                return variables
            for variable in gone:
                self.drop(variable, destroy=True)
            variables = variables - gone

    def receive(self, sender: Rank, message: BroadcastArrived | BroadcastRefused) -> None:
        """Take an executor's message about a value."""
        number = self._by_version.get(message.version)
        if number is None:
            self._send(sender, Drop(broadcasts=(message.version,)))
            return
        variable = self._variables[number]
        assert variable.spread is not None
        if isinstance(message, BroadcastRefused):
            self._carry_out(variable, variable.spread.refused(sender, message.source))
        else:
            variable.spread.arrived(sender)
            self._drop_if_idle(number, variable)

    def executor_lost(self, rank: Rank) -> None:
        """Send others the values that should have reached them through the lost executor. ``hosts``
        may still hold it."""
        self._lost.add(rank)
        for number, variable in list(self._variables.items()):
            variable.sent.discard(rank)
            if variable.spread is not None:
                self._carry_out(variable, variable.spread.executor_lost(rank))
                self._drop_if_idle(number, variable)

    def clear(self) -> None:
        """Forget everything, without messages. Values that the program holds stay valid."""
        for variable in self._variables.values():
            if variable.shared is not None:
                variable.shared.close()
        self._variables.clear()
        self._by_version.clear()
        self._by_stage.clear()

    def _send_value(self, variable: _Variable, rank: Rank) -> None:
        """Send a small value to the executor, a large one to all of them; each only once."""
        if variable.shared is None:
            if rank not in variable.sent:
                variable.sent.add(rank)
                self._send(rank, BroadcastValue(variable.version, variable.frames))
        elif variable.spread is None:
            living = {rank: host for rank, host in self._hosts.items() if rank not in self._lost}
            variable.sent.update(living)
            variable.spread = BroadcastTree(living, self._host)
            self._carry_out(variable, variable.spread.start())
        elif rank not in variable.sent:  # a spare, which was no executor then
            variable.sent.add(rank)
            self._carry_out(variable, variable.spread.joined(rank, self._hosts[rank]))

    def _carry_out(self, variable: _Variable, orders: Orders) -> None:
        assert variable.shared is not None
        _share(self._send, DRIVER, variable.version, variable.shared, orders.share)
        variable.attempts += 1
        _stream(self._send, DRIVER, variable.version, variable.attempts, variable.shared, orders.stream)
        for rank in orders.whole:
            self._send(rank, BroadcastValue(variable.version, inside(variable.shared.frames), acknowledge=True))

    def _drop_if_idle(self, number: VariableId, variable: _Variable) -> None:
        on_its_way = variable.spread is not None and not variable.spread.complete
        if not variable.unpersisted or variable.stages or on_its_way:
            return
        for rank in variable.sent:
            self._send(rank, Drop(broadcasts=(variable.version,)))
        del self._by_version[variable.version]
        variable.sent.clear()
        variable.spread, variable.unpersisted = None, False
        if variable.destroyed:
            del self._variables[number]
            if variable.shared is not None:
                variable.shared.close()
        else:
            variable.version = next(self._versions)
            self._by_version[variable.version] = number


# --- an executor's end ------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Held:
    frames: Frames
    shared: SharedFrames | None
    """The frames' memory, if other processes can map it."""
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
    """The broadcast values that one executor has, by version. ``handlers`` take the messages about them, and never wait.

    Args:
        charge: gets the bytes that this executor takes, and minus that number when it frees them.
    """

    def __init__(self, rank: Rank, send: Send, charge: Callable[[int], None] = lambda nbytes: None) -> None:
        self._tell_charge = charge
        self.charged_bytes = 0
        """Memory that counts as this executor's: it has filled this part of the host's shared
        memory."""
        self._rank, self._send = rank, send
        self._held: dict[int, _Held] = {}
        self._arriving: dict[int, _Arriving] = {}
        self.handlers: dict[type, Callable[[Any], None]] = {
            BroadcastValue: self._keep,
            SharedBroadcast: self._map,
            BroadcastStream: self._begin,
            BroadcastPiece: self._take_piece,
        }

    def has(self, versions: Iterable[int]) -> bool:
        """All of them are here."""
        return all(version in self._held for version in versions)

    def value(self, version: int) -> Any:
        """The value; KeyError when it is not here."""
        held = self._held[version]
        if held.value is _UNSET:
            held.value = decode(held.frames)
        return held.value

    def drop(self, versions: Iterable[int]) -> None:
        """Forget versions; missing ones are no error. Memory stays while something refers to it."""
        for version in versions:
            self._arriving.pop(version, None)
            held = self._held.pop(version, None)
            if held is not None:
                self._charge(-held.charged_bytes)
                if held.shared is not None:
                    held.shared.close()

    def clear(self) -> None:
        """Forget everything."""
        self.drop([*self._held, *self._arriving])

    def _keep(self, message: BroadcastValue) -> None:
        if message.version not in self._held:
            self._hold(message.version, message.frames, None, own=True)
        if message.acknowledge:
            self._send(DRIVER, BroadcastArrived(message.version))

    def _map(self, message: SharedBroadcast) -> None:
        if message.version not in self._held:
            try:
                shared = attach(message.address)
            except OSError:
                self._send(DRIVER, BroadcastRefused(message.version, message.source))
                return
            self._hold(message.version, shared.frames, shared, own=False)
        self._send(DRIVER, BroadcastArrived(message.version))

    def _begin(self, message: BroadcastStream) -> None:
        """A value will come in pieces. If its sender was lost, the driver sends the value again, and
        the pieces received so far are useless."""
        version, attempt, route = message.version, message.attempt, message.route
        held, arriving = self._held.get(version), self._arriving.get(version)
        if held is not None:
            shared = held.shared or self._move(held)
            self._pass_on(version, shared, route)
            _stream(self._send, self._rank, version, attempt, shared, route.branches)
        elif arriving is None or arriving.attempt < attempt:
            self._arriving[version] = _Arriving(Filling(message.sizes), message.source, attempt, route)
            _announce(self._send, self._rank, version, attempt, message.sizes, route.branches)

    def _move(self, held: _Held) -> SharedFrames:
        """Move a value that came in a message into memory that the neighbours can map."""
        held.shared = fill(held.frames)
        held.frames = held.shared.frames
        if held.value is not _UNSET:  # its arrays are views of the memory before, which stays with them
            self._charge(held.charged_bytes)
            held.charged_bytes *= 2
        return held.shared

    def _take_piece(self, message: BroadcastPiece) -> None:
        arriving = self._arriving.get(message.version)
        if arriving is None or arriving.source != message.source:
            return  # of a stream that the driver has since sent again
        arriving.filling.write(message.offset, message.data)
        for branch in arriving.route.branches:
            self._send(branch.to, BroadcastPiece(message.version, self._rank, message.offset, PickleBuffer(message.data)))
        if arriving.filling.left_bytes == 0:
            del self._arriving[message.version]
            shared = arriving.filling.finish()
            self._hold(message.version, shared.frames, shared, own=True)
            self._pass_on(message.version, shared, arriving.route)

    def _pass_on(self, version: int, shared: SharedFrames, route: Route) -> None:
        """Let the neighbours map a whole value, and tell the driver that it is here."""
        _share(self._send, self._rank, version, shared, route.neighbours)
        self._send(DRIVER, BroadcastArrived(version))

    def _hold(self, version: int, frames: Frames, shared: SharedFrames | None, *, own: bool) -> None:
        size = sum(memoryview(frame).nbytes for frame in frames) if own else 0
        self._held[version] = _Held(frames, shared, size)
        self._charge(size)

    def _charge(self, size: int) -> None:
        """Change this executor's account of memory for broadcasts; nothing else does."""
        self.charged_bytes += size
        self._tell_charge(size)


# --- what both ends send ----------------------------------------------------------------------------------------------


def _share(send: Send, source: Rank, version: int, shared: SharedFrames, ranks: Sequence[Rank]) -> None:
    """Let executors on this host map the memory; if they cannot, send them the frames."""
    address = shared.address
    for rank in ranks:
        if address is None:
            send(rank, BroadcastValue(version, inside(shared.frames), acknowledge=True))
        else:
            send(rank, SharedBroadcast(version, source, address))


def _stream(send: Send, source: Rank, version: int, attempt: int, shared: SharedFrames, routes: Sequence[Route]) -> None:
    """Send a whole value along the routes. Queues views of its memory, so it takes no more memory."""
    _announce(send, source, version, attempt, shared.sizes, routes)
    for offset in range(0, shared.memory.nbytes if routes else 0, _PIECE_BYTES):
        piece = PickleBuffer(shared.memory[offset : offset + _PIECE_BYTES])
        for route in routes:
            send(route.to, BroadcastPiece(version, source, offset, piece))


def _announce(send: Send, source: Rank, version: int, attempt: int, sizes: tuple[int, ...], routes: Sequence[Route]) -> None:
    for route in routes:
        send(route.to, BroadcastStream(version, source, attempt, sizes, route))
