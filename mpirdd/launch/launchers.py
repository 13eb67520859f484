"""What a launcher (mpirun, srun) tells a process through its environment: its place in a world of ranks.

All of this is known before MPI starts. Every function takes the environment. Imports nothing heavy, as every rank runs this
before it imports numpy.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping

_LAUNCHED = (
    "OMPI_", "PMI", "PRTE_", "HYDRA_", "MPI_", "MPIEXEC", "MV2_", "I_MPI_",
    "SLURM_STEP", "SLURM_PROCID", "PALS_", "ALPS_", "JSM_", "FLUX_",
)
"""The variables that mpirun, srun and the launchers of all known MPIs set for the processes they start begin so."""
_CONNECTING = ("PMIX_", "PMI_", "HYDI_", "PRTE_LAUNCHED")
"""Those by which MPI finds its launcher."""
LAUNCHED_SPARES = "MPIRDD_LAUNCHED_SPARES"
"""How many of the ranks wait as spares. ``mpirdd run`` tells all of them."""
_RANK = "MPIRDD_RANK"
"""The process that is a rank, and its launch."""


def by_a_launcher(environment: Mapping[str, str]) -> bool:
    """Is there any sign that a launcher has started this process?

    The signs are broad, as a launcher that was not noticed would give as many worlds of one as it has started processes.
    """
    return any(name.startswith(_LAUNCHED) for name in environment)


def started_by_a_rank(environment: Mapping[str, str]) -> bool:
    """Has a rank of a run started this process, or a child of a rank? Then it has the variables of that rank's launcher, which
    were not meant for it. A launcher in between sets others."""
    process, _, launch = environment.get(_RANK, "").partition(" ")
    return bool(process) and process != str(os.getpid()) and launch == _launch(environment)


def forget_launcher(environment: MutableMapping[str, str]) -> None:
    """Take the launcher's variables out of the environment of a process that was not meant to have them."""
    if "SLURM_STEP_ID" in environment:
        environment["SLURM_OVERLAP"] = "1"  # or a step that this process starts waits for ever for the cores of the one around it
    for name in [name for name in environment if name.startswith(_LAUNCHED) or name == _RANK]:
        del environment[name]


def keep_from_children(environment: MutableMapping[str, str]) -> None:
    """On a rank, once MPI has started: let what this process starts be no rank.

    MPI in a child would take this rank's place at the launcher, and wait for ever. So the variables by which MPI finds the
    launcher go, and those that programs read (OMPI_COMM_WORLD_LOCAL_RANK to choose a GPU, say) stay, with a mark.
    """
    for name in [name for name in environment if name.startswith(_CONNECTING)]:
        del environment[name]
    environment[_RANK] = f"{os.getpid()} {_launch(environment)}"


def _launch(environment: Mapping[str, str]) -> str:
    """What tells one launch from another."""
    names = ("PMIX_NAMESPACE", "PMIX_RANK", "PMI_RANK", "PMI_FD", "OMPI_COMM_WORLD_RANK", "MPI_LOCALRANKID",
             "SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_PROCID")
    return ",".join(environment.get(name, "") for name in names)


def ranks_here(environment: Mapping[str, str]) -> int:
    """How many ranks of this run the launcher says are on this host; 0 where it does not say."""
    local = number(environment.get("OMPI_COMM_WORLD_LOCAL_SIZE")) or number(environment.get("MPI_LOCALNRANKS"))
    if local or not _srun_tasks(environment):
        return local
    counts = _each_node(environment.get("SLURM_STEP_TASKS_PER_NODE", ""))
    node = number(environment.get("SLURM_NODEID"))
    return counts[node] if node < len(counts) else 0


def slurm_tasks(environment: Mapping[str, str]) -> int:
    """Tasks of the Slurm allocation around this process; 0 outside of one.

    >>> slurm_tasks({"SLURM_JOB_ID": "1", "SLURM_TASKS_PER_NODE": "4(x2),1"})
    9
    """
    if "SLURM_JOB_ID" not in environment:
        return 0
    # Without SLURM_NTASKS only nodes were asked for.
    return number(environment.get("SLURM_NTASKS")) or sum(_each_node(environment.get("SLURM_TASKS_PER_NODE", "")))


def launched_size(environment: Mapping[str, str]) -> int:
    """How many ranks the launcher says it has started; 1 without a launcher."""
    by_mpirun = number(environment.get("OMPI_COMM_WORLD_SIZE")) or number(environment.get("PMI_SIZE"))
    return by_mpirun or _srun_tasks(environment) or 1


def launched_rank(environment: Mapping[str, str]) -> int:
    """The rank that the launcher has given this process; 0 without a launcher."""
    names = ["OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK"]
    if _srun_tasks(environment):
        names.append("SLURM_PROCID")
    return next((number(environment[name]) for name in names if name in environment), 0)


def _srun_tasks(environment: Mapping[str, str]) -> int:
    """Tasks of the srun step that this process belongs to; 0 outside of one.

    A batch script has SLURM_PROCID and SLURM_NTASKS as well, but no step: a plain `python job.py` there is
    one rank on purpose.
    """
    if "SLURM_PROCID" not in environment or "SLURM_STEP_ID" not in environment:
        return 0
    return number(environment.get("SLURM_STEP_NUM_TASKS") or environment.get("SLURM_NTASKS"))


def _each_node(text: str) -> list[int]:
    """The tasks on each node, from Slurm's list.

    >>> _each_node("2(x3),1")
    [2, 2, 2, 1]
    """
    counts: list[int] = []
    for word in filter(None, text.split(",")):
        count, _, nodes = word.rstrip(")").partition("(x")
        counts += [number(count)] * (number(nodes) or 1)
    return counts


def number(text: str | None) -> int:
    """A whole number from the environment or a file; 0 for anything else."""
    text = (text or "").strip()
    return int(text) if text.isdigit() else 0


def mpi_words(text: str, environment: Mapping[str, str]) -> list[str]:
    """The words of ``$MPIRDD_MPI_ARGS`` and then those of ``--mpi-args "..."``, as a shell would split them."""
    import shlex  # late, as ranks never split words

    return [*shlex.split(environment.get("MPIRDD_MPI_ARGS", "")), *shlex.split(text)]
