"""The stand-in's classes have all members of PySpark's: the same names and arguments, in the same
order, with as many defaults."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import installed
import pytest

CLASSES = {
    "core/rdd.py": ("RDD", "RDDBarrier"),
    "core/context.py": ("SparkContext",),
    "core/broadcast.py": ("Broadcast",),
    "core/files.py": ("SparkFiles",),
    "core/status.py": ("StatusTracker", "SparkJobInfo", "SparkStageInfo", "SparkExecutorInfo"),
    "accumulators.py": ("Accumulator", "AccumulatorParam"),
    "conf.py": ("SparkConf",),
    "resultiterable.py": ("ResultIterable",),
    "statcounter.py": ("StatCounter",),
    "storagelevel.py": ("StorageLevel",),
    "taskcontext.py": ("TaskContext", "BarrierTaskContext", "BarrierTaskInfo"),
}
INTERNAL = {"SparkContext.serializer", "SparkContext.profiler_collector"}
"""Attributes that PySpark does not document."""
DIRECTLY: dict[str, str] = {"SparkContext": "__init__"}
"""Constructors that programs call."""


def members() -> Iterator[tuple[str, str, str, ast.stmt]]:
    """(module, class, member, definition) of PySpark's public members."""
    package = installed.package()
    for file, names in CLASSES.items() if package is not None else ():
        for kind in ast.parse((package / file).read_text()).body:
            if not isinstance(kind, ast.ClassDef) or kind.name not in names:
                continue
            for node in kind.body:
                name = _name_of(node)
                public = name and not name.startswith("_") and f"{kind.name}.{name}" not in INTERNAL
                if (public or name == DIRECTLY.get(kind.name)) and not _is_overload(node):
                    yield file.removesuffix(".py").replace("/", "."), kind.name, name, node


def _name_of(node: ast.stmt) -> str:
    if isinstance(node, ast.FunctionDef):
        return node.name
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return node.target.id
    return ""


def _is_overload(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and "overload" in map(ast.unparse, node.decorator_list)


MEMBERS = list(members())


@pytest.mark.skipif(not MEMBERS, reason=installed.why_not())
@pytest.mark.parametrize(
    ("module", "kind", "name", "node"), MEMBERS, ids=[f"{kind}.{name}" for _, kind, name, _ in MEMBERS]
)
def test_is_there_with_the_same_arguments(module: str, kind: str, name: str, node: ast.stmt) -> None:
    ours = inspect.getattr_static(getattr(import_module(f"pyspark.{module}"), kind), name)
    decorators = list(map(ast.unparse, node.decorator_list)) if isinstance(node, ast.FunctionDef) else []
    if not isinstance(node, ast.FunctionDef) or "property" in decorators or f"{name}.setter" in decorators:
        assert not inspect.isfunction(ours)
        return
    signature = inspect.signature(getattr(ours, "__func__", ours))
    if str(signature.return_annotation) == "NoReturn":
        return  # raises NotSupported, whatever it is given
    assert _arguments_of(signature) == _arguments(node)


def _arguments(node: ast.FunctionDef) -> tuple[list[str], int]:
    """The names after self or cls, and how many have defaults."""
    names = [argument.arg for argument in node.args.args]
    names += [f"*{node.args.vararg.arg}"] if node.args.vararg else []
    return names[0 if "staticmethod" in map(ast.unparse, node.decorator_list) else 1 :], len(
        node.args.defaults
    )


def _arguments_of(signature: inspect.Signature) -> tuple[list[str], int]:
    """The arguments without our own keyword-only ones."""
    parameters: list[Any] = [each for each in signature.parameters.values() if each.kind != each.KEYWORD_ONLY]
    names = [("*" if each.kind == each.VAR_POSITIONAL else "") + each.name for each in parameters]
    return names[1:], sum(each.default is not each.empty for each in parameters)
