"""Profiles of the Python code in tasks, when the setting ``profile`` is on.

Each RDD on which an action or a shuffle runs gets a profiler. Its object goes to the executors,
runs each task there as a whole, what fills a cache included, and brings the figures back through an
accumulator. Your own profiler is a subclass of ``BasicProfiler``. Beside it the engine samples the
tasks' stacks, for the flame graph of the event log.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Protocol

from mpirdd.api.accumulators import Accumulator, AccumulatorParam
from mpirdd.api.stack_samples import Sampler
from mpirdd.protocol.errors import UsageError

_TELL_EVERY_S = 10.0


class HasAccumulators(Protocol):
    """What a profiler needs of the Context."""

    def accumulator(self, value: Any, accum_param: AccumulatorParam | None = None) -> Accumulator: ...


class Profiler:
    """The interface of a profiler."""

    def __init__(self, ctx: HasAccumulators) -> None:
        """Made on the driver; then pickled into tasks."""

    def profile(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """In a task: ``func(*args, **kwargs)``, profiled."""
        raise NotImplementedError

    def stats(self) -> Any:
        """On the driver: the figures so far; something false if there are none."""
        raise NotImplementedError

    def show(self, id: int) -> None:
        """Print it; ``id`` is the RDD's."""
        raise NotImplementedError

    def dump(self, id: int, path: str) -> None:
        """Write it to the folder ``path``."""
        raise NotImplementedError


class StatsParam(AccumulatorParam):
    """Adds up ``pstats.Stats``; None means none yet."""

    def zero(self, value: Any) -> Any:
        return None

    def addInPlace(self, value1: Any, value2: Any) -> Any:
        if value1 is None or value2 is None:
            return value1 or value2
        return value1.add(value2)


class StacksParam(AccumulatorParam):
    """Adds up collapsed stacks."""

    def zero(self, value: Any) -> Any:
        return {}

    def addInPlace(self, value1: Any, value2: Any) -> Any:
        for stack, microseconds in value2.items():
            value1[stack] = value1.get(stack, 0) + microseconds
        return value1


class BasicProfiler(Profiler):
    """Python's own ``cProfile``."""

    label = ""
    """The operation and the line of the program that made the RDD; the engine sets it."""

    def __init__(self, ctx: HasAccumulators) -> None:
        self._accumulator = ctx.accumulator(None, StatsParam())

    def profile(self, func: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        import cProfile

        profile = cProfile.Profile()
        result = profile.runcall(func, *args, **kwargs)
        import pstats

        stats = pstats.Stats(profile)
        stats.stream = None  # type: ignore[attr-defined]  # an open file, which cannot be pickled
        stats.strip_dirs()
        self._accumulator.add(stats)
        return result

    def stats(self) -> Any:
        return self._accumulator.value

    def show(self, id: int) -> None:
        if self.stats():
            made = f": {self.label}" if self.label else ""
            print("=" * 60, f"Profile of RDD<id={id}>{made}", "=" * 60, sep="\n")
            self.stats().sort_stats("time", "cumulative").print_stats()

    def dump(self, id: int, path: str) -> None:
        if self.stats():
            os.makedirs(path, exist_ok=True)
            self.stats().dump_stats(os.path.join(path, f"rdd_{id}.pstats"))


@dataclass(slots=True)
class _Watch:
    """The profile of one RDD, on the driver."""

    label: str
    profiler: Profiler
    stacks: Accumulator
    told: dict[str, int] = field(default_factory=dict)
    """The stacks as they were told last."""


class Profiles:
    """The profilers of a Context.

    Args:
        profiler: the class to use; None when profiling is off.
        dump_path: write profiles there at the end of the process, instead of printing those that were not shown.
    """

    def __init__(
        self, context: HasAccumulators, profiler: type[Profiler] | None, dump_path: str | None = None
    ) -> None:
        self._context, self._kind, self._dump_path = context, profiler, dump_path
        self._watches: dict[int, _Watch] = {}
        self._shown: set[int] = set()
        self._told_s = monotonic()

    def watch(self, rdd: int, label: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """``function``, profiled if profiling is on. ``label``: the RDD's operation and line."""
        if self._kind is None:
            return function
        if not self._watches:
            atexit.register(self._at_exit, os.getpid())
        if rdd not in self._watches:
            profiler = self._kind(self._context)
            if isinstance(profiler, BasicProfiler):
                profiler.label = label
            self._watches[rdd] = _Watch(label, profiler, self._context.accumulator({}, StacksParam()))
        watch = self._watches[rdd]
        return Watched(function, watch.profiler, watch.stacks)

    def news(self, *, all_of_it: bool) -> Iterator[tuple[int, str, dict[str, int]]]:
        """RDD, label and stacks so far, of the RDDs with new ones; nothing if the last time was a moment ago, unless
        ``all_of_it`` is wanted."""
        if not self._watches or (not all_of_it and monotonic() - self._told_s < _TELL_EVERY_S):
            return
        self._told_s = monotonic()
        for rdd, watch in self._watches.items():
            stacks = dict(watch.stacks.value)
            if stacks != watch.told:
                watch.told = stacks
                yield rdd, watch.label, stacks

    def show(self) -> None:
        """Print profiles not yet printed."""
        self._check_on()
        for rdd, watch in self._watches.items():
            if rdd not in self._shown:
                watch.profiler.show(rdd)
                self._shown.add(rdd)

    def dump(self, path: str) -> None:
        """Write everything, and forget it."""
        self._check_on()
        for rdd, watch in self._watches.items():
            watch.profiler.dump(rdd, path)
        self._watches = {}

    def _at_exit(self, process: int) -> None:
        if os.getpid() != process:  # one that the program has forked
            return
        if self._dump_path is None:
            self.show()
        else:
            self.dump(self._dump_path)

    def _check_on(self) -> None:
        if self._kind is None:
            raise UsageError(
                "profiling is off: use Context(profile=True), or set spark.python.profile to true in the Conf"
            )


class Watched:
    """What a stage does with its records, profiled. Executors find ``whole_task`` and let it run all of a task."""

    def __init__(self, function: Callable[..., Any], profiler: Profiler, stacks: Accumulator) -> None:
        self._function, self._profiler, self._stacks = function, profiler, stacks

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)

    def whole_task(self, compute: Callable[[], Any]) -> Any:
        """Run a task, which is over when ``compute`` returns."""
        result, stacks = self._profiler.profile(_sampled, compute)
        self._stacks.add(stacks)
        return result


def _sampled(compute: Callable[[], Any]) -> tuple[Any, dict[str, int]]:
    with Sampler() as sampler:
        result = compute()
    return result, sampler.stacks
