"""What a task may use beside its blocks: memory to work in, claimed from the rank's one budget, and spill files.

A step that gathers records (a dict to combine in, a run to sort) asks with ``grow`` as it goes. When the answer is
no, it writes what it has to its spill file, gives the memory back, and goes on. When the task ends, all is given back.
"""

from __future__ import annotations

import sys
from itertools import chain
from typing import Protocol

from mpirdd.storage.costs import Costs
from mpirdd.storage.scratch import Scratch
from mpirdd.storage.spill import SpillFile


class Lender(Protocol):
    """Where working memory comes from: the rank's budget."""

    task_limit_bytes: int
    """What one task may ever hold."""

    def claim(self, nbytes: int) -> bool:
        """True: the memory is lent, and counts until it is given back."""

    def release(self, nbytes: int) -> None: ...


class Workspace:
    """For one task at a time; ``close`` it at the end of each."""

    def __init__(self, lender: Lender, scratch: Scratch) -> None:
        self.limit_bytes = lender.task_limit_bytes
        """What one task may ever hold as working memory."""
        self.held_bytes = 0
        """What it holds now."""
        self._lender, self._scratch = lender, scratch
        self._files: list[SpillFile] = []
        self._outliving: list[SpillFile] = []

    @classmethod
    def unbounded(cls) -> Workspace:
        """For tests, and for the driver: lends without end, in a temporary folder that is made when it is needed."""
        return cls(_Unbounded(), Scratch())

    def grow(self, nbytes: int) -> bool:
        """Ask for ``nbytes`` more of working memory. False: spill what you have, give it back, then go on."""
        if not self._lender.claim(nbytes):
            return False
        self.held_bytes += nbytes
        return True

    def give_back(self, nbytes: int | None = None) -> None:
        """Give working memory back; None means all."""
        nbytes = self.held_bytes if nbytes is None else min(nbytes, self.held_bytes)
        self.held_bytes -= nbytes
        self._lender.release(nbytes)

    def spill_file(self, *, outlives_task: bool = False) -> SpillFile:
        """A new spill file, open until the task ends or its user closes it; or, if it outlives the task, until nothing
        refers to it.

        Raises:
            ScratchError: there is no folder to make it in.
        """
        file = SpillFile(self._scratch)
        (self._outliving if outlives_task else self._files).append(file)
        return file

    @property
    def costs(self) -> Costs:
        """Where what files and their contents cost is counted."""
        return self._scratch.costs

    @property
    def spilled_bytes(self) -> int:
        """What has been written to the task's spill files so far."""
        return sum(file.size for file in chain(self._files, self._outliving))

    def close(self) -> None:
        """The task has ended."""
        if self.held_bytes:
            self.give_back()
        if self._files:
            for file in self._files:
                file.close()
            self._files.clear()
        self._outliving.clear()


class _Unbounded:
    task_limit_bytes = sys.maxsize

    def claim(self, nbytes: int) -> bool:
        return True

    def release(self, nbytes: int) -> None:
        pass
