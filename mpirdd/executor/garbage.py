"""Python's garbage collector in a process of the executor's own.

The collector walks all containers that it tracks, again and again as more are made: the blocks of the store, and the data that a
task gathers. Next to nothing of these is ever cyclic garbage. Grouping 1,000,000 pairs took twice the time because of it. So:

* Data that stays is *frozen*: the collector does not walk it any more. It is walked once before, so that no garbage is frozen.
  Kept data may be cyclic itself; when much of it has been dropped, everything is thawed and walked.
* A task begins with the program's own threshold. While collections find nothing, the threshold doubles; when one finds garbage,
  it falls. So the cyclic garbage of a function is collected about as soon as elsewhere, and a function that makes none pays for
  few collections. A few objects may hold much memory, so a second thread looks at the process now and then, and lowers the
  threshold when the process has grown.

In the driver's process the collector belongs to the program, and nothing is changed. The same holds once a function of the
user's has changed the thresholds, or switched the collector off.

Measured with 1,000,000 pairs with 250,000 keys over kept data, 2 executors on a busy machine, before and after in turn, medians
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
"""After this many newly kept bytes, data is frozen. Walking as many bytes of pairs with lists takes 1.4 ms."""
_GROWN_BYTES = 32 << 20
"""After this growth of the process, the threshold falls, so that a collection looks for the reason."""
_THAW_BYTES = 64 << 20
"""Data is thawed once at least this many bytes, and as many as are still kept, have been dropped."""


class Garbage:
    """For the process's main thread, between and around tasks."""

    def __init__(self) -> None:
        self._usual = gc.get_threshold()
        self._objects = self._usual[0]
        self._steering = False
        self._collecting_s = self._collection_began_s = 0.0
        self._least_bytes = 0
        """The resident size: at the last collection for its sake, or the lowest since."""
        self._settled_bytes = self._dropped_bytes = 0
        gc.callbacks.append(self._collected)
        gc.freeze()  # the modules

    def begin_task(self) -> None:
        """A function that may make garbage begins."""
        self._steering = gc.isenabled() and gc.get_threshold() == (self._objects, *self._usual[1:])
        if self._steering and self._objects != self._usual[0]:
            self._set(self._usual[0])

    def look(self) -> None:
        """Lower the threshold if the process has grown. Called in another thread while a task runs for long."""
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
        """Freeze or thaw. Called between tasks; kept partitions now hold ``kept_bytes`` in memory."""
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
        """The seconds spent in collections since the last call."""
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
            self._steering = False  # the user's function has changed it
        elif found["collected"] * 32 > self._objects:
            self._set(max(self._usual[0], self._objects // 8))
        elif self._objects < _MOST_OBJECTS:
            self._set(min(2 * self._objects, _MOST_OBJECTS))

    def _set(self, objects: int) -> None:
        self._objects = objects
        gc.set_threshold(objects, *self._usual[1:])
