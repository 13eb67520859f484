"""Starts a program again on the hosts that are left, when a lost host has ended the run.

mpirun does not survive the loss of its daemon on another host, so neither does the run. With ``mpirdd run --restarts N`` the
program then starts again without that host, up to N times, and goes on from its resumable state and its checkpoints.

This module decides; ``launch/mpirun.py`` carries out. It knows the hosts from the words for mpirun or from Slurm. In a Slurm
job it asks each node for a sign of life, since mpirun may name any node there: the loss of one daemon ends Slurm's step, and
with it all daemons. If nobody can tell which host was lost, the program starts again on all hosts.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from mpirdd.protocol.errors import UsageError

_PROBE_S = 20.0
"""A node that starts no process within this time is lost."""
_PROBES = 32
"""The number of nodes to ask at the same time."""
_HOST_OPTIONS = ("--host", "-host", "-H", "--hosts", "-hosts")


@dataclass(frozen=True, slots=True)
class Place:
    """A host, as the list of hosts names it."""

    name: str
    slots: int
    """Ranks that the list allows there; 0 if it does not say."""

    def __str__(self) -> str:
        return f"{self.name}:{self.slots}" if self.slots else self.name


@dataclass(frozen=True, slots=True)
class Start:
    """One start of the ranks."""

    ranks: int
    words: tuple[str, ...]
    """The words for mpirun."""
    places: tuple[Place, ...]
    """The hosts. Empty: this host alone, or hosts whose names are not known."""


def check_restarts(count: int) -> None:
    """Raise UsageError for a number of restarts that is none."""
    if count < 0:
        raise UsageError(f"--restarts must be 0 or more, not {count}")


def first_start(ranks: int, words: Sequence[str], slurm: Sequence[Place]) -> Start:
    """Where the first ranks start.

    Args:
        words: the user's words for mpirun. If they list hosts, these count.
        slurm: the hosts of the Slurm job, which count otherwise.
    """
    listed = ",".join(value for _, value in _lists(words))
    return Start(ranks, tuple(words), _places(listed) if listed else tuple(slurm))


def after_loss(start: Start, lost: Collection[str], ranks: Mapping[int, str]) -> Start | None:
    """Where the ranks start next.

    Args:
        lost: the names of the lost hosts; none if no host was lost.
        ranks: the name of each rank's host, as the rank told it: that may differ from the name in the list.

    Returns:
        The same start if no host of the list was lost; None if no host is left.
    """
    gone = {place.name for host in lost if (place := _place_of(start, host, ranks)) is not None}
    if not gone:
        return start
    left = tuple(place for place in start.places if place.name not in gone)
    if not left:
        return None
    room = sum(place.slots for place in left) if all(place.slots for place in left) else start.ranks
    # For hosts without a number of slots, one rank each would leave cores idle. So the number of ranks stays, and mpirun may
    # put more of them there.
    words = _without(start.words, gone) if _lists(start.words) else [*start.words, "--host", ",".join(map(str, left))]
    return replace(start, ranks=max(1, min(start.ranks, room)), words=tuple(words), places=left)


def dead_nodes(places: Sequence[Place], environment: Mapping[str, str]) -> list[str]:
    """The nodes of the Slurm job on which nothing can be started."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(_PROBES) as pool:
        alive = list(pool.map(lambda place: _starts(place.name, environment), places))
    return [place.name for place, lives in zip(places, alive, strict=True) if not lives]


def _starts(node: str, environment: Mapping[str, str]) -> bool:
    words = ["srun", "--overlap", "--nodes=1", "--ntasks=1", f"--nodelist={node}", "--mem=0", "--export=ALL", "true"]
    try:
        return subprocess.run(words, env={**environment, "SLURM_OVERLAP": "1"}, capture_output=True, timeout=_PROBE_S,
                              stdin=subprocess.DEVNULL).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def slurm_places(names: Sequence[str], tasks_per_node: str) -> list[Place]:
    """The hosts of a Slurm job.

    >>> slurm_places(["n1", "n2", "n3"], "4(x2),1")
    [Place(name='n1', slots=4), Place(name='n2', slots=4), Place(name='n3', slots=1)]
    """
    counts: list[int] = []
    for part in tasks_per_node.split(","):
        found = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part.strip())
        if found:
            counts += [int(found[1])] * int(found[2] or 1)
    return [Place(name, counts[i] if i < len(counts) else 0) for i, name in enumerate(names)]


def _lists(words: Sequence[str]) -> list[tuple[int, str]]:
    """The lists of hosts among mpirun's words, each with the index of its word. Open MPI takes several."""
    found = []
    for index, word in enumerate(words):
        name, equals, value = word.partition("=")
        if name in _HOST_OPTIONS and equals:
            found.append((index, value))
        elif index and words[index - 1] in _HOST_OPTIONS:
            found.append((index, word))
    return found


def _without(words: Sequence[str], gone: Collection[str]) -> list[str]:
    """mpirun's words without these hosts. A list of which no host is left goes, with its option."""
    result = list(words)
    for index, value in reversed(_lists(words)):
        left = ",".join(str(place) for place in _places(value) if place.name not in gone)
        if left:
            result[index] = words[index].removesuffix(value) + left
        else:
            del result[index - (words[index] == value):index + 1]
    return result


def _places(listed: str) -> tuple[Place, ...]:
    places = []
    for part in filter(None, listed.split(",")):
        name, _, slots = part.rpartition(":")
        places.append(Place(name, int(slots)) if name and slots.isdigit() else Place(part, 0))
    return tuple(places)


def _place_of(start: Start, lost: str, ranks: Mapping[int, str]) -> Place | None:
    """The place in the list of the host that calls itself ``lost``; None if it is not found."""
    for place in start.places:
        if place.name == lost or (place.name.split(".")[0] == lost.split(".")[0] and not place.name[:1].isdigit()):
            return place
    # The list may have addresses. Ranks fill the places in order.
    theirs = [rank for rank, host in ranks.items() if host == lost]
    if theirs and all(place.slots for place in start.places):
        before = 0
        for place in start.places:
            before += place.slots
            if min(theirs) < before:
                return place
    return None
