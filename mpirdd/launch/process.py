"""This process's part in the run: driver or executor, from joining the world to leaving it.

Each rank learns its number, and then imports its own part alone: a driver in a larger world needs no executor, and executors
need neither driver nor scheduler, which take half of the imports' time.

To MPI a rank is a whole process, so some state belongs to the process. One object, ``Process``, owns it: the end of the
network, the executor of a world of one, the ways out. (``api.this_process`` has the Context of the program.)
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from threading import RLock, get_ident
from typing import TYPE_CHECKING, ClassVar, NoReturn

from mpirdd.comm.waiting import Waiting
from mpirdd.executor.stacks import Offered
from mpirdd.launch import leavings
from mpirdd.launch.forks import ForkGuard
from mpirdd.launch.launchers import is_first_here, launched_rank, launched_size
from mpirdd.launch.leaving import Leaving, flush_files
from mpirdd.launch.resources import budget, overcommitted
from mpirdd.launch.world import open_transport
from mpirdd.protocol import messages
from mpirdd.protocol.errors import ClusterError, UsageError
from mpirdd.protocol.settings import Settings, hash_seed_is_fixed, unknown_variables
from mpirdd.store.codec import encode
from mpirdd.store.scratch import remove_spilled

if TYPE_CHECKING:
    from mpirdd.driver.driver import Driver
    from mpirdd.executor.executor import Executor
    from mpirdd.launch.remote_logs import RemoteLog

_MOST_RESULT_BYTES, _LEAST_RESULT_BYTES = 1 << 30, 64 << 20
_FOR_THE_LAUNCHER_S = 3.0
"""When one executor is lost, mpirun is about to end all ranks and to report the first one lost. An executor that ended the
run itself would take the blame, so it gives mpirun this time."""

_CANNOT_BE_LEFT = (
    "exchange=collective: nobody can leave a collective of MPI when a rank dies, and this run is to survive that.\n"
    "  fix: mpirdd run --exchange collective ...   (turns recovery off)\n"
    "   or: mpirun without --with-ft\n"
    "   or: leave the setting away, and executors exchange bytes pairwise"
)
_SPARE_SLEEP_S = 0.05
"""Sleep between two looks of a rank that waits as a spare. It takes 0.2 % of a core, and nobody waits for its answers."""


class Process:
    """This process's part in the run. Made once: ``of_this_program`` gives it."""

    _made: ClassVar[Process | None] = None

    def __init__(self, notes: str | None) -> None:
        self.serving = False
        """This process is an executor."""
        self.finished = False
        self.leaving = Leaving()
        self.forks = ForkGuard()
        # Before MPI starts: Open MPI then leaves alone the fatal signals that have a handler.
        self.stacks = Offered(launched_rank(os.environ), fatal=launched_size(os.environ) > 1)
        self.forks.guard_stacks(self.stacks)
        self.watched = False
        """Our launcher is on this host, and reports how this process ends."""
        first_here = is_first_here(os.environ)
        if first_here:
            remove_spilled(os.environ.get("MPIRDD_SCRATCH", ""))
        self.transport, ranks = open_transport()
        if self.transport.size > 1 and (notes := notes or (leavings.own_folder() if first_here else None)):
            leavings.note_shared_files(notes, self.transport.rank)
        self.forks.guard_transport(self.transport)
        self.allotted_bytes = budget(ranks).amount
        self._executors_here = max(ranks - 1, 1)
        self._warned: set[str] = set()
        self._hosted: Executor | None = None
        self._driver: Driver | None = None
        self._log: RemoteLog | None = None
        """The event log of the Context, if it is to lie at a URL."""
        self._contexts = 0
        """The number of Contexts made so far."""
        atexit.register(self.finish)

    @classmethod
    def of_this_program(cls, notes: str | None = None) -> Process:
        """The Process of this process. The first call joins the world.

        Args:
            notes: where the launcher wants it noted what may stay behind; None: no launcher of ours has started the run.

        Raises:
            ClusterError: the ranks do not form one world.
        """
        if cls._made is None:
            cls._made = cls(notes)
        return cls._made

    def drive(self, settings: Settings, hadoop: Mapping[str, str]) -> Driver:
        """A driver on this rank; in a world of one, with an executor in this process.

        Args:
            hadoop: keys that say how to reach the file system of an event log at a URL.

        Raises:
            UsageError: the settings ask for collective exchanges in a run that is to survive losses, or for an event log
                where none can be written.
        """
        from mpirdd.driver.driver import Driver
        from mpirdd.observe.observers import Observers

        if settings.exchange == "collective" and self.transport.recovers and self.transport.size > 1:
            raise UsageError(_CANNOT_BE_LEFT)
        settings = self._with_possible_spares(settings)
        waiting = Waiting(spin_s=settings.spin_s, poll_sleep_s=settings.poll_sleep_s)
        folder = program_folder()
        if not self.watched and self.transport.size > 1:
            self.stacks.to_stderr()
        if self.transport.size > 1:
            pause, resume, transport = (lambda busy: waiting.pause(busy=busy)), waiting.reset, self.transport
            in_engine = _never
        else:
            from mpirdd.comm.inprocess import Network
            from mpirdd.executor.executor import Executor
            from mpirdd.executor.interrupt import Interrupts

            network = Network(2, self.transport.host)
            end = network.end(1)
            interrupts = Interrupts(end)
            executor = Executor(end, interrupts, allotted_bytes=self.allotted_bytes)
            transport = network.end(0)
            stepper = _Stepper(executor)
            pause, resume, in_engine = stepper, _do_nothing, stepper.in_engine
            self._hosted = executor
            self.forks.guard_tasks(interrupts)
        if settings.max_result_bytes < 0:
            quarter = (settings.memory or self.allotted_bytes) // 4
            settings = replace(settings, max_result_bytes=max(min(quarter, _MOST_RESULT_BYTES), _LEAST_RESULT_BYTES))
        settings = self._with_local_log(settings, hadoop)
        observers = Observers(settings)
        self._contexts += 1
        try:
            observers.begin(host=transport.host, ranks=self.transport.size, mpi=mpi_version(), folder=os.getcwd(),
                            context=self._contexts)
            driver = Driver(transport, settings, folder=folder, pause=pause, resume=resume, in_engine=in_engine,
                            observers=observers, before=self._driver if self.transport.size > 1 else None)
        except BaseException as error:  # Ctrl-C while it waits for executors, say: the event log needs its end
            observers.ends_with(error)
            observers.end()
            raise
        self.forks.guard_driver(driver)
        self._driver = driver
        if not driver.everybody_sees_folder:
            ship_modules_of(folder)
        return driver

    def _with_local_log(self, settings: Settings, hadoop: Mapping[str, str]) -> Settings:
        """The same, with the local file in which an event log for a URL lies until the Context has stopped. (Under ``mpirdd run
        --events URL`` the launcher sees to that, which outlives this process.)"""
        self._end_log()
        if ":" not in settings.events:
            return settings
        from mpirdd.formats.filesystems import Options, is_remote
        from mpirdd.launch.remote_logs import RemoteLog, place

        if not is_remote(settings.events):
            return replace(settings, events=place(settings.events))
        self._log = RemoteLog(settings.events, settings.app_name, options=Options.of(None, hadoop))
        return replace(settings, events=self._log.path)

    def _end_log(self) -> None:
        log, self._log = self._log, None
        if log is not None:
            log.end()

    def _with_possible_spares(self, settings: Settings) -> Settings:
        executors = self.transport.size - 1
        if not executors or not self.transport.recovers:
            return replace(settings, spares=0)
        if settings.spares >= executors:
            raise UsageError(f"spares={settings.spares} leaves no executor: this run has {self.transport.size} ranks in all, and "
                             "one of them is the driver")
        return settings

    def warn(self, settings: Settings) -> None:
        """Warn once of settings that look wrong, whether mpirdd follows or ignores them."""
        said = [overcommitted(settings.memory, self._executors_here)]
        if settings.spares and self.transport.size > 1 and not self.transport.recovers:
            said.append(f"spares={settings.spares} has no effect: here the loss of a rank ends the run, so that a spare could "
                        "never join. Start the ranks with `mpirdd run` on Open MPI 5 or newer")
        if self.transport.size > 1 and not hash_seed_is_fixed():
            said.append("each rank has another hash seed, so hash() of text differs between ranks, except in partition "
                        "functions: import mpirdd before mpi4py, or set PYTHONHASHSEED=0 for all ranks")
        for name, meant in unknown_variables(os.environ):
            said.append(f"mpirdd ignores the environment variable {name}, as it is no setting"
                        + (f": did you mean {meant}?" if meant else ". Settings: mpirdd.protocol.settings.Settings"))
        for text in said:
            if text and text not in self._warned:
                self._warned.add(text)
                logging.getLogger("mpirdd").warning("%s", text)

    def ends_with(self, error: BaseException | None) -> None:
        """Note the error that ends the program, if there is one."""
        if self._driver is not None and error is not None and not self.forks.in_child:
            self._driver.observers.ends_with(error)

    def let_go(self) -> None:
        """After the Context has stopped: let an executor in this process drop its data now, as other ranks do. And put the event
        log at its URL, if it has one."""
        while self._hosted is not None and self._hosted.step():
            pass
        self._end_log()

    def serve(self) -> None:
        """Be an executor until the driver's program has ended."""
        from mpirdd.executor.executor import Executor
        from mpirdd.executor.interrupt import DriverLost, Watch
        from mpirdd.executor.process import OwnProcess

        settings = Settings.read()
        waiting = Waiting(spin_s=settings.spin_s, poll_sleep_s=settings.poll_sleep_s)
        process = OwnProcess(self.stacks)
        self.stacks.tell_of_ends()
        if not self.watched and not self.transport.recovers:
            self.stacks.to_stderr()
        watch = Watch(self.transport, self.leaving.with_a_lost_driver, process.look)
        self.forks.guard_tasks(watch)
        executor = Executor(self.transport, watch, process=process, allotted_bytes=self.allotted_bytes)
        self.serving = True
        self.leaving.make_abrupt_exits_known(partial(self._say_exit, executor))
        with open(os.devnull) as nothing:  # MPICH gives ranks a pipe that never ends; a debugger in a task would wait for it
            os.dup2(nothing.fileno(), 0)
        os.dup2(2, 1)  # the output of a task's child processes is not the program's
        try:
            while not executor.stopped:
                if executor.step():
                    waiting.reset()
                elif executor.waits and not executor.busy():
                    time.sleep(_SPARE_SLEEP_S)
                else:
                    waiting.pause(busy=executor.busy())
        except DriverLost:
            self.leaving.with_a_lost_driver()
        except BaseException as error:
            if isinstance(error, ClusterError) and not self.transport.recovers:
                time.sleep(_FOR_THE_LAUNCHER_S)
            # Broad: whatever has failed here, the others must not wait for this rank. No function of the user has failed, as
            # their errors go to the driver.
            end = "this rank" if self.transport.recovers else "all ranks"
            sys.stderr.write(f"mpirdd: the executor on rank {self.transport.rank} ({self.transport.host}) failed:\n"
                             f"{traceback.format_exc()}mpirdd: ending {end}\n")
            sys.stderr.flush()
            if self.transport.recovers:
                os.kill(os.getpid(), signal.SIGKILL)
            self.transport.abort(1)

    def _say_exit(self, executor: Executor, code: int) -> None:
        """Tell the driver that a task has called ``os._exit``. Tell the user here if the driver cannot: the run ends, and no
        launcher of ours watches it."""
        if not self.transport.recovers and self.leaving.tell_launcher is None:
            os.write(2, f"mpirdd: a task called os._exit({code}) on rank {self.transport.rank} ({self.transport.host}), which "
                        "ends the run\n".encode())
        executor.exiting(code)

    def serve_and_leave(self) -> NoReturn:
        """``serve``, then end the process without going back into the user's script."""
        if self.serving:
            raise UsageError("a Context cannot be made inside a function that runs on executors")
        self.serve()
        self.finish()
        self.leaving.as_an_executor()

    def finish(self) -> None:
        """Leave MPI; on the driver, first tell the executors to leave. Runs at exit in any case; a second call does nothing.

        MPI waits for all ranks, for ever if one does not answer any more. So this writes out open files first.
        """
        if self.finished or self.forks.in_child:
            return
        self.finished = True
        if self._driver is not None:
            self.ends_with(getattr(sys, "last_value", None))
            self._driver.observers.end()
        flush_files()
        if self.transport.rank == 0:
            for rank in range(1, self.transport.size):
                self.transport.send(rank, encode(messages.Stop()))
        try:
            self._end_log()
        finally:
            self.transport.close()


def program_folder() -> str:
    """The folder of the running program (links resolved), where Python looks for its modules; else the current folder."""
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    return os.path.dirname(os.path.realpath(script)) if script else os.getcwd()


def ship_modules_of(folder: str) -> None:
    """From now on, send functions of modules in ``folder`` by value, as not all executors can import them."""
    import cloudpickle

    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None)
        inside = path and os.path.abspath(path).startswith(folder + os.sep) and "site-packages" not in path
        if inside and module.__name__ != "__main__":
            cloudpickle.register_pickle_by_value(module)


def mpi_version() -> str:
    """The name and version of this process's MPI; empty without MPI."""
    if "mpirdd.comm.mpi_library" not in sys.modules:
        return ""
    from mpirdd.comm.mpi_library import library_version

    return library_version()


class _Stepper:
    """The ``pause`` of a driver that hosts its executor: it lets the executor work, for one thread at a time.

    If a signal handler interrupts a task and runs a job, the executor works inside its own step.
    """

    def __init__(self, executor: Executor) -> None:
        self._executor, self._lock, self._depth = executor, RLock(), 0
        self._thread = 0
        """The thread that works here, or has worked here last."""

    def in_engine(self) -> bool:
        """Is the calling thread in here, but in no task? From inside a task (a signal handler) it may come in once more."""
        return self._depth > self._executor.running and self._thread == get_ident()

    def __call__(self, busy: bool) -> None:
        with self._lock:
            if self._depth > self._executor.running:
                raise UsageError(
                    "a signal handler has interrupted mpirdd where no job can run, and runs one: note in the handler that "
                    "the signal has come, and run the job later")
            self._depth += 1
            self._thread = get_ident()
            try:
                self._executor.step()
            finally:
                self._depth -= 1


def _do_nothing() -> None:
    pass


def _never() -> bool:
    return False
