"""How many ranks a run starts when some of them wait as spares.

``-n`` counts the ranks that work, and the spares come on top. In a Slurm job without ``-n`` the spares are among its tasks, as
each rank has a slot of its own; ``mpirdd submit`` asks for that many more tasks.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from mpirdd.launch.launchers import slurm_tasks
from mpirdd.protocol.errors import UsageError


class Ranks(NamedTuple):
    working: int
    """The driver and the executors."""
    spares: int

    def of(self, started: int) -> Ranks:
        """The same run on ``started`` ranks in all: these work first, and the rest are spares."""
        return Ranks(min(self.working, started), max(started - self.working, 0))

    def __str__(self) -> str:
        waiting = f" and {self.spares} spare{'s' if self.spares > 1 else ''}" if self.spares else ""
        return f"{self.working} ranks{waiting}"


def planned(ranks: int, spares: int, environment: Mapping[str, str], *, given: bool) -> Ranks:
    """The numbers of ranks that work and that wait.

    Args:
        ranks: the number of ``-n``, if it was ``given``; else the default, in a Slurm job its tasks.

    Raises:
        UsageError: the spares leave no executor.
    """
    if given or not slurm_tasks(environment):
        return Ranks(ranks, spares)
    if spares and ranks - spares < 2:
        raise UsageError(f"--spares {spares} leaves no executor: this Slurm job has {ranks} tasks, and the driver is one of "
                         "them. Ask for more tasks (--ntasks), or give -n: spares come on top of it")
    return Ranks(ranks - spares, spares)


def why_none(spares: int, ranks: int, *, mpi: str, can_recover: bool, recover: bool, exchange: str = "auto") -> str:
    """A line that says why a run goes without the spares it was to have; empty if it has them.

    Args:
        mpi: name and version of the MPI.
        can_recover: this MPI can survive a lost rank.
        recover: this run is to survive one.
        exchange: the setting ``exchange``.
    """
    if not spares:
        return ""
    if ranks == 1:
        why = "a run of one rank has no executors beside its driver that could be lost"
    elif not can_recover:
        why = f"with {mpi} the loss of a rank ends the run, so that a spare could never join; Open MPI 5 or newer goes on"
    elif not recover:
        option = "--exchange collective" if exchange == "collective" else "--no-ft"
        why = f"with {option} the loss of a rank ends the run, so that a spare could never join"
    else:
        return ""
    return f"mpirdd: the run goes without --spares {spares}: {why}"


def ask_slurm(options: list[str], spares: int) -> str:
    """Make sbatch's ``options`` ask for the spares' tasks, too. Returns a line for the user if the options do not name the
    number of tasks; else ""."""
    each_node = any(re.match(r"--ntasks-per-node\b", option) for option in options)
    for index, option in enumerate(options):
        found = re.fullmatch(r"(--ntasks=|-n ?)(\d+)", option)
        if found and not each_node:
            options[index] = f"{found[1]}{int(found[2]) + spares}"
            return ""
    return (f"mpirdd: --spares {spares}: of the tasks that Slurm gives, the last {spares} wait{'s' if spares == 1 else ''}; with "
            "--ntasks=N, without --ntasks-per-node, that many more are asked for")
