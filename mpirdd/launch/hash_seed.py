"""One hash seed for all ranks, so that ``hash`` of text in a program's functions is the same on all of them.

Python chooses a seed for ``hash`` of text and bytes at its start, another one in each process. For that reason ``mpirdd run``
and ``pyspark`` set PYTHONHASHSEED. Under a plain ``mpirun`` or ``srun`` nobody does, so each rank starts its interpreter again
with a seed, before MPI starts. The first import of mpirdd does it, by exec, which keeps the process id, standard input and all
that the launcher gave the process. It costs the start of an interpreter, some 20 ms.

Left out: a process that cannot start again, as MPI runs already (the program imported mpi4py first), the program comes from
standard input, or Python ignores its environment (``python -I``). There only partition functions get a ``hash`` that is the
same on all ranks (``ops/python_hash.py``).
"""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping

_RESTARTED = "MPIRDD_RESTARTED"
"""The id of a process that has started again: exec keeps the id. ``python -R`` takes no seed, and would start again for ever."""


def fix(environment: MutableMapping[str, str]) -> None:
    """Start this interpreter again with a fixed seed, if it has none and can be started again; else do nothing."""
    restarted = environment.pop(_RESTARTED, "") == str(os.getpid())
    if restarted or _is_fixed(environment) or not _can_restart():
        return
    environment.update({"PYTHONHASHSEED": "0", _RESTARTED: str(os.getpid())})
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def _is_fixed(environment: MutableMapping[str, str]) -> bool:
    """``hash_randomization`` is off for seed 0 alone. A program that sets the variable itself is too late."""
    seed = environment.get("PYTHONHASHSEED", "")
    return not sys.flags.hash_randomization or (seed.isdigit() and int(seed) != 0)


def _can_restart() -> bool:
    from threading import active_count

    return (
        bool(sys.executable)
        and os.path.basename(sys.orig_argv[0]).startswith("python")  # not a program that has Python inside
        and not sys.flags.ignore_environment
        and not sys.flags.interactive
        and sys.argv[0] not in ("", "-")  # the part of standard input that was read would be missing
        and "mpi4py.MPI" not in sys.modules
        and sys.stdout is sys.__stdout__  # pytest, say, has put files in the place of the standard streams
        and active_count() == 1
    )
