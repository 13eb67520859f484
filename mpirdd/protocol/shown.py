"""How messages show sizes and values."""

from __future__ import annotations

import reprlib
from typing import Any

_MOST_CHARACTERS = 80
_MOST_ITEMS = 20
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def shown_size(size: float) -> str:
    """Bytes for people, in the largest unit that fits. All messages, the summary and the report show bytes this way.

    >>> shown_size(1023), shown_size(40_000), shown_size(3 << 29), shown_size(123 << 20)
    ('1023 B', '39.1 KiB', '1.5 GiB', '123 MiB')
    """
    unit = 0
    while abs(size) >= 1024 and unit < len(_UNITS) - 1:
        size, unit = size / 1024, unit + 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 or abs(size) >= 100 else f"{size:.1f} {_UNITS[unit]}"


def shown(value: Any) -> str:
    """The value with its type, such as ``5 (int)``."""
    return f"{short_repr(value)} ({type(value).__name__})"


def short_repr(value: Any) -> str:
    """``repr`` of the value on at most 80 characters.

    It looks only at the first items of containers, so a huge value costs little. A user's ``__repr__`` may raise.
    """
    text = _Short().repr(value)
    return text if len(text) <= _MOST_CHARACTERS else text[: _MOST_CHARACTERS - 3] + "..."


class _Short(reprlib.Repr):
    def __init__(self) -> None:
        super().__init__()
        self.maxtuple = self.maxlist = self.maxset = self.maxfrozenset = self.maxdict = self.maxarray = _MOST_ITEMS
        self.maxstring = self.maxother = self.maxlong = _MOST_CHARACTERS
