"""Errors for a record that is not a (key, value) pair. Good records cost no check: the loops that
unpack pairs look at a record only after something has raised.
"""

from __future__ import annotations

from typing import Any

from mpirdd.protocol.errors import RecordError
from mpirdd.protocol.shown import shown

Pair = tuple[Any, Any]
"""A record of key and value."""

NOTHING: Any = object()
"""Stands for the record before the first. The source of the records may itself raise; then no record
is to blame."""


def check_pair(record: Any, operation: str = "this operation", error: Exception | None = None) -> None:
    """Raise RecordError, from ``error``, unless the record is a pair.

    A text of two characters and a set of two items unpack into two values, but are no pairs.
    """
    if record is NOTHING:
        return
    try:
        _, _ = record
    except (TypeError, ValueError):
        is_pair = False
    else:
        is_pair = not isinstance(record, str | bytes | bytearray | dict | set | frozenset)
    if not is_pair:
        raise RecordError(
            f"{operation} needs (key, value) pairs; got {shown(record)}. Make pairs first, with map or keyBy."
        ) from error


def blame(record: Any, operation: str, error: Exception) -> None:
    """Raise RecordError from ``error`` if the record explains it: it is no pair, or its key cannot be
    hashed. Return if it does not."""
    if record is NOTHING:
        return
    check_pair(record, operation, error)
    key, _ = record
    try:
        hash(key)
    except TypeError:
        raise RecordError(
            f"{operation} needs keys that can be hashed; got {shown(key)}. Use a tuple instead of a list, "
            "a frozenset instead of a set, or a string."
        ) from error


def pair(record: Any, operation: str) -> Any:
    """The record, if it unpacks into two values.

    Raises:
        RecordError: it is no pair; the message shows it.
    """
    try:
        _, _ = record
    except (TypeError, ValueError) as error:
        check_pair(record, operation, error)
        raise
    return record
