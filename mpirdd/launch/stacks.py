"""``mpirdd stack``: what each rank of a run on this host is doing now.

It finds the ranks among the processes below the run's mpirun, or in the event log. A rank answers by itself, even in the middle
of C code (``executor/stacks.py``), so this works also when the driver or MPI is stuck.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress

from mpirdd.executor.stacks import Seen, readable
from mpirdd.observe.endings import state_of
from mpirdd.protocol.errors import UsageError

_LAUNCHERS = ("mpirun", "mpiexec", "mpiexec.hydra", "prterun", "prte", "prted", "orted", "hydra_pmi_proxy", "slurmstepd")


def of_run(run: str) -> str:
    """The stacks of the ranks of a run, for people.

    Args:
        run: the process id of a rank, of mpirun or of ``mpirdd run``; or the path of an event log.

    Raises:
        UsageError: there is no such run, or none on this host.
    """
    if run.isdigit():
        return _of_processes(_ranks_around(int(run)), f"process {run} belongs to no run of mpirdd that is yours")
    if not os.path.exists(run):
        raise UsageError(f"{run} is neither the number of a process nor an event log"
                         + (", which is a local file while the run goes on: the run has told its path" if "://" in run else ""))
    here, elsewhere = _ranks_of_log(run)
    text = _of_processes(here, f"no rank of the run of {run} lives on {os.uname().nodename}") if here or not elsewhere else ""
    if not elsewhere:
        return text
    from mpirdd.launch import far_stacks

    return "\n".join(filter(None, [text, *far_stacks.of_ranks(run, elsewhere)]))


def _of_processes(pids: list[int], nothing: str) -> str:
    seen = sorted((found for pid in pids if (found := Seen.of(pid)) is not None), key=lambda found: found.rank)
    if not seen:
        raise UsageError(nothing)
    drivers = [str(each.pid) for each in seen if each.rank == 0]
    if len(drivers) > 1:
        raise UsageError(f"there are several runs; which? Their drivers are the processes {', '.join(drivers)}")
    return "\n".join(line for each in seen for line in _of_rank(each))


def _of_rank(seen: Seen) -> Iterator[str]:
    running, state = seen.running(), state_of(seen.pid)
    text = "" if state.startswith("it is stopped") else seen.stacks()
    doing = f"in {running} for {running.seconds:.1f} s" if running is not None else ""
    yield f"rank {seen.rank}, process {seen.pid}: {', '.join(filter(None, [doing, state])) or _idle(seen.rank)}"
    yield from readable(text) if text else ["  no stack: it does not answer"]


def _idle(rank: int) -> str:
    return "the driver" if rank == 0 else "between two tasks"


def _ranks_around(pid: int) -> list[int]:
    """The processes of the run that this one belongs to."""
    parents = dict(_parents())
    top = pid
    while (above := parents.get(top, 0)) > 1 and (_name(above) in _LAUNCHERS or _is_ours(above)):
        top = above
    below, found = [top], []
    while below:
        found.append(below.pop())
        below += [child for child, parent in parents.items() if parent == found[-1]]
    return found


def _parents() -> Iterator[tuple[int, int]]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError, ValueError, IndexError), open(f"/proc/{name}/stat") as file:
                yield int(name), int(file.read().rpartition(")")[2].split()[1])


def _name(pid: int) -> str:
    with suppress(OSError), open(f"/proc/{pid}/comm") as file:
        return file.read().strip()
    return ""


def _is_ours(pid: int) -> bool:
    """Is the process ``mpirdd run``, or a rank?"""
    with suppress(OSError), open(f"/proc/{pid}/cmdline", "rb") as file:
        words = file.read().split(b"\0")
        return any(word == b"mpirdd" or word.endswith(b"/mpirdd") for word in words[:4])
    return False


def _ranks_of_log(path: str) -> tuple[list[int], dict[str, list[int]]]:
    """The process ids of the last run's ranks on this host, and the ranks on other hosts, by host."""
    ranks: dict[int, tuple[str, int]] = {}
    over = False
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            if any(f'"event":"{kind}"' in line for kind in ("run", "executor", "spare", "executor_lost", "spare_lost", "end")):
                with suppress(ValueError, KeyError, TypeError):
                    event = json.loads(line)
                    if event["event"] == "run":
                        ranks, over = {0: (event["host"], event["pid"])}, False
                    elif event["event"] in ("executor", "spare"):
                        ranks[event[event["event"]]] = event["host"], event["pid"]
                    elif event["event"] in ("executor_lost", "spare_lost"):
                        ranks.pop(event[event["event"].removesuffix("_lost")], None)
                    elif event["event"] == "end":
                        over = True
    if not ranks:
        raise UsageError(f"{path} is no event log of mpirdd")
    here = os.uname().nodename
    pids: list[int] = []
    elsewhere: dict[str, list[int]] = {}
    for rank, (host, pid) in sorted(ranks.items()):
        if host == here:
            pids.append(pid)
        elif not over:
            elsewhere.setdefault(host, []).append(rank)
    return list(dict.fromkeys(pids)), elsewhere
