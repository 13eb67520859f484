"""The event log's file: JSON lines, appended and handed to the system a few at a time.

Lines of events that come by the thousand wait until the driver has nothing else to do, at most 0.1 s while lines keep coming.
Any other line goes to the system at once, behind those that waited. Each ``write`` appends whole lines, so a reader of the
growing file sees whole lines. A driver that is killed loses the lines that waited. (A machine that dies loses what its kernel
had not written yet: we force nothing to the disk.)

Nothing is overwritten: if a file has events of an earlier run, those of the new run follow.
"""

from __future__ import annotations

import fcntl
import json
import os
import sys
import time
from typing import Any

from mpirdd.protocol.errors import UsageError

_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, default=str).encode
"""Made once: ``json.dumps`` with separators would make an encoder for each line, and take twice as long."""


FIRST = b'{"event":'
"""How an event log begins."""
_MAY_WAIT = frozenset({"node", "stage", "stage_end", "started", "task", "tasks", "exchange", "exchanged", "kept", "memory"})
"""Emitted while a job runs, so that the driver's loop soon calls ``flush``."""
_MOST_WAIT_S, _MOST_WAIT = 0.1, 200
"""Lines wait at most this long, and at most so many of them."""


def is_url(text: str) -> bool:
    """Is a log's name not the plain path of a local file? What it is then, ``launch/remote_logs`` knows."""
    return "://" in text or text.startswith("file:")


def name_of_log(of: str) -> str:
    """The name of a new log, by what it is of and the time."""
    stem = "".join(letter if letter.isalnum() or letter in "-_." else "-" for letter in of) or "mpirdd"
    return f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.jsonl"


def place_of(setting: str, of: str) -> str:
    """The path of the file: the setting itself; or a new name in it, where it is a folder. (What goes to a URL is a local
    file, too, until it is complete: ``launch/remote_logs``.)"""
    path = os.path.abspath(setting)
    return os.path.join(path, name_of_log(of)) if os.path.isdir(path) or setting.endswith(os.sep) else path


class EventFile:
    """Open for appending until ``close``.

    Raises:
        UsageError: the file cannot be written, or holds no events.
    """

    def __init__(self, setting: str, app: str) -> None:
        self.path = place_of(setting, app)
        self.bytes = 0
        """Written by this run."""
        self._waiting: list[str] = []
        self._since = 0.0
        try:
            if setting.endswith(os.sep):
                os.makedirs(os.path.dirname(self.path), exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise UsageError(f"--events {setting}: {self.path} cannot be written: {error.strerror}. Give a file or a folder "
                             "that exists (a name that ends in / is made).") from None
        self._process = os.getpid()
        try:
            self._begin(setting)
        except BaseException:
            self.close()
            raise

    def _begin(self, setting: str) -> None:
        """Check an older file, and end a line that an earlier run has left unfinished."""
        size = os.fstat(self._file).st_size
        if not size:
            self._lock()
            return
        head = os.pread(self._file, 200, 0)
        if not head.startswith(FIRST):
            raise UsageError(f"--events {setting}: {self.path} exists and is no event log; choose another name")
        if self._lock() and os.pread(self._file, 1, size - 1) != b"\n":
            os.write(self._file, b"\n")

    def _lock(self) -> bool:
        """Lock the file. False, and a line for the user, if another run writes it now, as far as one can tell. (The lock is the
        process's: a lock of the open file would pass to processes that the program forks, and outlive the Context.)"""
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            if not os.path.isfile(self.path):  # /dev/null
                return True
            sys.stderr.write(f"mpirdd: another run is writing the event log {self.path}, so readers will take the two for one. "
                             "Give each run a file of its own, or a folder, in which each makes one.\n")
            return False
        except OSError:  # a file system without locks
            pass
        return True

    def write(self, line: dict[str, Any]) -> None:
        """Append an event."""
        waiting = self._waiting
        if not waiting:
            self._since = line["t"]
        waiting.append(_encode(line))
        if line["event"] not in _MAY_WAIT or line["t"] - self._since > _MOST_WAIT_S or len(waiting) >= _MOST_WAIT:
            self.flush()

    def flush(self) -> None:
        """Hand the waiting lines to the system. A disk that fails ends the log, but not the run."""
        if not self._waiting:
            return
        lines, self._waiting = self._waiting, []
        if self._file < 0 or os.getpid() != self._process:
            return
        data = ("\n".join(lines) + "\n").encode(errors="backslashreplace")
        try:
            written = os.write(self._file, data)
            if written < len(data):  # a full disk first takes a part, and then gives the error
                os.write(self._file, data[written:])
        except OSError as error:
            sys.stderr.write(f"mpirdd: the event log {self.path} ends here, as it cannot be written any more: "
                             f"{error.strerror}. The run goes on.\n")
            self.close()
            return
        self.bytes += len(data)

    def close(self) -> None:
        self.flush()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
