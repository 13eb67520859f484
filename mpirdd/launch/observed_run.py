"""``mpirdd run --report FILE`` and ``--ui``: a run with its report at the end, or live while it goes on; and ``--events URL``.

The first two read the run's event log, which goes beside the report where the user has not asked for one; a log at a URL is
put there at the end. All that is the work of the launcher, which is still there when the program has failed, was killed, or got
SIGTERM. So a run on one rank, which is otherwise this process itself, becomes a child.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from importlib.util import find_spec
from select import select
from socket import gethostname
from types import FrameType
from typing import TYPE_CHECKING

from mpirdd.api.conf import SUBMITTED
from mpirdd.launch import mpirun
from mpirdd.launch.cut_off_log import close_log
from mpirdd.launch.mpirun import LaunchRequest
from mpirdd.launch.observing import (
    REPORT_MARK,
    event_file_in,
    local_or_url,
    name_of_run,
    refuse_others_file,
    write_report,
)
from mpirdd.launch.status_channel import die_with_parent, stdin_to_lend
from mpirdd.launch.terminal import terminal_restored
from mpirdd.observe.event_file import is_url
from mpirdd.observe.report_page import no_plotly
from mpirdd.protocol.errors import MpirddError, UsageError
from mpirdd.store.scratch import make_private_folder, remove_tree, temporary_folder

if TYPE_CHECKING:
    from mpirdd.formats.filesystems import Options

EVENTS = "MPIRDD_EVENTS"
_SERVER_STARTS_S = 20.0


def run_observed(request: LaunchRequest, *, report: str | None, ui: bool) -> int:
    """Run a program as ``mpirun.run`` does. Returns its exit code, whatever becomes of log and report.

    Raises:
        UsageError, ClusterError: also if plotly is missing, or the report or the log could not be written.
    """
    if (ui or report is not None) and find_spec("plotly") is None:
        raise UsageError(no_plotly())
    if report is not None:
        report = local_or_url(report)
        _check_target(report, _options(request))
    with _log_for(request, report) as log:
        if report is not None and (report == _variable(request, EVENTS) or os.path.abspath(report) == os.path.abspath(log)):
            raise UsageError(f"--report {report} is the event log, too; give one of them another name")
        request = replace(request, settings={**(request.settings or {}), EVENTS: log})
        before = _size(log)
        with _live(log) if ui else nullcontext():
            code = _run(request)
        if report is not None:
            _report(log, report, _options(request), begun=_size(log) > before)
    return code


def _report(log: str, report: str, options: Options, *, begun: bool) -> None:
    """Also after a failure. The program's exit code stays what it is."""
    try:
        if not begun:
            raise UsageError("no report: the run has not written any event")
        print(f"mpirdd: {write_report([log], report, over=True, options=options)}", file=sys.stderr)
    except MpirddError as error:
        print(f"mpirdd: {error}", file=sys.stderr)


def _check_target(report: str, options: Options) -> None:
    if is_url(report):
        from mpirdd.launch.remote_logs import check_writable

        check_writable(report, options)
    else:
        folder = os.path.dirname(os.path.abspath(report))
        if not os.path.isdir(folder) or not os.access(folder, os.W_OK) or os.path.isdir(report or os.curdir):
            raise UsageError(f"--report {report or repr(report)}: cannot be written; give a file in a folder that exists")
    refuse_others_file(report, REPORT_MARK, options)


@contextmanager
def _log_for(request: LaunchRequest, report: str | None) -> Iterator[str]:
    """The file for the event log: the user's; else beside the report; else one that is gone afterwards. A log at a URL is put
    there afterwards."""
    beside = "" if report is None else os.path.splitext(report)[0] + ".events.jsonl"
    setting = local_or_url(_variable(request, EVENTS) or beside)
    if setting and not is_url(setting):
        yield event_file_in(setting, _program(request))
        return
    # The hosts of a run that begins elsewhere presumably share the current folder.
    parent = temporary_folder() if mpirun.rank_0_is_near(os.environ, request.mpi_words) else os.getcwd()
    if setting:
        from mpirdd.launch.remote_logs import RemoteLog

        with RemoteLog(setting, name_of_run(_program(request)), options=_options(request), parent=parent) as log:
            yield log.path
        return
    folder = make_private_folder(".mpirdd-events-", parent)
    try:
        yield os.path.join(folder, "events.jsonl")
    finally:
        remove_tree(folder)


def _program(request: LaunchRequest) -> str:
    return request.program[1] if request.program[0] == "-m" else request.program[0]


def _options(request: LaunchRequest) -> Options:
    """How to reach the file systems of log and report: by the keys of ``--conf spark.hadoop. ...``."""
    import json

    from mpirdd.api.hadoopkeys import filesystems
    from mpirdd.formats.filesystems import Options

    conf: dict[str, str] = json.loads(_variable(request, SUBMITTED) or "{}")
    return Options.of(None, filesystems(conf.items()))


def _variable(request: LaunchRequest, name: str) -> str:
    """As the ranks will have it."""
    return {**os.environ, **(request.settings or {})}.get(name, "")


@contextmanager
def _live(log: str) -> Iterator[None]:
    """Serve the live report, from a process of its own, as long as the block runs."""
    server = subprocess.Popen(
        [sys.executable, "-m", "mpirdd.launch.live_report", log], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        start_new_session=True)  # Ctrl-C is for the run
    assert server.stdin is not None and server.stdout is not None
    try:
        if select([server.stdout], [], [], _SERVER_STARTS_S)[0] and (address := server.stdout.readline().decode().strip()):
            from mpirdd.launch.live_report import how_to_reach

            print(f"mpirdd: {how_to_reach(address)}", file=sys.stderr, flush=True)
        else:
            print("mpirdd: the live report cannot be served here; the run goes on without", file=sys.stderr)
        yield
    finally:
        server.stdin.close()  # this ends the server
        with suppress(subprocess.TimeoutExpired):
            server.wait(5)
        server.kill()
        server.wait()
        server.stdout.close()


def _run(request: LaunchRequest) -> int:
    ranks = mpirun.default_ranks(os.environ) if request.ranks is None else request.ranks
    return _run_as_child(request) if ranks == 1 else mpirun.run(request)


def _run_as_child(request: LaunchRequest) -> int:
    """Run on one rank, in a child that gets the signals of this process, and no other: it has a session of its own, so that
    Ctrl-C on the terminal, which every process of a session would get, comes to it once, as a signal by ``kill`` does."""
    environment = {**os.environ, **(request.settings or {})}
    child: subprocess.Popen[bytes] | None = None
    early: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        if child is None:
            early.append(number)
        else:
            child.send_signal(number)

    with terminal_restored(), _handled(pass_on):
        started = subprocess.Popen(
            [sys.executable, "-m", "mpirdd", "run", "-n", "1", *request.program], env=environment, stdin=stdin_to_lend(),
            start_new_session=True, preexec_fn=_end_with_us)
        child = started
        for number in early:
            child.send_signal(number)
        code = child.wait()
    if code < 0:
        close_log(environment[EVENTS], (gethostname(), child.pid), status="killed", why=f"it was killed by signal {-code}")
    return 128 - code if code < 0 else code


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    numbers = [number for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2, signal.SIGWINCH)
               if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in numbers}
    # Ctrl-Z would stop this process, but not the child.
    before[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)


def _end_with_us() -> None:
    die_with_parent(signal.SIGTERM)


def _size(path: str) -> int:
    with suppress(OSError):
        return os.path.getsize(path)
    return 0
