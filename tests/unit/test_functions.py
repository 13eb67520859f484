"""Functions by value keep their file names and source lines, whatever cloudpickle does."""

from __future__ import annotations

import gc
import linecache
import pickle
import subprocess
import sys
import warnings
import weakref
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest

from mpirdd.store.functions import dumps_by_value

SOURCE = '''"""A program."""

def outer(x):
    def inner(y):
        return 1 / y
    return inner(x)


class Divider:
    def divide(self, x):
        return (lambda y: 1 / y)(x)


def deep(x):
    return outer(x)
'''


def by_value(name: str, file: str) -> Any:
    """The named object of a program with that source, as cloudpickle sees the program's own
    functions."""
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(SOURCE, file, "exec"), space)
    return dumps_by_value(space[name])


LOAD = """
import pickle, sys, traceback
function = pickle.loads(sys.stdin.buffer.read())
try:
    function(0) if isinstance(function, type(lambda: 0)) else function().divide(0)
except ZeroDivisionError:
    traceback.print_exc(file=sys.stdout)
"""


def traceback_elsewhere(pickled: bytes) -> str:
    """The traceback of another process that calls the function with 0."""
    ran = subprocess.run([sys.executable, "-c", LOAD], input=pickled, capture_output=True, check=True)
    return ran.stdout.decode()


@pytest.mark.parametrize(("name", "line", "source"), [
    ("outer", 5, "return 1 / y"), ("deep", 5, "return 1 / y"), ("Divider", 11, "return (lambda y: 1 / y)(x)")])
@pytest.mark.parametrize("readable", [True, False])
def test_a_traceback_on_another_rank_shows_file_line_and_source(
    tmp_path: Path, name: str, line: int, source: str, readable: bool
) -> None:
    file = tmp_path / "program.py"
    file.write_text(SOURCE)
    linecache.checkcache(str(file))
    pickled = by_value(name, str(file))
    if not readable:  # as on a host that does not have the job's folder
        file.unlink()
    shown = traceback_elsewhere(pickled)
    assert f'File "{file}", line {line}, in ' in shown
    assert source in shown


def test_source_that_never_was_in_a_file_travels_along() -> None:
    """A program on standard input, or a notebook's cell."""
    cell = "<cell 3>"
    linecache.cache[cell] = (len(SOURCE), None, SOURCE.splitlines(keepends=True), cell)
    try:
        shown = traceback_elsewhere(by_value("outer", cell))
    finally:
        del linecache.cache[cell]
    assert f'File "{cell}", line 5, in inner\n    return 1 / y' in shown


def test_the_lines_of_several_functions_of_one_file_add_up() -> None:
    cell = "<cell 4>"
    linecache.cache[cell] = (len(SOURCE), None, SOURCE.splitlines(keepends=True), cell)
    pickled = [by_value("deep", cell), by_value("Divider", cell), by_value("outer", cell)]
    del linecache.cache[cell]
    try:
        for one in pickled:
            pickle.loads(one)
        assert linecache.getline(cell, 15) == "    return outer(x)\n"
        assert linecache.getline(cell, 11) == "        return (lambda y: 1 / y)(x)\n"
        assert linecache.getline(cell, 5) == "        return 1 / y\n"
    finally:
        del linecache.cache[cell]


def test_a_file_that_this_rank_can_read_is_not_replaced(tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text(SOURCE)
    pickle.loads(by_value("outer", str(file)))
    assert linecache.getline(str(file), 1) == '"""A program."""\n'


def test_warnings_name_the_program(tmp_path: Path) -> None:
    space: dict[str, Any] = {"__name__": "__main__"}
    file = str(tmp_path / "warns.py")
    exec(compile("import warnings\ndef warn():\n    warnings.warn('odd')\n", file, "exec"), space)
    function = pickle.loads(dumps_by_value(space["warn"]))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function()
    assert (caught[0].filename, caught[0].lineno) == (file, 3)


def test_each_line_travels_once(tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text(SOURCE.replace("return 1 / y", "return 1 / y  # " + "remarkable " * 20))
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(file.read_text(), str(file), "exec"), space)
    assert dumps_by_value(space["deep"]).count(b"remarkable") == 20


def test_every_code_object_keeps_its_file() -> None:
    def of(code: CodeType) -> list[str]:
        return [code.co_filename, *(name for part in code.co_consts if isinstance(part, CodeType) for name in of(part))]

    loaded: FunctionType = pickle.loads(by_value("outer", "program.py"))
    assert of(loaded.__code__) == ["program.py", "program.py"]


def test_pickling_keeps_nothing_alive() -> None:
    """Without a garbage collection: what is pickled may be large, or be dropped everywhere once nobody refers to it."""
    class Big:
        pass

    big = Big()
    alive = weakref.ref(big)
    gc.collect()
    gc.disable()
    try:
        dumps_by_value({"a": big, "f": lambda: None})
        del big
        assert alive() is None
    finally:
        gc.enable()
