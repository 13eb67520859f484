"""How a process of this host has ended: by which signal, with which exit code, or killed for memory.

The kernel tells only the parent, which for a rank is mpirun. But Linux 6.15 and newer also tell whoever holds a ``pidfd`` of
the process. When memory runs out, the kernel kills processes by SIGKILL; it counts them in the cgroup, and names them in its log.
"""

from __future__ import annotations

import fcntl
import os
import re
import signal
import struct
import time
from contextlib import suppress

_GET_INFO, _EXIT_INFO, _INFO_BYTES, _CODE_AT = 0xC040FF0B, 1 << 3, 64, 60
"""``PIDFD_GET_INFO``, ``PIDFD_INFO_EXIT`` and the layout of ``struct pidfd_info``, from linux/pidfd.h."""
_PATIENCE_S = 0.5
"""MPI may notice a death before mpirun has asked for the exit status; the kernel tells it only from then on."""
_LOG_BYTES = 1 << 18
_COUNTS = ("memory.events", "memory.oom_control")
"""The files of cgroup v2 and of v1."""

_STATES = {"T": "it is stopped (SIGSTOP)", "t": "a debugger holds it", "D": "it waits for a disk or a file system"}


class MemoryKills:
    """The kernel's kills for memory that have explained the end of a process, by cgroup. Each explains one end."""

    def __init__(self) -> None:
        self._explained: dict[str, int] = {}

    def explain(self, counts: str, since: int) -> bool:
        """Has the kernel killed more than ``since`` processes, one of which explains no other end? If so, it now explains this
        one."""
        known = max(since, self._explained.get(counts, since))
        if not killed_for_memory(counts) > known >= 0:
            return False
        self._explained[counts] = known + 1
        return True


class Ending:
    """Watches a living process; afterwards ``told`` says how it has ended.

    Args:
        kills: shared by all processes that are watched together.
    """

    def __init__(self, pid: int, kills: MemoryKills) -> None:
        self._pid, self._fd, self._kills = pid, -1, kills
        with suppress(OSError, AttributeError):
            self._fd = os.pidfd_open(pid)
        self._counts = memory_counts(pid)
        self._since = killed_for_memory(self._counts)
        self._for_memory: bool | None = None

    def __del__(self) -> None:
        with suppress(OSError):
            os.close(self._fd)

    def told(self, *, wait: bool = False) -> str | None:
        """How it ended: ``it was killed by signal 9``, say; empty if nobody knows. None: its parent has not asked yet, so the
        kernel will tell in a moment. ``wait`` waits for that, at most 0.5 s."""
        deadline = time.monotonic() + (_PATIENCE_S if wait else 0.0)
        while (status := self._status()) is None and time.monotonic() < deadline:
            time.sleep(0.01)
        if status is None:
            return "" if wait else None
        if status < 0:
            return ""
        if os.WIFEXITED(status):
            return f"it ended with exit code {os.WEXITSTATUS(status)}"
        number = os.WTERMSIG(status)
        if number != signal.SIGKILL:
            return f"it was ended by signal {number} ({_name(number)})"
        if self._for_memory is None:
            self._for_memory = self._kills.explain(self._counts, self._since)
        if self._for_memory:
            return "the kernel killed it for memory: its cgroup had reached its limit"
        if in_kernel_log(self._pid):
            return "the kernel killed it for memory: the host, or the job's share of it, had none left (see dmesg)"
        return "it was killed by signal 9 (kill -9, or for memory)"

    def _status(self) -> int | None:
        """The status as ``os.wait`` gives it; -1 if the kernel does not tell, None if it does not tell yet."""
        info = bytearray(_INFO_BYTES)
        struct.pack_into("<Q", info, 0, _EXIT_INFO)
        try:
            fcntl.ioctl(self._fd, _GET_INFO, info, True)
        except (OSError, ValueError):  # an older kernel, or none of its pidfds
            return -1
        if struct.unpack_from("<Q", info)[0] & _EXIT_INFO:
            return int(struct.unpack_from("<i", info, _CODE_AT)[0])
        return None


def state_of(pid: int) -> str:
    """What keeps a living process of this host from answering, as far as the kernel says; empty for nothing special."""
    with suppress(OSError), open(f"/proc/{pid}/stat") as file:
        state = file.read().rpartition(")")[2].split()[0]
        return _STATES.get(state, "")
    return ""


def memory_counts(pid: int, *, root: str = "/") -> str:
    """The file in which the process's cgroup counts the processes killed for memory; empty if there is none."""
    with suppress(OSError), open(os.path.join(root, f"proc/{pid}/cgroup")) as file:
        for line in file:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            for name in _COUNTS if controllers in ("", "memory") else ():
                found = os.path.join(root, "sys/fs/cgroup", controllers, path.lstrip("/"), name)
                if killed_for_memory(found) >= 0:
                    return found
    return ""


def killed_for_memory(counts: str) -> int:
    """How many processes the kernel has killed for memory, by this file of a cgroup; -1 if the file does not say."""
    with suppress(OSError), open(counts) as file:
        for line in file:
            name, _, number = line.strip().partition(" ")
            if name == "oom_kill" and number.isdigit():
                return int(number)
    return -1


def in_kernel_log(pid: int, path: str = "/dev/kmsg") -> bool:
    """Does the kernel's log say that it has killed the process for memory? False if this user may not read the log."""
    text = b""
    with suppress(OSError):
        log = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            with suppress(BlockingIOError):
                while len(text) < _LOG_BYTES * 64 and (data := os.read(log, _LOG_BYTES)):
                    text += data
        finally:
            os.close(log)
    return re.search(rb"[Kk]illed process %d \(" % pid, text) is not None


def _name(number: int) -> str:
    names = {
        signal.SIGSEGV: "segmentation fault", signal.SIGBUS: "bus error", signal.SIGFPE: "floating point error",
        signal.SIGILL: "illegal instruction", signal.SIGABRT: "abort",
    }
    with suppress(ValueError):
        known = signal.Signals(number)
        return f"SIG{known.name[3:]}, {names[known]}" if known in names else known.name
    return "of the system's"


def lives(pid: int) -> bool:
    """Does the process still run? A zombie does not."""
    return cpu_ticks(pid) is not None


def cpu_ticks(pid: int) -> int | None:
    """A process's use of a core, in the kernel's ticks; None if it has ended."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else int(fields[11]) + int(fields[12])
