"""What tasks print: caught line by line, so that lines of different ranks never mix and stdout stays the program's own."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout


class Lines(io.TextIOBase):
    """A text stream that passes whole lines on, without their newline."""

    def __init__(self, write_line: Callable[[str], None]) -> None:
        self._write_line = write_line
        self._rest = ""

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


@contextmanager
def captured(lines: Lines) -> Iterator[None]:
    """Within, stdout and stderr go to ``lines``."""
    with redirect_stdout(lines), redirect_stderr(lines):
        try:
            yield
        finally:
            lines.end_line()
