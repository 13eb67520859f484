"""Where the lines of a text end, in bytes: at line ends in any encoding, or at a delimiter of the user's.

The bytes of a file are cut before they are decoded, so an end must be found in bytes, from any offset on. In UTF-16
and UTF-32 the bytes of an end count only where a character begins, at a multiple of ``unit``. A delimiter such as
``"||"`` can overlap itself ("|||"): the one that begins first counts, so a search from the middle of a file goes back
to where no other can be under way.

Both classes have these methods. They take bytes that begin at a multiple of ``unit``:

    first      index behind the first end, or 0
    last       index behind the last end that no further byte can change, or 0
    cut        the lines of a run of whole lines, without their ends; ``decode``: the same as text; ``count``: how many
"""

from __future__ import annotations

import codecs
import sys
from collections.abc import Iterator
from itertools import pairwise
from typing import Protocol

from mpirdd.protocol.errors import InvalidType, InvalidValue
from mpirdd.protocol.values import dataclass

_PIECE_BYTES = 64 << 10
"""Bytes read at a time in search of one end."""
_MARKS = {
    "utf-8": codecs.BOM_UTF8, "utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE,
    "utf-32-le": codecs.BOM_UTF32_LE, "utf-32-be": codecs.BOM_UTF32_BE,
}
_BY_MARK = {"utf-16": ("utf-16-le", "utf-16-be"), "utf-32": ("utf-32-le", "utf-32-be")}
"""Encodings whose byte order a file's first bytes say; little-endian where they do not, as Python has it here."""
_BYTES_OF_STATE = ("hz", "iso2022_kr", "iso2022-kr")
"""Encodings where a line cannot be decoded alone."""


class Seekable(Protocol):
    """A file to search in."""

    def read(self, size: int, /) -> bytes: ...
    def seek(self, offset: int, /) -> int: ...


# --- what the user asks for ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TextOptions:
    """How text is written. ``TextOptions.of`` checks what a user gives."""

    encoding: str = "utf-8"
    """As Python names it."""
    errors: str = "strict"
    """What to do about bytes that are not of that encoding, as for ``bytes.decode``."""
    delimiter: bytes | str | None = None
    """What ends each line; None: ``\\n``, ``\\r\\n`` or ``\\r``. Text is encoded as the file is."""

    @classmethod
    def of(cls, encoding: str, errors: str, delimiter: bytes | str | None) -> TextOptions:
        """
        Raises:
            InvalidValue: there is no such encoding, its lines cannot be told apart in bytes, the delimiter is empty or
                cannot be encoded, or its bytes may lie within a character.
            InvalidType: an argument is of another type.
        """
        if delimiter is not None and not isinstance(delimiter, str | bytes):
            raise InvalidType(f"delimiter must be str or bytes, not {type(delimiter).__name__}")
        check_handler(errors)
        if delimiter is not None and not delimiter:
            raise InvalidValue("delimiter must not be empty")
        name = known_encoding(encoding)
        made = cls(name, errors, delimiter)
        for one in _BY_MARK.get(name, (name,)):
            try:
                _check_cuts(one, made.ends(one))
            except UnicodeEncodeError as error:
                raise InvalidValue(f"delimiter {delimiter!r} cannot be encoded in {name}: {error.reason}") from error
        return made

    def encoding_of(self, head: bytes) -> str:
        """The encoding of a file that begins with ``head``."""
        little, big = _BY_MARK.get(self.encoding, (self.encoding, self.encoding))
        return big if little != big and head.startswith(_MARKS[big]) else little

    @property
    def needs_head(self) -> bool:
        """Is the file's start needed to decode any part of it?"""
        return self.encoding in _BY_MARK

    def ends(self, encoding: str) -> LineEnds | Delimiter:
        """The ends in a file of this encoding."""
        unit = unit_of(encoding)
        if self.delimiter is None:
            return LineEnds("\n".encode(encoding), "\r".encode(encoding), unit)
        given = self.delimiter.encode(encoding) if isinstance(self.delimiter, str) else self.delimiter
        return Delimiter(given, unit)


def check_handler(errors: str) -> None:
    """Raises InvalidValue if ``errors`` names no way to treat bytes that cannot be decoded."""
    try:
        codecs.lookup_error(errors)
    except (LookupError, TypeError) as error:
        raise InvalidValue(
            f"unknown errors={errors!r}; it is 'strict', 'replace', 'ignore', or another that bytes.decode knows"
        ) from error


def mark_of(encoding: str) -> bytes:
    """The byte order mark that a file of this encoding may begin with; empty: none."""
    return _MARKS.get(encoding, b"")


def unit_of(encoding: str) -> int:
    """Characters begin at multiples of so many bytes."""
    return 4 if encoding.startswith("utf-32") else 2 if encoding.startswith("utf-16") else 1


def known_encoding(given: str) -> str:
    """Python's name of an encoding, without variants that differ in the byte order mark alone.

    Raises:
        InvalidValue: there is no such encoding of text.
        InvalidType: it is no name.
    """
    if not isinstance(given, str):
        raise InvalidType(f"encoding must be a name such as 'utf-16', not {given!r}")
    try:
        name = codecs.lookup(given).name
        "\n".encode(name)
    except (LookupError, UnicodeError, ValueError) as error:
        raise InvalidValue(f"unknown text encoding {given!r}; known are those of Python's module codecs") from error
    return "utf-8" if name == "utf-8-sig" else name


def _check_cuts(encoding: str, ends: LineEnds | Delimiter) -> None:
    unit = unit_of(encoding)
    if encoding in _BYTES_OF_STATE or len("\n".encode(encoding)) != unit:
        raise InvalidValue(f"encoding {encoding} cannot be read by lines; wholeTextFiles reads files as a whole")
    if not isinstance(ends, Delimiter):
        return
    if len(ends.data) % unit:
        raise InvalidValue(f"delimiter {ends.data!r} is no whole number of characters in {encoding}")
    if _is_multibyte(encoding) and max(ends.data) >= (0x80 if encoding.startswith("euc") else 0x30):
        raise InvalidValue(
            f"the bytes of delimiter {ends.data!r} may lie within a character of {encoding}; "
            "convert the file to UTF-8 first"
        )


def _is_multibyte(encoding: str) -> bool:
    """Is it one of the East Asian encodings, in which a byte below 0x80 may be the second of a character?"""
    decoder = codecs.lookup(encoding).incrementaldecoder
    return isinstance(decoder, type) and any(kind.__module__ == "_multibytecodec" for kind in decoder.__mro__)


# --- the ends -----------------------------------------------------------------------------------------------------


class LineEnds:
    """``\\n``, ``\\r\\n`` and a lone ``\\r``, encoded."""

    overlap = 0

    def __init__(self, line_feed: bytes, carriage_return: bytes, unit: int) -> None:
        self._feed, self._return, self.unit = line_feed, carriage_return, unit

    @property
    def are_ascii(self) -> bool:
        return self._feed == b"\n"

    def first(self, data: bytes) -> int:
        """Behind the ``\\r`` of a ``\\r\\n``."""
        feed = _find(data, self._feed, 0, len(data), self.unit)
        carriage = _find(data, self._return, 0, feed if feed >= 0 else len(data), self.unit)
        at = carriage if carriage >= 0 else feed
        return at + self.unit if at >= 0 else 0

    def last(self, data: bytes) -> int:
        """A final ``\\r`` does not count, since a ``\\n`` may follow."""
        feed = _rfind(data, self._feed, 0, len(data), self.unit)
        carriage = _rfind(data, self._return, max(feed, 0), len(data) - self.unit, self.unit)
        at = max(feed, carriage)
        return at + self.unit if at >= 0 else 0

    def may_end(self, waiting: bytes) -> bool:
        """Is ``waiting``, the last piece of a line, whole? Only a ``\\r`` is, which ``last`` passed over."""
        return len(waiting) % self.unit == 0 and waiting.endswith(self._return)

    def cut(self, block: bytes) -> list[bytes]:
        if self._feed == b"\n":
            return block.splitlines()
        lines = []
        start = 0
        for at, size in self._ends_of(block):
            lines.append(block[start:at])
            start = at + size
        return [*lines, block[start:]] if start < len(block) else lines

    def count(self, block: bytes) -> int:
        """The number of lines in a run of whole lines.

        Lines of 75 bytes: 3.2 GB/s, 8.4 with numpy, where ``cut`` makes 1.3 GB/s of lines, to be freed again.
        """
        if self._feed != b"\n" or b"\r" in block:
            return len(self.cut(block))
        numpy = sys.modules.get("numpy")  # not imported for this: it would cost what 400 MB take without it
        if numpy is not None:
            ends = int(numpy.count_nonzero(numpy.frombuffer(block, numpy.uint8) == 10))
        else:  # bytes.count gives 1.8 GB/s: up to Python 3.12 it looks at byte after byte
            ends = len(block) - len(block.replace(b"\n", b""))
        return ends + (not block.endswith(b"\n"))

    def lengths(self, block: bytes) -> Iterator[int]:
        """Bytes of each line, with its end."""
        if self._feed == b"\n":
            return map(len, block.splitlines(keepends=True))
        ends = [at + size for at, size in self._ends_of(block)]
        return (end - start for start, end in pairwise([0, *ends, len(block)]))

    def _ends_of(self, block: bytes) -> Iterator[tuple[int, int]]:
        unit, at = self.unit, 0
        while True:
            feed = _find(block, self._feed, at, len(block), unit)
            carriage = _find(block, self._return, at, feed if feed >= 0 else len(block), unit)
            found = carriage if carriage >= 0 else feed
            if found < 0:
                return
            size = unit + (unit if carriage >= 0 and feed == carriage + unit else 0)
            yield found, size
            at = found + size

    def decode(self, block: bytes, encoding: str, errors: str) -> list[str]:
        # All at once, at C speed. No character is ever cut, as a block ends where a line does.
        try:
            text = str(block, encoding, "strict" if errors == "ignore" else errors)
        except UnicodeDecodeError:
            if errors != "ignore":
                raise
            return [str(line, encoding, errors) for line in self.cut(block)]  # what comes between "\r" and "\n" stays between
        if "\r" in text:
            text = text.replace("\r\n", "\n").replace("\r", "\n")
        lines = text.split("\n")
        if len(block) % self.unit == 0 and block.endswith((self._feed, self._return)):
            lines.pop()
        return lines

    def first_start(self, file: Seekable, start: int, end: int) -> int:
        """Offset of the first line that starts at ``start`` or later; ``end`` or more if there is none before.

        Reads no further, so a split in the middle of a long line costs its own length.
        """
        if start == 0:
            return 0
        # The character before may end a line, and may be the "\r" of a "\r\n" that the cut went through.
        position = _round_up(start, self.unit) - self.unit
        file.seek(position)
        while position < end and (piece := file.read(_PIECE_BYTES)):
            line_end = self.first(piece)
            position += line_end or len(piece)
            if line_end:
                is_return = piece[line_end - self.unit : line_end] == self._return
                return position + (self.unit if is_return and self._feed_at(file, position) else 0)
        return position

    def _feed_at(self, file: Seekable, offset: int) -> bool:
        file.seek(offset)
        return file.read(self.unit) == self._feed


class Delimiter:
    """Bytes that end each line. A line ends at the first delimiter behind its start."""

    def __init__(self, data: bytes, unit: int) -> None:
        self.data, self.unit = data, unit
        self.overlap = len(data) - unit
        """A delimiter may begin so many bytes before those at hand."""
        self._overlaps_itself = _has_border(data)

    @property
    def are_ascii(self) -> bool:
        return False

    def first(self, data: bytes) -> int:
        at = _find(data, self.data, 0, len(data), self.unit)
        return at + len(self.data) if at >= 0 else 0

    def last(self, data: bytes) -> int:
        if self._overlaps_itself:
            return max((at + len(self.data) for at in self._ends_of(data)), default=0)
        at = _rfind(data, self.data, 0, len(data), self.unit)
        return at + len(self.data) if at >= 0 else 0

    def may_end(self, waiting: bytes) -> bool:
        return False

    def cut(self, block: bytes) -> list[bytes]:
        if self.unit == 1:
            lines = block.split(self.data)
        else:
            lines, start = [], 0
            for at in self._ends_of(block):
                lines.append(block[start:at])
                start = at + len(self.data)
            lines.append(block[start:])
        if not lines[-1]:
            lines.pop()
        return lines

    def count(self, block: bytes) -> int:
        return len(self.cut(block))

    def lengths(self, block: bytes) -> Iterator[int]:
        """As of ``LineEnds``."""
        ends = [at + len(self.data) for at in self._ends_of(block)]
        return (end - start for start, end in pairwise([0, *ends, len(block)]))

    def _ends_of(self, block: bytes) -> Iterator[int]:
        at = _find(block, self.data, 0, len(block), self.unit)
        while at >= 0:
            yield at
            at = _find(block, self.data, at + len(self.data), len(block), self.unit)

    def decode(self, block: bytes, encoding: str, errors: str) -> list[str]:
        return [str(line, encoding, errors) for line in self.cut(block)]

    def first_start(self, file: Seekable, start: int, end: int) -> int:
        """As of ``LineEnds``."""
        if start == 0:
            return 0
        start, size = _round_up(start, self.unit), len(self.data)
        position = max(0, start - size)
        if self._overlaps_itself:
            position = self._begin_of_overlap(file, position)
        file.seek(position)
        window = b""
        while position < end and (piece := file.read(_PIECE_BYTES)):
            window += piece
            at = 0
            while (found := _find(window, self.data, at, len(window), self.unit)) >= 0:
                at = found + size
                if position + at >= start:
                    return position + at
            keep = max(at, len(window) - self.overlap)
            position, window = position + keep, window[keep:]
        return position + len(window)

    def _begin_of_overlap(self, file: Seekable, position: int) -> int:
        """An offset at ``position`` or before that no delimiter begun before it reaches beyond."""
        low = position
        while low > 0:
            low = max(0, position - max(_PIECE_BYTES, 4 * self.overlap))
            file.seek(low)
            window, at = file.read(position - low + self.overlap), position - low
            while (found := _find(window, self.data, max(0, at - self.overlap), at + self.overlap, self.unit)) >= 0:
                at = found
            position = low + at
            if at >= self.overlap:
                break
        return position


def _has_border(data: bytes) -> bool:
    """Does it end with what it begins with, other than all of it? By the prefix function of Knuth, Morris and Pratt."""
    borders = [0]
    for byte in data[1:]:
        size = borders[-1]
        while size and data[size] != byte:
            size = borders[size - 1]
        borders.append(size + (data[size] == byte))
    return borders[-1] > 0


def _round_up(offset: int, unit: int) -> int:
    return -(-offset // unit) * unit


def _find(data: bytes, what: bytes, start: int, end: int, unit: int) -> int:
    at = data.find(what, start, end)
    while at >= 0 and at % unit:
        at = data.find(what, at + 1, end)
    return at


def _rfind(data: bytes, what: bytes, start: int, end: int, unit: int) -> int:
    at = data.rfind(what, start, end)
    while at >= 0 and at % unit:
        at = data.rfind(what, start, at + len(what) - 1)
    return at
