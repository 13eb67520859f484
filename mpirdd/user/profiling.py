"""Profiles of the Python code in tasks, when the setting ``profile`` is on.

Each RDD on which an action or a shuffle runs gets a profiler. Its object goes to the executors, runs each
task's work there, and brings the figures back through an accumulator. A profiler of one's own is a subclass of
``BasicProfiler``.
"""

from __future__ import annotations

import atexit
import cProfile
import os
import pstats
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from mpirdd.user.accumulators import AccumulatorParam
from mpirdd.words.errors import UsageError

if TYPE_CHECKING:
    from mpirdd.user.context import Context


class Profiler:
    """What a profiler must have."""

    def __init__(self, ctx: Context) -> None:
        """Made on the driver; then pickled into tasks."""

    def profile(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """In a task: ``func(*args, **kwargs)``, watched."""
        raise NotImplementedError

    def stats(self) -> Any:
        """On the driver: what has been seen; something false if nothing."""
        raise NotImplementedError

    def show(self, id: int) -> None:
        """Print it; ``id`` is the RDD's."""
        raise NotImplementedError

    def dump(self, id: int, path: str) -> None:
        """Write it to the folder ``path``."""
        raise NotImplementedError


class StatsParam(AccumulatorParam):
    """Adds up ``pstats.Stats``; None is none yet."""

    def zero(self, value: Any) -> Any:
        return None

    def addInPlace(self, value1: Any, value2: Any) -> Any:
        if value1 is None or value2 is None:
            return value1 or value2
        return value1.add(value2)


class BasicProfiler(Profiler):
    """Python's own ``cProfile``."""

    def __init__(self, ctx: Context) -> None:
        self._accumulator = ctx.accumulator(None, StatsParam())

    def profile(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        profile = cProfile.Profile()
        result = profile.runcall(func, *args, **kwargs)
        stats = pstats.Stats(profile)
        stats.stream = None  # type: ignore[attr-defined]  # an open file, which cannot be pickled
        stats.strip_dirs()
        self._accumulator.add(stats)
        return result

    def stats(self) -> Any:
        return self._accumulator.value

    def show(self, id: int) -> None:
        if self.stats():
            print("=" * 60, f"Profile of RDD<id={id}>", "=" * 60, sep="\n")
            self.stats().sort_stats("time", "cumulative").print_stats()

    def dump(self, id: int, path: str) -> None:
        if self.stats():
            os.makedirs(path, exist_ok=True)
            self.stats().dump_stats(os.path.join(path, f"rdd_{id}.pstats"))


class Profiles:
    """The profilers of a Context.

    Args:
        profiler: the class to use; None when profiling is off.
        dump_path: write profiles there at the end of the process, instead of printing those that were not shown.
    """

    def __init__(
        self, context: Context, profiler: type[Profiler] | None, dump_path: str | None = None
    ) -> None:
        self._context, self._kind, self._dump_path = context, profiler, dump_path
        self._profilers: dict[int, Profiler] = {}
        self._shown: set[int] = set()

    def watch(self, rdd: int, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, watched if profiling is on."""
        if self._kind is None:
            return function
        if not self._profilers:
            atexit.register(self._at_exit)
        if rdd not in self._profilers:
            self._profilers[rdd] = self._kind(self._context)
        return partial(_watched, self._profilers[rdd], function)

    def show(self) -> None:
        """Print what has not been printed."""
        self._check_on()
        for rdd, profiler in self._profilers.items():
            if rdd not in self._shown:
                profiler.show(rdd)
                self._shown.add(rdd)

    def dump(self, path: str) -> None:
        """Write everything, and forget it."""
        self._check_on()
        for rdd, profiler in self._profilers.items():
            profiler.dump(rdd, path)
        self._profilers = {}

    def _at_exit(self) -> None:
        if self._dump_path is None:
            self.show()
        else:
            self.dump(self._dump_path)

    def _check_on(self) -> None:
        if self._kind is None:
            raise UsageError(
                "profiling is off: use Context(profile=True), or set spark.python.profile to true in the Conf"
            )


def _watched(profiler: Profiler, function: Callable[..., Any], *args: Any) -> Any:
    return profiler.profile(_to_its_end, function, *args)


def _to_its_end(function: Callable[..., Any], *args: Any) -> Any:
    result = function(*args)
    return list(result) if isinstance(result, Iterator) else result  # a generator would work outside the profile
