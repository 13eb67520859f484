"""Waiting that costs little and notices events soon.

MPI gives no way to sleep until a message comes, and blocking calls burn a core (Open MPI spins). So
a waiting rank polls. For ``spin_s`` it only yields its core, so an immediate answer comes without
delay: a round trip takes 7 us, against 240 us with a sleep after every look. Then it sleeps for a
sixteenth of the time it has waited so far, so it notices an event at most 6 % late. A rank that has
long been idle looks every ``poll_sleep_s`` (10 ms), which costs 1 to 2 % of a core. After half a
minute (between two inputs of a notebook, say) it looks every 50 ms: 0.2 % of a core for each idle rank,
measured.
"""

from __future__ import annotations

import os
from time import perf_counter, sleep

_BUSY_S = 0.5
"""While bytes are moving, a rank yields and does not sleep, for at most this long without an event. Some MPIs (MPICH) move
bytes only inside calls: a shuffle of 50 MB took 20 s instead of 0.02 s when its ranks slept between calls."""
_LONG_S, _LONGER = 30.0, 5
"""After waiting this long, a rank sleeps at most this many times longer."""


class Waiting:
    """The back-off of one rank. Call ``reset`` when something happened, ``pause`` when nothing did."""

    def __init__(self, *, spin_s: float, poll_sleep_s: float) -> None:
        self._spin_s, self._poll_sleep_s = spin_s, poll_sleep_s
        self._since: float | None = None

    def reset(self) -> None:
        self._since = None

    def pause(self, *, busy: bool = False) -> None:
        """Give the core away for a moment; ``busy`` means that bytes are moving."""
        now = perf_counter()
        if self._since is None:
            self._since = now
        waited = now - self._since
        if waited < (_BUSY_S if busy else self._spin_s):
            os.sched_yield()
        else:
            sleep(min(waited / 16, self._poll_sleep_s if waited < _LONG_S else _LONGER * self._poll_sleep_s))
