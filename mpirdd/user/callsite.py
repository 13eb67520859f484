"""Which line of the user's program called: for labels of stages and for messages."""

from __future__ import annotations

import os
import sys

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def label(operation: str) -> str:
    """``operation at file:line`` of the innermost frame outside mpirdd."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename.startswith(_PACKAGE) and frame.f_back is not None:
        frame = frame.f_back
    if frame.f_code.co_filename.startswith("<frozen"):
        return operation  # a program of our own, under `python -m`
    return f"{operation} at {os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"
