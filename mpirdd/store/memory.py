"""The one memory budget of a rank.

Theory of operation. A rank's data is of two kinds. *Holdings* can leave memory: kept partitions,
map outputs, reduce inputs. *Task memory* belongs to the running task, which claims it bit by bit.
Both count against one limit. When something does not fit, the least recently used holdings are
evicted, each in its own way (dropped, or written to a spill file), with these rules:

* a kept partition never evicts partitions of its own RDD: a loop over more data than fits would
  evict each partition just before reading it, and hit nothing. With this rule it hits the part that
  fits, and its time falls smoothly with the memory there is;
* task memory and shuffle data push kept partitions out only until those hold half of the budget;
* data that the running task reads (``pinned``) stays.

Sizes are measured (``store/measure.py``), but the system counts pages. So the resident size of the process is a second
truth: when it is over what the process had at the start, plus the limit, plus ``_SLACK_BYTES``, holdings are
evicted and claims refused as if the budget were used up. Freed memory may stay with the process all the same (a page goes back
when all of it is free); as refusing does not help against that, the ceiling then rises by a thirty-second of the limit, and
falls again with the resident size.
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
"""Bytes beside the budget for modules that tasks import, buffers of control messages and the
like."""
_LOOK_PART = 64
"""The resident size is looked at whenever this part of the limit has been asked for (a look takes some us)."""
_STEP_PART = 32
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


class Evictable:
    """Something that may leave memory."""

    kept = False
    """A kept partition rather than shuffle data."""

    def __init__(self, of: NodeId) -> None:
        self.of = of
        self.memory_bytes = 0
        """The bytes that it counts; only ``Memory`` sets them."""
        self.pinned = False
        """A running task reads it."""

    def evict(self) -> None:
        """Leave memory. Called by ``Memory``, which keeps the account."""
        raise NotImplementedError


class Memory:
    """Not shared between threads: tasks, exchanges and messages of an executor take turns.

    Args:
        limit_bytes: the budget.
        resident: the process's resident size in bytes, asked again and again; None to go by measured sizes alone.
    """

    def __init__(self, limit_bytes: int, resident: Callable[[], int] | None = None) -> None:
        self.limit_bytes = limit_bytes
        self.task_limit_bytes = limit_bytes // 2
        self.held_bytes = 0
        self.kept_bytes = 0
        """The part of ``held_bytes`` that kept partitions take."""
        self.working_bytes = 0
        self.reserved_bytes = 0
        """Bytes that stay until somebody drops them: broadcast values."""
        self._peak_bytes = 0
        self._holdings: dict[Evictable, None] = {}  # least recently used first
        self._resident = resident
        self._bound = self._ceiling = resident() + limit_bytes + _SLACK_BYTES if resident else 0
        self._asked = 0

    @property
    def used_bytes(self) -> int:
        return self.held_bytes + self.working_bytes + self.reserved_bytes

    def take_peak(self) -> int:
        """The most bytes that were in use since the last call."""
        peak, self._peak_bytes = max(self._peak_bytes, self.used_bytes), self.used_bytes
        return peak

    def _note_peak(self) -> None:
        used = self.held_bytes + self.working_bytes + self.reserved_bytes
        if used > self._peak_bytes:
            self._peak_bytes = used

    def hold(self, holding: Evictable, nbytes: int) -> bool:
        """Count ``nbytes`` more for ``holding``, which becomes the most recently used. False: there is no room, and they
        are not counted."""
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
        """Count ``nbytes`` less for it; None means that nothing of it is in memory any more."""
        nbytes = holding.memory_bytes if nbytes is None else min(nbytes, holding.memory_bytes)
        holding.memory_bytes -= nbytes
        self.held_bytes -= nbytes
        if holding.kept:
            self.kept_bytes -= nbytes
        if not holding.memory_bytes:
            self._holdings.pop(holding, None)

    def used(self, holding: Evictable) -> None:
        """It is being read."""
        if holding in self._holdings:
            del self._holdings[holding]
            self._holdings[holding] = None

    def claim(self, nbytes: int) -> bool:
        """Lend task memory; False if there is none."""
        if self.working_bytes + nbytes > self.task_limit_bytes or not self._make_room(nbytes, None):
            return False
        self.working_bytes += nbytes
        self._note_peak()
        return True

    def process_bytes(self) -> int:
        """The resident size of the process; 0 if this account goes by measured sizes alone. Any thread
        may ask."""
        return 0 if self._resident is None else self._resident()

    @property
    def process_limit_bytes(self) -> int:
        """The resident size at which holdings are evicted and claims refused."""
        return self._ceiling

    def take(self, nbytes: int) -> None:
        """Claim what is needed in any case, such as buffers, evicting what can be; below 0, give it back."""
        if nbytes > 0:
            with suppress(ScratchError):  # who needs the disk more will say so
                self._make_room(nbytes, None)
        self.working_bytes += nbytes
        self._note_peak()

    def reserve(self, nbytes: int) -> None:
        """Count what cannot leave memory, evicting what can; below 0, count it no more."""
        if nbytes > 0:
            with suppress(ScratchError):
                self._make_room(nbytes, None)
        self.reserved_bytes += nbytes
        self._note_peak()

    def release(self, nbytes: int) -> None:
        self.working_bytes -= nbytes

    def recount(self) -> None:
        """Between tasks: a task was interrupted, perhaps in the middle of an account."""
        self.held_bytes = sum(holding.memory_bytes for holding in self._holdings)
        self.kept_bytes = sum(holding.memory_bytes for holding in self._holdings if holding.kept)
        self.working_bytes = 0

    def _make_room(self, nbytes: int, asking: Evictable | None) -> bool:
        over = self.used_bytes + nbytes - self.limit_bytes
        if over > 0:
            if asking is not None and asking.kept and over > self._evictable_bytes(asking):
                return False  # and do not evict for nothing
            if self._evict(over, asking) < over:
                return False
        return self._resident is None or self._looks_right(nbytes, asking)

    def _looks_right(self, nbytes: int, asking: Evictable | None) -> bool:
        """The resident size allows for ``nbytes`` more, or refusing would not help."""
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
        # A task that holds little of its own would not free much by spilling it.
        return asking is None and self.working_bytes < self.limit_bytes // 16

    def _evict(self, wanted: int, asking: Evictable | None) -> int:
        """Evict at least ``wanted`` bytes, if there are so many to evict. Returns how many it were."""
        spare = self.limit_bytes // _STEP_PART  # of shuffle data rather more at once: each time costs a look at all
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


def resident_bytes() -> int:
    """The resident size of this process; 0 where the system does not tell."""
    try:
        with open("/proc/self/statm", "rb", buffering=0) as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def reuse_freed_memory(limit_bytes: int) -> None:
    """Let glibc keep large buffers that are freed instead of giving their pages back each time; up to 256 MiB, or an eighth
    of the budget where that is less.

    Touching fresh pages costs as much as the exchange itself: a shuffle of 400 MB of arrays takes 104 ms without this,
    68 ms with it, a collect of 100 MB 21 and 13 ms. Other C libraries have no such switch, and need none.
    """
    kept = max(min(limit_bytes // 8, 256 << 20), 1 << 20)
    with suppress(AttributeError, OSError):
        set_option = ctypes.CDLL(None).mallopt
        set_option(_M_MMAP_THRESHOLD, kept // 2)
        set_option(_M_TRIM_THRESHOLD, kept)


def give_back_freed_memory() -> None:
    """Let glibc give free pages back to the system; others do it by themselves."""
    with suppress(AttributeError, OSError):
        trim: Any = ctypes.CDLL(None).malloc_trim
        trim(0)
