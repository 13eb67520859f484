"""The commands that read event logs: ``mpirdd report``, ``mpirdd top`` and ``mpirdd trace``.

They need no MPI and run anywhere the log can be read, on a login node for example, while the run goes on or years later. Logs,
reports and traces may lie at URLs (``remote_logs``, which is imported where one does: most do not).
"""

from __future__ import annotations

import os
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol

from mpirdd.observe.event_file import is_url, name_of_log
from mpirdd.protocol.errors import UsageError
from mpirdd.protocol.package import install_command
from mpirdd.protocol.shown import shown_size

if TYPE_CHECKING:
    from argparse import _SubParsersAction  # the type has no public name

    from mpirdd.formats.filesystems import Options
    from mpirdd.observe.event_files import Log
    from mpirdd.observe.run_view import RunView

    _Commands = _SubParsersAction[ArgumentParser]

_LOOK_S = 1.0
_CLOCKS_DIFFER_S = 60.0
"""Somebody may have set the clock since the run began."""
REPORT_MARK = '<meta name="generator" content="mpirdd">'
_HEAD_BYTES = 4096
_TRACE_HEAD = '{"displayTimeUnit":"ms","traceEvents":['


def log_of(paths: Sequence[str], run: int | None = None) -> Log:
    """A run from logs, which may lie at URLs.

    Raises:
        UsageError: as ``read_log``; also if a URL cannot be read.
    """
    from mpirdd.observe.event_files import read_log

    if not any(map(is_url, paths)):
        return read_log(paths, run=run)
    from mpirdd.launch.remote_logs import AnyLogFiles

    return read_log(paths, run=run, files=AnyLogFiles())


def write_report(
    paths: list[str], target: str, *, run: int | None = None, over: bool = False, options: Options | None = None
) -> str:
    """Write the report of an event log. Returns a line for the user.

    Args:
        over: the run is known to be over.
        options: how to reach the file system of ``target``.

    Raises:
        UsageError: the log cannot be read, the report cannot be written, or plotly is missing.
    """
    from mpirdd.observe.report_data import report_data
    from mpirdd.observe.report_page import page
    from mpirdd.observe.run_view import RunView
    from mpirdd.observe.stands_out import StandsOut

    target = local_or_url(target)
    refuse_others_file(target, REPORT_MARK, options)

    def made(log: Log) -> str:
        view, outstanding = RunView(), StandsOut()
        log.give(outstanding.take, view.take)
        view.strange = 0  # the notes name each
        return page(report_data(view, notes=log.notes, over=over or not driver_lives(view), hints=outstanding.hints()))

    text = log_of(paths, run).made(made)
    _write(target, [text], options)
    return f"report: {target} ({shown_size(len(text.encode()))})"


def local_or_url(target: str) -> str:
    """``target``; one that is written as ``file:`` as the local path that it means."""
    if not is_url(target):
        return target
    from mpirdd.launch.remote_logs import place

    return place(target)


def refuse_others_file(target: str, mark: str, options: Options | None = None) -> None:
    """An older report or trace is replaced; nothing else ever is.

    Args:
        mark: what such a file has near its beginning.
        options: how to reach its file system.

    Raises:
        UsageError: ``target`` is another file, or cannot be read.
    """
    head = _head(target, options)
    if head.startswith(b"\x1f\x8b"):
        import zlib

        try:
            head = zlib.decompressobj(wbits=31).decompress(head, _HEAD_BYTES)
        except zlib.error as error:
            raise UsageError(f"{target} exists and cannot be read: {error}") from None
    if head and mark.encode() not in head:
        raise UsageError(f"{target} exists and is another file, so it is left as it is; give another name, or remove it")


def _head(target: str, options: Options | None) -> bytes:
    if is_url(target):
        from mpirdd.formats.filesystems import NO_OPTIONS
        from mpirdd.launch.remote_logs import head

        return head(target, _HEAD_BYTES, options or NO_OPTIONS)
    if not os.path.exists(target) or os.path.isdir(target):
        return b""
    try:
        with open(target, "rb") as file:
            return file.read(_HEAD_BYTES)
    except OSError as error:
        raise UsageError(f"{target} exists and cannot be read: {error.strerror}") from None


def event_file_in(setting: str, program: str) -> str:
    """The file that the setting ``events`` means: in a folder, a new one named by program and time."""
    path = os.path.abspath(setting)
    return os.path.join(path, name_of_log(name_of_run(program))) if os.path.isdir(path) or setting.endswith(os.sep) else path


def name_of_run(program: str) -> str:
    """What a log of the program is called, before the time."""
    return os.path.basename(program.rstrip("/")).removesuffix(".py") or "run"


class Told(Protocol):
    """A reader's account of a run."""

    @property
    def run(self) -> Mapping[str, Any]: ...
    @property
    def end(self) -> Mapping[str, Any] | None: ...


def driver_lives(run: Told) -> bool:
    """May the driver still be at work? The log has no end, and the driver lives, or is on another host, where we cannot look."""
    return run.end is None and (run.run.get("host") != os.uname().nodename or process_lives(run))


def process_lives(run: Told) -> bool:
    """Does the driver's process live on this host? A later process with the same number does not count."""
    pid, unix = run.run.get("pid"), run.run.get("unix", 0.0)
    if run.run.get("host") != os.uname().nodename or not isinstance(pid, int):
        return False
    try:
        with open(f"/proc/{pid}/stat") as file:
            ticks = int(file.read().rpartition(")")[2].split()[19])
        with open("/proc/uptime") as file:
            up_s = float(file.read().split()[0])
    except (OSError, ValueError, IndexError):
        return False
    began = time.time() - up_s + ticks / os.sysconf("SC_CLK_TCK")
    return bool(began <= unix + _CLOCKS_DIFFER_S)


def add_report(commands: _Commands) -> None:
    parser = commands.add_parser(
        "report",
        help="make an HTML report of a run from its event log",
        description="Make one HTML file of the event log of a run (mpirdd run --events FILE): timeline, stages, lineage, memory, "
        "shuffles, errors. It needs no network. The run may still go on.",
        allow_abbrev=False,
    )
    add_log(parser)
    parser.add_argument("-o", "--output", metavar="FILE.html", required=True, help="the file to write, or a URL")
    parser.set_defaults(carry_out=_report)


def _report(options: Namespace) -> int:
    print(write_report(options.events, options.output, run=options.run))
    return 0


def add_trace(commands: _Commands) -> None:
    parser = commands.add_parser(
        "trace",
        help="make a trace of a run for Perfetto from its event log",
        description="Make a trace of the event log of a run, for https://ui.perfetto.dev or chrome://tracing: ranks as rows, "
        "tasks with their parts, exchanges, memory, and arrows for shuffles.",
        allow_abbrev=False,
    )
    add_log(parser)
    parser.add_argument(
        "-o", "--output", metavar="FILE.json", required=True, help="the file to write, or a URL; compressed if it ends in .gz")
    parser.set_defaults(carry_out=_trace)


def _trace(options: Namespace) -> int:
    from mpirdd.observe.run_view import RunView
    from mpirdd.observe.trace import trace_events

    target = local_or_url(options.output)
    refuse_others_file(target, _TRACE_HEAD)

    def made(log: Log) -> list[dict[str, Any]]:
        view = RunView()
        log.give(view.take)
        return trace_events(view)

    log = log_of(options.events, options.run)
    entries = log.made(made)
    for note in log.notes:
        print(f"mpirdd: {note}", file=sys.stderr)
    from json import JSONEncoder

    encode = JSONEncoder(separators=(",", ":")).encode
    last = len(entries) - 1
    size = _write(target, [
        _TRACE_HEAD + "\n",
        *(encode(entry) + (",\n" if number < last else "\n") for number, entry in enumerate(entries)), "]}\n"])
    print(f"trace: {options.output} ({len(entries):,} entries, {shown_size(size)}); open it at "
          "https://ui.perfetto.dev, which keeps it in the browser")
    return 0


def add_top(commands: _Commands) -> None:
    parser = commands.add_parser(
        "top",
        help="watch a run in the terminal by its event log",
        description="Watch a run by its event log: jobs, stages, executors, memory, rates. The log may be written on another "
        "host, and need not be there yet. Ends with the run; Ctrl-C ends it sooner and does nothing to the run.",
        allow_abbrev=False,
    )
    add_log(parser)
    parser.add_argument("--once", action="store_true", help="print how it is now, and end")
    parser.set_defaults(carry_out=_top)


def _top(options: Namespace) -> int:
    try:
        from rich.console import Console
    except ImportError:
        raise UsageError(f"mpirdd top needs rich, which is not installed here.\n  fix: {install_command('observe')}") from None

    console = Console()
    watch = _Watch(options.events)
    if options.once or options.run is not None or any(map(is_url, options.events)):  # what lies there is complete
        watch.look_once(options.run)
        console.print(watch.frame(height=10_000, width=console.width))
        return 0
    from rich.live import Live

    try:
        with Live(console=console, auto_refresh=False, screen=console.is_terminal, transient=False) as live:
            while not watch.look():
                live.update(watch.frame(height=console.height, width=console.width), refresh=console.is_terminal)
                time.sleep(_LOOK_S)
    except KeyboardInterrupt:
        return 130
    console.print(watch.frame(height=console.height, width=console.width))
    return 0


class _Watch:
    """Follows a log: its newest run, the run's rates, and whether the run is over."""

    def __init__(self, paths: list[str]) -> None:
        from mpirdd.observe.contexts import Joiner
        from mpirdd.observe.event_files import Tails
        from mpirdd.observe.rates import RateMeter
        from mpirdd.observe.run_view import RunView

        self._paths = paths
        self._tails: Tails | None = None
        self._joiner = Joiner()
        self._new_view: Callable[[], RunView] = lambda: RunView(details=False)
        self._new_tails, self._new_meter = Tails, RateMeter
        self._view, self._meter = self._new_view(), RateMeter()
        self.begun = False
        self._gone = 0
        """The number of looks in a row that have found no driver."""

    def look_once(self, run: int | None) -> None:
        """Take all events of the log.

        Args:
            run: which run of a log with several; None: the last.

        Raises:
            UsageError: there is no event, or no such run.
        """
        log = log_of(self._paths, run)
        log.give(self._view.take)
        for note in log.notes:
            print(f"mpirdd: {note}", file=sys.stderr)
        self.begun = True
        self._gone = 0 if driver_lives(self._view) else 1

    def look(self) -> bool:
        """Take the new events. True if the run is over."""
        from mpirdd.observe.event_files import newest

        if self._tails is None:
            paths = [newest(path) for path in self._paths]
            if None in paths:
                return False
            self._tails = self._new_tails([path for path in paths if path is not None])
        for event in map(self._joiner.take, self._tails.new()):
            if event["event"] == "run":
                self._view, self._meter = self._new_view(), self._new_meter()
            self.begun = True
            self._view.take(event)
        if not self.begun:
            return False
        # The driver writes its last lines before it ends. So it counts as gone only if the next look finds no end either.
        self._gone = 0 if driver_lives(self._view) else self._gone + 1
        if self._view.end is not None:  # while the program goes on, it may make another Context
            return not process_lives(self._view)
        return self._gone > 1

    def frame(self, *, height: int, width: int) -> Any:
        from rich.text import Text

        from mpirdd.observe.top_frame import frame

        if not self.begun:
            return Text(f"waiting for {', '.join(self._paths)} ...")
        view = self._view
        now = view.now if view.end is not None or self._gone else max(view.now, time.time() - view.run.get("unix", time.time()))
        killed = bool(self._gone) and view.end is None
        note = "the log has no end, and the driver is gone: the run was killed" if killed else ""
        return frame(view, self._meter.rates(view, now), now=now, height=height, width=width, note=note, title=_name(view),
                     status="killed" if killed else "")


def _name(run: RunView) -> str:
    return " ".join(os.path.basename(str(word)) for word in run.run.get("program", ())[:4]) or str(run.run.get("app", ""))


def add_log(parser: ArgumentParser) -> None:
    """Give a parser the words that name a log and one of its runs."""
    parser.add_argument(
        "events", nargs="+", metavar="EVENTS",
        help="the log: a file, all files that together hold it, or a folder, whose newest log is taken; each may be a URL")
    parser.add_argument("--run", type=int, metavar="N", help="of a log with several runs, the Nth (default: the last)")


def _write(target: str, pieces: list[str], options: Options | None = None) -> int:
    """A file that appears whole. Returns its bytes.

    Raises:
        UsageError, ClusterError: it cannot be written.
    """
    if not is_url(target):
        return _write_local(target, pieces)
    from mpirdd.formats.filesystems import NO_OPTIONS
    from mpirdd.launch.remote_logs import written_aside

    with written_aside(target, options or NO_OPTIONS) as path:
        return _write_local(path, pieces)


def _write_local(target: str, pieces: list[str]) -> int:
    import gzip

    if os.path.isdir(target or os.curdir):
        shown, why = (target, "it is a folder; ") if target else ("an empty name", "")
        raise UsageError(f"{shown} cannot be written: {why}give a file's name")
    part = f"{target}.{os.getpid()}.part"
    try:
        if target.endswith(".gz"):
            with gzip.open(part, "wt", encoding="utf-8", compresslevel=6) as packed:
                packed.writelines(pieces)
        else:
            with open(part, "w", encoding="utf-8") as file:
                file.writelines(pieces)
        os.replace(part, target)
        return os.path.getsize(target)
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror}") from None
    finally:
        with suppress(OSError):  # a whole one has the name of target now
            os.unlink(part)
