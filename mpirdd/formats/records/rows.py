"""Rows: named tuples whose class is made from the names of a file's columns.

A name that is no identifier (``my col``) is an attribute for ``getattr(row, "my col")`` only, and by its place ``row._3``, as
``collections.namedtuple(rename=True)`` has it. A name that comes twice, or is one of a named tuple's own (``_fields``), has its
place alone. Where a column is named like a place (``_1``, as Spark names the items of tuples), the attribute is the column.
``row._columns`` and ``row._asdict()`` have the names as they are.
"""

from __future__ import annotations

import re
from collections import namedtuple
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache, partial
from operator import itemgetter
from typing import Any
from unicodedata import normalize

from mpirdd.protocol.errors import InvalidValue, RecordError

_PLACE = re.compile(r"_\d+")


class Row:
    """What the rows of all files have, beside being named tuples. ``isinstance(record, Row)`` tells a row."""

    __slots__ = ()
    _columns: tuple[str, ...]
    """The names of the columns, as they are in the file."""

    def _asdict(self) -> dict[str, Any]:
        """{name of the column: value}. Raises InvalidValue if two columns have the same name."""
        made = dict(zip(self._columns, self, strict=True))  # type: ignore[call-overload]
        if len(made) < len(self._columns):
            raise InvalidValue(f"{repeated(self._columns)}, and a dict holds one of them; take values by place, such as row[0]")
        return made

    def __repr__(self) -> str:
        values = map("{}={!r}".format, self._columns, self)  # type: ignore[call-overload]
        return f"Row({', '.join(values)})"

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        # The class is made anew where the row goes: no pickler finds it by its name.
        return _row, (self._columns, tuple(self))  # type: ignore[arg-type]


@lru_cache(maxsize=256)
def row_class(columns: tuple[str, ...]) -> type[Any]:
    """The class of rows with these columns."""
    fields = namedtuple("Row", [_attribute(name, columns) for name in columns], rename=True)  # type: ignore[misc]
    made = type("Row", (Row, fields), {"__slots__": (), "_columns": columns, "__module__": __name__})
    for place, name in enumerate(columns):
        if (not hasattr(made, name) or _PLACE.fullmatch(name)) and columns.count(name) == 1:
            setattr(made, name, property(itemgetter(place)))
    return made


def _attribute(name: str, columns: tuple[str, ...]) -> str:
    """The name in the normal form that Python gives to names in a program, in which ``row.µ`` asks for the letter mu, not for
    the micro sign; empty where that is another column."""
    made = name if name.isascii() else normalize("NFKC", name)
    return made if made == name or made not in columns else ""


def row_maker(columns: Iterable[str]) -> Callable[[Iterable[Any]], Any]:
    """Makes a row of an iterable of as many values. 0.1 us a row; ``Row._make`` takes 0.3 us."""
    return partial(tuple.__new__, row_class(tuple(columns)))


def _row(columns: tuple[str, ...], values: tuple[Any, ...]) -> Any:
    return tuple.__new__(row_class(columns), values)


def repeated(columns: Sequence[str]) -> str:
    """The columns that have the same name, in words; empty: each has its own."""
    places: dict[str, list[int]] = {}
    for place, name in enumerate(columns):
        places.setdefault(name, []).append(place)
    return next((f"columns {', '.join(map(str, found))} (from 0) are all named {name!r}"
                 for name, found in places.items() if len(found) > 1), "")


def columns_of(record: Any) -> tuple[str, ...] | None:
    """The names of a record's columns: of a row, a named tuple or a dict; None: it has none."""
    return tuple(record) if isinstance(record, dict) else _columns_of_class(type(record))


def _columns_of_class(kind: type[Any]) -> tuple[str, ...] | None:
    if issubclass(kind, Row):
        return kind._columns
    fields = getattr(kind, "_fields", None)
    return fields if issubclass(kind, tuple) and isinstance(fields, tuple) else None


@lru_cache(maxsize=256)
def ordering(operation: str, kind: type[Any], names: tuple[str, ...]) -> Callable[[Any], tuple[Any, ...]] | None:
    """What puts the values of a row of this class into the order of the columns ``names``, None where it has none; None: they
    are in this order, as those of tuples are, and of rows that know none of the names.

    Raises:
        RecordError: the row knows some of the names, and others.
    """
    own = _columns_of_class(kind)
    if own is None or own == names or set(own).isdisjoint(names):
        return None
    unknown = [name for name in own if name not in names] or [repeated(own)]
    if unknown != [""]:
        raise RecordError(
            f"{operation}: a row has the columns {', '.join(map(repr, own))}, where {', '.join(map(repr, names))} are written "
            f"({unknown[0]!r} is none of them, or comes twice); make the rows alike with map")
    places = [own.index(name) if name in own else None for name in names]
    return lambda row: tuple([None if place is None else row[place] for place in places])
