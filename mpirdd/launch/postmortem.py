"""Why a run ended before its driver did, as the launcher reports it at the end.

mpirun says little about it, and not always the truth: when one rank dies, MPICH ends all ranks, and names any of them. So the
launcher itself watches the ranks of its own host (``driver/witnesses.py``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress

from mpirdd.driver.witnesses import Witnesses
from mpirdd.launch.status_channel import DRIVER_LOST, StatusChannel
from mpirdd.observe.notices import of_stack

_WITH_RECOVERY = "Open MPI 5 or newer survives that (mpirdd run, without --no-ft)."
_AGAIN = "No run survives that; run a program with checkpoints again, and it goes on from the last one."
_BY_KILL = "by kill -9, or for memory, say"


class PostMortem:
    """Call ``look`` while the run goes on; then ``why``, and ``stack`` for the stack of the rank that ``why`` names."""

    def __init__(self, channel: StatusChannel, ranks: int) -> None:
        self._channel, self._ranks = channel, ranks
        self._witnesses = Witnesses()
        self._watched: set[int] = set()
        self._named: int | None = None

    @property
    def sees_all(self) -> bool:
        return len(self._watched) == self._ranks

    def look(self) -> None:
        """Find the ranks of this host that have started since the last call. Cheap once all are known."""
        if not self.sees_all:
            here = os.uname().nodename
            ranks = {}
            with suppress(OSError):  # the run is over, and the channel's folder gone
                ranks = self._channel.ranks()
            for rank, (host, pid) in ranks.items():
                if rank not in self._watched and (host != here or self._witnesses.joined(rank, pid)):
                    self._watched.add(rank)

    def stack(self) -> str:
        """The Python stack of the rank that has ended the run, if it is known."""
        return "" if self._named is None else of_stack(self._witnesses.last_stack(self._named))

    def driver_lost(self) -> str:
        """What happened to the driver, which was lost, and what to do."""
        self._named = 0
        how = self._witnesses.ending(0, wait=True)
        return f"the driver (rank 0) was lost, and the run with it: {how or _BY_KILL}. {_AGAIN}"

    def why(self, gist: Mapping[str, str] | None, code: int, *, recovers: bool) -> str:
        """What happened when mpirun ended before the driver, and what to do."""
        if code == DRIVER_LOST:
            return self.driver_lost()
        if not gist:
            how = f"mpirun was killed by signal {-code}" if code < 0 else f"mpirun ended with exit code {code}"
            return (f"the run ended before the driver finished: {how}. A rank probably left early, or crashed. "
                    "If the run never started, try `mpirdd doctor`.")
        if "signal" not in gist:
            return (f"host {gist['host']} was lost, and the run with it: mpirun's daemon there does not answer, which mpirun "
                    "does not survive. Run again without that host; a program with checkpoints goes on from the last one.")
        return self._rank_lost(gist, recovers)

    def _rank_lost(self, gist: Mapping[str, str], recovers: bool) -> str:
        rank, ranks, exits = gist.get("rank"), self._channel.ranks(), self._channel.exits()
        culprit = next(self._witnesses.culprits(), None)
        if rank == "0" or culprit == 0:
            return self.driver_lost()
        if exits and gist["signal"] == "9":
            number = int(rank) if rank and int(rank) in exits else min(exits)
            host = ranks.get(number, (gist["host"], 0))[0]
            return f"rank {number} (host {host}) was lost, and the run with it: a task called os._exit({exits[number]}) there."
        advice = "" if recovers else f" {_WITH_RECOVERY}"
        if culprit is not None:
            self._named = culprit
            how = self._witnesses.ending(culprit, wait=True)
            return f"rank {culprit} (host {ranks[culprit][0]}) was lost, and the run with it: {how}.{advice}"
        who = f"rank {rank} (host {gist['host']})" if rank else f"a rank on host {gist['host']}"
        if "pid" in gist:  # when one rank dies, MPICH kills all others at once, and reports any of them
            named = next((rank for rank, (_, pid) in ranks.items() if str(pid) == gist["pid"]), "unknown")
            who += f" (rank {named}, or another one: this MPI ends all of them at once)"
        self._named = int(rank) if rank else None
        told = self._witnesses.ending(self._named, wait=True) if self._named is not None else ""
        killed = gist["signal"] == "9"
        how = told or (f"killed by signal 9: {_BY_KILL}" if killed else f"ended by signal {gist['signal']}")
        return f"{who} was lost, and the run with it: {how}.{advice}"
