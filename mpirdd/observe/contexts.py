"""Several Contexts of one program as one run.

A program may make one Context after the other. Each writes a ``run`` line of its own to the event log and counts jobs, stages,
RDDs and seconds from the start. ``Joiner`` shifts numbers and times of later Contexts to follow those of the earlier ones, so
readers see one run. The later ``run`` lines become ``context`` lines.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Event = dict[str, Any]
_SPACES = {
    "job": "job", "jobs": "job", "stage": "stage", "exchange": "exchange", "node": "node", "nodes": "node", "parents": "node",
    "target": "node", "shuffle": "node", "shuffles": "node", "keeps": "node",
}
"""The fields that hold numbers of jobs, stages, exchanges or RDDs, or lists of them."""
_BLOCKS = {"kept": 0, "not_kept": 0, "recomputed": 0, "evicted": 1}
"""The position of the RDD's number in each of ``blocks``, by the kind of event."""


def goes_on(before: Mapping[str, Any], later: Mapping[str, Any]) -> bool:
    """Do two ``run`` lines come from two Contexts of one process, one right after the other?"""
    number = later.get("context", 1)
    return (isinstance(number, int) and number > 1 and before.get("context", 1) == number - 1
            and (before.get("host"), before.get("pid")) == (later.get("host"), later.get("pid")))


class Joiner:
    """Give it each event of a log, in order."""

    def __init__(self) -> None:
        self._begin({})

    def _begin(self, run: Event) -> None:
        self._first = self._last = run
        self._most = dict.fromkeys(_SPACES.values(), 0)
        self._add = dict(self._most)
        self._later_s = 0.0

    def take(self, event: Event) -> Event:
        """The event as part of the joined run; a ``run`` event begins the run of another program. A malformed event stays as
        it is: the reader will report it."""
        if event["event"] == "run":
            if not self._last or not goes_on(self._last, event):
                self._begin(event)
                return event
            self._last = event
            self._add = dict(self._most)
            self._later_s = max(self._later_s, event.get("unix", 0.0) - self._first.get("unix", 0.0))
            return {**event, "event": "context", "t": self._later_s}
        try:
            return self._seen(event) if self._last is self._first else self._joined(event)
        except (TypeError, ValueError, IndexError):
            return event

    def _seen(self, event: Event) -> Event:
        for name in ("job", "stage", "node", "exchange"):
            number = event.get(name)
            if isinstance(number, int) and number > self._most[name]:
                self._most[name] = number
        return event

    def _joined(self, event: Event) -> Event:
        joined, kind = dict(event), event["event"]
        for name in ("t", "start", "until"):
            if isinstance(event.get(name), int | float):
                joined[name] = round(event[name] + self._later_s, 6)
        for name, space in _SPACES.items():
            if event.get(name) is not None:
                joined[name] = _each(event[name], self._further(space))
        if kind == "stage":
            joined["of"] = self._further("node" if event.get("kind") == "map" else "job")(event["of"])
        if kind in _BLOCKS:
            at, further = _BLOCKS[kind], self._further("node")
            joined["blocks"] = [[*block[:at], further(block[at]), *block[at + 1:]] for block in event["blocks"]]
        if kind == "executor_lost":
            further = self._further("stage")
            joined["running"] = [[further(stage), partition] for stage, partition in event.get("running", ())]
        return self._seen(joined)

    def _further(self, space: str) -> Callable[[int], int]:
        add = self._add[space]
        return lambda number: number + add


def _each(value: Any, change: Callable[[int], int]) -> Any:
    return [change(each) for each in value] if isinstance(value, list) else change(value)
