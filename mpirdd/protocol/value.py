"""Frozen, slotted dataclasses that pickle fast, for the control messages: each job sends some dozen of them."""

from __future__ import annotations

from typing import Any


class Value:
    """Base of a frozen, slotted dataclass whose constructor takes all fields, in their order.

    It pickles as its class and its fields. The pickling that ``dataclasses`` adds sets each field by name again, in Python: that
    takes 5 us more for each object received, and 3 us for each sent.
    """

    __slots__: tuple[str, ...] = ()

    def __reduce__(self) -> tuple[type[Any], tuple[Any, ...]]:
        return type(self), tuple([getattr(self, name) for name in self.__slots__])
