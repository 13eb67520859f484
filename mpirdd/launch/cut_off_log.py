"""What the launcher does for a driver that was killed: it ends the event log, and prints the summary.

The driver writes the last line of its event log, and the summary, when its program ends. A killed driver can do neither. The
launcher outlives it, knows how it ended, and finds the log through the setting ``events``.
"""

from __future__ import annotations

import json
import mmap
import os
import sys
import time
from contextlib import suppress
from typing import Any

from mpirdd.launch.supervision import End
from mpirdd.protocol.errors import MpirddError
from mpirdd.protocol.settings import Settings

_RUN, _END = b'{"event":"run"', b'{"event":"end"'


def close_after(end: End, setting: str, driver: tuple[str, int] | None) -> str | None:
    """``close_log`` for a run that has ended in this way."""
    if not setting:
        return None
    status, why = ("killed", end.why.split(". ")[0].rstrip(".")) if end.lost else ("terminated", f"exit code {end.code}")
    return close_log(setting, driver, status=status, why=why)


def close_log(setting: str, driver: tuple[str, int] | None, *, status: str, why: str) -> str | None:
    """Write the last line of a log, if its driver has not.

    Args:
        setting: the setting ``events``.
        driver: the driver's host and process id, which tell its run from others in the log.

    Returns:
        The path of the log; None if the driver has none, or its log has an end.
    """
    if driver is None:
        return None
    return next((path for path in _logs(os.path.abspath(setting), driver[1]) if _closed(path, driver, status, why)), None)


def _logs(path: str, pid: int) -> list[str]:
    """The files that may be that driver's log. In a folder, where other runs write, too, the name tells: see ``name_of_log``."""
    if not os.path.isdir(path):
        return [path]
    try:
        logs = [entry for entry in os.scandir(path) if entry.name.endswith(f"-{pid}.jsonl") and entry.is_file()]
        return [entry.path for entry in sorted(logs, key=lambda entry: entry.stat().st_mtime_ns, reverse=True)]
    except OSError:
        return []


def _closed(path: str, driver: tuple[str, int], status: str, why: str) -> bool:
    """Has this log now an end, and had none? Not if it is no log of that driver."""
    try:
        with open(path, "r+b") as file:
            run, whole = _open_run(file.fileno())
            if run is None or (run.get("host"), run.get("pid")) != driver:
                return False
            line = {"event": "end", "t": round(max(time.time() - run["unix"], 0.0), 6), "status": status, "error": why}
            file.seek(0, os.SEEK_END)
            file.write((b"" if whole else b"\n") + json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode() + b"\n")
    except (OSError, ValueError, KeyError, TypeError):  # a full disk, or no event log after all
        return False
    return True


def _open_run(file: int) -> tuple[dict[str, Any] | None, bool]:
    """The ``run`` line of the last run, if that run has no end; and whether the last line of the file is whole."""
    if not os.fstat(file).st_size:
        return None, True
    with mmap.mmap(file, 0, access=mmap.ACCESS_READ) as text:
        begins = text.rfind(b"\n" + _RUN) + 1  # 0 is where the first one begins
        ends = text.find(b"\n" + _END, begins)
        if ends >= 0 or text[begins:begins + len(_RUN)] != _RUN:
            return None, True
        line = text[begins:max(text.find(b"\n", begins), 0) or len(text)]
        return json.loads(line), text[-1:] == b"\n"


def tell_summary(log: str | None, settings: Settings, *, asked: bool) -> None:
    """Print the summary that the driver could not print.

    Args:
        log: the result of ``close_log``.
        asked: the user has asked for a summary.
    """
    if log is None:
        if asked and not settings.events:
            _write("mpirdd: no summary, as its figures were lost with the driver; with --events FILE there is one\n")
        return
    from mpirdd.observe.event_files import read_log
    from mpirdd.observe.run_state import RunState
    from mpirdd.observe.summary import summary, terminal_width

    state = RunState()
    with suppress(MpirddError, KeyError, TypeError, ValueError):  # the end of the run is told in any case
        read_log([log]).give(state.take)
        if state.stages:
            _write(summary(state, width=terminal_width(sys.stderr.isatty())))


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
