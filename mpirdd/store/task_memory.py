"""A task's resources besides its blocks: working memory, claimed from the rank's one budget, and spill files.

A step that gathers records (a dict to combine in, a run to sort) asks for memory with ``grow`` as it goes. If the answer is
no, it writes its data to its spill file, gives the memory back, and goes on. When the task ends, all memory is given back.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import chain, islice
from time import perf_counter
from typing import Any, Protocol

from mpirdd.protocol.frames import Frames
from mpirdd.store.costs import Costs
from mpirdd.store.memory_watch import MemoryWatch
from mpirdd.store.scratch import Scratch
from mpirdd.store.spill import SpillFile

_WATCH_SLACK_BYTES = 16 << 20
"""A batch may make the process grow by one and a half times the estimate, plus this, before it is ended."""
_LARGE_BYTES = 1 << 18
_PART, _LOOK_S, _SLOW_S = 16, 0.002, 0.001
"""A batch is taken in parts of so many records, and the process is looked at after a part, at most every so many seconds: records
may become much larger than those before. A look takes 3 us. Large records are slow: after a slow part, a part is one record."""


class Lender(Protocol):
    """The lender of working memory: the rank's budget."""

    task_limit_bytes: int
    """The most bytes that one task may ever hold."""

    def claim(self, nbytes: int) -> bool:
        """True: the memory is lent, and counts until it is given back."""

    def release(self, nbytes: int) -> None: ...

    def process_bytes(self) -> int:
        """The resident size of the process; 0 if it is not watched. Any thread may call this."""

    @property
    def process_limit_bytes(self) -> int:
        """The resident size above which the rank spills."""


class TaskMemory:
    """For one task at a time; call ``close`` at the end of each."""

    def __init__(self, lender: Lender, scratch: Scratch) -> None:
        self.limit_bytes = lender.task_limit_bytes
        """The most bytes of working memory that one task may ever hold."""
        self.held_bytes = 0
        """The bytes that it holds now."""
        self.peak_bytes = 0
        """The most bytes that it has held; whoever measures a task resets it."""
        self._lender, self._scratch = lender, scratch
        self._watch = MemoryWatch(lender.process_bytes)
        self.full = self._watch.full
        """Not empty once the process is larger than ``watch`` allows: a batch under way must end early."""
        self._files: list[SpillFile] = []
        self._outliving: list[SpillFile] = []

    @classmethod
    def unbounded(cls) -> TaskMemory:
        """For tests: unlimited memory; spill files lie in a temporary folder, made when needed."""
        return cls(_Unbounded(), Scratch())

    def grow(self, nbytes: int) -> bool:
        """Ask for ``nbytes`` more of working memory. False: spill your data, give the memory back, then go on."""
        if not self._lender.claim(nbytes):
            return False
        self.held_bytes += nbytes
        if self.held_bytes > self.peak_bytes:
            self.peak_bytes = self.held_bytes
        return True

    def give_back(self, nbytes: int | None = None) -> None:
        """Give working memory back; None: all of it."""
        nbytes = self.held_bytes if nbytes is None else min(nbytes, self.held_bytes)
        self.held_bytes -= nbytes
        self._lender.release(nbytes)

    def watch(self, growth_bytes: int) -> int:
        """Let the process grow by about ``growth_bytes``; beyond that, ``full`` is not empty. Returns the resident size now; 0
        if it is not watched."""
        now = self._lender.process_bytes()
        if now:
            least = now + _WATCH_SLACK_BYTES
            self._watch.begin(min(least + growth_bytes * 3 // 2, max(self._lender.process_limit_bytes, least)))
        return now

    def batch(self, records: Iterator[Any], most: int) -> list[Any]:
        """At most ``most`` of the records; fewer at their end, or once ``full`` is not empty.

        It takes them in small parts, and checks the size of the process itself in between: the watching thread may have to wait
        for Python's lock for as long as the records take. A record costs 18 ns, where ``list(islice(records, most))`` takes 6 and
        a loop that checks ``full`` takes 22.
        """
        batch: list[Any] = []
        full, extend, taken = self.full, batch.extend, 0
        looked = before = perf_counter()
        part = 1 if full else min(most, _PART)
        while taken <= most - part:
            extend(islice(records, part))
            taken += part
            if full or len(batch) < taken:
                break
            now = perf_counter()
            if now - before > _SLOW_S:
                part = 1
            if now - looked > _LOOK_S:
                self._watch.look()
                looked = now
            before = now
        return batch

    def decode(self, frames: Frames) -> Any:
        """The value of ``frames``. After a large one it checks the size of the process itself, since the watching thread may come
        too late on a busy machine; a check costs some us."""
        value = self.costs.decode(frames)
        if sum(map(len, frames)) >= _LARGE_BYTES:
            self._watch.look()
        return value

    def spill_file(self, *, outlives_task: bool = False) -> SpillFile:
        """A new spill file, open until the task ends or its user closes it; if it outlives the task, until nothing refers to it.

        Raises:
            ScratchError: the file cannot be made.
            ClusterError: there is no folder for it.
        """
        file = SpillFile(self._scratch)
        (self._outliving if outlives_task else self._files).append(file)
        return file

    @property
    def costs(self) -> Costs:
        """Where the costs of spill files, and of encoding and decoding, are counted."""
        return self._scratch.costs

    @property
    def spilled_bytes(self) -> int:
        """The bytes written to the task's spill files so far; for tests and benchmarks."""
        return sum(file.size for file in chain(self._files, self._outliving))

    def close(self) -> None:
        """The task has ended."""
        self._watch.end()
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

    def process_bytes(self) -> int:
        return 0

    @property
    def process_limit_bytes(self) -> int:
        return sys.maxsize
