"""Shows an uncaught error of the user's program, or of a cell: its traceback, without the engine's frames."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from traceback import format_exception
from types import TracebackType
from typing import Any

from mpirdd.protocol.errors import MpirddError
from mpirdd.protocol.tracebacks import causes, debugging, ends_in_engine, ipython, users_part


def install() -> None:
    """From now on, show uncaught errors this way. A hook that somebody else has set stays."""
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = show
    shell = ipython()
    if shell is not None and not shell.custom_exceptions:
        shell.set_custom_exc((KeyboardInterrupt, Exception), _show_in_ipython)


def show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> Any:
    """An exception hook. An error raised in the engine that is no MpirddError is shown whole: it may be a bug."""
    if debugging() or not _is_readable(error, trace):
        return sys.__excepthook__(kind, error, trace)
    part = users_part(trace)
    with _users_alone(error):
        if part is None or not part.tb_frame.f_code.co_filename.startswith("<"):
            return sys.__excepthook__(kind, error, part)
        sys.stderr.write("".join(format_exception(kind, error, part)))  # shows lines that are in no file
    return None


def _show_in_ipython(
    shell: Any, kind: type[BaseException], error: BaseException, trace: TracebackType | None, tb_offset: int | None = None
) -> Any:
    """A handler of IPython for errors of cells: IPython's own look, with the user's frames."""
    if debugging() or not _is_readable(error, trace):
        return shell.showtraceback((kind, error, trace), tb_offset=tb_offset)
    with _users_alone(error):
        lines = shell.InteractiveTB.structured_traceback(kind, error, users_part(trace), tb_offset=0)
    shell._showtraceback(kind, error, lines)
    return lines


def _is_readable(error: BaseException, trace: TracebackType | None) -> bool:
    """Do the user's own frames explain the error?"""
    return isinstance(error, MpirddError | KeyboardInterrupt | SyntaxError) or not ends_in_engine(trace)


@contextmanager
def _users_alone(error: BaseException) -> Iterator[None]:
    """Within the block, the error and its causes lack the engine's frames. An error of mpirdd also lacks its causes, as its
    message already has the remote traceback."""
    before = error.__cause__, error.__context__, error.__suppress_context__
    traces = [(each, each.__traceback__) for each in causes(error)]
    try:
        if isinstance(error, MpirddError):
            error.__cause__ = error.__context__ = None
        for each, trace in traces:
            each.__traceback__ = users_part(trace) or (None if each is error else trace)
        yield
    finally:
        for each, trace in traces:
            each.__traceback__ = trace
        error.__cause__, error.__context__, error.__suppress_context__ = before
