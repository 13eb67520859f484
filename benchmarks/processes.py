"""The kernel's account of this host's processes: their CPU and memory, and those that a launch left
behind."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event, Thread

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_s(process: int) -> float:
    """User and system time of all threads of a process so far; to a hundredth of a second."""
    # The command's name, in brackets, may hold spaces; utime and stime are fields 14 and 15 of the line.
    after_name = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(after_name[11]) + int(after_name[12])) / TICKS_PER_S


def cpu_percent(processes: Sequence[int], seconds: float) -> list[float]:
    """CPU of each process in per cent of one core over the next ``seconds``, while the caller sleeps."""
    before = [cpu_s(process) for process in processes]
    time.sleep(seconds)
    return [100 * (cpu_s(process) - start) / seconds
            for process, start in zip(processes, before, strict=True)]


def memory_bytes(processes: Sequence[int]) -> int:
    """What the processes have in memory together: what several map counts once (PSS), and what nobody outside of them
    maps in full."""
    total = 0
    for process in processes:
        with contextlib.suppress(OSError):  # ended meanwhile
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))
    return total


def of_this_launch() -> list[int]:
    """All processes that the harness has started for the program that asks."""
    mark = next(f"{name}={value}" for name, value in os.environ.items() if name == "BENCHMARK_LAUNCH")
    return [*marked(mark), os.getpid()]


def marked(variable: str) -> list[int]:
    """The living processes, other than this one, that were started with ``variable`` (``NAME=value``) set."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
        except OSError:  # ended meanwhile, or another user's
            continue
        if variable.encode() in variables and int(folder.name) != os.getpid():
            found.append(int(folder.name))
    return found


class Peaks:
    """Watches, from a thread, the peak resident size of the MPI ranks that were started with ``variable`` set."""

    def __init__(self, variable: str) -> None:
        self.bytes_by_rank: dict[int, int] = {}
        self._variable = variable
        self._ended = Event()
        self._thread = Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peaks:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        ranks: dict[int, int] = {}
        while not self._ended.wait(_PEAKS_EVERY_S):
            for process in marked(self._variable):
                if process not in ranks and (rank := rank_of(process)) is not None:
                    ranks[process] = rank
            for process, rank in ranks.items():
                self.bytes_by_rank[rank] = max(self.bytes_by_rank.get(rank, 0), peak_bytes(process))


_PEAKS_EVERY_S = 0.25


def rank_of(process: int) -> int | None:
    """The MPI rank that a process was started as; None if it is none."""
    try:
        variables = Path(f"/proc/{process}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    values = dict(variable.partition(b"=")[::2] for variable in variables)
    rank = values.get(b"OMPI_COMM_WORLD_RANK", values.get(b"PMI_RANK"))
    return None if rank is None else int(rank)


def peak_bytes(process: int) -> int:
    """The largest resident size so far (VmHWM); 0 once the process has ended."""
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("VmHWM:")), 0)
