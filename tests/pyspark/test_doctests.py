"""PySpark's own doctests, read from its installed source, run on mpirdd under PySpark's names."""

from __future__ import annotations

import ast
import doctest
import io
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import exceptions
import installed
import pytest

from mpirdd.launch import session
from mpirdd.protocol.errors import InvalidType, InvalidValue, MpirddError

SOURCES = {
    "core/rdd.py": "core.rdd",
    "core/context.py": "core.context",
    "core/broadcast.py": "core.broadcast",
    "core/files.py": "core.files",
    "core/status.py": "core.status",
    "accumulators.py": "accumulators",
    "statcounter.py": "statcounter",
    "storagelevel.py": "storagelevel",
    "taskcontext.py": "taskcontext",
    "resultiterable.py": "resultiterable",
    "conf.py": "conf",
    "profiler.py": "profiler",
}
"""PySpark's source files, and the modules of the stand-in whose names their doctests see."""
MEMBERS_OF_OTHER_FILES = {
    "util.py::InheritableThread": "util",
    "util.py::inheritable_thread_target": "util",
    "sql/types.py::Row": "sql.types",
    "sql/types.py::Row.asDict": "sql.types",
}
OPTIONS = doctest.ELLIPSIS


def docstrings() -> Iterator[tuple[str, str, str]]:
    """(file::name, module of the stand-in, docstring) of everything with examples."""
    package = installed.package() if session.transport().rank == 0 else None
    if package is None:
        return
    others = {name.partition("::")[0]: module for name, module in MEMBERS_OF_OTHER_FILES.items()}
    for file, module in {**SOURCES, **others}.items():
        for name, text in _docstrings_in(package / file):
            wanted = file in SOURCES or f"{file}::{name}" in MEMBERS_OF_OTHER_FILES
            if wanted and doctest.DocTestParser().get_examples(text):
                yield f"{file}::{name}", module, text


def _docstrings_in(file: Path) -> Iterator[tuple[str, str]]:
    waiting: list[tuple[str, ast.AST]] = [("", ast.parse(file.read_text()))]
    while waiting:
        prefix, parent = waiting.pop(0)
        for node in ast.iter_child_nodes(parent):
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_test"):
                name = prefix + node.name
                yield name, ast.get_docstring(node) or ""
                waiting.append((name + ".", node))


CASES = list(docstrings())
pytestmark = [
    pytest.mark.skipif(not CASES, reason=installed.why_not() or "other ranks run no tests"),
    pytest.mark.timeout(60),
]


@pytest.mark.parametrize(("name", "module", "text"), CASES, ids=[name for name, _, _ in CASES])
def test_passes_the_doctest_of_pyspark(name: str, module: str, text: str, tmp_path: Path) -> None:
    reasons = exceptions.EXEMPT.get(name, {})
    least_ranks, why = exceptions.LEAST_RANKS.get(name, (1, ""))
    if session.transport().size < least_ranks:
        pytest.skip(why)
    test = doctest.DocTestParser().get_doctest(text, {}, name, None, 0)
    exempt = _exempt_examples(test.examples, {"": reasons} if isinstance(reasons, str) else reasons)
    failed, output = _run(test, module, tmp_path, stop_at_first=not exempt)
    unexpected = failed - set(exempt)
    assert not unexpected, output
    for reason in {exempt[place] for place in exempt}:
        assert any(exempt[place] == reason for place in failed), (
            f"{name} passes: its exemption ({reason}) can go"
        )
    if isinstance(reasons, str) and reasons:
        pytest.skip(reasons)


def test_exemptions_are_of_docstrings_that_exist() -> None:
    assert {*exceptions.EXEMPT, *exceptions.LEAST_RANKS} <= {name for name, _, _ in CASES}


def _exempt_examples(examples: list[doctest.Example], reasons: dict[str, str]) -> dict[int, str]:
    """Which examples need not pass, and why."""
    exempt = {}
    for part, reason in reasons.items():
        if not reason:
            continue
        start = part.removesuffix(" ...")
        places = [place for place, example in enumerate(examples) if start in example.source]
        assert places, f"no example has {start!r} in it"
        everything_after = part != start or not part
        for place in range(places[0], len(examples)) if everything_after else places:
            exempt[place] = reason
    return exempt


def _run(test: doctest.DocTest, module: str, folder: Path, *, stop_at_first: bool) -> tuple[set[int], str]:
    """The places of the examples that failed, and what was printed about them."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    namespace: dict[str, Any] = {**vars(import_module("pyspark")), **vars(import_module(f"pyspark.{module}"))}
    namespace["__name__"] = "__main__"  # where a program would define its functions
    if not any(part in test.docstring for part in ("SparkContext(", "SparkSession.builder")):
        namespace["sc"] = SparkContext("local[4]", "doctests")
        namespace["sc"].setCheckpointDir(str(folder))  # as PySpark does for its doctests
        namespace["spark"] = SparkSession(namespace["sc"])
    test.globs = namespace
    output = io.StringIO()
    runner = _Runner(
        _Checker(), optionflags=OPTIONS | (doctest.FAIL_FAST if stop_at_first else 0), verbose=False
    )
    try:
        runner.run(test, out=output.write, clear_globs=False)
    finally:
        active = session.active_context()
        if active is not None:
            active.stop()
    return runner.failed, output.getvalue()


_ERRORS = [("ValueError", InvalidValue), ("TypeError", InvalidType)]


class _Checker(doctest.OutputChecker):
    """Accepts results that no program can tell apart: another order of a set, a class in another
    module, an error of another family."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        if re.match(r"(py4j\.protocol\.)?Py4JJavaError: ", want):  # ours are caught by `except Py4JJavaError`
            return got.startswith(f"{MpirddError.__module__}.")
        if any(
            want.startswith(f"{theirs}:") and got.startswith(f"{ours.__module__}.{ours.__name__}:")
            for theirs, ours in _ERRORS
        ):
            return True  # worded in our own way
        want = re.sub(r"<pyspark\.core\.(\w+)\.", "<mpirdd....", want)
        return super().check_output(want, got, optionflags) or _literal(want) == _literal(got) != ""


def _literal(text: str) -> Any:
    try:
        return ast.literal_eval(text.strip())
    except (SyntaxError, ValueError):
        return ""


class _Runner(doctest.DocTestRunner):
    """Remembers which examples failed."""

    def __init__(self, checker: doctest.OutputChecker, **options: Any) -> None:
        super().__init__(checker, **options)
        self.failed: set[int] = set()

    def report_failure(self, out: Any, test: doctest.DocTest, example: doctest.Example, got: str) -> None:
        self.failed.add(test.examples.index(example))
        super().report_failure(out, test, example, got)

    def report_unexpected_exception(
        self, out: Any, test: doctest.DocTest, example: doctest.Example, exc_info: Any
    ) -> None:
        self.failed.add(test.examples.index(example))
        super().report_unexpected_exception(out, test, example, exc_info)
