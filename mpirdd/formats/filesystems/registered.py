"""File systems that the program registers with fsspec (``fsspec.register_implementation``), on their way to executors."""

from __future__ import annotations

import io
import pickle
from functools import lru_cache
from typing import Any

from mpirdd.store.functions import ByValuePickler

_OF_THIS_PROCESS = ("_cache", "_pid", "_instantiation_lock", "_latest")
"""What fsspec keeps in a class: its clients, and who made them. It makes these anew with the class."""


def registered_classes() -> dict[str, bytes]:
    """The classes that fsspec has here and that are not its own, by scheme, pickled: those of libraries by name, those of the
    program by value. One that cannot be pickled is left out. Only where fsspec is imported."""
    from fsspec.registry import registry

    found = {name: _pickled(each) for name, each in list(registry.items())
             if each.__module__.partition(".")[0] != "fsspec"}
    return {name: data for name, data in found.items() if data}


def register(scheme: str, data: bytes) -> None:
    """Make it known here. Raises whatever unpickling it raises."""
    from fsspec.registry import register_implementation, registry

    given = pickle.loads(data)
    if registry.get(scheme) is not given:
        register_implementation(scheme, given, clobber=True)


@lru_cache(maxsize=32)
def _pickled(registered: type) -> bytes:
    with io.BytesIO() as file:
        try:
            _ClassPickler(file, protocol=5).dump(registered)
        except Exception:  # whatever pickling it raises
            return b""
        return file.getvalue()


class _ClassPickler(ByValuePickler):
    def reducer_override(self, obj: Any) -> Any:
        reduced = super().reducer_override(obj)
        if isinstance(obj, type) and isinstance(reduced, tuple) and type(obj).__name__ == "_Cached":
            attributes = reduced[2][0]
            for name in _OF_THIS_PROCESS:
                attributes.pop(name, None)
        return reduced
