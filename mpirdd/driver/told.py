"""Lineage nodes, functions and storage levels as they appear in events."""

from __future__ import annotations

import os
from typing import Any

from mpirdd.driver.channel import Channel
from mpirdd.observe import run_events
from mpirdd.observe.bus import Bus
from mpirdd.protocol.stage import ClosureId, Level
from mpirdd.scheduler.lineage import Node, Shuffled, Source

_LARGE_BYTES = 100_000
"""The log names functions of at least this size."""
_LOOKED_AT = 1000
"""At most this many splits of a source are looked at."""


class Told:
    def __init__(self, bus: Bus, channel: Channel) -> None:
        self._bus, self._channel = bus, channel

    def node(self, node: Node) -> None:
        """Report a node that a job uses for the first time."""
        kind, path, gzip = "narrow", "", False
        if isinstance(node, Source):
            kind = "source"
            path, gzip = _input_of(node)
        elif isinstance(node, Shuffled):
            kind = "shuffled"
        self._bus.emit(run_events.NodeKnown(
            node.id, node.label, kind, tuple([parent.id for parent in node.parents]), node.num_partitions, path, gzip))

    def function(self, closure: ClosureId, label: str, nbytes: int) -> None:
        """Report a function that has been pickled, if it is large."""
        if nbytes >= _LARGE_BYTES:
            self._bus.emit(run_events.ClosurePickled(
                label, closure.kind, closure.of, nbytes, len(self._channel.executors)))


def _input_of(source: Source) -> tuple[str, bool]:
    """The file of the source's splits, or the folder of several files; and is one of the files not cut? That is: compressed, or
    large and of a format that cannot be cut (.npz, WARC)."""
    paths, uncut = set[str](), False
    for split in source.splits[:_LOOKED_AT]:
        for piece in split if isinstance(split, tuple) else (split,):  # a group of small files, or of pieces
            file: Any = getattr(piece, "file", piece)
            if isinstance(path := getattr(file, "path", None), str):
                paths.add(path)
                uncut |= path.endswith(run_events.PACKED) or (getattr(piece, "is_whole", False) and file.size > file.block_bytes)
    if not paths:
        return "", False
    shown = paths.copy().pop() if len(paths) == 1 else os.path.dirname(min(paths)) + os.sep
    return shown, uncut


def shown_level(level: Level) -> str:
    """A storage level in words: ``memory``, ``memory+disk``, ``disk``; ``encoded`` for bytes."""
    places = "+".join(name for name, used in (("memory", level.memory), ("disk", level.disk)) if used)
    return f"{places} encoded" if level.encoded else places
