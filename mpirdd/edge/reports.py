"""How an uncaught error of mpirdd looks on stderr: the program's own lines and the message, without the
engine's frames."""

from __future__ import annotations

import os
import sys
from traceback import TracebackException
from types import TracebackType
from typing import Any

from mpirdd.words.errors import MpirddError

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def install() -> None:
    """Show uncaught errors of mpirdd this way from now on; a hook that somebody else has set stays."""
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = show


def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> Any:
    """An exception hook. Errors that are not mpirdd's are shown as Python does."""
    if not isinstance(error, MpirddError):
        return sys.__excepthook__(kind, error, trace)
    report = TracebackException(kind, error, trace)
    report.__cause__ = report.__context__ = None  # the message has the remote traceback already
    report.stack[:] = [frame for frame in report.stack if not frame.filename.startswith(_PACKAGE)]
    sys.stderr.write("".join(report.format()))
    return None
