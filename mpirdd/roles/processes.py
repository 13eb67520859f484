"""Processes of this host, as the kernel tells of them."""

from __future__ import annotations


def lives(pid: int) -> bool:
    return cpu_ticks(pid) is not None


def cpu_ticks(pid: int) -> int | None:
    """How long a process has used a core, in the kernel's ticks; None if it has ended."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else int(fields[11]) + int(fields[12])
