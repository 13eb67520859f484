"""What a launcher (mpirun, srun) tells a process through its environment: its place in a world of ranks.

The process knows all of this before MPI starts. Every function takes the environment. The module imports nothing heavy, as
every rank runs this before it imports numpy.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping

from mpirdd.protocol.errors import UsageError

_LAUNCHED = (
    "OMPI_", "PMI", "PRTE_", "HYDRA_", "MPI_", "MPIEXEC", "MV2_", "I_MPI_",
    "SLURM_STEP", "SLURM_PROCID", "PALS_", "ALPS_", "JSM_", "FLUX_",
)
"""The beginnings of the variables that mpirun, srun and the launchers of all known MPIs set for the processes they start."""
_CONNECTING = ("PMIX_", "PMI_", "HYDI_", "PRTE_LAUNCHED")
"""The beginnings of the variables by which MPI finds its launcher."""
LAUNCHED_SPARES = "MPIRDD_LAUNCHED_SPARES"
"""The number of ranks that wait as spares. ``mpirdd run`` tells it to all ranks."""
_RANK = "MPIRDD_RANK"
"""Names the process that is a rank, and its launch."""


def by_a_launcher(environment: Mapping[str, str]) -> bool:
    """Is there any sign that a launcher has started this process?

    The signs are broad: with a launcher that goes unnoticed, each process that it starts would be a world of one.
    """
    return any(name.startswith(_LAUNCHED) for name in environment)


def started_by_a_rank(environment: Mapping[str, str]) -> bool:
    """Has a rank of a run started this process, or a child of a rank? Then it has inherited the variables of that rank's
    launcher, which are not for it. A launcher in between sets other ones."""
    process, _, launch = environment.get(_RANK, "").partition(" ")
    return bool(process) and process != str(os.getpid()) and launch == _launch(environment)


def forget_launcher(environment: MutableMapping[str, str]) -> None:
    """Remove the launcher's variables from the environment of a process for which they are not meant."""
    if "SLURM_STEP_ID" in environment:
        environment["SLURM_OVERLAP"] = "1"  # or a step that this process starts waits for ever for the cores of the one around it
    for name in [name for name in environment if name.startswith(_LAUNCHED) or name == _RANK]:
        del environment[name]


def keep_from_children(environment: MutableMapping[str, str]) -> None:
    """On a rank, once MPI has started: keep the processes that this one starts from being ranks.

    MPI in a child would take this rank's place at the launcher, and wait for ever. So this removes the variables by which MPI
    finds the launcher. Variables that programs read (OMPI_COMM_WORLD_LOCAL_RANK to choose a GPU, say) stay, with a mark.
    """
    for name in [name for name in environment if name.startswith(_CONNECTING)]:
        del environment[name]
    environment[_RANK] = f"{os.getpid()} {_launch(environment)}"


def _launch(environment: Mapping[str, str]) -> str:
    """A text that tells one launch from another."""
    names = ("PMIX_NAMESPACE", "PMIX_RANK", "PMI_RANK", "PMI_FD", "OMPI_COMM_WORLD_RANK", "MPI_LOCALRANKID",
             "SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_PROCID")
    return ",".join(environment.get(name, "") for name in names)


def is_first_here(environment: Mapping[str, str]) -> bool:
    """Is this the first rank of the run on its host, by the launcher? True if no launcher says."""
    # In this order: a batch script has SLURM_LOCALID=0, and mpirun passes it on to all ranks.
    said = (environment.get(name) for name in ("OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID"))
    return next((rank for rank in said if rank is not None), "0") == "0"


def ranks_here(environment: Mapping[str, str], size: int) -> int:
    """The number of ranks of this run on this host, by the launcher; 0 if it does not say, to this rank and so to none.

    Args:
        size: the number of ranks of this run.
    """
    local = number(environment.get("OMPI_COMM_WORLD_LOCAL_SIZE")) or number(environment.get("MPI_LOCALNRANKS"))
    if local or not _srun_tasks(environment):
        return local
    counts = _each_node(environment.get("SLURM_STEP_TASKS_PER_NODE", ""))
    if sum(counts) != size:  # a heterogeneous step: each of its components has counts of its own
        return 0
    return counts[min(number(environment.get("SLURM_NODEID")), len(counts) - 1)]


def slurm_tasks(environment: Mapping[str, str]) -> int:
    """Tasks of the Slurm allocation around this process; 0 outside of one.

    >>> slurm_tasks({"SLURM_JOB_ID": "1", "SLURM_TASKS_PER_NODE": "4(x2),1"})
    9
    """
    if "SLURM_JOB_ID" not in environment:
        return 0
    # Without SLURM_NTASKS the user has asked only for nodes.
    return number(environment.get("SLURM_NTASKS")) or sum(_each_node(environment.get("SLURM_TASKS_PER_NODE", "")))


def launched_size(environment: Mapping[str, str]) -> int:
    """The number of ranks that the launcher says it has started; 1 without a launcher."""
    by_mpirun = number(environment.get("OMPI_COMM_WORLD_SIZE")) or number(environment.get("PMI_SIZE"))
    return by_mpirun or _srun_tasks(environment) or 1


def launched_rank(environment: Mapping[str, str]) -> int:
    """This process's rank, by the launcher; 0 without a launcher."""
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
    """The words of ``$MPIRDD_MPI_ARGS`` and then those of ``--mpi-args "..."``, as a shell would split them.

    Raises:
        UsageError: a quotation has no end.
    """
    import shlex  # late, as ranks never split words

    words: list[str] = []
    for name, given in (("MPIRDD_MPI_ARGS", environment.get("MPIRDD_MPI_ARGS", "")), ("--mpi-args", text)):
        try:
            words += shlex.split(given)
        except ValueError as error:
            raise UsageError(f"{name} {given} cannot be split into words: {error}") from None
    return words
