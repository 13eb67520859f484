"""The page cache of the host: dropped between runs where the system permits it; otherwise the
record says so.

Dropping it takes root and a writable ``/proc/sys``, so in most containers and on clusters it cannot be done, and files are
read from memory. It slows down whatever else runs on the host: ``--page-cache warm`` leaves it alone.
"""

from __future__ import annotations

import os
from pathlib import Path

CONTROL = Path("/proc/sys/vm/drop_caches")


def drop() -> str | None:
    """Write dirty pages back, then drop clean ones; why not, or None when it is done."""
    os.sync()
    try:
        CONTROL.write_text("1\n")
    except OSError as error:
        return error.strerror or type(error).__name__
    return None


def state(policy: str) -> str:
    """What to record of a policy, ``drop`` or ``warm``; drops the cache once to see whether that is permitted."""
    if policy == "warm":
        return "warm"
    reason = drop()
    return "dropped before each run" if reason is None else f"warm: {CONTROL} cannot be written ({reason})"
