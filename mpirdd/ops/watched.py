"""Steps that loop in C over the records, and still tell a StopIteration of the user's function from the end of the partition.

To ``map``, a StopIteration that escapes from the user's function looks like the end of its source: it would silently drop the
record and the rest of the partition. But then nobody has asked the source for a record beyond the last. So the source notes
whether somebody has, and the end of the last step's records checks that note. One check serves a chain of steps, because for a
``map`` over a ``map`` the end of either is the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any

from mpirdd.ops.current_task import STOPPED, name_of
from mpirdd.store.chunks import Chunks, Noted, noted

UserFunction = Callable[..., Any]


class Steps(Iterable[Any]):
    """The records of a chain of steps, in C from end to end. To be iterated once."""

    __slots__ = ("_functions", "_source", "made")

    def __init__(self, source: Noted, made: Iterable[Any], functions: tuple[UserFunction, ...] = ()) -> None:
        self._source, self._functions = source, functions
        self.made = made
        """The records, as input of the next step."""

    def then(self, made: Iterable[Any], function: UserFunction) -> Steps:
        """The chain with one more step: ``made`` are the results of ``function`` for ``self.made``."""
        return Steps(self._source, made, (*self._functions, function))

    def __iter__(self) -> Iterator[Any]:
        return chain(self.made, _check_end(self._source, self._functions))


def steps_over(records: Iterable[Any]) -> Steps:
    """The chain that a next step extends."""
    if isinstance(records, Steps):
        return records
    source = Chunks([records]).noted() if isinstance(records, list) else (
        records.noted() if isinstance(records, Chunks) else noted(records))
    return Steps(source, source)


def _check_end(source: Noted, functions: tuple[UserFunction, ...]) -> Iterator[Any]:
    if not source.over:
        names = " or ".join(dict.fromkeys(map(name_of, functions)))
        raise RuntimeError(
            f"{STOPPED}: {names} raised it, which would have ended the partition before its end; "
            "give next() a default, or catch it")
    yield from ()
