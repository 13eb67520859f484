"""Reads event logs: files and folders to the events of their runs, with clear notes about faults.

A log may be cut off anywhere (kill -9, a full disk), rotated into several files, hold several runs one after the other, or
be written by another version. A reader gets what is there, and notes about what is missing.

Left out: what the events mean (``run_view``).
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mpirdd.observe.contexts import Joiner
from mpirdd.protocol.errors import UsageError

VERSION = 1
Events = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Log:
    """One run of a log."""

    events: Events
    notes: list[str] = field(default_factory=list)
    """What a reader should tell its user: damaged lines, another version, other runs in the same files."""


def read_log(paths: Sequence[str], *, run: int | None = None) -> Log:
    """A run from files and folders of event logs.

    Args:
        paths: a folder stands for the newest log in it. Files that together hold one run (rotated ones) may come in any order.
        run: which run, counted from 1, the oldest; a negative number counts from the end. By default the last one. All
            Contexts of a program are one run.

    Raises:
        UsageError: a file does not exist, is empty or is no event log; or there is no such run.
    """
    notes: list[str] = []
    pieces = [(path, _read(path, notes)) for path in _files(paths)]
    pieces = [(path, events) for path, events in pieces if events]
    if not pieces:
        raise UsageError(f"{_named(paths)}: no events yet. The file is empty: has the run begun?")
    runs = _programs(_runs(pieces))
    if not runs[0] or runs[0][0].get("event") != "run":
        notes.append("The beginning of the log is missing: names and times may be, too.")
    if run is not None and not (1 <= run <= len(runs) or -len(runs) <= run <= -1):
        raise UsageError(f"--run {run}: {_named(paths)} has {len(runs)} run{'s' if len(runs) > 1 else ''}")
    number = len(runs) if run is None else run if run > 0 else len(runs) + 1 + run
    if len(runs) > 1:
        notes.append(f"Run {number} of {len(runs)} in the log; --run N shows another one.")
    events = runs[number - 1]
    contexts = 1 + sum(event["event"] == "context" for event in events)
    if contexts > 1:
        notes.append(f"The program has made {contexts} Contexts, one after the other; they are shown as one run.")
    version = events[0].get("version", VERSION) if events and events[0].get("event") == "run" else VERSION
    if version != VERSION:
        notes.append(f"The log has version {version}, and this mpirdd reads version {VERSION}: parts may be missing or wrong.")
    return Log(events, notes)


class Tails:
    """Follows a log while it grows: one file, or several that together hold it, of which the last one grows.

    Args:
        paths: in any order. The files need not exist yet.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._tails = [Tail(path) for path in paths]
        self._ordered = len(paths) == 1

    def new(self) -> Events:
        """The events since the last call, as ``Tail.new``."""
        parts = [(tail, tail.new()) for tail in self._tails]
        if not self._ordered and all(events for _, events in parts):
            parts.sort(key=lambda part: _place(part[1]))
            self._tails, self._ordered = [tail for tail, _ in parts], True
        return [event for _, events in parts for event in events]


class Tail:
    """Follows one log while it grows. The file need not exist yet.

    Args:
        begin: bytes to leave out, those of earlier runs.
    """

    def __init__(self, path: str, begin: int = 0) -> None:
        self.path = path
        self.damaged = 0
        """Lines that are no events."""
        self._at = begin
        self._rest = b""
        self._inode: int | None = None

    def new(self) -> Events:
        """The events since the last call; a last line without its end waits for the rest. Costs O(new bytes).

        A ``run`` event begins another run. A file that was replaced or cut is read anew.

        Raises:
            UsageError: the file is no event log, or cannot be read.
        """
        try:
            with open(self.path, "rb") as file:
                state = os.fstat(file.fileno())
                if self._inode not in (None, state.st_ino) or state.st_size < self._at:
                    self._at, self._rest = 0, b""
                self._inode = state.st_ino
                file.seek(self._at)
                data = file.read()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise UsageError(f"{self.path}: {error.strerror}") from None
        begins = self._at == 0
        self._at += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        events, damaged = _parse(lines)
        self.damaged += damaged
        if begins and (lines or len(self._rest) > 1 << 20) and not events:
            raise UsageError(_NO_LOG.format(self.path))
        return events


_NO_LOG = "{}: no event log of mpirdd. `mpirdd run --events FILE job.py` writes one."


def newest(path: str) -> str | None:
    """The path itself; for a folder, its newest log. None if there is no log yet."""
    if not os.path.isdir(path):
        return path if os.path.exists(path) else None
    logs = [entry for entry in os.scandir(path) if entry.name.endswith(".jsonl") and entry.is_file()]
    return max(logs, key=lambda entry: (entry.stat().st_mtime_ns, entry.name)).path if logs else None


def _files(paths: Sequence[str]) -> list[str]:
    found: list[str] = []
    for path in paths:
        file = newest(path)
        if file is None:
            raise UsageError(f"{path}: no event log (*.jsonl) in this folder" if os.path.isdir(path) else f"{path}: no such file")
        found.append(file)
    return list(dict.fromkeys(found))


def _read(path: str, notes: list[str]) -> Events:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from None
    *lines, rest = data.split(b"\n")
    events, damaged = _parse(lines)
    if rest:
        last, _ = _parse([rest])  # perhaps whole, but for the end of the line
        events += last
        if not last and events:
            notes.append("The last line of the log is cut off: the run was killed while it wrote, or writes right now.")
    if (lines or rest) and not events:
        raise UsageError(_NO_LOG.format(path))
    if damaged:
        notes.append(f"{path}: {damaged:,} damaged line{'s' if damaged > 1 else ''} left out.")
    return events


def _parse(lines: list[bytes]) -> tuple[Events, int]:
    """The events, and the number of lines that are no events."""
    events, damaged = [], 0
    for line in lines:
        if not line.strip():
            continue
        try:
            event = json.loads(line)
        except ValueError:  # also for bytes that are no text
            event = None
        if isinstance(event, dict) and isinstance(event.get("event"), str) and isinstance(event.get("t", 0.0), int | float):
            events.append(event)
        else:
            damaged += 1
    return events, damaged


def _runs(pieces: list[tuple[str, Events]]) -> list[Events]:
    """The runs, the oldest first. A piece without a ``run`` line continues the run that another piece has begun."""
    runs: list[Events] = []
    heads = [piece for piece in pieces if piece[1][0].get("event") == "run"]
    for _, events in sorted(heads, key=lambda piece: piece[1][0].get("unix", 0.0)):
        for event in events:
            if event.get("event") == "run" or not runs:
                runs.append([])
            runs[-1].append(event)
    for _, events in sorted((piece for piece in pieces if piece[1][0].get("event") != "run"), key=_first_time):
        if not runs:
            runs.append([])
        for event in events:
            if event.get("event") == "run":
                runs.append([])
            runs[-1].append(event)
    return runs


def _programs(runs: list[Events]) -> list[Events]:
    """The same runs, with the Contexts of a program joined."""
    programs: list[Events] = []
    joiner = Joiner()
    for events in runs:
        joined = [joiner.take(event) for event in events]
        if programs and joined[:1] and joined[0]["event"] == "context":
            programs[-1] += joined
        else:
            programs.append(joined)
    return programs


def _first_time(piece: tuple[str, Events]) -> float:
    return float(piece[1][0].get("t", 0.0))


def _place(events: Events) -> tuple[bool, float]:
    """Sorts pieces: first those that begin a run, by its time, then those that continue one."""
    first = events[0]
    return (False, float(first.get("unix", 0.0))) if first["event"] == "run" else (True, float(first.get("t", 0.0)))


def _named(paths: Sequence[str]) -> str:
    return paths[0] if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
