"""The Context of a program, and the functions by which a program or a test reaches its process.

The driver's process calls ``Context()``. Every other rank serves as an executor. It was started as ``python -m mpirdd``, or it
runs the same script up to its own ``Context()``, which does not return there.
"""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mpirdd.api.conf import Conf, paths_of
from mpirdd.api.context import BaseContext
from mpirdd.api.hadoopkeys import filesystems
from mpirdd.api.profiling import BasicProfiler, Profiler
from mpirdd.api.this_process import THIS_PROCESS
from mpirdd.comm.transport import Transport
from mpirdd.launch import excepthook
from mpirdd.launch.forks import TOLD
from mpirdd.launch.process import Process
from mpirdd.protocol.errors import InvalidValue, UsageError
from mpirdd.protocol.settings import Settings
from mpirdd.protocol.tracebacks import in_notebook

if TYPE_CHECKING:
    from typing_extensions import Self


class Context(BaseContext):
    """Where RDDs come from: joins the ranks of this run and makes this program their driver.

    Args:
        app_name: shown in logs.
        conf: settings under PySpark's names, where PySpark has them. Keys that mean nothing here are allowed.
        profiler: the class that profiles tasks, when the setting ``profile`` is on.
        settings: any setting by name (``mpirdd.protocol.settings.Settings``), such as ``parallelism=64``.

    On ranks other than 0 this call never returns: it serves as an executor until the driver's program has
    ended, then ends the process.

    Raises:
        InvalidValue: there is a Context already.
        UsageError: a setting makes no sense, or this is inside a task or a forked process.
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
        process = Process.of_this_program()
        if process.forks.in_child:
            raise UsageError(TOLD)
        conf = Conf() if conf is None else conf
        from_conf = conf.settings()
        chosen = Settings.read({**os.environ, **from_conf}, app_name=app_name, **settings)
        if process.transport.rank != 0:
            process.serve_and_leave()
        if process.serving or THIS_PROCESS.context is not None:
            made = "" if THIS_PROCESS.context is None else f", {THIS_PROCESS.context._engine.made_at}"
            raise InvalidValue(
                f"there is a Context already in this program{made}: stop it first, or use that one. "
                "(Inside a function that runs on executors, no Context can be made.)"
            )
        _check_scratch(chosen.scratch)
        THIS_PROCESS.context = self
        try:
            _set_up_logging(chosen)
            process.warn(chosen)
            excepthook.install()
            if "progress" not in settings and "MPIRDD_PROGRESS" not in os.environ:
                chosen = replace(chosen, progress=sys.stderr.isatty() or in_notebook())
            if "summary" not in settings and "MPIRDD_SUMMARY" not in os.environ:
                chosen = replace(chosen, summary=sys.stderr.isatty())
            driver = process.drive(chosen, filesystems(conf.getAll()))
            try:
                super().__init__(driver, conf, profiler)
            except BaseException as error:
                driver.observers.ends_with(error)
                driver.stop()
                process.let_go()
                raise
        except BaseException:  # Ctrl-C included: the program may catch it and make another Context
            THIS_PROCESS.context = None
            raise
        try:
            self._add_files(conf)
        except BaseException:
            self.stop()
            raise

    def _add_files(self, conf: Conf) -> None:
        """Send the files that ``mpirdd run --py-files --files --archives`` name."""
        for key, add in (("spark.submit.pyFiles", self.addPyFile), ("spark.files", self.addFile),
                         ("spark.archives", self.addArchive)):
            for path in paths_of(conf.get(key, "")):
                add(path)

    @classmethod
    def getOrCreate(cls, conf: Conf | None = None) -> Self:
        """The Context of this program; a new one if there is none.

        >>> Context.getOrCreate() is sc
        True
        """
        active = THIS_PROCESS.context
        if active is None:
            return cls(conf=conf)
        if not isinstance(active, cls):
            raise UsageError(f"the Context of this program is a {type(active).__name__}, not a {cls.__name__}")
        return active

    def stop(self) -> None:
        process = Process.of_this_program()
        if process.forks.in_child:  # a process that the program has forked may leave its `with` block
            return
        try:
            super().stop()
        finally:
            if THIS_PROCESS.context is self:
                THIS_PROCESS.context = None
                process.let_go()


def active_context() -> Context | None:
    """The Context of this program, if there is one."""
    active = THIS_PROCESS.context
    return active if isinstance(active, Context) else None


def transport() -> Transport:
    """This process's end of the network; starts MPI at the first call."""
    return Process.of_this_program().transport


def serve() -> None:
    """Be an executor until the driver is done. For ranks other than 0."""
    Process.of_this_program().serve()


def _check_scratch(folder: str) -> None:
    """Fail now if the scratch folder is wrong, not hours later in a task that has to spill. Checks the driver's host only."""
    if folder and not (os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)):
        from socket import gethostname

        raise UsageError(f"scratch folder {folder}: no folder that can be written to, on {gethostname()}. Choose another with "
                         "--scratch or MPIRDD_SCRATCH, or leave it out for SLURM_TMPDIR, TMPDIR or /tmp.")


def _set_up_logging(settings: Settings) -> None:
    log = logging.getLogger("mpirdd")
    log.setLevel(settings.log_level.upper())
    if not log.handlers and not logging.getLogger().handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s mpirdd: %(message)s"))
        log.addHandler(handler)
