"""What the kernel says about processes of this host: the CPU and memory they use, and which a launch left behind."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path

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
