"""The functions of the job that an executor keeps."""

from __future__ import annotations

import pickle
from collections import UserDict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from mpirdd.protocol import messages
from mpirdd.protocol.errors import UsageError
from mpirdd.protocol.ids import NodeId
from mpirdd.protocol.signals import raised_by_a_handler
from mpirdd.protocol.stage import ClosureId, VariableId


class Closures(UserDict[ClosureId, Callable[..., Any]]):
    """Functions by id, from when they come until a ``Drop``."""

    def keep(self, message: messages.KeepClosures) -> None:
        for closure, pickled in message.pickled:
            self._load(closure, partial(pickle.loads, pickled))

    def keep_broadcast(self, versions: Mapping[VariableId, int], value: Callable[[int], Any]) -> None:
        """Take the functions among a stage's broadcast values, which are here."""
        for closure, version in versions.items():
            if isinstance(closure, ClosureId) and closure not in self:
                self._load(closure, partial(value, version))

    def _load(self, closure: ClosureId, load: Callable[[], Callable[..., Any]]) -> None:
        try:
            self[closure] = load()
        except Exception as error:  # a module that is not installed here, say: a task that needs it will report it
            if raised_by_a_handler(error):
                raise
            self[closure] = _Unloadable(f"{type(error).__name__}: {error}")

    def drop(self, closures: Iterable[ClosureId], nodes: Iterable[NodeId]) -> None:
        """Forget these and those of these nodes; a missing one is no error."""
        for closure in closures:
            self.pop(closure, None)
        for node in nodes:
            self.pop(ClosureId("step", node), None)
            self.pop(ClosureId("write", node), None)


class _Unloadable:
    """Stands for a function that did not load here; a call says so."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def __call__(self, *arguments: Any) -> Any:
        raise UsageError(
            f"a function of the job could not be loaded on this rank: {self._reason}. "
            "Install the module on every host, or keep it in the job's own folder."
        )
