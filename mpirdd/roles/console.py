"""What tasks print: caught line by line, so that lines of different ranks never mix and stdout stays the
program's own."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from threading import get_ident
from typing import Any, TextIO


class Lines(io.TextIOBase):
    """A text stream that passes whole lines on, without their newline. In a ``with`` block it is stdout and stderr.

    Args:
        write_line: gets each line.
        shared: the process is the program's as well; then only what the block's own thread prints is caught.
    """

    def __init__(self, write_line: Callable[[str], None], *, shared: bool = False) -> None:
        self._write_line = write_line
        self._shared = shared
        self._rest = ""
        self._before: tuple[TextIO, TextIO] | None = None

    def __enter__(self) -> Lines:
        self._before = sys.stdout, sys.stderr
        if self._shared:
            sys.stdout, sys.stderr = _OfThread(self, sys.stdout), _OfThread(self, sys.stderr)
        else:
            sys.stdout = sys.stderr = self
        return self

    def __exit__(self, *exception: object) -> None:
        assert self._before is not None
        sys.stdout, sys.stderr = self._before
        self.end_line()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._write_line(line)
        return len(text)

    def end_line(self) -> None:
        """Pass on what was printed without a newline."""
        if self._rest:
            self.write("\n")


class _OfThread:
    """``lines`` for the thread that makes this, ``other`` for all others."""

    def __init__(self, lines: Lines, other: TextIO) -> None:
        self._lines, self._other, self._thread = lines, other, get_ident()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._lines if get_ident() == self._thread else self._other, name)
