"""A file that is read field by field, where every length is held against what is left of the file."""

from __future__ import annotations

from io import BufferedReader, RawIOBase
from typing import NoReturn

from mpirdd.formats.inputfiles import size_of
from mpirdd.formats.writables import read_vint, vint_size
from mpirdd.protocol.errors import InputError

_BUFFER_BYTES = 256 << 10
_SEARCH_BYTES = 1 << 20


class CheckedFile:
    """An open file, and how far its reading has come.

    Attributes:
        position: offset of the next byte.
        size: of the file, when it was opened.
    """

    def __init__(self, raw: RawIOBase, path: str) -> None:
        self.path, self.size, self.position = path, size_of(raw), 0
        self._file = BufferedReader(raw, _BUFFER_BYTES)

    def fail(self, offset: int, what: str, cause: BaseException | None = None) -> NoReturn:
        """Say what is wrong, and where. Raises InputError."""
        raise InputError(f"{self.path} is damaged or cut short: at offset {offset} there is {what}") from cause

    def seek(self, offset: int) -> None:
        self._file.seek(offset)
        self.position = offset

    def find(self, mark: bytes, start: int, end: int) -> int:
        """Offset of the first ``mark`` that begins from ``start`` to ``end``; the file's size if there is none."""
        self._file.seek(start)
        position, window = start, b""
        while position < min(end + len(mark), self.size):
            window = window[1 - len(mark) :] + self._file.read(min(_SEARCH_BYTES, self.size - position))
            position = self._file.tell()
            found = window.find(mark)
            if found >= 0:
                return position - len(window) + found
        return self.size

    def take(self, length: int) -> bytes:
        """The next ``length`` bytes."""
        if not 0 <= length <= self.size - self.position:
            self.fail(self.position, f"a length of {length} bytes, with {self.size - self.position} left in the file")
        data = self._file.read(length)
        if len(data) < length:
            self.fail(self.position, "the end: it has become shorter while it was read")
        self.position += length
        return data

    def integer(self) -> int:
        return int.from_bytes(self.take(4), "big", signed=True)

    def vint(self) -> int:
        first = self.take(1)
        return read_vint(first + self.take(vint_size(first[0]) - 1), 0)[0]

    def string(self) -> str:
        at = self.position
        try:
            return str(self.take(self.vint()), "utf-8")
        except UnicodeDecodeError as error:
            self.fail(at, "a name that is not UTF-8", error)

    def flag(self) -> bool:
        at, flag = self.position, self.take(1)
        if flag not in (b"\0", b"\1"):
            self.fail(at, f"a flag of value {flag[0]}")
        return flag == b"\1"
