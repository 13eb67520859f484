"""NetCDF's classic format (versions 1, 2 and 5): a header, then arrays of big-endian numbers.

Written after "NetCDF Classic Format Specification" (Unidata). A variable along the unlimited dimension lies in records
that alternate with those of other such variables, so it is read by strides.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, BinaryIO

from mpirdd.formats.records.arrays import Rows
from mpirdd.formats.records.library import library
from mpirdd.protocol.errors import InputError

_DIMENSIONS, _VARIABLES, _ATTRIBUTES = 10, 11, 12
_TYPES = {1: "i1", 2: "S1", 3: ">i2", 4: ">i4", 5: ">f4", 6: ">f8", 7: "u1", 8: ">u2", 9: ">u4", 10: ">i8", 11: ">u8"}


@dataclass(frozen=True)
class _Variable:
    name: str
    dimensions: list[int]
    kind: str
    size: int
    """Bytes of it, or of one record of it."""
    begin: int


class _Header:
    """Reads the header's numbers, names and lists."""

    def __init__(self, content: BinaryIO) -> None:
        self._content = content
        content.seek(0)
        magic = content.read(4)
        if magic[:3] != b"CDF" or magic[3] not in (1, 2, 5):
            raise ValueError(f"it begins with {magic!r}")
        self._number_bytes = 8 if magic[3] == 5 else 4
        self._offset_bytes = 4 if magic[3] == 1 else 8
        count = self._exactly(self._number_bytes)
        self.records = -1 if count == b"\xff" * self._number_bytes else int.from_bytes(count, "big")
        self.dimensions = [(self._name(), self._number()) for _ in range(self._list(_DIMENSIONS))]
        self._attributes()
        self.variables = [self._variable() for _ in range(self._list(_VARIABLES))]

    def _exactly(self, size: int) -> bytes:
        data = self._content.read(size)
        if len(data) < size:
            raise ValueError("it ends within its header")
        return data

    def _number(self, size: int | None = None) -> int:
        return int.from_bytes(self._exactly(size or self._number_bytes), "big")

    def _name(self) -> str:
        size = self._number()
        return self._exactly(-(-size // 4) * 4)[:size].decode()

    def _list(self, tag: int) -> int:
        found, count = self._number(4), self._number()
        if found not in (0, tag) or (found == 0 and count):
            raise ValueError(f"its header has the tag {found} where {tag} is due")
        return count

    def _attributes(self) -> None:
        for _ in range(self._list(_ATTRIBUTES)):
            self._name()
            size = library("numpy", "an array").dtype(_TYPES[self._number(4)]).itemsize * self._number()
            self._exactly(-(-size // 4) * 4)

    def _variable(self) -> _Variable:
        name = self._name()
        dimensions = [self._number() for _ in range(self._number())]
        self._attributes()
        kind, size = _TYPES[self._number(4)], self._number()
        return _Variable(name, dimensions, kind, size, self._number(self._offset_bytes))


def opened_variable(path: str, content: BinaryIO, name: str | None) -> Rows:
    """A variable of an open file.

    Raises:
        InputError: there is no such variable, or more than one and no name.
        ValueError: the header is damaged.
    """
    header = _Header(content)
    names = [variable.name for variable in header.variables]
    if name is None and len(names) == 1:
        name = names[0]
    if name not in names:
        which = "holds several variables" if name is None and names else f"has no variable {name or ''}".rstrip()
        raise InputError(f"{path} {which}; name one of: {', '.join(names) or 'none is there'}")
    return _Values(path, content, header, header.variables[names.index(name)])


class _Values(Rows):
    """The values of a variable."""

    def __init__(self, path: str, content: BinaryIO, header: _Header, variable: _Variable) -> None:
        numpy = library("numpy", "an array")
        self._path, self._content, self._begin = path, content, variable.begin
        self.dtype = numpy.dtype(variable.kind)
        sizes = [header.dimensions[place][1] for place in variable.dimensions]
        recorded = [each for each in header.variables if each.dimensions and not header.dimensions[each.dimensions[0]][1]]
        self._stride = prod(sizes[1:]) * self.dtype.itemsize
        if variable in recorded:
            # A record variable that is alone is not padded to four bytes.
            if len(recorded) > 1:
                self._stride = sum(_padded(self._record_bytes(numpy, header, each)) for each in recorded)
            sizes[0] = header.records if header.records >= 0 else (content.seek(0, 2) - self._begin) // max(self._stride, 1)
        self.shape = tuple(sizes)

    @staticmethod
    def _record_bytes(numpy: Any, header: _Header, variable: _Variable) -> int:
        sizes = [header.dimensions[place][1] for place in variable.dimensions[1:]]
        return int(prod(sizes) * numpy.dtype(variable.kind).itemsize)

    def block(self, start: int, end: int) -> Any:
        numpy = library("numpy", "an array")
        wanted = prod(self.shape[1:]) * self.dtype.itemsize
        if self._stride == wanted:
            data = self._at(self._begin + start * self._stride, (end - start) * wanted)
        else:
            data = b"".join(self._at(self._begin + row * self._stride, wanted) for row in range(start, end))
        return numpy.frombuffer(data, self.dtype).reshape((end - start, *self.shape[1:])).astype(self.dtype.newbyteorder("="))

    def all(self) -> Any:
        numpy = library("numpy", "an array")
        data = self._at(self._begin, self.dtype.itemsize)
        return numpy.frombuffer(data, self.dtype).reshape(()).astype(self.dtype.newbyteorder("="))

    def _at(self, offset: int, size: int) -> bytes:
        self._content.seek(offset)
        data = self._content.read(size)
        if len(data) < size:
            raise InputError(f"{self._path} ends within its data: {offset + len(data)} of {offset + size} bytes are there")
        return data


def _padded(size: int) -> int:
    return -(-size // 4) * 4
