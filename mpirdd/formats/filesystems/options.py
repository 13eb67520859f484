"""How to reach a file system: what the program says about keys, endpoints and users.

Options travel with splits to the executors, so they are values. They hold secrets, so their ``repr`` shows names only.

With them travels what the program's process alone knows: its number, and the classes that it has registered with fsspec,
pickled by value (as functions are), which executors unpickle when a path needs them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from mpirdd.protocol.errors import InvalidType
from mpirdd.protocol.shown import short_repr


class Options:
    """Frozen; equal ones lead to the same client.

    Attributes:
        given: ``storage_options=``, in the words of the file system's library.
        hadoop: keys of Hadoop (``fs.s3a.access.key``), from ``spark.hadoop.*`` of the Conf; ``given`` has precedence.
        sender: the number of the process that they come from; 0 if they have not travelled.
        registered: the sender's file systems of fsspec, by scheme.
    """

    __slots__ = ("given", "hadoop", "registered", "sender")

    def __init__(
        self, given: Mapping[str, Any] | None = None, hadoop: Mapping[str, str] | None = None, sender: int = 0,
        registered: Mapping[str, bytes] | None = None,
    ) -> None:
        self.given: Mapping[str, Any] = dict(given or {})
        self.hadoop: Mapping[str, str] = dict(hadoop or {})
        self.sender, self.registered = sender, registered or {}

    @classmethod
    def of(cls, given: object, hadoop: Mapping[str, str] | None = None) -> Options:
        """
        Raises:
            InvalidType: ``given`` is no mapping with names as its keys.
        """
        if given is not None and not isinstance(given, Mapping):
            raise InvalidType(f"storage_options must be a dict, such as {{'endpoint': ...}}, not {short_repr(given)}")
        if wrong := [key for key in given or () if not isinstance(key, str)]:
            raise InvalidType(f"a name in storage_options must be a str, not {short_repr(wrong[0])}")
        return cls(given, hadoop) if given or hadoop else NO_OPTIONS

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Options) and (self.given, self.hadoop, self.registered) == (
            other.given, other.hadoop, other.registered)

    def __hash__(self) -> int:
        return hash((tuple(sorted(self.given)), tuple(sorted(self.hadoop.items()))))

    def __reduce__(self) -> tuple[type[Options], tuple[Any, ...]]:
        return Options, (
            self.given, self.hadoop, self.sender or os.getpid(), self.registered or _registered() or None)

    def __bool__(self) -> bool:
        return bool(self.given or self.hadoop)

    def __repr__(self) -> str:
        names = sorted([*self.given, *self.hadoop])
        return f"Options({', '.join(f'{name}=...' for name in names)})"


def _registered() -> Mapping[str, bytes]:
    if "fsspec.registry" not in sys.modules:  # most programs never import it
        return {}
    from mpirdd.formats.filesystems.registered import registered_classes

    return registered_classes()


NO_OPTIONS = Options()
