"""How many cores, how much memory and how many threads this process may use.

Python's own counts (``os.cpu_count``, the machine's memory) ignore the limits that clusters and containers set, and a
program that believes them is throttled or killed. This module asks each source of limits, and the tightest one counts:
CPU affinity, cgroup v1 and v2 (at every level above this process), Slurm, the machine.

Cores and memory are those of *all* ranks of this run on this host together; callers divide. The module is pure, except that it
reads below ``root``, which tests replace. It imports nothing heavy, as every rank runs this before it imports numpy.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, MutableMapping
from math import ceil
from typing import NamedTuple

from mpirdd.launch.launchers import number
from mpirdd.protocol.shown import shown_size

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


_BUDGET_PART = 0.6
_IDLE_BYTES = 100 << 20
_LEAST_BYTES = 64 << 20
_RANK_BYTES = 16 << 20
_RANK_THREADS = 3
"""What a rank has at the least, before it has imported numpy: its own pages, and its threads (measured, on both MPIs)."""


class Share(NamedTuple):
    """An amount, and the source that sets it."""

    amount: int
    source: str


def cores(environment: Mapping[str, str] = os.environ, *, root: str = "/") -> Share:
    """Cores that this run may use on this host, at least 1."""
    shares = [Share(len(os.sched_getaffinity(0)), "affinity")]
    shares += _cgroup_cores(root)
    on_node = number(environment.get("SLURM_CPUS_ON_NODE"))
    if on_node:
        shares.append(Share(on_node, "SLURM_CPUS_ON_NODE"))
    return min(shares, key=lambda share: share.amount)


def memory_bytes(environment: Mapping[str, str] = os.environ, *, root: str = "/") -> Share:
    """Memory that this run may use on this host, in bytes."""
    shares = [*_slurm_memory(environment), *_cgroup_memory(root), *_machine_memory(root)]
    return min(shares, key=lambda share: share.amount, default=Share(1 << 30, "a guess"))


def budget(ranks: int, environment: Mapping[str, str] = os.environ, *, root: str = "/") -> Share:
    """The bytes that a rank may use for data, if ``ranks`` share this host's memory.

    This is less than an even share. The interpreter with numpy takes some 100 MB before there is any data. The budget is 0.6
    of the rest: sizes are measured on samples (15 % off), pickling holds a copy of a chunk for a moment, freed memory goes
    back only when whole pages are free, and the user's own functions need room, too. (Spark takes 0.6 of the memory beyond
    300 MB.)
    """
    memory = memory_bytes(environment, root=root)
    share = memory.amount // max(ranks, 1)
    return Share(max(int(_BUDGET_PART * (share - _IDLE_BYTES)), _LEAST_BYTES), f"{memory.source}, {ranks} ranks")


def overcommitted(
    budget_bytes: int, executors: int, environment: Mapping[str, str] = os.environ, *, root: str = "/"
) -> str:
    """The warning for a user who gives the executors on this host more memory than it has; empty if it has enough."""
    memory = memory_bytes(environment, root=root)
    total = budget_bytes * executors
    if total <= memory.amount:
        return ""
    each = f" for each of {executors} executors on this host, {shown_size(total)} in all" if executors > 1 else ""
    return (
        f"memory={shown_size(budget_bytes)}{each}, is more than the {shown_size(memory.amount)} of this host "
        f"({memory.source}). mpirdd uses it all the same, but without swap ranks will be killed before they spill. "
        f"Give at most {shown_size(budget(executors + (executors > 1), environment, root=root).amount)} (--memory, "
        "MPIRDD_MEMORY), or leave it out for that, or use fewer ranks or more hosts."
    )


def most_ranks(environment: Mapping[str, str] = os.environ, *, root: str = "/") -> Share:
    """The number of ranks that this host can hold at all, and why no more. It runs well with far fewer."""
    memory = memory_bytes(environment, root=root)
    shares = [Share(memory.amount // _RANK_BYTES,
                    f"{shown_size(_RANK_BYTES)} of memory each, of {shown_size(memory.amount)} ({memory.source})")]
    shares += [Share(limit.amount // _RANK_THREADS, f"{_RANK_THREADS} threads each, of {limit.amount:,} ({limit.source})")
               for limit in _threads(root)]
    return min(shares, key=lambda share: share.amount)


def cap_threads(environment: MutableMapping[str, str]) -> None:
    """Keep numeric libraries from starting as many threads as the host has cores, in every rank.

    The user's own settings stay. A user's OMP_NUM_THREADS also holds for the other libraries, unless their own variable is
    set. Must run before numpy is imported: libraries read these variables once, when they load.
    """
    omp = number(environment.get("OMP_NUM_THREADS", "").split(",")[0])  # a list means nested levels
    threads = omp or number(environment.get("SLURM_CPUS_PER_TASK")) or 1
    for name in THREAD_VARIABLES:
        environment.setdefault(name, str(threads))


def _slurm_memory(environment: Mapping[str, str]) -> Iterator[Share]:
    """Slurm's limits. Slurm counts in MiB; 0 means all of the node's memory."""
    node = number(environment.get("SLURM_MEM_PER_NODE"))
    if node:
        yield Share(node << 20, "SLURM_MEM_PER_NODE")
    core = number(environment.get("SLURM_MEM_PER_CPU")) * number(environment.get("SLURM_CPUS_ON_NODE"))
    if core:
        yield Share(core << 20, "SLURM_MEM_PER_CPU")


def _machine_memory(root: str) -> Iterator[Share]:
    for line in _read(root, "proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            yield Share(int(line.split()[1]) << 10, "machine")


def _threads(root: str) -> Iterator[Share]:
    """Limits of the number of threads, of which each process has at least one."""
    from resource import RLIM_INFINITY, RLIMIT_NPROC, getrlimit  # late: a rank does not ask

    for name in ("pid_max", "threads-max"):
        if limit := number(_read(root, "proc/sys/kernel", name)):
            yield Share(limit, name)
    for folder in _cgroups(root, "pids"):
        if limit := number(_read(folder, "pids.max")):
            yield Share(limit, "cgroup")
    users, _ = getrlimit(RLIMIT_NPROC)
    if users != RLIM_INFINITY and os.geteuid() != 0:  # it does not hold for root
        yield Share(users, "ulimit -u")


def _cgroup_cores(root: str) -> Iterator[Share]:
    for folder in _cgroups(root, "cpu"):
        v1 = _read(folder, "cpu.cfs_quota_us"), _read(folder, "cpu.cfs_period_us")
        for words in (_read(folder, "cpu.max").split(), [word.strip() for word in v1]):
            if len(words) == 2 and all(word.isdigit() for word in words):  # no limit is "max" (v2) or -1 (v1)
                yield Share(max(1, ceil(int(words[0]) / int(words[1]))), "cgroup")


def _cgroup_memory(root: str) -> Iterator[Share]:
    for folder in _cgroups(root, "memory"):
        # memory.high does not kill, but above it the kernel slows a process down until it hardly moves.
        for name in ("memory.max", "memory.high", "memory.limit_in_bytes"):
            limit = number(_read(folder, name))
            if limit:
                yield Share(limit, "cgroup")


def _cgroups(root: str, controller: str) -> Iterator[str]:
    """Folders of the cgroups around this process, innermost first. All of them limit it.

    In a container the kernel may tell a path of the host, which is absent here. The container's limits are
    then at the top.
    """
    for line in _read(root, "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            mounts = [""]  # v2: one tree for all controllers
        elif controller in controllers.split(","):
            mounts = [controllers, controller]  # v1: a tree for each, by the name of all its controllers or one
        else:
            continue
        names = [name for name in path.split("/") if name not in ("", "..")]
        for mount in mounts:
            for depth in range(len(names), -1, -1):
                yield os.path.join(root, "sys/fs/cgroup", mount, *names[:depth])


def _read(*path: str) -> str:
    """The text of a file; empty if it cannot be read."""
    try:
        with open(os.path.join(*path)) as file:
            return file.read()
    except OSError:
        return ""
