"""An executor's unasked reports to the driver: printed lines, and finished tasks.

Finished tasks are collected for a moment, because a message for each would cost more than a small task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from time import perf_counter
from typing import Any

from mpirdd.executor.context_state import ContextState
from mpirdd.protocol import messages
from mpirdd.protocol.ids import StageId

Tell = Callable[[Any], None]
"""Queues a message for the driver."""


class Reports:
    """Collects reports, and sends them in time."""

    def __init__(
        self, state: ContextState, tell: Tell, take_collecting_s: Callable[[], float] = lambda: 0.0
    ) -> None:
        """``take_collecting_s`` returns the seconds in the garbage collector since its last call."""
        self._state, self._tell, self._take_collecting_s = state, tell, take_collecting_s
        self._done: list[messages.Done] = []
        self._printed: list[str] = []
        self._last_s = 0.0
        self._began_s = self._ended_s = 0.0
        self.stage: StageId | None = None
        """The stage of the finished tasks that wait. Those of another stage are sent first: a report sums up one stage."""

    def print_line(self, line: str) -> None:
        """A task has printed a line."""
        self._printed.append(line)

    def print_lines(self, lines: Iterable[str]) -> None:
        self._printed += lines

    def finished(self, done: messages.Done, began_s: float) -> None:
        """A task has just finished; it began at ``began_s`` on the clock of ``perf_counter``."""
        if not self._done:
            self._began_s = began_s
            self.stage = done.stage
        self._ended_s = began_s + done.seconds
        self._done.append(done)

    @property
    def waiting(self) -> bool:
        """Are there unreported finished tasks?"""
        return bool(self._done)

    def send_if_due(self) -> None:
        """Send, if the last report was ``report_interval_s`` ago or more."""
        if perf_counter() - self._last_s > self._state.settings.report_interval_s:
            self.send()

    def send(self, *, of_exchange: bool = False) -> None:
        """Send the collected reports: printed lines first, so a task's output comes before its result.

        ``of_exchange``: an exchange has ended; its costs must not count for the next tasks.
        """
        self._last_s = perf_counter()
        if self._printed:
            self._tell(messages.Printed(tuple(self._printed)))
            self._printed.clear()
        sizes, gone = self._state.store.take_changes()
        if self._done or sizes or gone or of_exchange:
            if collecting_s := self._take_collecting_s():
                self._state.costs.note("gc_s", collecting_s)
            self.stage = None
            memory, store = self._state.memory, self._state.store
            self._tell(messages.Report(
                tuple(self._done), sizes, memory.used_bytes, memory.take_peak(), gone, store.kept.take_refused(),
                self._state.costs.take(), self._began_s, self._ended_s, perf_counter()))
            self._done.clear()

    def clear(self) -> None:
        """Forget finished tasks."""
        self._done.clear()
        self.stage = None
