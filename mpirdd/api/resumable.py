"""State of a program that survives its end, so that the next run goes on from the last finished iteration.

    with sc.resumable("state") as state:
        weights = state.get("weights", zeros)
        for i in range(state.iteration, 30):
            weights = step(weights)
            state.save(i + 1, weights=weights)

A run may end at any moment and in any way: the last finished ``save`` counts. When Slurm announces
the end of the walltime (SIGUSR2), the next ``save`` ends the program once it has saved.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Any

from mpirdd.api.callsite import label
from mpirdd.api.engine import Engine
from mpirdd.api.rdd import RDD
from mpirdd.formats import checkpoint, state
from mpirdd.formats.checkpoint import Part
from mpirdd.formats.filesystems import Options, is_remote
from mpirdd.formats.paths import OnePath, full_path
from mpirdd.formats.wholefiles import make_folder
from mpirdd.ops.operators import task_memory
from mpirdd.protocol.errors import InputError, InvalidType, UsageError
from mpirdd.protocol.shown import short_repr
from mpirdd.scheduler.lineage import Source
from mpirdd.store.trust import check_folder

_LOCK_PATIENCE_S = 10.0
"""The run before may just be ending."""
SAVED_AND_LEFT = 128 + signal.SIGUSR2
"""Exit code of a program that saved and left because its walltime ends."""


class Resumable:
    """Made by ``Context.resumable``; a context manager."""

    def __init__(
        self, engine: Engine, path: OnePath | None, about: Mapping[str, Any], every_s: float, options: Options
    ) -> None:
        if path == "":
            raise UsageError("the state folder's path is empty; give a folder, or None to keep nothing")
        if not isinstance(about, Mapping):
            raise InvalidType(f"about must be a dict, such as {{'data': path}}, not {short_repr(about)}")
        whole = full_path(path, options) if path is not None else ""
        self.path = os.path.abspath(whole) if whole and not is_remote(whole) else whole
        """Empty if the program keeps no state."""
        self._options = options
        self._iteration = 0
        self._entered = self._left = False
        self._engine = engine
        import json

        self._about = json.loads(json.dumps(dict(about), default=str))
        self._every_s, self._saved_at = every_s, time.monotonic()
        self._loaded: state.Generation | None = None
        self._good: list[int] = []
        self._resumed_from: int | None = None
        self._number = 0
        self._leaving = False
        self._process = os.getpid()

    @property
    def iteration(self) -> int:
        """The last finished iteration; 0 if there is no state.

        Raises:
            UsageError: the ``with`` block has not begun, so nothing has been looked for.
        """
        self._check_inside()
        return self._iteration

    def _check_inside(self, *, still: bool = False) -> None:
        """The folder is looked at where the block begins; ``still``: and it has not ended."""
        if not self._entered:
            raise UsageError("resumable state is loaded by a with block: write 'with sc.resumable(path) as state:' and use it "
                             "in that block")
        if still and self._left:
            raise UsageError("the with block of this resumable state has ended, and with it the right to write to "
                             f"{self.path or 'it'}: save in the block")

    def __enter__(self) -> Resumable:
        if self._entered:
            raise UsageError("this resumable state had its with block already: call sc.resumable again for another one")
        self._enter()
        self._entered = True
        return self

    def _enter(self) -> None:
        if not self.path:
            return
        try:
            make_folder(self.path, self._options)
        except OSError as error:
            raise UsageError(f"cannot make the state folder {self.path}: {error.strerror}") from error
        if not is_remote(self.path):  # elsewhere, who may write there is for its file system to say
            check_folder(self.path, trusted=self._engine.settings.trust_folders)
        self._lock = state.lock(self.path, _LOCK_PATIENCE_S)
        try:
            if self._lock is not None:  # else what is unfinished may be another run's
                state.remove_unfinished(self.path, self._options)
            self._load()
        except BaseException:  # whatever it is: nobody else could release the lock
            self._release()
            raise
        self._engine.termination.add(self._leave_soon)

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left = True
        if self.path:
            self._engine.termination.remove(self._leave_soon)
            self._release()

    def _release(self) -> None:
        if self._lock is not None:
            self._lock.release()

    def __contains__(self, name: str) -> bool:
        """True if the saved state has a value of this name."""
        self._check_inside()
        return self._loaded is not None and name in self._loaded.values

    def get(self, name: str, default: Any = None) -> Any:
        """A saved value as it was when this run began; ``default`` if there is none. RDDs come back partitioned as they
        were.

        Raises:
            UsageError: the ``with`` block has not begun.
        """
        self._check_inside()
        if self._loaded is None or name not in self._loaded.values:
            return default
        parts = self._loaded.values[name]
        if name not in self._loaded.partitioned:
            return _value(parts[0])
        kept = self._loaded.partitioned[name]
        partitioner = _value(kept) if kept is not None else None
        return RDD(self._engine, self._engine.add(
            lambda id: Source(id, label("resumable"), len(parts), partitioner, checkpoint.read_part, parts)))

    def save(self, iteration: int, /, **values: Any) -> bool:
        """Save these values as the state after the finished ``iteration``. Returns False without
        saving within ``every_s`` of the last save.

        Each save writes all values and forgets those of earlier iterations. Executors write RDDs,
        as with ``checkpoint``; cache them, or executors compute them once more.

        Raises:
            ClusterError: the folder cannot be written. The previous save is still there.
            UsageError: a value cannot be pickled, or its name is no Python name; or this is not in the ``with`` block.
            SystemExit: the walltime ends soon; with exit code 140.
        """
        if os.getpid() != self._process:
            raise UsageError("this process was forked from the program's: only that one saves its state")
        self._check_inside(still=True)
        if not self.path or (not self._leaving and time.monotonic() - self._saved_at < self._every_s):
            return False
        if wrong := [name for name in values if not name.isidentifier()]:
            raise UsageError(f"resumable state: {wrong[0]!r} cannot be the name of a value, as it is no Python name")
        with state.new_generation(self.path, self._number + 1, self._options) as unfinished:
            saved: dict[str, Sequence[Part]] = {}
            partitioned: dict[str, Part | None] = {}
            for name, value in values.items():
                if isinstance(value, RDD):
                    saved[name], partitioned[name] = self._save_rdd(unfinished, name, value)
                else:
                    saved[name] = [
                        checkpoint.write_part(unfinished, 0, [value], options=self._options, name=f"{name}.")]
            state.commit_generation(
                unfinished, self._options, iteration=iteration, about=self._about, values=saved, partitioned=partitioned)
        self._number += 1
        self._good = [*self._good[-1:], self._number]
        state.prune(self.path, self._options, self._good, self._resumed_from)
        self._saved_at = time.monotonic()
        if self._leaving:
            _say(f"iteration {iteration} is saved in {self.path}; leaving, as the walltime ends")
            raise SystemExit(SAVED_AND_LEFT)
        return True

    def _save_rdd(self, unfinished: str, name: str, rdd: RDD) -> tuple[Sequence[Part], Part | None]:
        """The files of the partitions, and that of the partitioner if it has one."""
        write = partial(_write, unfinished, self._options, f"{name}.")
        parts = self._engine.run(rdd._node, write, label(f"saving {name}"))
        known = rdd._node.partitioner
        return parts, None if known is None else checkpoint.write_part(
            unfinished, 0, [known], options=self._options, name=f"{name}.partitioner.")

    def _leave_soon(self) -> None:
        self._leaving = True

    def _load(self) -> None:
        numbers = state.generations(self.path, self._options)
        self._number = max(numbers, default=0)
        for number in numbers:
            try:
                found = state.open_generation(self.path, number, self._options)
                self._check_files(found)
            except InputError as problem:
                _say(f"{state.name_of(number)} in {self.path} is not used: {problem}")
                continue
            self._check_about(found)
            self._loaded, self._good, self._iteration = found, [number], found.iteration
            self._resumed_from = number
            _say(f"resuming after iteration {found.iteration}, saved {found.saved} in {found.folder}")
            break
        if numbers and self._loaded is None:
            raise InputError(
                f"no saved state in {self.path} is whole, see above. To start from the beginning, move that folder away.")

    def _check_files(self, found: state.Generation) -> None:
        parts = found.parts()
        if len(parts) > len(found.values) + 1:  # of an RDD: the executors read it, each its share
            count = min(len(parts), max(1, len(self._engine.driver.executors)))
            shares = [parts[i::count] for i in range(count)]
            source = self._engine.add(lambda id: Source(id, label("resumable"), count, None, state.damages, shares))
            problems = RDD(self._engine, source).collect()
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


def _write(folder: str, options: Options, name: str, partition: int, records: Iterable[Any]) -> Part:
    """On executors: one partition of an RDD."""
    return checkpoint.write_part(folder, partition, records, options=options, name=name, memory=task_memory())


def _value(part: Part) -> Any:
    return next(iter(checkpoint.read_part(part)))


def _say(text: str) -> None:
    print(f"mpirdd: {text}", file=sys.stderr, flush=True)
