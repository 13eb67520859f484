"""Where the records of a CSV file begin, near any byte of it, although a quoted field may hold line ends.

A task that begins in the middle of a file does not know whether it is within quotes. It looks at the quotes that follow.
In well-formed CSV these decide:

    ,"x      a quote behind a separator, before an ordinary character, opens a field
    x",      a quote behind an ordinary character, before a separator, closes one

(A quote within quotes is doubled.) The number of quotes before the deciding one then says what the cut lies in; and so
does the number of those up to the end of the file. Where nothing decides within ``_MOST_BYTES``, the cut counts as outside
quotes.

A guess, but a safe one: it depends on the bytes at the cut alone, so two tasks guess alike; and the task before the cut
parses up to it, so it sees whether the cut is within quotes indeed, and fails if it is. Task 0 begins right; so task 1
does, or task 0 fails; and so on. (The idea of a guess is Ge, Li, Eilebrecht, Chandramouli and Kossmann's, "Speculative
Distributed CSV Data Parsing", SIGMOD 2019.)
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import BinaryIO

_WINDOW_BYTES = 64 << 10
_MOST_BYTES = 16 << 20


@dataclass(frozen=True)
class Cuts:
    """The characters that matter, each one byte."""

    separator: bytes
    quote: bytes
    """Empty: no field is quoted, every line end ends a record."""
    _decides: re.Pattern[bytes] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        edge, quote = re.escape(self.separator) + rb"\r\n", re.escape(self.quote)
        ordinary = rb"[^" + edge + quote + rb"]"
        opens = rb"(?<=[" + edge + rb"])(" + quote + rb")(?=" + ordinary + rb")"
        closes = rb"(?<=" + ordinary + rb")" + quote + rb"(?=[" + edge + rb"])"
        pattern = opens + rb"|" + closes
        object.__setattr__(self, "_decides", re.compile(pattern))

    def __reduce__(self) -> tuple[type[Cuts], tuple[bytes, bytes]]:
        return Cuts, (self.separator, self.quote)

    def first_record(self, file: BinaryIO, offset: int, size: int) -> int:
        """Where the first record begins that does not begin before ``offset``; ``size`` if there is none."""
        if offset <= 0 or offset >= size:
            return min(max(offset, 0), size)
        within = self._is_within(file, offset - 1, size) if self.quote else False
        return self._next_end(file, offset - 1, size, within)

    def _is_within(self, file: BinaryIO, offset: int, size: int) -> bool:
        """Is the byte at ``offset`` within quotes?"""
        file.seek(offset)
        data = b""
        while len(data) < min(_MOST_BYTES, size - offset):
            more = file.read(max(_WINDOW_BYTES, len(data)))
            data += more
            found = self._decides.search(data)
            if found:
                opens = found[1] is not None
                return (data.count(self.quote, 0, found.start()) % 2 == 1) == opens
            if not more or offset + len(data) >= size:
                return data.count(self.quote) % 2 == 1  # the file ends outside
        return False

    def _next_end(self, file: BinaryIO, offset: int, size: int, within: bool) -> int:
        """Behind the first line end at ``offset`` or later that is not within quotes."""
        file.seek(offset)
        marks = re.compile(rb"\r\n?|\n" + (b"|" + re.escape(self.quote) if self.quote else b""))
        at, data = offset, file.read(_WINDOW_BYTES)
        while data:
            for mark in marks.finditer(data):
                if self.quote and mark[0] == self.quote:
                    within = not within
                elif not within:
                    end = mark.end()
                    if mark[0] == b"\r" and end == len(data):  # its \n may come next
                        end += file.read(1) == b"\n"
                    return at + end
            at += len(data)
            data = file.read(_WINDOW_BYTES)
        return size
