"""Joining the world: how a process becomes driver or executor. Here transport, roles and Context are put together.

The driver's process calls ``Context()``; every other rank ends up in ``serve``, either because it was started
as ``python -m mpirdd`` or because it ran the same script up to its own ``Context()``, which does not return
there.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from socket import gethostname
from threading import Lock
from typing import TYPE_CHECKING, Any, NoReturn

import mpirdd
from mpirdd.edge import reports
from mpirdd.edge.allotment import budget, cap_threads, check_world, launched_size, overcommitted, ranks_here
from mpirdd.edge.handover import DRIVER_LOST
from mpirdd.roles.driver import Driver
from mpirdd.roles.executor import DriverLost, Executor
from mpirdd.roles.interrupt import Watch
from mpirdd.roles.waiting import Waiting
from mpirdd.storage.codec import encode
from mpirdd.storage.memory import reuse_freed_memory
from mpirdd.together.inprocess import InProcessTransport, Network
from mpirdd.user import context
from mpirdd.user.conf import Conf
from mpirdd.user.profiling import BasicProfiler, Profiler
from mpirdd.words import messages
from mpirdd.words.errors import ClusterError, InvalidValue, UsageError
from mpirdd.words.settings import Settings, strangers
from mpirdd.words.transport import Transport

if TYPE_CHECKING:
    from typing_extensions import Self


_LAUNCHERS = (
    "OMPI_", "PMI", "PRTE_", "HYDRA_", "MPI_", "MPIEXEC", "MV2_", "I_MPI_",
    "SLURM_STEP", "SLURM_PROCID", "PALS_", "ALPS_", "JSM_", "FLUX_",
)
"""How the variables begin that mpirun, srun and the like of all known MPIs set for the processes that they start."""


_os_exit = os._exit
_MOST_RESULT_BYTES, _LEAST_RESULT_BYTES = 1 << 30, 64 << 20
_FOR_THE_LAUNCHER_S = 3.0
"""When an executor finds that another is lost, mpirun is about to end all ranks, and to say which was lost first. An executor
that ends the run by itself takes the blame, so it leaves mpirun this time."""


class Context(context.Context):
    """Where RDDs come from: joins the ranks of this run and makes this program their driver.

    Args:
        app_name: shown in logs.
        conf: settings under the names that PySpark has for them, where it has; and keys that mean nothing here.
        profiler: the class that profiles tasks, when the setting ``profile`` is on.
        settings: any setting by name (``mpirdd.words.settings.Settings``), such as ``parallelism=64``.

    On ranks other than 0 this call never returns: it serves as an executor until the driver's program has
    ended, then ends the process.

    Raises:
        InvalidValue: there is a Context already, or this is inside a task.
        ClusterError: the ranks do not form one world.

    >>> from mpirdd import Context
    >>> with Context() as sc:                               # doctest: +SKIP
    ...     sc.parallelize(range(10)).sum()
    45
    """

    def __init__(
        self,
        app_name: str | None = None,
        *,
        conf: Conf | None = None,
        profiler: type[Profiler] = BasicProfiler,
        **settings: Any,
    ) -> None:
        process = _process()
        from_conf = conf.settings() if conf is not None else {}
        chosen = Settings.read({**os.environ, **from_conf}, app_name=app_name, **settings)
        if process.transport.rank != 0:
            process.serve_and_leave()
        if process.serving or process.context is not None:
            raise InvalidValue(
                "there is a Context already in this program: stop it first, or use that one. "
                "(Inside a function that runs on executors, no Context can be made.)"
            )
        _check_scratch(chosen.scratch)
        process.context = self
        try:
            _set_up_logging(chosen)
            process.warn(chosen)
            reports.install()
            if "progress" not in settings and "MPIRDD_PROGRESS" not in os.environ:
                chosen = replace(chosen, progress=sys.stderr.isatty())
            super().__init__(process.drive(chosen), conf, profiler)
        except BaseException:
            process.context = None
            raise

    @classmethod
    def getOrCreate(cls, conf: Conf | None = None) -> Self:
        """The Context of this program; a new one if there is none.

        >>> Context.getOrCreate() is sc
        True
        """
        active = _process().context
        if active is None:
            return cls(conf=conf)
        if not isinstance(active, cls):
            raise UsageError(f"the Context of this program is a {type(active).__name__}, not a {cls.__name__}")
        return active

    @property
    def version(self) -> str:
        """The version of mpirdd.

        >>> sc.version == mpirdd.__version__
        True
        """
        return mpirdd.__version__

    def stop(self) -> None:
        try:
            super().stop()
        finally:
            process = _process()
            if process.context is self:
                process.context = None
                process.let_go()


class _Process:
    """This process's part in the run: the one place where there is state of the process as a whole, as MPI has."""

    def __init__(self) -> None:
        self.context: Context | None = None
        self.serving = False
        self.finished = False
        self.transport: Transport
        self.transport, ranks = _open_transport()
        self.allotted_bytes = budget(ranks).amount
        self._executors_here = max(ranks - 1, 1)
        self._warned: set[str] = set()
        self.hosted: Executor | None = None
        atexit.register(self.finish)

    def drive(self, settings: Settings) -> Driver:
        """A driver on this rank; in a world of one, with an executor in this process."""
        waiting = Waiting(spin_s=settings.spin_s, poll_sleep_s=settings.poll_sleep_s)
        folder = program_folder()
        if self.transport.size > 1:
            pause, resume, transport = (lambda busy: waiting.pause(busy=busy)), waiting.reset, self.transport
        else:
            network = Network(2, self.transport.host)
            executor = Executor(network.end(1), allotted_bytes=self.allotted_bytes)
            transport = network.end(0)
            pause, resume = _stepper(executor), _do_nothing
            self.hosted = executor
        if settings.max_result_bytes < 0:
            quarter = (settings.memory or self.allotted_bytes) // 4
            settings = replace(settings, max_result_bytes=max(min(quarter, _MOST_RESULT_BYTES), _LEAST_RESULT_BYTES))
        driver = Driver(transport, settings, folder=folder, pause=pause, resume=resume)
        if not driver.everybody_sees_folder:
            ship_modules_of(folder)
        return driver

    def warn(self, settings: Settings) -> None:
        """Tell, once, of settings that are believed or ignored though something seems to be wrong with them."""
        said = [overcommitted(settings.memory, self._executors_here)]
        for name, meant in strangers(os.environ):
            said.append(f"the environment variable {name} is no setting of mpirdd, and is ignored"
                        + (f": did you mean {meant}?" if meant else ". Settings: mpirdd.words.settings.Settings"))
        for text in said:
            if text and text not in self._warned:
                self._warned.add(text)
                logging.getLogger("mpirdd").warning("%s", text)

    def let_go(self) -> None:
        """The Context has stopped: an executor in this process drops its data now, as those of other ranks do."""
        while self.hosted is not None and self.hosted.step():
            pass

    def serve(self) -> None:
        """Be an executor until the driver's program has ended."""
        settings = Settings.read()
        waiting = Waiting(spin_s=settings.spin_s, poll_sleep_s=settings.poll_sleep_s)
        watch = Watch(self.transport, _leave_lost_run)
        executor = Executor(self.transport, watch, allotted_bytes=self.allotted_bytes)
        self.serving = True
        on_abrupt_exit()
        os.dup2(2, 1)  # what a task's child processes print is not the program's output
        try:
            while not executor.stopped:
                if executor.step():
                    waiting.reset()
                else:
                    waiting.pause(busy=executor.busy())
        except DriverLost:
            _leave_lost_run()
        except BaseException as error:
            if isinstance(error, ClusterError) and not self.transport.recovers:
                time.sleep(_FOR_THE_LAUNCHER_S)
            # Not a user's function, those are caught: the others must not wait for this rank.
            end = "this rank" if self.transport.recovers else "all ranks"
            sys.stderr.write(f"mpirdd: the executor on rank {self.transport.rank} ({self.transport.host}) failed:\n"
                             f"{traceback.format_exc()}mpirdd: ending {end}\n")
            sys.stderr.flush()
            if self.transport.recovers:
                os.kill(os.getpid(), signal.SIGKILL)
            self._abort()
        self.finished = True

    def serve_and_leave(self) -> NoReturn:
        """``serve``, then end the process without going back into the user's script."""
        if self.serving:
            raise UsageError("a Context cannot be made inside a function that runs on executors")
        self.serve()
        self.transport.close()
        sys.stdout.flush()
        sys.stderr.flush()
        _leave_process()

    def finish(self) -> None:
        """On the driver: let the executors leave. Idempotent; runs at exit in any case."""
        if self.finished:
            return
        self.finished = True
        if self.transport.rank == 0:
            for rank in range(1, self.transport.size):
                self.transport.send(rank, encode(messages.Stop()))
        self.transport.close()

    def _abort(self) -> None:
        abort = getattr(self.transport, "abort", None)
        if abort is not None:
            abort(1)


@cache
def _process() -> _Process:
    return _Process()


def active_context() -> Context | None:
    """The Context of this program, if there is one."""
    return _process().context


def transport() -> Transport:
    """This process's end of the network; starts MPI at the first call."""
    return _process().transport


def serve() -> None:
    """Be an executor until the driver is done. For ranks other than 0."""
    _process().serve()


def finish(code: int) -> None:
    """On rank 0, when the program has ended: let the executors leave and leave MPI."""
    _process().finish()


def program_folder() -> str:
    """The folder of the running program, or the current one."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    return os.path.dirname(os.path.abspath(script)) if script else os.getcwd()


def ship_modules_of(folder: str) -> None:
    """From now on, send functions of modules in ``folder`` by value: some executor cannot import them."""
    import cloudpickle

    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        inside = path and os.path.abspath(path).startswith(folder + os.sep) and "site-packages" not in path
        if inside and module.__name__ != "__main__":
            cloudpickle.register_pickle_by_value(module)


def _open_transport() -> tuple[Transport, int]:
    """This process's end of the network, and the ranks of this run on this host.

    MPI's, if there is any sign that a launcher has started this process; else a world of one without MPI.

    Starting MPI takes up to a second, which plain ``python job.py`` should not pay. The signs are broad, as a
    launcher that was not noticed would give as many worlds of one as it has started processes.
    """
    if not any(name.startswith(_LAUNCHERS) for name in os.environ):
        return _world_of_one(gethostname()), 1
    if launched_size(os.environ) > 1:
        cap_threads(os.environ)
    from mpirdd.edge.mpi import MpiTransport, ranks_on_this_host

    reuse_freed_memory(1 << 40)
    opened = MpiTransport()
    check_world(os.environ, opened.size)
    if opened.size == 1:
        return _world_of_one(opened.host), 1
    return opened, ranks_here(os.environ) or ranks_on_this_host()


def _world_of_one(host: str) -> Transport:
    os.environ.setdefault("PYTHONHASHSEED", "0")  # for one process any seed is as good as a fixed one: see hashing
    return InProcessTransport(Network(1, host), 0)


def _leave_process() -> NoReturn:
    """End with code 0 and without going back into the user's script, but through C's own exit.

    MPICH closes its connection to the launcher there: after ``os._exit`` the launcher takes this rank for
    crashed, and kills the driver in one run of two.
    """
    import ctypes

    ctypes.CDLL(None).exit(0)
    raise AssertionError("exit came back")


def _check_scratch(folder: str) -> None:
    """A wrong one is told now, and not hours later from a task that has to spill. On the driver's host only."""
    if folder and not (os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)):
        raise UsageError(f"scratch folder {folder}: no folder that can be written to, on {gethostname()}. Choose another with "
                         "--scratch or MPIRDD_SCRATCH, or leave it out for SLURM_TMPDIR, TMPDIR or /tmp.")


def _leave_lost_run() -> None:
    """The driver has died: whoever started the run says so."""
    _os_exit(DRIVER_LOST)


def on_abrupt_exit(told: Callable[[int], object] = lambda code: None) -> None:
    """Let ``os._exit(code)`` call ``told`` with the code, then kill this rank: the MPI notices only those that a signal ends."""
    rank = os.getpid()

    def leave(status: int) -> NoReturn:
        if os.getpid() == rank:  # not in a process that the program has forked
            told(status)
            os.kill(rank, signal.SIGKILL)
        _os_exit(status)

    os._exit = leave


def _stepper(executor: Executor) -> Callable[[bool], None]:
    """How a driver waits that hosts its executor: by letting it work, for one thread at a time."""
    lock = Lock()

    def step(busy: bool) -> None:
        with lock:
            executor.step()

    return step


def _do_nothing() -> None:
    pass


def _set_up_logging(settings: Settings) -> None:
    log = logging.getLogger("mpirdd")
    log.setLevel(settings.log_level.upper())
    if not log.handlers and not logging.getLogger().handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s mpirdd: %(message)s"))
        log.addHandler(handler)


