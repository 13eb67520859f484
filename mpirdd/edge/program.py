"""``python -m mpirdd job.py args``: what every rank of a run executes.

Rank 0 runs the program as ``python job.py args`` would: as ``__main__``, with its own ``sys.argv`` and
``sys.path[0]``, with Python's tracebacks and exit codes. The other ranks serve as executors until it has
ended, however it ended. So the program's file is run once, not once a rank, and an exit before any
``Context`` releases the others as well.

Left out: what the ranks do for each other (``session``), and starting them (``launch``).
"""

from __future__ import annotations

import builtins
import os
import signal
import sys
from collections.abc import Sequence
from types import CodeType, FrameType, ModuleType, TracebackType

from mpirdd.edge import pyspark
from mpirdd.edge.allotment import cap_threads, launched_rank, launched_size
from mpirdd.words.errors import ClusterError
from mpirdd.words.settings import Settings

_BEYOND_GRACE_S = 1.0
"""After SIGTERM the program may clean up for the grace period that is set, and this; then it is ended from inside."""


def main(words: Sequence[str]) -> int:
    """Be this process's rank of a run of ``job.py args`` or ``-m module args``. Returns the exit code."""
    from mpirdd.edge import handover

    status_file = os.environ.pop(handover.STATUS_VARIABLE, None)  # no matter of what the program starts
    signal.signal(signal.SIGUSR2, EarlyNotice())
    if launched_size(os.environ) > 1:
        handover.die_with_parent(signal.SIGKILL)  # or kill -9 of mpirun would leave the ranks behind
        handover.register(status_file, launched_rank(os.environ))
    cap_threads(os.environ)  # before session, which imports numpy
    from mpirdd.edge import session

    if os.environ.get(pyspark.VARIABLE):
        pyspark.enable()
    try:
        transport = session.transport()
    except ClusterError as problem:  # each rank is alone: one of them says so, and none waits for another
        if launched_rank(os.environ) != 0:
            return 0
        return handover.report_exit(status_file, _complain(problem))
    except (ImportError, RuntimeError, OSError) as problem:
        return _complain(f"MPI does not start here: {problem}\n  fix: `mpirdd doctor` says more")
    if transport.rank != 0:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # leave at once and without a traceback from every rank
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # for the driver; some launchers pass it on to all ranks
        session.serve()
        return 0
    handover.take_streams(os.environ)
    if status_file is not None:
        session.on_abrupt_exit(lambda code: handover.report_exit(status_file, code))
    code = handover.report_exit(status_file, run(words))
    session.finish(code)  # may take for ever when a rank does not answer any more; the launcher knows all it needs
    return code


def run(words: Sequence[str]) -> int:
    """Run a program in this process as Python would; what it raises is printed. Returns its exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    early = signal.getsignal(signal.SIGUSR2)
    if isinstance(early, EarlyNotice):
        early.begin()
    code = 0
    try:
        _execute(*_load(words))
    except SystemExit as leaving:
        code = _code_of(leaving)
    except BaseException as error:
        code = 130 if isinstance(error, KeyboardInterrupt) else 1
        _print_as_python_does(error)
    return _settle(code)


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


def _code_of(leaving: SystemExit) -> int:
    """What ``sys.exit`` means by its argument: a code, nothing (0), or a last word to print (1)."""
    if leaving.code is None:
        return 0
    if isinstance(leaving.code, int):
        return leaving.code & 0xFF
    print(leaving.code, file=sys.stderr)
    return 1


def _settle(code: int) -> int:
    """Wait for the program's threads, which may still use the Context, and for its output to be out."""
    from threading import current_thread, enumerate

    try:
        for thread in enumerate():
            if thread is not current_thread() and not thread.daemon:
                thread.join()
    except SystemExit as leaving:
        code = _code_of(leaving)
    except KeyboardInterrupt:
        code = 130
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # nothing of the user's is left that could handle it
    try:
        sys.stdout.flush()
    except OSError:
        code = code or 120  # as Python itself
    return code


def _terminate(number: int, frame: FrameType | None) -> None:
    """On SIGTERM, unwind the program, so that its ``with`` blocks end well; but be gone soon in any case."""
    from threading import Timer

    signal.signal(number, signal.SIG_IGN)  # mpirun sends it again, into the program's cleaning up
    timer = Timer(Settings.read().grace_s + _BEYOND_GRACE_S, os._exit, (128 + number,))
    timer.daemon = True
    timer.start()
    raise SystemExit(128 + number)


class EarlyNotice:
    """The handler of SIGUSR2 until the program has registered what it saves then; remembers that one has come."""

    def __init__(self) -> None:
        self.arrived = False
        self._begun = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.arrived = True
        self._say()

    def begin(self) -> None:
        """This is the driver, and its program begins."""
        self._begun = True
        if self.arrived:
            self._say()

    def _say(self) -> None:
        if self._begun:
            os.write(2, b"mpirdd: the walltime ends soon (SIGUSR2), and the program has nothing to be saved so far: see "
                        b"Context.resumable\n")


def _print_as_python_does(error: BaseException) -> None:
    """The traceback from the program's own first line on."""
    trace: TracebackType | None = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename == __file__:
        trace = trace.tb_next
    sys.excepthook(type(error), error.with_traceback(trace), trace)


def _complain(problem: object) -> int:
    print(f"mpirdd: {problem}", file=sys.stderr, flush=True)
    return 1
