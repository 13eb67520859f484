"""The lines of one share of a text file, read in chunks; without MPI, so that it can be tested without."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

CHUNK_BYTES = 1 << 20


def lines_of(path: str, part: int, parts: int) -> Iterator[str]:
    """The lines that begin in one of ``parts`` equal byte ranges of the file, and some empty ones."""
    size = os.path.getsize(path)
    return chain.from_iterable(_chunks(path, size * part // parts, size * (part + 1) // parts))


def _chunks(path: str, start: int, end: int) -> Iterator[list[str]]:
    with open(path, "rb") as file:
        if start > 0:
            file.seek(start - 1)
            file.readline()  # a line that begins before the range, or just the line's end before it
        while (left := end - file.tell()) > 0:
            chunk = file.read(min(CHUNK_BYTES, left))
            if not chunk.endswith(b"\n"):
                chunk += file.readline()
            yield chunk.decode().split("\n")


def lines_in_folder(folder: str, part: int, parts: int) -> Iterator[str]:
    """The lines, none of them empty, that begin in one of ``parts`` byte ranges of each part file."""
    files = sorted(Path(folder).glob("part-*"))
    return filter(None, chain.from_iterable(lines_of(str(file), part, parts) for file in files))
