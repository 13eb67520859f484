"""The user's part of a traceback, and the names of notebook cells in it.

A traceback of an RDD program begins in the user's program, goes through the engine, and often ends in a function of the
user. The engine's frames tell the user nothing, so messages leave them out; ``MPIRDD_DEBUG=1`` shows them.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from traceback import format_exception
from types import TracebackType
from typing import Any

from mpirdd.protocol.package import is_engine

DEBUG = "MPIRDD_DEBUG"
"""The environment variable that asks for whole tracebacks."""
_HALF_A_LINE = 300
_LAST_FRAMES = 3
_FRAME = re.compile(r'^(\s*)File "([^"]+)", line (\d+)(.*)$', re.M)


def debugging() -> bool:
    """Does the user want to see the engine's frames?"""
    return os.environ.get(DEBUG, "").lower() not in ("", "0", "no", "false")


def users_part(trace: TracebackType | None) -> TracebackType | None:
    """The traceback without the frames of the engine, of the shell around the program, and of libraries between the engine
    and the user's first line. None if no frame of the user is left."""
    if debugging():
        return trace
    frames = list(_frames(trace))
    last_is_engine = bool(frames) and _is_around(_file(frames[-1]))
    frames = [frame for frame in frames if not _is_around(_file(frame))]
    users = [number for number, frame in enumerate(frames) if not _is_library(_file(frame))]
    if not users:
        return None
    kept: TracebackType | None = None
    for each in reversed(frames[users[0]:users[-1] + 1 if last_is_engine else None]):
        kept = TracebackType(kept, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return kept


def ends_in_engine(trace: TracebackType | None) -> bool:
    """Has the engine itself raised this? Then a report of the bug needs the engine's frames."""
    frames = list(_frames(trace))
    return bool(frames) and is_engine(_file(frames[-1]))


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error, its causes and its contexts, each once."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        each = waiting.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [each.__cause__, each.__context__]


def users_report(error: BaseException) -> str:
    """The tracebacks of the error and its causes, with the user's frames alone. If there are none, each keeps its last frames."""
    traces = [(each, each.__traceback__) for each in causes(error)]
    parts = [users_part(trace) for _, trace in traces]
    try:
        for (each, trace), part in zip(traces, parts, strict=True):
            each.__traceback__ = part if any(parts) else _last(trace)
        return "".join(format_exception(error))
    finally:
        for each, trace in traces:
            each.__traceback__ = trace


def _last(trace: TracebackType | None) -> TracebackType | None:
    frames = list(_frames(trace))[-_LAST_FRAMES:]
    return frames[0] if frames else None


def _frames(trace: TracebackType | None) -> Iterator[TracebackType]:
    while trace is not None:
        yield trace
        trace = trace.tb_next


def _file(frame: TracebackType) -> str:
    return frame.tb_frame.f_code.co_filename


def cut_to_a_screen(text: str, whole: str, *, lines: int = 45) -> str:
    """A long text without its middle, and without the middle of its long lines; a line in the gap says where the ``whole`` is."""
    if debugging():
        return text
    shown = text.splitlines()
    if len(shown) > lines:
        left_out = f"  ... {len(shown) - lines} lines are left out here; {whole} ..."
        shown = [*shown[:lines // 3], left_out, *shown[lines // 3 - lines:]]
    return "\n".join(map(_cut_line, shown))


def _cut_line(line: str) -> str:
    half = _HALF_A_LINE
    more = len(line) - 2 * half
    return line if more <= 0 else f"{line[:half]} ... ({more:,} characters are left out here) ... {line[-half:]}"


# --- cells of notebooks and of the shell ---------------------------------------------------------------------------------


def cell_of(filename: str) -> str | None:
    """``In [9]`` for the code of an IPython cell; None for a file. Only the driver knows the cells."""
    shell = ipython()
    numbers = getattr(getattr(shell, "compile", None), "_filename_map", None)
    number = numbers.get(filename) if isinstance(numbers, dict) else None
    return None if number is None else f"In [{number}]"


def with_cells(text: str) -> str:
    """A traceback's text with the names of cells in place of the file names that IPython makes up for them."""
    def named(found: re.Match[str]) -> str:
        indent, file, line, rest = found.groups()
        cell = cell_of(file)
        return found[0] if cell is None else f"{indent}Cell {cell}, line {line}{rest}"

    return text if ipython() is None else _FRAME.sub(named, text)


def ipython() -> Any:
    """The IPython shell of this process, if the program runs in one; else None. Imports nothing."""
    module = sys.modules.get("IPython")
    return module.get_ipython() if module is not None and hasattr(module, "get_ipython") else None


def in_notebook() -> bool:
    """Is the program a kernel of Jupyter?"""
    return hasattr(ipython(), "kernel")


def _is_around(filename: str) -> bool:
    """Is this the engine, or code that runs the user's cells or program?"""
    return is_engine(filename) or filename.startswith("<frozen ") or any(part in filename for part in _SHELLS)


def _is_library(filename: str) -> bool:
    """Is this Python's own library, or an installed one?"""
    return filename.startswith(_LIBRARY) or f"{os.sep}site-packages{os.sep}" in filename


_LIBRARY = os.path.join(os.path.dirname(os.__file__), "")
_SHELLS = tuple(os.path.join("", *parts) for parts in (
    (os.sep, "IPython", "core", ""), (os.sep, "ipykernel", ""), (os.path.dirname(os.__file__), "code.py")))
