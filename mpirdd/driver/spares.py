"""The driver's part in spares: ranks that wait, and join as executors when others are lost.

Spares start together with the executors. They get all that executors get in advance (settings, added files), but nothing that
comes with stages until they join. Then they get functions, broadcast values and blocks as any executor does that has none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from mpirdd.driver.channel import Channel
from mpirdd.observe import run_events
from mpirdd.observe.bus import Bus
from mpirdd.observe.executor_memory import ExecutorMemory
from mpirdd.observe.spare_events import SpareLost, SpareWaits
from mpirdd.protocol import messages
from mpirdd.protocol.ids import Rank
from mpirdd.scheduler import events


class Spares:
    """Handles the spares' first messages, and carries out the scheduler's commands about spares.

    Args:
        hosts: of the executors; spares that join are added.
        home: the driver's host.
        fixed_memory: the settings give the budget of a rank.
        tell: passes an event to the scheduler.
    """

    def __init__(
        self, channel: Channel, hosts: dict[Rank, str], memory: ExecutorMemory, *, home: str, fixed_memory: bool, bus: Bus,
        tell: Callable[[events.Event], None],
    ) -> None:
        self._channel, self._hosts, self._memory = channel, hosts, memory
        self._home, self._fixed_memory, self._bus, self._tell = home, fixed_memory, bus, tell
        self._started: dict[Rank, messages.Started] = {}
        self._ranks_at_start = Counter([home])
        """By host: the number of ranks that share its memory before a spare joins."""

    def executor_started(self, host: str) -> None:
        self._ranks_at_start[host] += 1

    def started(self, sender: Rank, message: messages.Started) -> None:
        self._started[sender] = message
        self._bus.emit(SpareWaits(sender, message.host, message.pid))
        self._tell(events.SpareStarted(sender, message.host))

    def joins(self, command: events.SpareJoins) -> None:
        rank = command.executor
        started = self._started.pop(rank)
        self._channel.joins(rank)
        self._hosts[rank] = started.host
        budget = self._memory.limit_bytes[rank] = self._budget(started)
        self._channel.send(rank, messages.Join(budget))
        self._bus.emit(run_events.ExecutorJoined(rank, started.host, started.pid, budget, command.instead))

    def _budget(self, started: messages.Started) -> int:
        """The budget of a spare that joins.

        Budgets were divided without spares. If more ranks share the host than at the start, the spare gets its share of the host
        as it is now, and the others keep theirs: budgets leave 0.4 of the memory for other uses.
        """
        living = [rank for rank in self._channel.executors if self._hosts.get(rank) == started.host]
        now = len(living) + (started.host == self._home)
        if self._fixed_memory or now <= (at_start := max(self._ranks_at_start[started.host], 1)):
            return started.memory_bytes
        return started.memory_bytes * at_start // now

    def gone(self, command: events.SpareGone) -> None:
        started = self._started.pop(command.lost)
        self._bus.emit(SpareLost(command.lost, started.host, command.why, command.left))
