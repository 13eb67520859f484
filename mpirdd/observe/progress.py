"""The progress of the running stages on a terminal: one bar, drawn by tqdm. Imports tqdm only to draw
one."""

from __future__ import annotations

import sys
from time import monotonic
from typing import Any

from mpirdd.protocol.ids import StageId
from mpirdd.protocol.tracebacks import in_notebook

_FIRST_S, _EVERY_S = 0.5, 0.1
"""A job shorter than the first time shows nothing. The second is the time between drawings."""


class Progress:
    """Silent unless ``on``. Lines that tasks print go through ``write``, so they do not break the
    bar."""

    def __init__(self, on: bool) -> None:
        self._on = on
        self._bar: Any = None
        self._next = 0.0
        self._fresh = True

    def due(self) -> bool:
        """True if the driver should call ``show`` now."""
        if not self._on:
            return False
        now = monotonic()
        if self._fresh:
            self._fresh, self._next = False, now + _FIRST_S
        return now >= self._next

    def show(self, stages: dict[StageId, tuple[str, int, int]]) -> None:
        """Draw; ``stages`` gives label, tasks done and tasks in all of each stage under way."""
        self._next = monotonic() + _EVERY_S
        if not stages:
            return
        stage, (label, done, total) = max(stages.items())
        description = f"stage {stage}: {label}"
        if self._bar is None:
            self._bar = bar_class()(desc=description, total=total, initial=done, unit="task", leave=False, file=sys.stderr,
                             dynamic_ncols=True)
        self._bar.set_description(description, refresh=False)
        self._bar.n, self._bar.total = done, total
        self._bar.refresh()

    def write(self, text: str) -> None:
        """Print whole lines on stderr, above the bar if there is one."""
        if self._bar is not None:
            self._bar.write(text, file=sys.stderr, end="")
        else:
            sys.stderr.write(text)
            sys.stderr.flush()

    def done(self) -> None:
        """The job has ended."""
        self._fresh = True
        self.close()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def bar_class() -> Any:
    """tqdm's bar: a widget in a notebook, where ipywidgets is installed, else text."""
    if in_notebook():
        from importlib.util import find_spec

        if find_spec("ipywidgets") is not None:
            from tqdm.notebook import tqdm_notebook

            return tqdm_notebook
    from tqdm import tqdm

    return tqdm
