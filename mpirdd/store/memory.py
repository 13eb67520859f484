"""The one memory budget of a rank.

Theory of operation. A rank has two kinds of data. *Holdings* can leave memory: kept partitions, map outputs, reduce inputs. *Task
memory* belongs to the running task, which claims it bit by bit. Both count against one limit. When something does not fit, the
least recently used holdings are evicted, each in its own way (dropped, or written to a spill file), by these rules:

* a kept partition never evicts partitions of its own RDD. Otherwise a loop over more data than fits would evict each partition
  just before reading it, and hit nothing. With this rule it hits the part that fits, and its time falls smoothly with the memory
  there is;
* task memory and shuffle data evict kept partitions only while those hold more than half of the budget;
* data that the running task reads (``pinned``) stays.

Sizes are measured (``store/measure.py``), but the system counts pages. So the resident size of the process is a second criterion:
if it exceeds its value at the start, plus the limit, plus ``_SLACK_BYTES``, holdings are evicted and claims refused as if the
budget were used up. Freed memory may stay with the process all the same (a page goes back only when all of it is free), and
refusing does not help against that. So the ceiling then rises by a thirty-second of the limit, and falls again with the resident
size.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from mpirdd.protocol.errors import ScratchError
from mpirdd.protocol.ids import NodeId

_SLACK_BYTES = 32 << 20
"""Bytes beyond the budget for imported modules, buffers of control messages and the like."""
_LOOK_PART = 64
"""The resident size is checked each time that this part of the limit has been asked for (a check takes some us)."""
_STEP_PART = 32
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


class Evictable:
    """Data that can leave memory."""

    kept = False
    """Is it a kept partition, rather than shuffle data?"""

    def __init__(self, of: NodeId) -> None:
        self.of = of
        self.memory_bytes = 0
        """The bytes that it counts; only ``Memory`` changes them."""
        self.pinned = False
        """Does a running task read it?"""

    def evict(self) -> None:
        """Leave memory. ``Memory`` calls this and keeps the account."""
        raise NotImplementedError


class Memory:
    """Not shared between threads: tasks, exchanges and messages of an executor take turns.

    Args:
        limit_bytes: the budget.
        resident: returns the resident size of the process in bytes; called again and again. None: only measured sizes count.
    """

    def __init__(self, limit_bytes: int, resident: Callable[[], int] | None = None) -> None:
        self.limit_bytes = limit_bytes
        self.task_limit_bytes = limit_bytes // 2
        self.held_bytes = 0
        self.kept_bytes = 0
        """The part of ``held_bytes`` that kept partitions take."""
        self.working_bytes = 0
        self.reserved_bytes = 0
        """Bytes that cannot be evicted, until somebody drops them: broadcast values."""
        self._peak_bytes = 0
        self._holdings: dict[Evictable, None] = {}  # least recently used first
        self._resident = resident
        self._bound = self._ceiling = resident() + limit_bytes + _SLACK_BYTES if resident else 0
        self._asked = 0

    @property
    def used_bytes(self) -> int:
        return self.held_bytes + self.working_bytes + self.reserved_bytes

    def take_peak(self) -> int:
        """The most bytes in use since the last call."""
        peak, self._peak_bytes = max(self._peak_bytes, self.used_bytes), self.used_bytes
        return peak

    def _note_peak(self) -> None:
        used = self.held_bytes + self.working_bytes + self.reserved_bytes
        if used > self._peak_bytes:
            self._peak_bytes = used

    def hold(self, holding: Evictable, nbytes: int) -> bool:
        """Count ``nbytes`` more for ``holding``, which becomes the most recently used. False: there is no room, and nothing is
        counted. May raise ScratchError while it evicts others."""
        if not self._make_room(nbytes, holding):
            return False
        holding.memory_bytes += nbytes
        self.held_bytes += nbytes
        if holding.kept:
            self.kept_bytes += nbytes
        self._holdings.pop(holding, None)
        self._holdings[holding] = None
        self._note_peak()
        return True

    def let_go(self, holding: Evictable, nbytes: int | None = None) -> None:
        """Count ``nbytes`` less for the holding; None: it has nothing in memory any more."""
        nbytes = holding.memory_bytes if nbytes is None else min(nbytes, holding.memory_bytes)
        holding.memory_bytes -= nbytes
        self.held_bytes -= nbytes
        if holding.kept:
            self.kept_bytes -= nbytes
        if not holding.memory_bytes:
            self._holdings.pop(holding, None)

    def used(self, holding: Evictable) -> None:
        """Make the holding the most recently used."""
        if holding in self._holdings:
            del self._holdings[holding]
            self._holdings[holding] = None

    def claim(self, nbytes: int) -> bool:
        """Lend task memory; False if there is none. May raise ScratchError while it evicts holdings."""
        if self.working_bytes + nbytes > self.task_limit_bytes or not self._make_room(nbytes, None):
            return False
        self.working_bytes += nbytes
        self._note_peak()
        return True

    def process_bytes(self) -> int:
        """The resident size of the process; 0 if only measured sizes count. Any thread may call this."""
        return 0 if self._resident is None else self._resident()

    @property
    def process_limit_bytes(self) -> int:
        """The resident size above which holdings are evicted and claims refused."""
        return self._ceiling

    def take(self, nbytes: int) -> None:
        """Claim memory that is needed in any case, such as buffers; evict what can be evicted. A negative ``nbytes`` gives it
        back."""
        if nbytes > 0:
            with suppress(ScratchError):  # whoever needs the disk more will report it
                self._make_room(nbytes, None)
        self.working_bytes += nbytes
        self._note_peak()

    def reserve(self, nbytes: int) -> None:
        """Count data that cannot be evicted; evict what can be. A negative ``nbytes`` counts it no more."""
        if nbytes > 0:
            with suppress(ScratchError):
                self._make_room(nbytes, None)
        self.reserved_bytes += nbytes
        self._note_peak()

    def release(self, nbytes: int) -> None:
        self.working_bytes -= nbytes

    def recount(self) -> None:
        """Sum up the account anew, between tasks: an interrupted task may have left it half changed."""
        self.held_bytes = sum(holding.memory_bytes for holding in self._holdings)
        self.kept_bytes = sum(holding.memory_bytes for holding in self._holdings if holding.kept)
        self.working_bytes = 0

    def _make_room(self, nbytes: int, asking: Evictable | None) -> bool:
        over = self.used_bytes + nbytes - self.limit_bytes
        if over > 0:
            if asking is not None and asking.kept and over > self._evictable_bytes(asking):
                return False  # and evict nothing in vain
            if self._evict(over, asking) < over:
                return False
        return self._resident is None or self._looks_right(nbytes, asking)

    def _looks_right(self, nbytes: int, asking: Evictable | None) -> bool:
        """Does the resident size allow ``nbytes`` more, or would refusing not help?"""
        self._asked += nbytes
        if self._asked < self.limit_bytes // _LOOK_PART:
            return True
        assert self._resident is not None
        self._asked = 0
        step = self.limit_bytes // _STEP_PART
        resident = self._resident()
        if resident <= self._ceiling:
            self._ceiling = max(self._bound, min(self._ceiling, resident + step))
            return True
        if self._evict(resident - self._ceiling, asking) or asking is None:
            give_back_freed_memory()
            resident = self._resident()
            if resident <= self._ceiling:
                return True
        self._ceiling = resident + step
        # Spilling a task that holds little of its own would not free much.
        return asking is None and self.working_bytes < self.limit_bytes // 16

    def _evict(self, wanted: int, asking: Evictable | None) -> int:
        """Evict at least ``wanted`` bytes, if there are so many to evict. Returns the number of bytes evicted."""
        spare = self.limit_bytes // _STEP_PART  # of shuffle data rather more at a time: each time walks all holdings
        freed = 0
        for victim in list(self._holdings):
            if freed >= wanted + (0 if victim.kept else spare):
                break
            if self._may_go(victim, asking) and (freed < wanted or not victim.kept):
                size = victim.memory_bytes
                victim.evict()
                self.let_go(victim)
                freed += size
        return freed

    def _evictable_bytes(self, asking: Evictable | None) -> int:
        return sum(holding.memory_bytes for holding in self._holdings if self._may_go(holding, asking))

    def _may_go(self, victim: Evictable, asking: Evictable | None) -> bool:
        if victim.pinned or victim is asking:
            return False
        if not victim.kept:
            return True
        if asking is not None and asking.kept:
            return victim.of != asking.of
        return self.kept_bytes - victim.memory_bytes >= self.limit_bytes // 2


class _ResidentSize:
    """Reads the resident size of this process from a file that stays open: 2.4 us, where opening it each time takes 5.

    It keeps Python's lock meanwhile. The functions of ``os`` give it up at each call, and a thread gets it back from a busy task
    only after 5 ms: the thread of ``memory_watch`` noticed large records three such calls later.
    """

    def __init__(self) -> None:
        self._opened_by = self._file = 0
        self._text = ctypes.create_string_buffer(128)
        self._page_bytes = os.sysconf("SC_PAGE_SIZE")
        self._pread = ctypes.PyDLL(None).pread
        self._pread.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_long]

    def __call__(self) -> int:
        if self._opened_by != os.getpid():  # a child's copy of the file shows its parent
            try:
                self._file = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                return 0
            self._opened_by = os.getpid()
        length = self._pread(self._file, self._text, len(self._text), 0)
        try:
            return int(self._text.raw[: max(length, 0)].split()[1]) * self._page_bytes
        except (IndexError, ValueError):  # the program has closed all files
            self._opened_by = 0
            return 0


resident_bytes = _ResidentSize()
"""Returns the resident size of this process in bytes; 0 if the system does not tell."""


def reuse_freed_memory(limit_bytes: int) -> None:
    """Let glibc keep large freed buffers instead of returning their pages each time: up to 256 MiB, or an eighth of the budget
    if that is less.

    Touching fresh pages costs as much as the exchange itself: a shuffle of 400 MB of arrays takes 104 ms without this and 68 ms
    with it, a collect of 100 MB 21 ms and 13 ms. Other C libraries have no such switch, and need none.
    """
    kept = max(min(limit_bytes // 8, 256 << 20), 1 << 20)
    with suppress(AttributeError, OSError):
        set_option = ctypes.CDLL(None).mallopt
        set_option(_M_MMAP_THRESHOLD, kept // 2)
        set_option(_M_TRIM_THRESHOLD, kept)


def give_back_freed_memory() -> None:
    """Let glibc return free pages to the system. Other C libraries do so by themselves."""
    with suppress(AttributeError, OSError):
        trim: Any = ctypes.CDLL(None).malloc_trim
        trim(0)
