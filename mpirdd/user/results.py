"""The values of a group, as PySpark hands them out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sized
from typing import Any


class ResultIterable(Iterable[Any]):
    """Values with a length, to be iterated as often as one likes.

    Attributes:
        data: the list behind it.
        maxindex: the number of values.
    """

    def __init__(self, data: Sized) -> None:
        self.data: Any = data
        self.index = 0
        self.maxindex = len(data)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)

    def __repr__(self) -> str:
        return f"ResultIterable({self.data!r})"
