"""Hadoop's Writables as bytes, and their Python values.

The pairs of types are PySpark's:

    BooleanWritable bool    IntWritable, LongWritable int    FloatWritable, DoubleWritable float    NullWritable None
    Text str    BytesWritable bytearray (also written from bytes)    MapWritable, SortedMapWritable dict
    ArrayWritable, TwoDArrayWritable tuple

A ``MapWritable`` names the class of each key and value. An array does not name the class of its
elements, and a file names only ``ArrayWritable``; so here the name of a class may be
``org.apache.hadoop.io.ArrayWritable<org.apache.hadoop.io.Text>``.

Reading never trusts a length: the reader checks each against the bytes at hand before it allocates
anything of that size. Data that does not fit raises ValueError (or a subclass, or TypeError for a
value that cannot be a dict's key); an unknown class raises UsageError. The caller knows file and
offset.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, reduce
from itertools import chain
from struct import Struct
from struct import error as StructError
from typing import Any

from mpirdd.protocol.errors import UsageError

PACKAGE = "org.apache.hadoop.io."

_INT, _SHORT = Struct(">i"), Struct(">H")
_MOST_WITHOUT_BYTES = 1 << 10
"""The most elements of an array that take no bytes (nulls), since the data cannot confirm their
number."""


@dataclass(frozen=True, slots=True)
class Writable:
    """Writes and reads the values of one Java class."""

    name: str
    """The class, in full; with its elements' class in angle brackets for an array."""
    encode: Callable[[Any], bytes]
    """TypeError or ValueError for a value that is not of this class."""
    read: Callable[[bytes, int], tuple[Any, int]]
    """(data, where the value starts) -> (value, where it ends)."""
    decode_all: Callable[[Sequence[bytes]], list[Any]]
    """Many values at a time, each from all of its own bytes."""

    @property
    def java_class(self) -> str:
        """The class alone, as files name it."""
        return self.name.partition("<")[0]


def _writable(name: str, encode: Callable[[Any], bytes], read: Callable[[bytes, int], tuple[Any, int]]) -> Writable:
    def decode_all(data: Sequence[bytes]) -> list[Any]:
        return [_whole(read, one) for one in data]

    return Writable(PACKAGE + name, encode, read, decode_all)


def _whole(read: Callable[[bytes, int], tuple[Any, int]], data: bytes) -> Any:
    value, end = read(data, 0)
    if end != len(data):
        raise ValueError(f"{len(data) - end} bytes too many")
    return value


# --- lengths ----------------------------------------------------------------------------------------------------------


def vint(value: int) -> bytes:
    """Hadoop's variable-length integer: one byte for -112 to 127, else a byte for sign and length,
    and the digits."""
    if -112 <= value <= 127:
        return (value & 0xFF).to_bytes(1, "big")
    digits = value if value >= 0 else ~value
    length = (digits.bit_length() + 7) // 8
    return bytes([256 - (112 if value >= 0 else 120) - length]) + digits.to_bytes(length, "big")


def vint_size(first: int) -> int:
    """Bytes of a variable-length integer, from its first byte."""
    if first <= 127 or first >= 144:
        return 1
    return 145 - first if first >= 136 else 137 - first


def read_vint(data: bytes, start: int) -> tuple[int, int]:
    """(value, where it ends)."""
    if start >= len(data):
        raise ValueError("the bytes end where a length is due")
    first = data[start]
    end = start + vint_size(first)
    if end == start + 1:
        return first if first <= 127 else first - 256, end
    if end > len(data):
        raise ValueError("the bytes end within a length")
    digits = int.from_bytes(data[start + 1 : end], "big")
    return digits if first >= 136 else ~digits, end


def _take(data: bytes, start: int, length: int) -> bytes:
    if not 0 <= length <= len(data) - start:
        raise ValueError(f"a length of {length} where {len(data) - start} bytes are left")
    return data[start : start + length]


def _read_int(data: bytes, start: int) -> tuple[int, int]:
    return int.from_bytes(_take(data, start, 4), "big", signed=True), start + 4


# --- numbers, text, bytes, null ---------------------------------------------------------------------------------------


def _fixed(name: str, layout: str, check: Callable[[Any], bool], what: str) -> Writable:
    packer = Struct(layout)
    unpack, unpack_from, size = packer.unpack, packer.unpack_from, packer.size

    def encode(value: Any) -> bytes:
        if not check(value):
            raise TypeError(f"it takes {what}")
        try:
            return packer.pack(value)
        except (StructError, OverflowError) as error:
            raise ValueError(f"it takes {what}") from error

    def read(data: bytes, start: int) -> tuple[Any, int]:
        if start + size > len(data):
            raise ValueError(f"{len(data) - start} bytes where {size} are due")
        return unpack_from(data, start)[0], start + size

    def decode_all(data: Sequence[bytes]) -> list[Any]:
        try:
            return list(chain.from_iterable(map(unpack, data)))
        except StructError:
            raise ValueError(f"not {size} bytes long") from None

    return Writable(PACKAGE + name, encode, read, decode_all)


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_float(value: Any) -> bool:
    return isinstance(value, float)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _encode_text(value: Any) -> bytes:
    if not isinstance(value, str):
        raise TypeError("it takes str")
    data = value.encode()  # UnicodeEncodeError, of a lone surrogate, is a ValueError
    return vint(_java_length(data)) + data


def _text(errors: str) -> Writable:
    """``errors`` as for ``bytes.decode``: Java programs do write Text that is not UTF-8."""

    def read(data: bytes, start: int) -> tuple[str, int]:
        length, start = read_vint(data, start)
        return str(_take(data, start, length), "utf-8", errors), start + length

    def decode_all(data: Sequence[bytes]) -> list[str]:
        # Nearly all text is short: the length is one byte, and needs no call.
        return [
            str(one[1:], "utf-8", errors) if one and one[0] < 128 and one[0] == len(one) - 1 else _whole(read, one)
            for one in data
        ]

    return Writable(PACKAGE + "Text", _encode_text, read, decode_all)


def _encode_bytes(value: Any) -> bytes:
    if not isinstance(value, bytes | bytearray):
        raise TypeError("it takes bytes and bytearray")
    return _INT.pack(_java_length(value)) + value


def _java_length(data: bytes | bytearray) -> int:
    if len(data) > 2**31 - 1:
        raise ValueError(f"it has {len(data):,} bytes, and Java's arrays have less than 2 GiB")
    return len(data)


def _read_bytes(data: bytes, start: int) -> tuple[bytearray, int]:
    length, start = _read_int(data, start)
    return bytearray(_take(data, start, length)), start + length


def _encode_null(value: Any) -> bytes:
    if value is not None:
        raise TypeError("it takes None only")
    return b""


def _read_null(data: bytes, start: int) -> tuple[None, int]:
    return None, start


# --- maps -------------------------------------------------------------------------------------------------------------

_MAP_CLASSES = {
    -127: "ArrayWritable", -126: "BooleanWritable", -125: "BytesWritable", -124: "FloatWritable", -123: "IntWritable",
    -122: "LongWritable", -121: "MapWritable", -120: "MD5Hash", -119: "NullWritable", -118: "ObjectWritable",
    -117: "SortedMapWritable", -116: "Text", -115: "TwoDArrayWritable", -114: "VIntWritable", -113: "VLongWritable",
}
"""The classes that a map need not name; others get the numbers from 1."""
_MAP_NUMBERS = {PACKAGE + name: number for number, name in _MAP_CLASSES.items()}


def _encode_map(value: Any) -> bytes:
    if not isinstance(value, dict):
        raise TypeError("it takes dict")
    named: dict[str, int] = {}
    parts = []
    for item in chain.from_iterable(value.items()):
        name = class_of(item)
        if "<" in name:
            raise TypeError("a tuple within a dict could never be read back, as a MapWritable does not say what an array holds")
        number = _MAP_NUMBERS.get(name) or named.setdefault(name, len(named) + 1)
        parts.append(bytes([number & 0xFF]) + writable(name).encode(item))
    table = b"".join(bytes([number]) + _SHORT.pack(len(name)) + name.encode() for name, number in named.items())
    return b"".join([bytes([len(named)]), table, _INT.pack(len(value)), *parts])


def _read_map(errors: str, data: bytes, start: int) -> tuple[dict[Any, Any], int]:
    classes = {number & 0xFF: PACKAGE + name for number, name in _MAP_CLASSES.items()}
    named, start = _take(data, start, 1)[0], start + 1
    for _ in range(named):
        number, length = _take(data, start, 1)[0], _SHORT.unpack(_take(data, start + 1, 2))[0]
        classes[number] = str(_take(data, start + 3, length), "utf-8")
        start += 3 + length
    count, start = _read_int(data, start)
    if not 0 <= count <= (len(data) - start) // 2:
        raise ValueError(f"a map of {count} entries in {len(data) - start} bytes")
    made = {}
    for _ in range(count):
        key, start = _read_item(classes, errors, data, start)
        made[key], start = _read_item(classes, errors, data, start)
    return made, start


def _read_item(classes: dict[int, str], errors: str, data: bytes, start: int) -> tuple[Any, int]:
    number = _take(data, start, 1)[0]
    if number not in classes:
        raise ValueError(f"a map with an item of class number {number}, which it does not name")
    return writable(classes[number], errors).read(data, start + 1)


# --- arrays -----------------------------------------------------------------------------------------------------------


def _array(element: Writable | None) -> Writable:
    def encode(value: Any) -> bytes:
        if not isinstance(value, tuple):
            raise TypeError("it takes tuple")
        if value and element is None:
            raise TypeError("the class of the tuple's items is not known, as the first tuple has none")
        return _INT.pack(len(value)) + b"".join(element.encode(item) for item in value if element is not None)

    def read(data: bytes, start: int) -> tuple[tuple[Any, ...], int]:
        count, start = _read_int(data, start)
        return _read_elements(element, count, data, start)

    return _writable("ArrayWritable" + (f"<{element.name}>" if element else ""), encode, read)


def _two_d_array(element: Writable | None) -> Writable:
    def encode(value: Any) -> bytes:
        if not isinstance(value, tuple) or not all(isinstance(row, tuple) for row in value):
            raise TypeError("it takes a tuple of tuples")
        if element is None:
            raise TypeError("the class of its items is not known: write it as TwoDArrayWritable<class>")
        sizes = [_INT.pack(len(row)) for row in value]
        return b"".join([_INT.pack(len(value)), *sizes, *map(element.encode, chain.from_iterable(value))])

    def read(data: bytes, start: int) -> tuple[tuple[Any, ...], int]:
        count, start = _read_int(data, start)
        sizes = _take(data, start, 4 * count)
        start += len(sizes)
        rows = []
        for (size,) in _INT.iter_unpack(sizes):
            row, start = _read_elements(element, size, data, start)
            rows.append(row)
        return tuple(rows), start

    return _writable("TwoDArrayWritable" + (f"<{element.name}>" if element else ""), encode, read)


def _read_elements(element: Writable | None, count: int, data: bytes, start: int) -> tuple[tuple[Any, ...], int]:
    if not 0 <= count <= max(len(data) - start, _MOST_WITHOUT_BYTES):
        raise ValueError(f"an array of {count} elements in {len(data) - start} bytes")
    if count and element is None:
        raise UsageError(
            "an array does not say what class its elements are; pass keyClass or valueClass as "
            f"'{PACKAGE}ArrayWritable<{PACKAGE}IntWritable>', with that class in the brackets"
        )
    items = []
    for _ in range(count):
        assert element is not None
        item, start = element.read(data, start)
        items.append(item)
    return tuple(items), start


# --- by name, and by value --------------------------------------------------------------------------------------------

_PLAIN = {
    each.name: each
    for each in (
        _fixed("BooleanWritable", ">?", _is_bool, "bool"),
        _fixed("IntWritable", ">i", _is_int, "int from -2**31 to 2**31 - 1"),
        _fixed("LongWritable", ">q", _is_int, "int from -2**63 to 2**63 - 1"),
        _fixed("FloatWritable", ">f", _is_float, "float, up to 3.4e38"),
        _fixed("DoubleWritable", ">d", _is_float, "float"),
        _writable("BytesWritable", _encode_bytes, _read_bytes),
        _writable("NullWritable", _encode_null, _read_null),
    )
}
_ARRAYS = {PACKAGE + "ArrayWritable": _array, PACKAGE + "TwoDArrayWritable": _two_d_array}
_MAPS = (PACKAGE + "MapWritable", PACKAGE + "SortedMapWritable")


@cache
def writable(name: str, errors: str = "strict") -> Writable:
    """The class of this name; within ``org.apache.hadoop.io`` the last part is enough. Elements of
    an array in angle brackets.

    Args:
        errors: how to treat ``Text`` that is not UTF-8, as for ``bytes.decode``.

    Raises:
        UsageError: there is no such class here.
    """
    outer, bracket, inner = name.replace(" ", "").partition("<")
    full = outer if "." in outer else PACKAGE + outer
    if full in _ARRAYS and (not bracket or inner.endswith(">")):
        return _ARRAYS[full](writable(inner[:-1], errors) if bracket else None)
    if bracket or full not in (*_PLAIN, *_MAPS, PACKAGE + "Text"):
        known = ", ".join(sorted(known.rpartition(".")[2] for known in (*_PLAIN, *_MAPS, *_ARRAYS, "Text")))
        raise UsageError(f"cannot read or write the class {name}; known in {PACKAGE[:-1]} are {known}")
    if full in _PLAIN:
        return _PLAIN[full]
    if full in _MAPS:
        return _writable(full.removeprefix(PACKAGE), _encode_map, lambda data, start: _read_map(errors, data, start))
    return _text(errors)


def class_of(value: Any) -> str:
    """The class for a Python value, as PySpark chooses it; for a tuple with its elements' class.

    Raises:
        TypeError, ValueError: there is none.
    """
    if value is None:
        return PACKAGE + "NullWritable"
    if isinstance(value, bool):
        return PACKAGE + "BooleanWritable"
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise ValueError("it does not fit into the 64 bits of a LongWritable; write it as a string")
        return PACKAGE + ("IntWritable" if -(2**31) <= value < 2**31 else "LongWritable")
    for kind, name in _CLASSES:
        if isinstance(value, kind):
            return PACKAGE + name
    if isinstance(value, tuple):
        return _class_of_tuple(value)
    raise TypeError(
        f"there is no Writable for {type(value).__name__}; convert it to bool, int, float, str, bytes, None, dict or tuple first"
    )


_CLASSES: list[tuple[Any, str]] = [
    (float, "DoubleWritable"), (str, "Text"), ((bytes, bytearray), "BytesWritable"), (dict, "MapWritable")
]


def _class_of_tuple(value: tuple[Any, ...]) -> str:
    array = PACKAGE + "ArrayWritable"
    return f"{array}<{reduce(_common_class, map(class_of, value))}>" if value else array


def _common_class(first: str, second: str) -> str:
    """A class for elements of both classes. An empty tuple is an array of anything."""
    (outer, _, one), (other, _, two) = first.partition("<"), second.partition("<")
    if outer == other:
        inner = one and two and _common_class(one[:-1], two[:-1]) + ">"
        return f"{outer}<{inner or one or two}" if one or two else outer
    if {outer, other} == {PACKAGE + "IntWritable", PACKAGE + "LongWritable"}:
        return PACKAGE + "LongWritable"
    names = " and ".join(sorted((outer.removeprefix(PACKAGE), other.removeprefix(PACKAGE))))
    raise TypeError(f"an ArrayWritable holds elements of one class, not {names}")
