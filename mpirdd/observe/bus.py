"""The bus of a run: the driver emits events, and readers take those that they have asked for.

The driver knows no reader. A reader is a function of one event. It runs inside the driver's loop, so it
must be short and must not raise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mpirdd.observe.run_events import Event

Reader = Callable[[Any], None]


class Bus:
    def __init__(self) -> None:
        self._readers: dict[type[Event], list[Reader]] = {}
        self._of_all: list[Reader] = []
        self._when_idle: list[Callable[[], None]] = []

    @property
    def recorded(self) -> bool:
        """Somebody reads every event. If not, the driver skips the work that only a record needs."""
        return bool(self._of_all)

    def subscribe(self, readers: Mapping[type[Event], Reader]) -> None:
        """Let each reader get the events of its class, in the order in which they are emitted."""
        for kind, reader in readers.items():
            self._readers.setdefault(kind, []).append(reader)

    def subscribe_all(self, reader: Reader) -> None:
        """Let the reader get every event that logs hold, before the other readers do."""
        self._of_all.append(reader)

    def when_idle(self, call: Callable[[], None]) -> None:
        """Have ``call`` called whenever the driver has nothing else to do, again and again. It must be short."""
        self._when_idle.append(call)

    def idle(self) -> None:
        """Called by the driver when it has nothing else to do."""
        for call in self._when_idle:
            call()

    def emit(self, event: Event) -> None:
        if event.KIND:
            for reader in self._of_all:
                reader(event)
        for reader in self._readers.get(type(event), ()):
            reader(event)
