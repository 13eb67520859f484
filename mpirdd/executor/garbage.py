"""Python's garbage collector in a process of the executor's own.

The collector walks all containers that it tracks, again and again while more are made: the blocks
of the store, and the data that a task gathers, although next to nothing of it is ever cyclic
garbage. Grouping 1,000,000 pairs took twice the time for it. So:

* What stays is *frozen*: the collector does not walk it any more. Before that it is walked once, so that no garbage is
  frozen. What was kept may be cyclic itself; when much of it has been dropped, all is thawed and walked.
* A task begins with the program's own threshold. As long as collections find nothing, the threshold doubles; when one finds
  garbage, it falls. So a function that makes cyclic garbage has it collected about as soon as everywhere, and one that makes
  none pays for few collections. Few objects may hold much: when the process grows, a second thread that looks at it now and
  then lets the threshold fall, too.

In the driver's process the collector is the program's, and nothing is changed. Nor is it where a function of the user's has
changed its thresholds, or switched it off.

Measured, 1,000,000 pairs with 250,000 keys over kept data, 2 executors on a busy machine, before and after in turn, medians
in seconds: groupByKey 19.0 and 18.1, with this 8.2 and 8.2; join 14.3 and 12.1, 9.7 and 8.5; reduceByKey 4.2 and 3.5, 3.6
and 3.4; sort 5.2 and 4.1, 4.7 and 3.8; word count 2.7 and 1.8, 2.8 and 1.3.
"""

from __future__ import annotations

import gc
from time import perf_counter
from typing import Any

from mpirdd.store.memory import resident_bytes

_MOST_OBJECTS = 200_000
"""The most new containers between two collections."""
_FREEZE_BYTES = 4 << 20
"""Bytes kept since the last time before a freeze. The walk takes 1.4 ms for so many pairs with
lists."""
_GROWN_BYTES = 32 << 20
"""Growth of the process before a collection that looks for the reason."""
_THAW_BYTES = 64 << 20
"""Bytes dropped since the last time before a thaw: at least these, and as many as are kept."""


class Garbage:
    """For the process's main thread, between and around tasks."""

    def __init__(self) -> None:
        self._usual = gc.get_threshold()
        self._objects = self._usual[0]
        self._steering = False
        self._collecting_s = self._collection_began_s = 0.0
        self._least_bytes = 0
        """Of the resident size, since the last collection for its sake."""
        self._settled_bytes = self._dropped_bytes = 0
        gc.callbacks.append(self._collected)
        gc.freeze()  # the modules

    def begin_task(self) -> None:
        """A function runs that may make garbage."""
        self._steering = gc.isenabled() and gc.get_threshold() == (self._objects, *self._usual[1:])
        if self._steering and self._objects != self._usual[0]:
            self._set(self._usual[0])

    def look(self) -> None:
        """Called in another thread while a task runs for long."""
        now = resident_bytes()
        if now - self._least_bytes < _GROWN_BYTES:
            self._least_bytes = min(now, self._least_bytes)
            return
        self._least_bytes = now
        if self._steering:
            self._set(self._usual[0])  # the next new container begins a collection

    def end_task(self) -> None:
        self._steering = False

    def settle(self, kept_bytes: int) -> None:
        """Between tasks. Kept partitions hold ``kept_bytes`` in memory now."""
        if kept_bytes - self._settled_bytes >= _FREEZE_BYTES:
            gc.collect()
            gc.freeze()
            self._settled_bytes = kept_bytes
        elif kept_bytes < self._settled_bytes:
            self._dropped_bytes += self._settled_bytes - kept_bytes
            self._settled_bytes = kept_bytes
            if self._dropped_bytes >= max(_THAW_BYTES, kept_bytes):
                self.thaw()

    def take_collecting_s(self) -> float:
        """Seconds in collections since the last call."""
        seconds, self._collecting_s = self._collecting_s, 0.0
        return seconds

    def thaw(self) -> None:
        """Collect frozen objects that have become garbage."""
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        self._dropped_bytes = 0

    def _collected(self, phase: str, found: dict[str, Any]) -> None:
        """Called by the collector."""
        if phase == "start":
            self._collection_began_s = perf_counter()
            return
        self._collecting_s += perf_counter() - self._collection_began_s
        if not self._steering:
            return
        if gc.get_threshold()[0] != self._objects:
            self._steering = False  # the user's function has set it
        elif found["collected"] * 32 > self._objects:
            self._set(max(self._usual[0], self._objects // 8))
        elif self._objects < _MOST_OBJECTS:
            self._set(min(2 * self._objects, _MOST_OBJECTS))

    def _set(self, objects: int) -> None:
        self._objects = objects
        gc.set_threshold(objects, *self._usual[1:])
