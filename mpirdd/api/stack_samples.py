"""Where tasks spend their time, as collapsed stacks for flame graphs: samples of the task's thread.

A second thread looks at the task's stack 100 times a second, which costs the task some 0.5 %.
``cProfile`` counts each call, but knows callers only one level up; a flame graph needs whole stacks.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from threading import Event, Thread, get_ident
from time import perf_counter
from types import FrameType

from mpirdd.protocol.package import is_engine

_EVERY_S = 0.01
_DEEPEST = 60
"""A report shows this many functions of a stack, the innermost ones."""


class Sampler:
    """Samples the thread that enters the ``with`` block, while it is inside."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = defaultdict(float)
        self._ended = Event()
        self._thread = get_ident()
        self._outside: FrameType | None = None
        self._sampler = Thread(target=self._sample, name="mpirdd profile", daemon=True)

    def __enter__(self) -> Sampler:
        self._outside = sys._getframe(1)
        self._sampler.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        self._sampler.join()
        self._outside = None  # it refers to this object

    @property
    def stacks(self) -> dict[str, int]:
        """Microseconds by stack, outermost function first: ``job.py:12 parse;job.py:30 fields``."""
        return {stack: round(seconds * 1e6) for stack, seconds in self._seconds.items()}

    def _sample(self) -> None:
        last = perf_counter()
        while not self._ended.wait(_EVERY_S):
            frame = sys._current_frames().get(self._thread)
            now = perf_counter()
            if frame is not None:  # a busy task lets this thread in late, so a sample stands for the time since the last one
                self._seconds[collapsed(frame, self._outside)] += now - last
            last = now
        self._seconds.pop("", None)


def collapsed(frame: FrameType | None, outside: FrameType | None = None) -> str:
    """The stack that ends in ``frame``, without ``outside`` and what lies outside of it: the program's own functions, by
    file and first line, and what they call. Of the engine's functions only the innermost is told, where none of the program's
    lies behind it. Empty where the thread has left that stack meanwhile.
    """
    names: list[str] = []
    engine = ""
    while frame is not outside and len(names) < _DEEPEST:
        if frame is None:
            return ""
        code = frame.f_code
        if is_engine(code.co_filename):
            if code.co_filename == __file__:
                return ""  # the task is over
            engine = engine or f"mpirdd {os.path.basename(code.co_filename)[:-3]}.{code.co_name}"
            if names:
                break  # whoever called the program's function
        else:
            names.append(f"{os.path.basename(code.co_filename)}:{code.co_firstlineno} {code.co_name}")
        frame = frame.f_back
    return ";".join(reversed(names)) or engine
