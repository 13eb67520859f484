"""Skewed keys: keys with a large share of all values, each with files of its own while its values are grouped.

Spreading never separates the values of one key. So a key with an eighth or more of the values held is *skewed*: its values are
appended to files of their own, and its group becomes a ``SpilledList``. Once a key is skewed at one depth of spreading, it stays
so at that depth, and its earlier values are those spread before. This keeps the order of its values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mpirdd.ops.group_inputs import Groups
from mpirdd.ops.spread import DEEPEST
from mpirdd.store.measure import size_of
from mpirdd.store.pieces import per_piece, slices
from mpirdd.store.spilled_list import SpilledList
from mpirdd.store.task_memory import TaskMemory

Values = list[Any] | SpilledList

_SKEWED_PART = 8
"""A key is skewed if it has at least one in this many of the values held."""


class SkewedKeys:
    """The skewed keys of one grouping of ``sides`` sides."""

    def __init__(self, sides: int, memory: TaskMemory) -> None:
        self._sides, self._memory = sides, memory
        self._written: dict[Any, dict[int, tuple[SpilledList, ...]]] = {}
        """key -> depth at which it became skewed -> files of its values, one for each side."""
        self._file: Any = None

    def __bool__(self) -> bool:
        return bool(self._written)

    def at(self, depth: int) -> bool:
        """Is any key skewed at this depth?"""
        return any(depth in by_depth for by_depth in self._written.values())

    def take_out(self, groups: Groups, counts: list[int], size: int, depth: int) -> int:
        """Remove skewed keys from the groups and write their values to their files. Return the bytes of the remaining groups.

        Args:
            counts: the number of values of each group.
            size: bytes of all groups.
        """
        total, by_key = sum(counts), dict(zip(groups, counts, strict=True))
        for key in self._chosen(by_key, total, depth):
            self._append(key, self._lists(groups.pop(key)), depth)
            size -= size * by_key[key] // max(1, total)
        return size

    def completed(self, groups: Groups) -> Iterator[tuple[Any, Any]]:
        """The groups of the deepest files, each with its values that were written here."""
        for key, entry in groups.items():
            by_depth = self._written.pop(key, None)
            yield key, (entry if by_depth is None else self._joined(self._lists(entry), by_depth))

    def only_written(self) -> Iterator[tuple[Any, Any]]:
        """The groups of which all values were written here."""
        for key, by_depth in self._written.items():
            yield key, self._joined([[] for _ in range(self._sides)], by_depth)

    def _chosen(self, by_key: dict[Any, int], total: int, depth: int) -> list[Any]:
        if depth == DEEPEST:
            return list(by_key)
        least = 1 if len(by_key) == 1 else max(2, -(-total // _SKEWED_PART))
        chosen = [key for key, count in by_key.items() if count >= least]
        chosen += [key for key, by_depth in self._written.items()
                   if depth in by_depth and 0 < by_key.get(key, 0) < least]
        return chosen

    def _append(self, key: Any, lists: Sequence[list[Any]], depth: int) -> None:
        by_depth = self._written.setdefault(key, {})
        if depth not in by_depth:
            by_depth[depth] = tuple(self._new_list() for _ in lists)
        for file, values in zip(by_depth[depth], lists, strict=True):
            self._write(file, values)

    def _joined(self, lists: Sequence[list[Any]], by_depth: dict[int, tuple[SpilledList, ...]]) -> Any:
        """All values of a key in order: the values in memory, which were spread, came first; values written at depth 0 last."""
        joined: list[Values] = []
        for side, values in enumerate(lists):
            written = [by_depth[depth][side] for depth in sorted(by_depth, reverse=True)]
            if not any(map(len, written)):
                joined.append(values)
                continue
            whole = self._new_list()
            self._write(whole, values)
            for part in written:
                whole.append(part)
            joined.append(whole)
        return joined[0] if self._sides == 1 else tuple(joined)

    def _lists(self, entry: Any) -> Sequence[list[Any]]:
        return (entry,) if self._sides == 1 else entry

    def _write(self, file: SpilledList, values: list[Any]) -> None:
        file.write_all(slices(values, per_piece(len(values), size_of(values), self._memory)))

    def _new_list(self) -> SpilledList:
        # Not the files for spreading: a user may keep a group (cache it) beyond the task.
        self._file = self._file or self._memory.spill_file(outlives_task=True)
        return SpilledList(self._file)
