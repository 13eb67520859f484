"""Executors' reports about their data, as events: the memory in use, and the fate of partitions to be kept.

Memory events come at intervals. Each has the peak since the last one, so no peak is lost. The end of a stage and the end of the
run report what is still unreported.
"""

from __future__ import annotations

from collections.abc import Iterable
from math import inf

from mpirdd.observe import data_events, run_events
from mpirdd.observe.bus import Bus
from mpirdd.protocol import messages
from mpirdd.protocol.ids import NodeId, Rank
from mpirdd.protocol.values import dataclass

_MEMORY_EVERY_S = 1.0
_MEMORY_LINES = 100_000
"""The approximate limit of memory lines in the event log, over all executors."""


@dataclass(slots=True)
class _Memory:
    """The memory of one executor."""

    due: float = -inf
    """Time of the next event, on the executor's clock."""
    used: int = 0
    peak: int = 0
    """Since the last event."""
    most: int = 0
    """The largest peak reported."""
    news: bool = False


class DataReports:
    """The data reports of one driver's executors."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._memory: dict[Rank, _Memory] = {}
        self._lines = 0
        self._computed: dict[NodeId, set[int]] = {}
        """Partitions to be kept that tasks have computed, whether or not there was room for them."""

    def take(self, sender: Rank, report: messages.Report) -> None:
        """Handle a report of ``sender``."""
        if report.sizes:
            kept = [(block.of, block.part, *size) for block, size in report.sizes.items() if block.kind == "rdd"]
            self._bus.emit(data_events.Kept(sender, tuple(kept)))
        if report.not_kept:
            self._bus.emit(data_events.NotKept(sender, tuple([(block.of, block.part) for block in report.not_kept])))
        if report.sizes or report.not_kept:
            self._find_recomputed(sender, report)
        memory = self._memory.get(sender)
        if memory is None:
            memory = self._memory[sender] = _Memory()
        memory.used, memory.news = report.used_bytes, True
        if report.peak_bytes > memory.peak:
            memory.peak = report.peak_bytes
        if report.clock >= memory.due:
            rarer = 1 + 10 * self._lines // _MEMORY_LINES
            memory.due = report.clock + _MEMORY_EVERY_S * rarer
            self._tell(sender, memory)

    def stage_ends(self) -> None:
        """Report peaks that exceed all earlier ones now. A lower peak is in the next event, however short the stage was."""
        for rank, memory in self._memory.items():
            if memory.news and memory.peak > memory.most:
                self._tell(rank, memory)

    def run_ends(self) -> None:
        """Report everything that is unreported."""
        for rank, memory in self._memory.items():
            if memory.news:
                self._tell(rank, memory)

    def executor_lost(self, rank: Rank) -> None:
        memory = self._memory.pop(rank, None)
        if memory is not None and memory.news:
            self._tell(rank, memory)

    def forget(self, nodes: Iterable[NodeId]) -> None:
        """Nobody wants partitions of these nodes kept any more, or all were dropped on purpose."""
        for node in nodes:
            self._computed.pop(node, None)

    def _find_recomputed(self, sender: Rank, report: messages.Report) -> None:
        made = [block for done in report.done for block in done.made if block.kind == "rdd"]
        again = []
        for block in (*made, *report.not_kept):
            parts = self._computed.setdefault(block.of, set())
            if block.part in parts:
                again.append((block.of, block.part))
            parts.add(block.part)
        if again:
            self._bus.emit(data_events.Recomputed(sender, tuple(again)))

    def _tell(self, rank: Rank, memory: _Memory) -> None:
        self._bus.emit(run_events.MemoryUsed(rank, memory.used, max(memory.peak, memory.used)))
        self._lines += 1
        memory.most, memory.peak, memory.news = max(memory.most, memory.peak), memory.used, False
