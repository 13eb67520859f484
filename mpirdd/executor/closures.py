"""The functions that an executor keeps for jobs."""

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
    """Functions by id, from their arrival to a ``Drop``."""

    def keep(self, message: messages.KeepClosures) -> None:
        for closure, pickled in message.pickled:
            self._load(closure, partial(pickle.loads, pickled))

    def keep_broadcast(self, versions: Mapping[VariableId, int], value: Callable[[int], Any]) -> None:
        """Load the functions among a stage's broadcast values, which have arrived."""
        for closure, version in versions.items():
            if isinstance(closure, ClosureId) and closure not in self:
                self._load(closure, partial(value, version))

    def _load(self, closure: ClosureId, load: Callable[[], Callable[..., Any]]) -> None:
        try:
            self[closure] = load()
        except BaseException as error:  # a module that is not installed here, or exits: a task that needs the function says so
            if raised_by_a_handler(error):
                raise
            self[closure] = _Unloadable(f"{type(error).__name__}: {error}")

    def drop(self, closures: Iterable[ClosureId], nodes: Iterable[NodeId]) -> None:
        """Forget these functions, and those of these nodes; a missing one is no error."""
        for closure in closures:
            self.pop(closure, None)
        for node in nodes:
            self.pop(ClosureId("step", node), None)
            self.pop(ClosureId("write", node), None)


class _Unloadable:
    """Replaces a function that could not be loaded here. A call raises UsageError with the reason."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def __call__(self, *arguments: Any) -> Any:
        raise UsageError(
            f"a function of the job could not be loaded on this rank: {self._reason}. "
            "Install the module on every host, or keep it in the job's own folder."
        )
