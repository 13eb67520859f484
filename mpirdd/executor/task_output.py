"""The output of tasks, caught line by line. So lines of different ranks never mix, and stdout stays the program's own."""

from __future__ import annotations

import io
import sys
from codecs import getincrementaldecoder
from collections.abc import Callable
from threading import get_ident
from typing import Any, TextIO

from mpirdd.executor.breakpoints import with_terminal

_STREAMS = 100
"""So many of the streams that a shared process had during a block stay."""


class TaskOutput(io.TextIOBase):
    """A text stream that passes on whole lines, without their newline. Within a ``with`` block it replaces stdout and stderr.

    Args:
        write_line: gets each line.
        shared: the process is the program's as well, so catch only the output of the block's own thread.
    """

    def __init__(self, write_line: Callable[[str], None], *, shared: bool = False) -> None:
        self._write_line = write_line
        self._shared = shared
        self._rest = ""
        self._bytes: _Bytes | None = None
        self._before: list[tuple[TextIO, TextIO]] = []
        """The streams before each open block: a signal handler of the program may run a task inside another one."""
        self._of_threads: dict[tuple[int, int], _OfThread] = {}
        """What replaces them, by thread and stream. They outlive their block: a ``print`` of another thread may have begun with
        one, and Python (3.11 and 3.13.0, say) holds no reference to it meanwhile, so the program would crash."""
        self._breakpointhook = sys.breakpointhook

    def __enter__(self) -> TaskOutput:
        self._before.append((sys.stdout, sys.stderr))
        if self._shared:
            if len(self._before) == 1:
                self._breakpointhook = sys.breakpointhook
            if sys.breakpointhook is sys.__breakpointhook__:
                sys.breakpointhook = with_terminal(sys.stdout)
            sys.stdout, sys.stderr = self._of_this_thread(sys.stdout), self._of_this_thread(sys.stderr)
        else:
            sys.stdout = sys.stderr = self
        return self

    def __exit__(self, *exception: object) -> None:
        sys.stdout, sys.stderr = self._before.pop()
        if self._shared and not self._before:
            sys.breakpointhook = self._breakpointhook
        self.end_line()

    def _of_this_thread(self, other: TextIO) -> Any:
        key = get_ident(), id(other)
        if key not in self._of_threads:
            if len(self._of_threads) == _STREAMS:
                del self._of_threads[next(iter(self._of_threads))]
            self._of_threads[key] = _OfThread(self, other)
        return self._of_threads[key]

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        """The standard error stream's, for programs that tasks start: ``subprocess.run(..., stdout=sys.stdout)``."""
        return 2

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._write_line(line)
        return len(text)

    @property
    def buffer(self) -> io.BufferedIOBase:
        """The stream for code that writes bytes, which should be UTF-8."""
        if self._bytes is None:
            self._bytes = _Bytes(self)
        return self._bytes

    def end_line(self) -> None:
        """Pass on text that was printed without a newline."""
        if self._rest:
            self.write("\n")


class _Bytes(io.BufferedIOBase):
    """Bytes for a text stream; invalid UTF-8 becomes U+FFFD."""

    def __init__(self, text: TaskOutput) -> None:
        self._text = text
        self._decoder = getincrementaldecoder("utf-8")("replace")

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        with memoryview(data) as view:
            self._text.write(self._decoder.decode(view.tobytes()))
            return view.nbytes


class _OfThread:
    """``lines`` for the thread that makes this, ``other`` for all other threads."""

    def __init__(self, lines: TaskOutput, other: TextIO) -> None:
        self._lines, self._other, self._thread = lines, other, get_ident()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lines if get_ident() == self._thread else self._other, name)
