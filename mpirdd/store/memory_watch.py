"""A check of the size of the process every few milliseconds, while a task gathers records.

A step that gathers records takes them in batches and measures only between batches (``store/spill_trigger.py``). It estimates the
size of a batch from the records before. So 20,000 tiny records followed by 60 of 6 MB could be one batch, and 360 MB would be in
memory before anybody measured. Measuring each record would cost as much as combining it. Instead a thread checks the resident
size, and ends a batch that makes the process grow beyond the estimate: loops check ``full`` after each record, which costs 4
ns.

The thread needs Python's lock, which a busy task gives up every 5 ms: a task gathers for some 15 ms more before it notices. It
comes much later if the task gives the lock up by itself, often and for a moment, as at each small read of a file: Python then
does not see that a thread waits. So whoever can checks by itself too: ``TaskMemory.batch`` after a few records, and a reader of
large pieces of a shuffle, which knows when the process grows (``TaskMemory.decode``). The thread also notices data that cannot be
measured (in closures, in deep nests).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from threading import Event, Thread

_LOOK_S = 0.01
"""With 0.005 the checks cost a grouping 3 % on a machine with more ranks than cores."""
_IDLE_S = 10.0


class MemoryWatch:
    """For one task at a time.

    Args:
        process_bytes: returns the resident size of the process; 0 if it is unknown. Called in the thread, too.
    """

    def __init__(self, process_bytes: Callable[[], int]) -> None:
        self.full: list[None] = []
        """If not empty, the batch under way must end. The holder clears it after measuring."""
        self._process_bytes = process_bytes
        self._limit_bytes = sys.maxsize
        self._is_on = False
        self._began = Event()
        self._thread: Thread | None = None

    def begin(self, limit_bytes: int) -> None:
        """From now on the process must not grow beyond ``limit_bytes``."""
        self._limit_bytes = limit_bytes
        self._is_on = True
        if self._thread is None or not self._thread.is_alive():
            self._thread = Thread(target=self._look, name="mpirdd memory", daemon=True)
            self._thread.start()
        if not self._began.is_set():
            self._began.set()

    def look(self) -> None:
        """The batches under way must end if the process is too large."""
        if self._is_on and self._process_bytes() > self._limit_bytes:
            self.full.append(None)

    def end(self) -> None:
        """The task has ended."""
        if self._is_on or self.full:
            self._is_on = False
            self.full.clear()

    def _look(self) -> None:
        pause = Event()
        while self._began.wait(_IDLE_S):
            pause.wait(_LOOK_S)
            if not self._is_on:
                self._began.clear()
                if self._is_on:  # it was switched on a moment ago
                    self._began.set()
            else:
                self.look()
