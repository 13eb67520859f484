"""How fast a run goes: tasks and bytes a second over the last seconds."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from mpirdd.observe.run_view import RunView

_WINDOW_S = 10.0


class Rates(NamedTuple):
    """Amounts a second."""

    tasks: float = 0.0
    read_bytes: float = 0.0
    shuffled_bytes: float = 0.0
    spilled_bytes: float = 0.0


class RateMeter:
    def __init__(self) -> None:
        self._seen: deque[tuple[float, tuple[float, ...]]] = deque()

    def rates(self, run: RunView, now: float) -> Rates:
        """The growth since the oldest look within the last 10 seconds; at the first look, since the run began.

        Args:
            now: seconds since the run began.
        """
        stages = run.stages.values()
        sums = (
            float(sum(stage.done for stage in stages)), float(sum(stage.sums["bytes_in"] for stage in stages)),
            float(run.shuffled_bytes), float(sum(stage.sums["spilled"] for stage in stages)))
        while len(self._seen) > 1 and self._seen[1][0] <= now - _WINDOW_S:
            self._seen.popleft()
        since, before = self._seen[0] if self._seen else (0.0, (0.0,) * len(sums))
        if not self._seen or now > self._seen[-1][0]:
            self._seen.append((now, sums))
        passed = now - since
        return Rates(*((new - old) / passed for new, old in zip(sums, before, strict=True))) if passed > 0 else Rates()
