"""Hints from a log that may lack parts, or come from another version."""

from __future__ import annotations

from mpirdd.observe.hints import hints
from mpirdd.observe.run_state import RunState
from mpirdd.observe.views import ODD, Event


class StandsOut:
    """Takes events one after the other. Gives hints for whole logs only: with figures missing, hints might be wrong."""

    def __init__(self) -> None:
        self._state: RunState | None = RunState()

    def take(self, event: Event) -> None:
        if self._state is None:
            return
        try:
            self._state.take(dict(event))
        except ODD:  # something that the log tells of has no beginning there
            self._state = None

    def hints(self) -> list[str]:
        return hints(self._state) if self._state is not None else []
