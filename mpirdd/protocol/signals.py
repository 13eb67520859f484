"""Exceptions that a signal handler of the program has raised.

Python runs a handler in the main thread, wherever that is, even inside the engine. An exception that the handler raises there
(a timeout by SIGALRM, say) is for the program. Code that translates all other exceptions lets these pass.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import partial
from types import CodeType
from typing import Any


class ToldToEnd(SystemExit):
    """Our own handler raises this when a signal ends the program. By then it is no longer installed."""


def raised_by_a_handler(error: BaseException) -> bool:
    """Has a Python signal handler raised this? Ctrl-C counts, too."""
    if isinstance(error, KeyboardInterrupt | ToldToEnd):
        return True
    codes = set(_handlers())
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code in codes:
            return True
        trace = trace.tb_next
    return False


def die_of_it(number: int) -> None:
    """Let the signal act on this process as if it had no handler: for a child that has inherited its parent's handler."""
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


def _handlers() -> Iterator[CodeType]:
    """The code of all signal handlers that are written in Python."""
    for number in signal.valid_signals():
        handler: Any = signal.getsignal(number)
        if isinstance(handler, signal.Handlers):  # SIG_DFL, say; its type's __call__ is the look-up of every enum
            continue
        while isinstance(handler, partial) or hasattr(handler, "__wrapped__"):
            handler = handler.func if isinstance(handler, partial) else handler.__wrapped__
        function = handler if hasattr(handler, "__code__") or hasattr(handler, "__func__") else type(handler).__call__
        for each in (function, getattr(function, "__func__", None)):
            code = getattr(each, "__code__", None)
            if isinstance(code, CodeType):
                yield code
