"""The calling line of the user's program: for labels of stages and for messages."""

from __future__ import annotations

import os
import sys

from mpirdd.protocol.package import is_engine
from mpirdd.protocol.tracebacks import cell_of


def label(operation: str) -> str:
    """``operation at file:line`` of the innermost frame outside mpirdd; in a notebook ``operation at In [9]:3``."""
    frame = sys._getframe(1)
    while is_engine(frame.f_code.co_filename) and frame.f_back is not None:
        frame = frame.f_back
    if frame.f_code.co_filename.startswith("<frozen"):
        return operation  # a program of our own, under `python -m`
    file = frame.f_code.co_filename
    return f"{operation} at {cell_of(file) or os.path.basename(file)}:{frame.f_lineno}"
