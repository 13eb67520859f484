"""Tells a user who runs a PySpark program without ``--pyspark`` about the option."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

_TEXT = b"mpirdd: pyspark does not use the ranks of this run; `mpirdd run --pyspark` runs the program on them, unchanged\n"


class PysparkNotice:
    """A finder of modules that finds none. Tells once, when the program itself or a module of its own imports pyspark."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name in ("pyspark", "findspark") and _of_the_program():
            sys.meta_path.remove(self)
            os.write(2, _TEXT)
        return None


def _of_the_program() -> bool:
    """Is the import one of the program, and not of a library that looks whether there is a pyspark?"""
    frame = sys._getframe(2)
    while frame.f_back is not None and "importlib" in frame.f_code.co_filename:
        if frame.f_code.co_name == "find_spec" and "util" in frame.f_code.co_filename:
            return False
        frame = frame.f_back
    return "-packages" not in frame.f_code.co_filename
