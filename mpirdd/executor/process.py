"""The executor's process: all that an executor changes about the process as a whole.

The entry point makes one of these. A rank of its own belongs to the executor: its functions see the program's arguments and
modules, its allocator keeps freed buffers, its resident size is watched, and its garbage collector is steered. The driver's
process, which hosts the executor of a world of one rank, belongs to the program, and stays as the program made it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from mpirdd.executor.breakpoints import refuse
from mpirdd.executor.garbage import Garbage
from mpirdd.executor.stacks import Offered
from mpirdd.store.memory import resident_bytes, reuse_freed_memory


class HostedProcess:
    """The program's own process."""

    hosted = True
    """The program runs here too, in the main thread or in others."""
    resident: Callable[[], int] | None = None
    """The resident size of the process. None here: it would include the program's own data."""

    def adopt_program(self, argv: Sequence[str], folder: str) -> bool:
        """Let the job's functions see the program's surroundings; True if the program's folder exists here."""
        sees_folder = os.path.isdir(folder)
        if sees_folder and folder not in sys.path:
            sys.path.insert(0, folder)
        return sees_folder

    def use_memory(self, budget_bytes: int) -> None:
        """The executor gets this budget."""

    def take_collecting_s(self) -> float:
        """The seconds in Python's garbage collector since the last call. Here nobody counts them."""
        return 0.0

    def begin_task(self, stage: str, partition: int) -> None:
        """A task of the user's begins, in a stage with this label."""

    def driver_is_far(self) -> None:
        """The driver is on another host, from which it cannot observe this process."""

    def end_task(self, kept_bytes: int) -> None:
        """The task has ended; kept partitions hold ``kept_bytes`` in memory."""

    def dropped(self, kept_bytes: int) -> None:
        """Blocks were dropped; kept partitions hold ``kept_bytes`` in memory."""


class OwnProcess(HostedProcess):
    """A process that belongs to the executor."""

    hosted = False
    resident = staticmethod(resident_bytes)

    def __init__(self, stacks: Offered | None = None) -> None:
        self._garbage, self._stacks = Garbage(), stacks
        sys.breakpointhook = refuse

    def adopt_program(self, argv: Sequence[str], folder: str) -> bool:
        sys.argv = list(argv)
        return super().adopt_program(argv, folder)

    def take_collecting_s(self) -> float:
        return self._garbage.take_collecting_s()

    def use_memory(self, budget_bytes: int) -> None:
        reuse_freed_memory(budget_bytes)

    def begin_task(self, stage: str, partition: int) -> None:
        if self._stacks is not None:
            self._stacks.begin_task(stage, partition)
        self._garbage.begin_task()

    def driver_is_far(self) -> None:
        if self._stacks is not None:
            self._stacks.to_stderr()

    def look(self) -> None:
        """Called in another thread, now and then while a task runs."""
        self._garbage.look()

    def end_task(self, kept_bytes: int) -> None:
        if self._stacks is not None:
            self._stacks.end_task()
        self._garbage.end_task()
        self._garbage.settle(kept_bytes)

    def dropped(self, kept_bytes: int) -> None:
        self._garbage.settle(kept_bytes)
