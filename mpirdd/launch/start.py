"""The first steps of a process that imports mpirdd, before MPI can start in it.

There are none unless a launcher has started the process, or one of its parents.
"""

from __future__ import annotations

import os
import sys

from mpirdd.launch.launchers import by_a_launcher, forget_launcher, launched_size, started_by_a_rank


def begin() -> None:
    """Give a rank the hash seed of all ranks. Make a process that a rank has started a program of its own."""
    if started_by_a_rank(os.environ):
        forget_launcher(os.environ)
    elif by_a_launcher(os.environ) and launched_size(os.environ) > 1 and (
            sys.flags.hash_randomization or "MPIRDD_RESTARTED" in os.environ):
        from mpirdd.launch import hash_seed

        hash_seed.fix(os.environ)
