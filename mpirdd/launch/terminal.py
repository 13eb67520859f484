"""The terminal of a run: tells ranks about it, and restores it afterwards, whatever the run has done to it."""

from __future__ import annotations

import os
import shutil
import termios
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress


def terminal_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """The settings for a terminal: a progress bar, and the terminal's width, as the driver may not see the terminal."""
    settings = {} if "MPIRDD_PROGRESS" in environment else {"MPIRDD_PROGRESS": str(int(os.isatty(2)))}
    if os.isatty(2):
        settings["COLUMNS"] = str(shutil.get_terminal_size().columns)
    return settings


@contextmanager
def terminal_restored() -> Iterator[None]:
    """Give the terminal its modes back at the end. A shell that is killed at its prompt leaves it without echo."""
    before = None
    with suppress(termios.error, OSError, ValueError):
        if os.isatty(0) and os.tcgetpgrp(0) == os.getpgrp():  # a job in the background must not touch it
            before = termios.tcgetattr(0)
    try:
        yield
    finally:
        if before is not None:
            with suppress(termios.error, OSError):
                if os.tcgetpgrp(0) == os.getpgrp():
                    termios.tcsetattr(0, termios.TCSADRAIN, before)
