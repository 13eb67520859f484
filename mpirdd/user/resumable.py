"""State of a program that survives its end, so that the next run goes on from the last finished iteration.

    with sc.resumable("state") as state:
        weights = state.get("weights", zeros)
        for i in range(state.iteration, 30):
            weights = step(weights)
            state.save(i + 1, weights=weights)

A run may end at any moment and in any way: what counts is the last ``save`` that was finished. When Slurm announces the
end of the walltime (SIGUSR2), the next ``save`` ends the program once it has saved.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from mpirdd.decisions.lineage import Source
from mpirdd.storage import checkpoint, state
from mpirdd.storage.checkpoint import Part
from mpirdd.user.callsite import label
from mpirdd.user.rdd import RDD
from mpirdd.words.errors import InputError, UsageError

if TYPE_CHECKING:
    from mpirdd.user.context import Context

_LOCK_PATIENCE_S = 10.0
"""The run before may just be ending."""
SAVED_AND_LEFT = 128 + signal.SIGUSR2
"""Exit code of a program that has saved and left because its walltime ends."""


class Resumable:
    """Made by ``Context.resumable``; a context manager."""

    def __init__(self, context: Context, path: str | None, about: Mapping[str, Any], every_s: float) -> None:
        if path == "":
            raise UsageError("the state folder's path is empty; give a folder, or None to keep nothing")
        self.path = os.path.abspath(path) if path is not None else ""
        """Empty if nothing is to be kept."""
        self.iteration = 0
        """The last finished iteration; 0 if there is nothing to go on from."""
        self._context = context
        self._about = json.loads(json.dumps(dict(about), default=str))
        self._every_s, self._saved_at = every_s, time.monotonic()
        self._loaded: state.Generation | None = None
        self._good: list[int] = []
        self._resumed_from: int | None = None
        self._number = 0
        self._leaving = False

    def __enter__(self) -> Resumable:
        if not self.path:
            return self
        try:
            os.makedirs(self.path, mode=0o700, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot make the state folder {self.path}: {error.strerror}") from error
        self._lock = state.FolderLock(self.path, _LOCK_PATIENCE_S)
        try:
            self._load()
        except BaseException:
            self._lock.release()
            raise
        self._context.onTerminate(self._leave_soon)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.path:
            self._context._termination.remove(self._leave_soon)
            self._lock.release()

    def __contains__(self, name: str) -> bool:
        """Whether the state that was found has a value of this name."""
        return self._loaded is not None and name in self._loaded.values

    def get(self, name: str, default: Any = None) -> Any:
        """A saved value as it was when this run began; ``default`` if there is none. RDDs come back partitioned as they
        were."""
        if self._loaded is None or name not in self._loaded.values:
            return default
        parts = self._loaded.values[name]
        if name not in self._loaded.partitioned:
            return _value(parts[0])
        kept = self._loaded.partitioned[name]
        partitioner = _value(kept) if kept is not None else None
        return self._context._new(
            lambda id: Source(id, label("resumable"), len(parts), partitioner, checkpoint.read_part, parts))

    def save(self, iteration: int, /, **values: Any) -> bool:
        """Keep these values as the state after ``iteration``, which is finished. Returns whether it did: not within
        ``every_s`` of the last time.

        All values are saved each time, and those of earlier iterations are forgotten. RDDs are written by their
        executors, as with ``checkpoint``; cache them, or they are computed for this once more.

        Raises:
            ClusterError: the folder cannot be written. What was saved before is still there.
            UsageError: a value cannot be pickled, or its name is no Python name.
            SystemExit: the walltime ends soon; with exit code 140.
        """
        if not self.path or (not self._leaving and time.monotonic() - self._saved_at < self._every_s):
            return False
        if wrong := [name for name in values if not name.isidentifier()]:
            raise UsageError(f"resumable state: {wrong[0]!r} cannot be the name of a value, as it is no Python name")
        unfinished = state.start_generation(self.path)
        saved: dict[str, Sequence[Part]] = {}
        partitioned: dict[str, Part | None] = {}
        for name, value in values.items():
            if isinstance(value, RDD):
                write = partial(checkpoint.write_part, unfinished, name=f"{name}.")
                saved[name] = self._context._run(value._node, write, label(f"saving {name}"))
                known = value._node.partitioner
                partitioned[name] = (
                    None if known is None else checkpoint.write_part(unfinished, 0, [known], name=f"{name}.partitioner."))
            else:
                saved[name] = [checkpoint.write_part(unfinished, 0, [value], name=f"{name}.")]
        self._number += 1
        state.commit_generation(
            self.path, unfinished, self._number, iteration=iteration, about=self._about, values=saved, partitioned=partitioned)
        self._good = [*self._good[-1:], self._number]
        state.prune(self.path, self._good, self._resumed_from)
        self._saved_at = time.monotonic()
        if self._leaving:
            _say(f"iteration {iteration} is saved in {self.path}; leaving, as the walltime ends")
            raise SystemExit(SAVED_AND_LEFT)
        return True

    def _leave_soon(self) -> None:
        self._leaving = True

    def _load(self) -> None:
        numbers = state.generations(self.path)
        self._number = max(numbers, default=0)
        for number in numbers:
            try:
                found = state.open_generation(self.path, number)
                self._check_files(found)
            except InputError as problem:
                _say(f"{state.name_of(number)} in {self.path} is not used: {problem}")
                continue
            self._check_about(found)
            self._loaded, self._good, self.iteration = found, [number], found.iteration
            self._resumed_from = number
            _say(f"resuming after iteration {found.iteration}, saved {found.saved} in {found.folder}")
            break
        if numbers and self._loaded is None:
            raise InputError(
                f"no saved state in {self.path} is whole, see above. To start from the beginning, move that folder away.")

    def _check_files(self, found: state.Generation) -> None:
        parts = found.parts()
        if len(parts) > len(found.values) + 1:  # of an RDD: the executors read it, each its share
            shares = self._context.parallelize(parts, min(len(parts), self._context.defaultParallelism))
            problems = shares.mapPartitions(_damages).collect()
        else:
            problems = state.damages(parts)
        if problems:
            raise InputError(problems[0])

    def _check_about(self, found: state.Generation) -> None:
        if found.about != self._about:
            names = sorted({*found.about, *self._about})
            differences = [f"{name} was {found.about.get(name)!r} and is {self._about.get(name)!r}"
                           for name in names if found.about.get(name) != self._about.get(name)]
            raise UsageError(
                f"the state in {self.path} is of another run: {'; '.join(differences)}. "
                "Choose another folder, or start with what it was."
            )


def _damages(parts: Any) -> list[str]:
    return state.damages(list(parts))


def _value(part: Part) -> Any:
    return next(iter(checkpoint.read_part(part)))


def _say(text: str) -> None:
    print(f"mpirdd: {text}", file=sys.stderr, flush=True)
