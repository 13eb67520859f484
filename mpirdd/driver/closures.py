"""The program's functions: pickled once, sent to each executor that needs them, forgotten with their nodes.

The driver remembers the functions of each executor, so an iteration of a loop sends only new ones. A large function that most
executors need travels as a broadcast value does (``comm/broadcast.py``): once into each host's shared memory, along a tree of
hosts. So the driver sends it log2(hosts) times, not once to each executor, and a lost executor of the tree holds nobody up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from mpirdd.comm.broadcast import BroadcastSender
from mpirdd.driver.channel import Channel
from mpirdd.ops.current_task import collecting_broadcasts
from mpirdd.protocol import messages
from mpirdd.protocol.ids import JobId, NodeId, Rank
from mpirdd.protocol.stage import ClosureId, Stage, VariableId
from mpirdd.scheduler.lineage import Narrow, Node, Shuffled, Source, walk
from mpirdd.store.codec import pickle_function

_LEAST_EXECUTORS = 2
"""With fewer executors, each gets its own copy of a function."""
_NONE: frozenset[VariableId] = frozenset()


class Closures:
    """The functions of all nodes and jobs.

    Args:
        large_bytes: the pickled size from which a function is large. At 64 KiB the driver takes equally long both ways (100
            executors, 12 ms; at 256 KiB 20 to 29 ms against 13, at 1 MiB 140 against 17), and sends 7 MB against 0.6.
        told: called with each new node once its functions are pickled.
        told_function: called with each function, its label and its bytes.
    """

    def __init__(
        self, channel: Channel, broadcasts: BroadcastSender, large_bytes: int,
        told: Callable[[Node], None] = lambda node: None,
        told_function: Callable[[ClosureId, str, int], None] = lambda closure, label, nbytes: None,
    ) -> None:
        self._channel, self._sender, self._large_bytes = channel, broadcasts, large_bytes
        self._told, self._told_function = told, told_function
        self._pickled: dict[ClosureId, bytes] = {}
        self._broadcasts: dict[ClosureId, set[VariableId]] = {}
        """By function, the broadcast variables that it uses, if any; and the function itself if it travels as a broadcast
        value."""
        self._spread: set[ClosureId] = set()
        """The functions that travel as broadcast values."""
        self._sent: dict[Rank, set[ClosureId]] = {}

    # --- pickle -----------------------------------------------------------------------------------

    def pickle_lineage(self, target: Node) -> None:
        """Pickle the functions of new nodes now, so that an error names the operation before anything runs. All or none: the
        ancestors of a known node count as known.

        Raises:
            UsageError: a function cannot be pickled.
        """
        known = self._pickled
        new = [node for node in walk(target, stop=lambda node: ClosureId("step", node.id) in known)
               if ClosureId("step", node.id) not in known]
        try:
            self._pickle_nodes(new)
        except BaseException:  # whatever the user's objects raise
            self.forget(node.id for node in new)
            raise
        for node in reversed(new):
            self._told(node)

    def _pickle_nodes(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            step = ClosureId("step", node.id)
            if isinstance(node, Shuffled):
                self._pickle(ClosureId("write", node.id), node.write, node.label)
                self._pickle(step, node.read, node.label)
            elif isinstance(node, Source):
                self._pickle(step, node.reader, node.label)
            elif isinstance(node, Narrow):
                self._pickle(step, node.step, node.label)

    def pickle_action(self, job: JobId, action: Callable[..., Any], label: str) -> None:
        self._pickle(ClosureId("action", job), action, label)

    def _pickle(self, closure: ClosureId, function: Any, label: str) -> None:
        with collecting_broadcasts() as used:
            self._pickled[closure] = pickled = pickle_function(function, label)
        self._told_function(closure, label, len(pickled))
        if used:
            self._broadcasts[closure] = {*used}

    # --- send -------------------------------------------------------------------------------------

    def spread(self, stage: Stage, tasks: int) -> None:
        """A stage of ``tasks`` tasks begins: send its large functions along the tree of hosts, if at least half of the executors
        need them."""
        executors = len(self._channel.executors)
        if executors < _LEAST_EXECUTORS or 2 * tasks < executors:
            return
        for closure in stage.closures():
            pickled = self._pickled[closure]
            if len(pickled) >= self._large_bytes and closure not in self._spread:
                used = self._broadcasts.setdefault(closure, set())
                self._sender.add(closure, [pickled], used.copy())
                used.add(closure)
                self._spread.add(closure)

    def send(self, rank: Rank, stage: Stage) -> None:
        """Send the executor those functions of the stage that it lacks."""
        sent = self._sent.setdefault(rank, set())
        new = [closure for closure in dict.fromkeys(stage.closures()) if closure not in sent]
        if new:
            sent.update(new)
            alone = tuple([(closure, self._pickled[closure]) for closure in new if closure not in self._spread])
            if alone:
                self._channel.send(rank, messages.KeepClosures(alone))

    def bytes_of(self, stage: Stage) -> int:
        """The bytes of the stage's pickled functions."""
        return sum([len(self._pickled[closure]) for closure in dict.fromkeys(stage.closures())])

    def broadcasts_of(self, stage: Stage) -> set[VariableId]:
        """The broadcast variables that the stage's functions use, and those functions that travel as such."""
        if not self._broadcasts:
            return set()
        return set().union(*[self._broadcasts.get(closure, _NONE) for closure in stage.closures()])

    def used_broadcasts(self) -> set[VariableId]:
        return set().union(*self._broadcasts.values())

    # --- forget -----------------------------------------------------------------------------------

    def drop_action(self, job: JobId) -> None:
        """The job has ended: tell executors to drop its action."""
        closure = ClosureId("action", job)
        self._channel.send_all(messages.Drop(closures=(closure,)), self._forget(closure))

    def forget(self, nodes: Iterable[NodeId]) -> None:
        """The nodes are gone. Executors drop the functions together with the blocks."""
        for node in nodes:
            self._forget(ClosureId("step", node))
            self._forget(ClosureId("write", node))

    def _forget(self, closure: ClosureId) -> list[Rank]:
        """Forget a function; return the executors that have it."""
        self._pickled.pop(closure, None)
        self._broadcasts.pop(closure, None)
        if closure in self._spread:
            self._spread.discard(closure)
            self._sender.drop(closure, destroy=True)
        having = [rank for rank, sent in self._sent.items() if closure in sent]
        for rank in having:
            self._sent[rank].discard(closure)
        return having

    def executor_lost(self, rank: Rank) -> None:
        self._sent.pop(rank, None)
