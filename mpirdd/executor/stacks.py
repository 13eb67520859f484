"""The Python stacks of ranks: of living ranks on request, and of ranks that a signal has ended.

Each rank has a private file in memory (``memfd``). Only its own user can open it, through ``/proc``, and it vanishes with the
rank and its observers. The file begins with a *note*: the rank's process, and the task that it runs. After the note
``faulthandler`` writes stacks: on a signal of ours, and on signals that end the rank. It works even in C code that holds the
interpreter. Whoever holds the file open still has it when the rank is dead: the driver for executors of its host, and the
launcher for all ranks of its host.

Linux only; elsewhere there are no stacks, and nothing else changes.
"""

from __future__ import annotations

import faulthandler
import fcntl
import linecache
import mmap
import os
import re
import signal
import struct
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from mpirdd.protocol.package import is_engine
from mpirdd.protocol.tracebacks import debugging

SIGNAL = signal.SIGRTMIN + 7 if hasattr(signal, "SIGRTMIN") else None
"""Asks a rank for its stacks. MPICH uses SIGUSR1, batch systems SIGUSR2, executors SIGURG; the C library takes the first two
real-time signals."""
_ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGXCPU)
"""Signals that end an executor too, without being faults."""
_NAME = "mpirdd-rank-"
_LINK = re.compile(rf"/memfd:{_NAME}(\d+) \(deleted\)")
_NOTE = struct.Struct("<iqd")
"""Process id; partition of the running task, or -1; its start, in seconds since 1970. The stage's label follows."""
_TASK, _TASK_AT = struct.Struct("<qd"), 4
_NOTE_BYTES = 512
_LABEL = slice(_NOTE.size, _NOTE_BYTES - 1)
_QUIET_S, _PATIENCE_S = 0.05, 2.0
"""A stack is complete when nothing was added for 0.05 s; a rank that has written nothing for 2 s cannot answer."""
_LAST_BYTES = 1 << 20
"""The last words are looked for in the end of the file: before them are the answers to all requests."""
_FATAL, _HEADING = "Fatal Python error: ", "(most recent call first):"
_ENDED = f"Stack {_HEADING}"
"""The heading of the stack of one thread, written only at the end of a process; stacks of all threads have thread numbers."""
_LINE = re.compile(r'^  File "(.*)", line (\d+) in (.*)$')


class Offered:
    """This process's own file.

    Args:
        fatal: write the stack of a fatal signal there; otherwise fatal signals are left as they were.
    """

    def __init__(self, rank: int, *, fatal: bool) -> None:
        self._fatal: list[signal.Signals] = []
        self._enabled = False
        self._fd = -1
        self._note: mmap.mmap | None = None
        self._label = ""
        """The label in the note."""
        if SIGNAL is None or not hasattr(os, "memfd_create"):
            return
        with suppress(OSError):
            self._fd = os.memfd_create(f"{_NAME}{rank}")
            os.truncate(self._fd, _NOTE_BYTES)
            fcntl.fcntl(self._fd, fcntl.F_SETFL, os.O_APPEND)
            self._note = mmap.mmap(self._fd, _NOTE_BYTES)
            _NOTE.pack_into(self._note, 0, os.getpid(), -1, 0.0)
            faulthandler.register(SIGNAL, file=self._fd, all_threads=True)
            if fatal and not faulthandler.is_enabled():
                faulthandler.enable(file=self._fd, all_threads=False)
                self._enabled = True

    def tell_of_ends(self) -> None:
        """For executors: also write the stack when a signal that Python does not handle ends this process."""
        if self._note is not None:
            for number in _ENDING:
                if signal.getsignal(number) is signal.SIG_DFL:
                    faulthandler.register(number, file=self._fd, all_threads=False, chain=True)
                    self._fatal.append(number)

    def to_stderr(self) -> None:
        """Nobody who could report observes this process: let a fatal signal write its stack to stderr."""
        if self._enabled or not faulthandler.is_enabled():
            faulthandler.enable(file=2, all_threads=False)

    def begin_task(self, label: str, partition: int) -> None:
        """Note the task that begins. With ``end_task`` this costs 0.3 us."""
        if self._note is not None:
            if label is not self._label:
                text = label.encode()[:_NOTE_BYTES - _NOTE.size - 1]
                self._note[_NOTE.size:_NOTE.size + len(text) + 1] = text + b"\0"
                self._label = label
            _TASK.pack_into(self._note, _TASK_AT, partition, time.time())

    def end_task(self) -> None:
        if self._note is not None:
            _TASK.pack_into(self._note, _TASK_AT, -1, 0.0)

    def forget(self) -> None:
        """For a process that this one has forked: it is no rank."""
        if self._note is None:
            return
        for number in self._fatal:
            faulthandler.unregister(number)
        if self._enabled:
            faulthandler.disable()
        assert SIGNAL is not None
        faulthandler.unregister(SIGNAL)
        signal.signal(SIGNAL, signal.SIG_IGN)
        self._note = None
        with suppress(OSError):
            os.close(self._fd)


def main_stack() -> str:
    """The stack of this process's main thread, as faulthandler writes it. Any thread may call this."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)
    lines = []
    while frame is not None:
        lines.append(f'  File "{frame.f_code.co_filename}", line {frame.f_lineno} in {frame.f_code.co_name}')
        frame = frame.f_back
    return "\n".join([_ENDED, *lines])


class Running(NamedTuple):
    """The task that a rank runs, or ran when it died."""

    stage: str
    partition: int
    seconds: float
    """Its run time until now."""

    def __str__(self) -> str:
        return f"partition {self.partition} of {self.stage}"


class Seen:
    """Another process's file, held open. Made by ``Seen.of(pid)``."""

    def __init__(self, rank: int, pid: int, fd: int) -> None:
        self.rank, self.pid, self._fd = rank, pid, fd
        self._before = self._size = 0
        """The size of the file in bytes: at the last request, and at the last look."""
        self._since = 0.0

    @classmethod
    def of(cls, pid: int) -> Seen | None:
        """The file of process ``pid``; None if that is no rank of mpirdd, is of another user, or on another host."""
        with suppress(OSError):
            for name in os.listdir(f"/proc/{pid}/fd"):
                with suppress(OSError):
                    path = f"/proc/{pid}/fd/{name}"
                    found = _LINK.fullmatch(os.readlink(path))
                    if found is not None:
                        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                        note = os.pread(fd, _NOTE.size, 0)
                        if len(note) == _NOTE.size and _NOTE.unpack(note)[0] == pid:
                            return cls(int(found[1]), pid, fd)
                        os.close(fd)  # the file of the rank's child, or of a rank that has just begun
        return None

    def __del__(self) -> None:
        with suppress(OSError):
            os.close(self._fd)

    def running(self) -> Running | None:
        note = os.pread(self._fd, _NOTE_BYTES, 0)
        _, partition, began = _NOTE.unpack_from(note)
        label = note[_LABEL].partition(b"\0")[0].decode(errors="replace")
        return None if partition < 0 else Running(label, partition, max(time.time() - began, 0.0))

    def ask(self) -> None:
        """Ask the living process for the stacks of its threads; ``answer`` returns them soon."""
        assert SIGNAL is not None
        self._size = self._before = os.fstat(self._fd).st_size
        self._since = time.monotonic()
        with suppress(ProcessLookupError):
            os.kill(self.pid, SIGNAL)

    def answer(self) -> str | None:
        """The stacks; None while the process may still be writing. Empty if it does not answer, for example because it is
        stopped."""
        now, size = time.monotonic(), os.fstat(self._fd).st_size
        if size != self._size:
            self._size, self._since = size, now
        if now - self._since < (_PATIENCE_S if size == self._before else _QUIET_S):
            return None
        return self._text()

    def stacks(self) -> str:
        """Ask, and wait for the answer: 60 ms."""
        self.ask()
        while (text := self.answer()) is None:
            time.sleep(0.01)
        return text

    def _text(self) -> str:
        return os.pread(self._fd, self._size - self._before, self._before).decode(errors="replace")

    def last_words(self) -> str:
        """The stack that a signal made the process write as it ended; empty if there is none."""
        size = os.fstat(self._fd).st_size
        begin = max(_NOTE_BYTES, size - _LAST_BYTES)
        text = os.pread(self._fd, size - begin, begin).decode(errors="replace")
        at = text.rfind(_ENDED)
        fault = text.rfind(_FATAL, 0, max(at, 0))
        return text[fault if text[fault:at].count("\n") == 2 else at:] if at >= 0 else ""


def fatal_error(text: str) -> str:
    """faulthandler's name for the fault that has ended a process, such as ``Segmentation fault``; empty if there was none."""
    return text.partition(_FATAL)[2].partition("\n")[0]


def readable(text: str) -> Iterator[str]:
    """faulthandler's text as lines of a traceback: the last call last, with source lines; without the engine's frames and
    threads, unless ``MPIRDD_DEBUG=1`` is set."""
    threads: list[list[tuple[str, int, str]]] = []
    for line in text.splitlines():
        found = _LINE.match(line)
        if line.endswith(_HEADING):
            threads.append([])
        elif found is not None and threads:
            threads[-1].insert(0, (found[1], int(found[2]), found[3]))
    shown = [thread for thread in map(_users, threads) if thread] or [thread[-2:] for thread in threads[-1:]]
    for number, thread in enumerate(shown):
        if number:
            yield "  in another thread:"
        for file, at, function in thread:
            yield f'  File "{file}", line {at}, in {function}'
            source = linecache.getline(file, at).strip()
            if source:
                yield f"    {source}"


def _users(thread: list[tuple[str, int, str]]) -> list[tuple[str, int, str]]:
    """The frames from the user's first frame on; none for a thread of the engine's own."""
    if debugging():
        return thread
    kept = [frame for frame in thread if not (is_engine(frame[0]) or frame[0].startswith("<frozen"))]
    if any(frame[0].endswith(_AROUND) for frame in kept) and all(frame[0].endswith(_AROUND) for frame in kept):
        return []
    return kept


_AROUND = ("/threading.py", "/runpy.py")
