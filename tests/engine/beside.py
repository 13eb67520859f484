"""Helpers that tasks import from a module beside the tests, as from a job's own helper module."""

from __future__ import annotations

import gc
import inspect
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter
from types import ModuleType
from typing import Any, NamedTuple

import pytest

from mpirdd import RDD, Context
from mpirdd.launch import session
from mpirdd.protocol.ids import BlockId
from mpirdd.store.blocks import BlockStore

RANKS = session.transport().size
first, second = itemgetter(0), itemgetter(1)
about_keeping = pytest.mark.skipif(
    os.environ.get("MPIRDD_MODE") == "mapreduce", reason="is about what is kept from job to job; mode mapreduce caches nothing")


class Calls:
    """The identity, which writes each call to a file: tasks run in other processes and share only
    files with the test.

    A line is one ``write`` to a file opened for appending, so lines of several ranks never mix.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def __call__(self, value: Any) -> Any:
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, f"{value!r}\n".encode())
        finally:
            os.close(descriptor)
        return value

    def seen(self) -> list[str]:
        """``repr`` of each argument since the last look, in no order."""
        if not os.path.exists(self._path):
            return []
        with open(self._path) as file:
            lines = file.read().splitlines()
        os.remove(self._path)
        return lines

    def count(self) -> int:
        """The calls since the last look."""
        return len(self.seen())


class Flag:
    """True until somebody lowers it, in all processes: lets a task behave differently when it runs
    again."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.raise_again()

    def __bool__(self) -> bool:
        return os.path.exists(self._path)

    def lower(self) -> None:
        os.remove(self._path)

    def raise_again(self) -> None:
        open(self._path, "x").close()


class Point(NamedTuple):
    x: int
    y: str


class Plain:
    """Equal by value, ordered, and hashable by a key that is stable."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plain) and other.value == self.value

    def __hash__(self) -> int:
        return hash(self.value)

    def __lt__(self, other: Plain) -> bool:
        return self.value < other.value

    def __stable_hash__(self) -> int:
        return self.value


@dataclass(frozen=True)
class Cell:
    row: int
    column: str | None = None


def double(value: Any) -> Any:
    return value + value


def fail_on(bad: Any, value: Any) -> Any:
    if value == bad:
        raise LookupError(f"do not like {value!r}")
    return value


class Demanding(Exception):
    """Pickles, but does not load again: ``args`` lacks what ``__init__`` wants."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{reason} ({code})")


class Unpicklable(Exception):
    def __reduce__(self) -> Any:
        raise TypeError("this exception stays where it is")


def unshipped(source: str) -> ModuleType:
    """A module that no executor can import, like ``__main__`` and a notebook's cells."""
    module = ModuleType("__main__")
    exec(source, module.__dict__)
    return module


def sizes(rdd: RDD) -> list[int]:
    """Records in each partition."""
    return [len(part) for part in rdd.glom().collect()]


def on_every_executor(sc: Context, function: Callable[[], Any]) -> list[Any]:
    """``function()`` once on each executor: the driver hands out as many tasks as executors one to
    each."""
    count = len(sc._driver.executors)
    made = sc.parallelize(range(count), count).mapPartitions(lambda _: [(os.getpid(), function())]).collect()
    assert len({pid for pid, _ in made}) == count
    return [result for _, result in made]


def blocks_held(sc: Context) -> list[BlockId]:
    """The ids of all blocks on all executors."""
    gc.collect()  # here, so that what the test has let go of is known to be gone
    return sorted(block for blocks in on_every_executor(sc, _blocks_here) for block in blocks)


def _blocks_here() -> list[BlockId]:
    """Blocks in the calling task's own store; the process may hold others, of stopped Contexts."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_name != "run_task":
        frame = frame.f_back
    assert frame is not None
    store: BlockStore = frame.f_locals["store"]
    return list(store)


def in_pairs(records: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    return ((record, 1) for record in records)
