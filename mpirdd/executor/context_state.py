"""The state that an executor holds for one Context: its settings and its stores."""

from __future__ import annotations

from mpirdd.executor.process import HostedProcess
from mpirdd.protocol.settings import Settings
from mpirdd.store.blocks import BlockStore
from mpirdd.store.costs import Costs
from mpirdd.store.memory import Memory
from mpirdd.store.scratch import Scratch
from mpirdd.store.task_memory import TaskMemory


class ContextState:
    """Shared by the parts of an executor. ``start`` makes it anew, and empty, when a Context begins.

    Args:
        allotted_bytes: the memory budget if the settings give none.
    """

    def __init__(self, process: HostedProcess, allotted_bytes: int) -> None:
        self._process, self._allotted_bytes = process, allotted_bytes
        self._make(Settings(), allotted_bytes)

    def start(self, settings: Settings, budget: int = 0) -> None:
        """A Context begins, or a spare joins: free all data, and make an empty store within ``budget`` bytes; 0 means the budget
        of the settings."""
        self.clear()
        budget = budget or settings.memory or self._allotted_bytes
        self._process.use_memory(budget)
        self._make(settings, budget)

    def clear(self) -> None:
        """Forget all data."""
        self.store.clear()
        self.scratch.remove()

    @property
    def memory(self) -> Memory:
        return self.store.memory

    @property
    def costs(self) -> Costs:
        return self.scratch.costs

    def _make(self, settings: Settings, budget: int) -> None:
        self.settings = settings
        self.scratch = Scratch(settings.scratch)
        self.store = BlockStore(
            Memory(budget, self._process.resident), self.scratch, through_files=settings.mode == "mapreduce")
        self.task_memory = self.own_task_memory()

    def own_task_memory(self) -> TaskMemory:
        """Working memory for a task that runs inside another one."""
        return TaskMemory(self.store.memory, self.scratch)
