"""What this process has been given: cores, memory, threads, and a place in a world of ranks.

Python's own counts (``os.cpu_count``, the machine's memory) ignore the fences that clusters and containers
put up, and a program that believes them is throttled or killed. Here the fences are asked, and the tightest
one counts: CPU affinity, cgroup v1 and v2 (at every level above this process), Slurm, the machine.

Cores and memory are those of *all* ranks of this run on this host together; who needs a rank's share divides.
Pure but for reading below ``root``, which tests replace. Imports nothing heavy: every rank runs this before
numpy is imported.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, MutableMapping
from math import ceil
from typing import NamedTuple

from mpirdd.words.errors import ClusterError
from mpirdd.words.settings import shown_size

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


class Share(NamedTuple):
    """An amount of something, and who said so."""

    amount: int
    source: str


def cores(environment: Mapping[str, str] = os.environ, *, root: str = "/") -> Share:
    """Cores that this run may use on this host, at least 1."""
    shares = [Share(len(os.sched_getaffinity(0)), "affinity")]
    shares += _cgroup_cores(root)
    on_node = _number(environment.get("SLURM_CPUS_ON_NODE"))
    if on_node:
        shares.append(Share(on_node, "SLURM_CPUS_ON_NODE"))
    return min(shares, key=lambda share: share.amount)


def memory_bytes(environment: Mapping[str, str] = os.environ, *, root: str = "/") -> Share:
    """Memory that this run may use on this host, in bytes."""
    shares = [*_slurm_memory(environment), *_cgroup_memory(root), *_machine_memory(root)]
    return min(shares, key=lambda share: share.amount, default=Share(1 << 30, "a guess"))


def ranks_here(environment: Mapping[str, str]) -> int:
    """Ranks of this run on this host, as the launcher tells them; 0 where it does not."""
    local = _number(environment.get("OMPI_COMM_WORLD_LOCAL_SIZE")) or _number(environment.get("MPI_LOCALNRANKS"))
    if local or not _srun_tasks(environment):
        return local
    counts: list[int] = []
    text = environment.get("SLURM_STEP_TASKS_PER_NODE", "")
    for count, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", text):  # "2(x3),1": three nodes with 2 and one with 1
        counts += [int(count)] * int(times or 1)
    node = _number(environment.get("SLURM_NODEID"))
    return counts[node] if node < len(counts) else 0


def budget(ranks: int, environment: Mapping[str, str] = os.environ, *, root: str = "/") -> Share:
    """What a rank may use for data, in bytes, where ``ranks`` share this host's memory.

    Less than its even share: the interpreter with numpy takes some 100 MB before there is any data. And of the rest 0.6,
    as sizes are measured on samples (15 % off), pickling holds a copy of a chunk for a moment, freed memory goes back only
    when whole pages are free, and the user's own functions need room, too. (Spark takes 0.6 of what is beyond 300 MB.)
    """
    memory = memory_bytes(environment, root=root)
    share = memory.amount // max(ranks, 1)
    return Share(max(int(_BUDGET_PART * (share - _IDLE_BYTES)), _LEAST_BYTES), f"{memory.source}, {ranks} ranks")


def overcommitted(
    budget_bytes: int, executors: int, environment: Mapping[str, str] = os.environ, *, root: str = "/"
) -> str:
    """What to tell who gives so much to each of the executors on this host; empty where the host has it."""
    memory = memory_bytes(environment, root=root)
    total = budget_bytes * executors
    if total <= memory.amount:
        return ""
    each = f" for each of {executors} executors on this host, {shown_size(total)} in all" if executors > 1 else ""
    return (
        f"memory={shown_size(budget_bytes)}{each}, is more than the {shown_size(memory.amount)} that there are "
        f"({memory.source}). It is taken as it is, but where no swap helps, ranks will be killed before they spill. "
        f"Give at most {shown_size(budget(executors + (executors > 1), environment, root=root).amount)} (--memory, "
        "MPIRDD_MEMORY), or leave it out for that, or use fewer ranks or more hosts."
    )


def cap_threads(environment: MutableMapping[str, str]) -> None:
    """Keep numeric libraries from starting as many threads as the host has cores, in every rank.

    What the user has set stays; their OMP_NUM_THREADS also speaks for the other libraries, which obey it by
    themselves as long as their own variable is not set. Must run before numpy is imported: libraries look
    once, when they load.
    """
    omp = _number(environment.get("OMP_NUM_THREADS", "").split(",")[0])  # a list means nested levels
    threads = omp or _number(environment.get("SLURM_CPUS_PER_TASK")) or 1
    for name in THREAD_VARIABLES:
        environment.setdefault(name, str(threads))


def slurm_tasks(environment: Mapping[str, str]) -> int:
    """Tasks of the Slurm allocation around this process; 0 outside of one.

    >>> slurm_tasks({"SLURM_JOB_ID": "1", "SLURM_TASKS_PER_NODE": "4(x2),1"})
    9
    """
    if "SLURM_JOB_ID" not in environment:
        return 0
    tasks = _number(environment.get("SLURM_NTASKS"))
    if not tasks:  # only nodes were asked for
        for word in environment.get("SLURM_TASKS_PER_NODE", "").rstrip(")").replace(")", "").split(","):
            each, _, nodes = word.partition("(x")
            tasks += _number(each) * (_number(nodes) or 1)
    return tasks


def launched_size(environment: Mapping[str, str]) -> int:
    """How many ranks the launcher says that it has started; 1 without a launcher. Known before MPI starts."""
    by_mpirun = _number(environment.get("OMPI_COMM_WORLD_SIZE")) or _number(environment.get("PMI_SIZE"))
    return by_mpirun or _srun_tasks(environment) or 1


def launched_rank(environment: Mapping[str, str]) -> int:
    """Which of these ranks the launcher takes this process for; 0 without a launcher."""
    names = ["OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK"]
    if _srun_tasks(environment):
        names.append("SLURM_PROCID")
    return next((_number(environment[name]) for name in names if name in environment), 0)


def check_world(environment: Mapping[str, str], size: int) -> None:
    """Refuse worlds of one that were meant to be one world: each would run the whole program.

    Raises:
        ClusterError: the launcher started several ranks, but MPI says that this one is alone.
    """
    started = launched_size(environment)
    if size > 1 or started <= 1:
        return
    if "OMPI_COMM_WORLD_SIZE" in environment:
        raise ClusterError(_mismatch(started, "Open MPI's mpirun"))
    if "MPI_LOCALNRANKS" in environment:  # the mark of Hydra, the mpirun of MPICH and Intel MPI
        raise ClusterError(_mismatch(started, "the mpirun of MPICH or Intel MPI"))
    raise ClusterError(
        f"srun started {started} processes that do not find each other: {started} worlds of one rank.\n"
        "  fix: srun --mpi=pmix ...   (Open MPI)\n"
        "   or: srun --mpi=pmi2 ...   (MPICH, Intel MPI; `srun --mpi=list` says what this Slurm has)\n"
        "   or: mpirdd run ...        (inside the allocation, without srun)"
    )


def _mismatch(started: int, launcher: str) -> str:
    return (
        f"{launcher} started {started} processes, but mpi4py here loads another MPI, so that each is alone.\n"
        "  fix: use the mpirun of the MPI that mpi4py loads (`mpirdd doctor` names both),\n"
        "   or: pip install --force-reinstall --no-cache-dir mpi4py, with the right MPI's module loaded"
    )


def _srun_tasks(environment: Mapping[str, str]) -> int:
    """Tasks of the srun step that this process belongs to; 0 outside of one.

    A batch script has SLURM_PROCID and SLURM_NTASKS as well, but no step: a plain `python job.py` there is
    one rank on purpose.
    """
    if "SLURM_PROCID" not in environment or "SLURM_STEP_ID" not in environment:
        return 0
    return _number(environment.get("SLURM_STEP_NUM_TASKS") or environment.get("SLURM_NTASKS"))


def _slurm_memory(environment: Mapping[str, str]) -> Iterator[Share]:
    """Slurm counts in MiB; 0 means all of the node's memory."""
    node = _number(environment.get("SLURM_MEM_PER_NODE"))
    if node:
        yield Share(node << 20, "SLURM_MEM_PER_NODE")
    core = _number(environment.get("SLURM_MEM_PER_CPU")) * _number(environment.get("SLURM_CPUS_ON_NODE"))
    if core:
        yield Share(core << 20, "SLURM_MEM_PER_CPU")


def _machine_memory(root: str) -> Iterator[Share]:
    for line in _read(root, "proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            yield Share(int(line.split()[1]) << 10, "machine")


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
            limit = _number(_read(folder, name))
            if limit:
                yield Share(limit, "cgroup")


def _cgroups(root: str, controller: str) -> Iterator[str]:
    """Folders of the cgroups around this process, innermost first. All of them limit it.

    In a container the path that the kernel tells may be the host's, and absent here; its own limits are at
    the top then.
    """
    for line in _read(root, "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            mounts = [""]  # v2: one tree for all controllers
        elif controller in controllers.split(","):
            mounts = [
                controllers,
                controller,
            ]  # v1: a tree for each, by the name of all its controllers or one
        else:
            continue
        names = [name for name in path.split("/") if name not in ("", "..")]
        for mount in mounts:
            for depth in range(len(names), -1, -1):
                yield os.path.join(root, "sys/fs/cgroup", mount, *names[:depth])


def _read(*path: str) -> str:
    """The text of a file, or nothing where there is none."""
    try:
        with open(os.path.join(*path)) as file:
            return file.read()
    except OSError:
        return ""


def _number(text: str | None) -> int:
    """A whole number from the environment or a file; 0 for anything else."""
    text = (text or "").strip()
    return int(text) if text.isdigit() else 0
