"""Rows: tuples whose fields have names."""

from __future__ import annotations

from typing import Any

from mpirdd.protocol.errors import InvalidType, InvalidValue


class Row(tuple[Any, ...]):
    """``Row(name="Ada", age=36)``; or ``Person = Row("name", "age")``, then ``Person("Ada", 36)``.

    Fields are available by position, as items and as attributes. Equal to a tuple of the same
    values.
    """

    __fields__: tuple[str, ...]

    def __new__(cls, *args: Any, **kwargs: Any) -> Row:
        if args and kwargs:
            raise InvalidValue("a Row has either names (Row(name=value)), or none (Row(value)), not both")
        return _row(tuple(kwargs), kwargs.values()) if kwargs else tuple.__new__(cls, args)

    def asDict(self, recursive: bool = False) -> dict[str, Any]:
        """Name -> value; with ``recursive``, Rows inside become dicts, too."""
        if not hasattr(self, "__fields__"):
            raise InvalidType(f"{self!r} has no names, so it makes no dict")
        return dict(zip(self.__fields__, map(_as_plain, self) if recursive else self, strict=True))

    def __call__(self, *values: Any) -> Row:
        if len(values) > len(self):
            raise InvalidValue(f"{self!r} has {len(self)} fields, so it takes no {len(values)} values")
        return _row(tuple(self), values)

    def __contains__(self, item: Any) -> bool:
        return item in self.__fields__ if hasattr(self, "__fields__") else super().__contains__(item)

    def __getitem__(self, item: Any) -> Any:
        if isinstance(item, str):
            if item not in self.__fields__:
                raise InvalidValue(f"{self!r} has no field {item!r}")
            item = self.__fields__.index(item)
        return super().__getitem__(item)

    def __getattr__(self, item: str) -> Any:
        if item.startswith("__") or item not in self.__fields__:
            raise AttributeError(item)
        return self[item]

    def __reduce__(self) -> Any:
        return (_row, (self.__fields__, tuple(self))) if hasattr(self, "__fields__") else (Row, tuple(self))

    def __repr__(self) -> str:
        if not hasattr(self, "__fields__"):
            return f"<Row({', '.join(map(repr, self))})>"
        return f"Row({', '.join(f'{name}={value!r}' for name, value in zip(self.__fields__, self, strict=False))})"


class Line(Row):
    """A line of text, in the field ``value``. The class has the names, so making one runs no
    Python."""

    __fields__ = ("value",)


def _row(fields: tuple[str, ...], values: Any) -> Row:
    row: Row = tuple.__new__(Row, values)
    row.__fields__ = fields
    return row


def _as_plain(value: Any) -> Any:
    if isinstance(value, Row):
        return value.asDict(True)
    if isinstance(value, list):
        return list(map(_as_plain, value))
    if isinstance(value, dict):
        return {key: _as_plain(item) for key, item in value.items()}
    return value


__all__ = [  # noqa: F822  (those that are not there say so when they are used)
    "ArrayType", "BinaryType", "BooleanType", "ByteType", "CalendarIntervalType", "CharType", "DataType", "DateType",
    "DayTimeIntervalType", "DecimalType", "DoubleType", "FloatType", "IntegerType", "LongType", "MapType", "NullType", "Row",
    "ShortType", "StringType", "StructField", "StructType", "TimestampNTZType", "TimestampType", "VarcharType", "VariantType",
    "VariantVal", "YearMonthIntervalType",
]
