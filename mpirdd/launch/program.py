"""``python -m mpirdd job.py args``: the program that every rank of a run executes.

Rank 0 runs the program as ``python job.py args`` would: as ``__main__``, with its own ``sys.argv`` and ``sys.path[0]``,
with Python's tracebacks and exit codes. The other ranks serve as executors until the program has ended, however it ended.
So the program's file runs once, not once a rank. A program that exits before it makes a ``Context`` releases the others, too.

Left out: how ranks serve each other (``process``), and starting them (``mpirun``).
"""

from __future__ import annotations

import atexit
import builtins
import os
import signal
import sys
from collections.abc import Callable, Sequence
from functools import partial
from types import CodeType, FrameType, ModuleType, TracebackType

from mpirdd.launch import status_channel
from mpirdd.launch.launchers import launched_rank, launched_size
from mpirdd.launch.leaving import code_of, flush_files
from mpirdd.launch.resources import cap_threads
from mpirdd.protocol.errors import ClusterError
from mpirdd.protocol.settings import Settings
from mpirdd.protocol.signals import ToldToEnd, die_of_it

_BEYOND_GRACE_S = 1.0
"""After SIGTERM the program may clean up for the setting ``grace_s``, and this long beyond; then this process ends."""


def main(words: Sequence[str]) -> int:
    """Be this process's rank of a run of ``job.py args`` or ``-m module args``. Returns the exit code."""
    status_file = os.environ.pop(status_channel.STATUS_VARIABLE, None)  # popped: not for processes that the program starts
    watched = status_channel.launcher_is_here(status_file, os.environ)
    if launched_rank(os.environ) == 0:
        _be_a_driver()
    else:
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # it is for the driver; some launchers give it to all ranks, at any time
    if launched_size(os.environ) > 1:
        status_channel.die_with_parent(signal.SIGKILL)  # else kill -9 of mpirun would leave the ranks behind
        status_channel.register(status_file, launched_rank(os.environ))
    cap_threads(os.environ)  # before process, which imports numpy
    from mpirdd.launch.process import Process

    if os.environ.get("MPIRDD_PYSPARK"):
        from mpirdd.api import pyspark

        pyspark.enable()
    try:
        process = Process.of_this_program(os.path.dirname(status_file) if status_file else None)
    except ClusterError as problem:  # each rank is alone: rank 0 alone reports it, and none waits for another
        if launched_rank(os.environ) != 0:
            return 0
        return status_channel.report_exit(status_file, _complain(problem))
    except (ImportError, RuntimeError, OSError) as problem:
        return _complain(f"MPI does not start here: {problem}\n  fix: `mpirdd doctor` says more")
    process.watched = watched
    stage = _stage()
    if process.transport.rank != 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # leave at once, without a traceback from every rank
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # again: some launchers do not tell a rank its number before MPI starts
        rank = process.transport.rank
        if status_file is not None:
            process.leaving.tell_launcher = lambda code: status_channel.report_rank_exit(status_file, rank, code)
        if stage is not None:
            atexit.register(stage.leave)
        process.serve_and_leave()
    if stage is not None:
        stage.all_are_up()
    status_channel.take_streams(os.environ)
    if status_file is not None:
        process.leaving.make_abrupt_exits_known(lambda code: status_channel.report_exit(status_file, code))
    code = run(words, process.ends_with)
    atexit.unregister(process.finish)
    _end_as_python_does()
    code = status_channel.report_exit(status_file, code)
    process.finish()  # may take for ever if a rank does not answer any more; the launcher knows all it needs
    if stage is not None:
        stage.leave()
    return code


def _stage() -> ModuleType | None:
    """The module for ranks of ``--stage-environment``."""
    if "MPIRDD_STAGE" not in os.environ:
        return None
    from mpirdd.launch import staged

    return staged


def _be_a_driver() -> None:
    """The steps of rank 0 alone, before MPI starts. (It imports here, as executors do without the user's layer.)"""
    from mpirdd.api.termination import EarlyNotice
    from mpirdd.launch.pyspark_notice import PysparkNotice

    signal.signal(signal.SIGUSR2, EarlyNotice())
    if not os.environ.get("MPIRDD_PYSPARK"):
        sys.meta_path.insert(0, PysparkNotice())


def run(words: Sequence[str], ends_with: Callable[[BaseException], None] = lambda error: None) -> int:
    """Run a program in this process as Python would, and print the error that ends it. Returns its exit code.

    ``ends_with`` gets the error, ``SystemExit`` included.
    """
    signal.signal(signal.SIGTERM, partial(_terminate, os.getpid()))
    begin = getattr(signal.getsignal(signal.SIGUSR2), "begin", None)
    if begin is not None:  # the handler is an EarlyNotice, if this process is a rank
        begin()
    code, rank = 0, os.getpid()
    if "MPIRDD_CONF" in os.environ:
        from mpirdd.launch.spark_options import importable

        sys.path[1:1] = importable()
    try:
        _execute(*_load(words))
    except SystemExit as leaving:
        ends_with(leaving)
        code = code_of(leaving)
    except BaseException as error:  # any error ends the program, and is shown as Python shows it
        ends_with(error)
        code = 130 if isinstance(error, KeyboardInterrupt) else 1
        _print_as_python_does(error)
    code = _settle(code)
    if os.getpid() != rank:  # a process that the program has forked; the rest is for the rank alone
        _end_as_python_does()
        os._exit(code)
    return code


def _load(words: Sequence[str]) -> tuple[ModuleType, CodeType]:
    """The program as a fresh ``__main__`` and its code. Sets ``sys.argv`` and ``sys.path[0]``."""
    if words[0] == "-m":
        sys.argv = list(words[1:])
        _set_first_path(os.getcwd())
        return _load_module(words[1], words[1])
    sys.argv = list(words)
    path = os.path.abspath(words[0])
    if not os.path.exists(path):
        print(f"mpirdd: no such file: {words[0]}", file=sys.stderr)
        raise SystemExit(2)
    if not _is_source(path):  # a folder or a zip file with a __main__.py in it
        _set_first_path(path)
        return _load_module("__main__", words[0], path)
    _set_first_path(os.path.dirname(os.path.realpath(path)))
    main = ModuleType("__main__")
    from importlib.machinery import SourceFileLoader

    loader = SourceFileLoader("__main__", path)
    main.__dict__.update(__file__=path, __cached__=None, __loader__=loader)
    # Not loader.get_code: it would write a __pycache__, and Python does not for the program itself.
    return main, compile(loader.get_data(path), path, "exec", dont_inherit=True)


def _load_module(name: str, shown: str, folder: str | None = None) -> tuple[ModuleType, CodeType]:
    from importlib.abc import InspectLoader
    from importlib.machinery import PathFinder
    from importlib.util import find_spec

    try:
        spec = PathFinder.find_spec(name, [folder]) if folder else find_spec(name)
        if spec is not None and spec.submodule_search_locations is not None:
            spec = find_spec(name + ".__main__")
    except ModuleNotFoundError as error:
        if not f"{name}.__main__".startswith(str(error.name)):
            raise
        spec = None
    code = spec.loader.get_code(spec.name) if spec and isinstance(spec.loader, InspectLoader) else None
    if spec is None or code is None:
        print(f"{sys.executable}: No module named {shown}", file=sys.stderr)
        raise SystemExit(1)
    main = ModuleType("__main__")
    main.__dict__.update(
        __file__=spec.origin,
        __cached__=spec.cached,
        __loader__=spec.loader,
        __spec__=spec,
        __package__=spec.parent,
    )
    if folder is None and spec.origin:
        sys.argv[0] = spec.origin
    return main, code


def _execute(main: ModuleType, code: CodeType) -> None:
    # The real __main__, to the end of the process: pickle, cloudpickle and multiprocessing look there.
    sys.modules["__main__"] = main
    __mpirdd_calls_program__ = True  # noqa: F841  (mpirdd.api.termination looks for it on the stack)
    main.__dict__["__builtins__"] = builtins
    exec(code, main.__dict__)


def _set_first_path(folder: str) -> None:
    if not getattr(sys.flags, "safe_path", False):  # python -P (3.11) puts nothing in front
        sys.path[0] = folder


def _is_source(path: str) -> bool:
    if os.path.isdir(path):
        return False
    with open(path, "rb") as file:
        return file.read(4) != b"PK\3\4"


def _settle(code: int) -> int:
    """Wait for the program's threads, which may still use the Context, and flush its output."""
    import threading

    try:
        for tell in reversed(getattr(threading, "_threading_atexits", [])):  # idle thread pools wait for this
            tell()
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()
    except SystemExit as leaving:
        code = code_of(leaving)
    except KeyboardInterrupt:
        code = 130
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # no code of the user is left that could handle it
    try:
        sys.stdout.flush()
    except OSError:
        code = code or 120  # as Python itself
    return code


def _end_as_python_does() -> None:
    """Call the functions that the program has registered for its end, and write out its open files."""
    atexit._run_exitfuncs()
    flush_files()


def _terminate(program: int, number: int, frame: FrameType | None) -> None:
    """On SIGTERM: unwind the program, so that its ``with`` blocks end well, but end soon in any case.

    A process that the program has forked dies at once, as under plain Python: ``multiprocessing.Pool`` ends its workers this
    way. An exception would not do: Python swallows one raised right after a fork, and the pool would wait for ever.
    """
    from threading import Timer

    if os.getpid() != program:
        die_of_it(number)
        return
    signal.signal(number, signal.SIG_IGN)  # mpirun sends it again, while the program cleans up
    timer = Timer(Settings.read().grace_s + _BEYOND_GRACE_S, os._exit, (128 + number,))
    timer.daemon = True
    timer.start()
    raise ToldToEnd(128 + number)


def _print_as_python_does(error: BaseException) -> None:
    """Print the traceback from the program's own first line on."""
    trace: TracebackType | None = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    sys.excepthook(type(error), error.with_traceback(trace), trace)


def _complain(problem: object) -> int:
    print(f"mpirdd: {problem}", file=sys.stderr, flush=True)
    return 1
