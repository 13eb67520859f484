"""Reads event logs: files and folders to the events of their runs, with clear notes about faults.

A log may be cut off anywhere (kill -9, a full disk), rotated into several files, hold several runs one after the other, or
be written by another version. A reader gets what is there, and notes about what is missing.

Left out: what the events mean (``run_view``); files that are not local, of which this layer knows nothing: whoever reads
them hands over their ``LogFiles``.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from math import isfinite
from typing import Any, NamedTuple, TypeVar

from mpirdd.observe.contexts import Joiner
from mpirdd.observe.views import ODD
from mpirdd.protocol.errors import UsageError

VERSION = 1
Event = dict[str, Any]
Events = list[Event]
Made = TypeVar("Made")
_DAMAGE = "no event, or one with a field that is absent or wrong"
_NAMED = 5
"""So many lines are named; of others the number."""


class Line(NamedTuple):
    """An event, and where it stands."""

    event: Event
    path: str
    number: int
    """Of the line, from 1."""


@dataclass(frozen=True, slots=True)
class Log:
    """One run of a log."""

    events: Events
    notes: list[str] = field(default_factory=list)
    """What a reader should tell its user: damaged lines, another version, other runs in the same files."""
    lines: list[Line] = field(default_factory=list)
    """Of each event."""

    def give(self, *takers: Callable[[Event], object]) -> None:
        """Give the events to each of ``takers``, one after the other. What one of them cannot take is left out, with a note."""
        odd: list[Line] = []
        for line in self.lines:
            try:
                sound = all(take(line.event) is not False for take in takers)
            except ODD:
                sound = False
            if not sound:
                odd.append(line)
        self.notes.extend(_told((line.path, line.number) for line in odd))

    def made(self, make: Callable[[Log], Made]) -> Made:
        """What ``make`` makes of this log. Some fields are looked at only when all events have been taken. So where it fails, the
        line to blame is looked for by halves: what it makes of the lines before that one does not fail.

        Raises:
            UsageError: it fails; the message has the line.
        """
        try:
            return make(self)
        except ODD as error:
            line = self.lines[bisect_left(range(len(self.lines) - 1), True, key=lambda last: self._fails(make, last + 1))]
            raise UsageError(f"{line.path}: line {line.number} is damaged ({error!r}); mend or delete it") from None

    def _fails(self, make: Callable[[Log], object], lines: int) -> bool:
        try:
            make(Log(self.events[:lines], [], self.lines[:lines]))
        except ODD:
            return True
        return False


class LogFiles:
    """The files of logs."""

    def newest(self, path: str) -> str | None:
        """The path itself; of a folder, its newest log. None if there is none."""
        return newest(path)

    def read(self, path: str) -> bytes:
        """All of a file.

        Raises:
            UsageError: it cannot be read.
        """
        try:
            with open(path, "rb") as file:
                return file.read()
        except OSError as error:
            raise UsageError(f"{path}: {error.strerror}") from None

    def absent(self, path: str) -> str:
        """Why ``newest`` has found none."""
        return "no event log (*.jsonl) in this folder" if os.path.isdir(path) else "no such file"


def read_log(paths: Sequence[str], *, run: int | None = None, files: LogFiles | None = None) -> Log:
    """A run from files and folders of event logs.

    Args:
        paths: a folder stands for the newest log in it. Files that together hold one run (rotated ones) may come in any order.
        run: which, counted from 1 by age; negative from the end. By default the last one. All Contexts of a program are
            one run.
        files: where they lie; by default local ones.

    Raises:
        UsageError: a file does not exist, is empty or is no event log; or there is no such run.
    """
    notes: list[str] = []
    files = files or LogFiles()
    pieces = [lines for path in _files(paths, files) if (lines := _lines_of(path, files.read(path), notes))]
    if not pieces:
        raise UsageError(f"{_named(paths)}: no events yet. The file is empty: has the run begun?")
    programs = _programs(_runs(pieces))
    runs = [[line.event for line in lines] for lines in programs]
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
    return Log(events, notes, programs[number - 1])


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


def _files(paths: Sequence[str], files: LogFiles) -> list[str]:
    found: list[str] = []
    for path in paths:
        file = files.newest(path)
        if file is None:
            raise UsageError(f"{path}: {files.absent(path)}")
        found.append(file)
    return list(dict.fromkeys(found))


def _lines_of(path: str, data: bytes, notes: list[str]) -> list[Line]:
    """The events of a file, each with its place."""
    *lines, rest = data.split(b"\n")
    found = [Line(event, path, number) for number, event in enumerate(map(_event, lines), 1) if event is not None]
    if rest:
        last = _event(rest)  # whole, but for the end of the line
        if last is not None:
            found.append(Line(last, path, len(lines) + 1))
        elif found:
            notes.append("The last line of the log is cut off: the run was killed while it wrote, or writes right now.")
    if (lines or rest) and not found:
        raise UsageError(_NO_LOG.format(path))
    if len(found) < len(lines):
        whole = {line.number for line in found}
        notes += _told((path, number) for number, line in enumerate(lines, 1) if number not in whole and line.strip())
    return found


def _parse(lines: list[bytes]) -> tuple[Events, int]:
    """The events, and how many lines are none."""
    events = [event for event in map(_event, lines) if event is not None]
    return events, sum(map(bool, map(bytes.strip, lines))) - len(events)


_FIELDS: dict[str, type | tuple[type, ...]] = {
    "event": str,
    **dict.fromkeys(("t", "unix", "seconds", "start", "until", "longest", "driver_cpu_s"), (int, float)),
    **dict.fromkeys(("job", "stage", "node", "exchange", "executor", "spare", "partition", "tasks", "count", "bytes", "memory",
                     "used", "peak", "attempt", "of"), int),
    "partitions": (int, str),
    **dict.fromkeys(("label", "kind", "status", "error", "why", "host", "level"), str),
    **dict.fromkeys(("jobs", "nodes", "parents", "shuffles", "keeps"), list),
    **dict.fromkeys(("costs", "sent"), dict),
}
"""What fields are, whatever the kind of the event, among those with which readers count. (``end`` counts jobs and tasks.)"""


def _event(line: bytes) -> Event | None:
    """The event of a line; None if it has none, or one with a field that is of a wrong kind."""
    try:
        event = json.loads(line) if line.strip() else None
    except (ValueError, RecursionError):  # bytes that are no text, too; thousands of brackets
        return None
    if not isinstance(event, dict) or "event" not in event:
        return None
    for name, value in event.items():
        kind = _FIELDS.get(name)
        if kind is not None and not isinstance(value, kind) and (name, event["event"]) != ("jobs", "end"):
            return None
        if kind is not None and isinstance(value, float) and not isfinite(value):  # valid for Python's json
            return None
    return event


def _told(places: Iterable[tuple[str, int]]) -> list[str]:
    """A note for each file about lines that are left out: which, why, and what to do."""
    notes = []
    for path, of_file in groupby(places, key=lambda place: place[0]):
        numbers = [str(number) for _, number in of_file]
        if len(numbers) == 1:
            notes.append(f"{path}: line {numbers[0]} is damaged ({_DAMAGE}), and left out; mend or delete it.")
            continue
        *some, last = numbers[:_NAMED] + ([f"{len(numbers) - _NAMED:,} more"] if len(numbers) > _NAMED else [])
        notes.append(f"{path}: lines {', '.join(some)} and {last} are damaged ({_DAMAGE}), and left out; mend or delete them.")
    return notes


def _runs(pieces: list[list[Line]]) -> list[list[Line]]:
    """The runs, by age. A piece without a ``run`` line goes on with a run that another piece has begun."""
    heads = [lines for lines in pieces if _begins(lines[0])]
    heads.sort(key=lambda lines: lines[0].event.get("unix", 0.0))
    runs: list[list[Line]] = []
    for lines in [*heads, *sorted((lines for lines in pieces if not _begins(lines[0])), key=_first_time)]:
        for line in lines:
            if _begins(line) or not runs:
                runs.append([])
            runs[-1].append(line)
    return runs


def _begins(line: Line) -> bool:
    return bool(line.event["event"] == "run")


def _programs(runs: list[list[Line]]) -> list[list[Line]]:
    """The same with the Contexts of a program joined."""
    programs: list[list[Line]] = []
    joiner = Joiner()
    for lines in runs:
        joined = [Line(joiner.take(line.event), line.path, line.number) for line in lines]
        if programs and joined[:1] and joined[0].event["event"] == "context":
            programs[-1] += joined
        else:
            programs.append(joined)
    return programs


def _first_time(lines: list[Line]) -> float:
    return float(lines[0].event.get("t", 0.0))


def _place(events: Events) -> tuple[bool, float]:
    """Sorts pieces: first those that begin a run, by its time, then those that continue one."""
    first = events[0]
    return (False, float(first.get("unix", 0.0))) if first["event"] == "run" else (True, float(first.get("t", 0.0)))


def _named(paths: Sequence[str]) -> str:
    return paths[0] if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
