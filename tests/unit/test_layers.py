"""The layers: imports point down only, and never in a circle, those for type checkers included.

    launch > api > driver > executor > comm > ops > formats > store > scheduler > observe > protocol

The stand-in for PySpark belongs to ``api``. It is written over public names as programs are, so it may also import what the
top package ``mpirdd`` exports, which is the one way up.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import mpirdd

PACKAGE = Path(mpirdd.__file__).parent
LAYERS = [
    "launch", "api", "driver", "executor", "comm", "ops", "formats", "store", "scheduler", "observe", "protocol",
]
MODULES = sorted(path.relative_to(PACKAGE.parent) for path in PACKAGE.rglob("*.py"))
NAMES = {".".join(path.with_suffix("").parts).removesuffix(".__init__") for path in MODULES}
STAND_IN = ("mpirdd", "api", "pyspark")
PUBLIC = {f"mpirdd.{name}" for name in mpirdd.__all__}


class Import(NamedTuple):
    line: int
    name: str
    """The module, with the thing that is imported from it, where it may be a module too."""
    for_types: bool
    """Under ``if TYPE_CHECKING``: never carried out."""
    on_load: bool
    """When the module is loaded, not inside a function."""


def imports(path: Path) -> Iterator[Import]:
    """Every import statement of a module, wherever it stands."""
    pending: list[tuple[ast.AST, bool, bool]] = [(ast.parse((PACKAGE.parent / path).read_text()), False, True)]
    while pending:
        node, for_types, on_load = pending.pop()
        if isinstance(node, ast.Import):
            yield from (Import(node.lineno, alias.name, for_types, on_load) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(path, node)
            yield from (Import(node.lineno, f"{base}.{alias.name}", for_types, on_load) for alias in node.names)
        inside_function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        typing_only = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for child in ast.iter_child_nodes(node):
            in_body = isinstance(node, ast.If) and child in node.body
            pending.append((child, for_types or (typing_only and in_body), on_load and not inside_function))


def _base(path: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    package = path.with_suffix("").parts[: -node.level]
    return ".".join([*package, node.module] if node.module else package)


def layer(name: str) -> int:
    """The place in ``LAYERS`` of a module's name; the top package itself belongs to the launch layer."""
    parts = name.split(".")
    return LAYERS.index(parts[1]) if len(parts) > 1 and parts[1] in LAYERS else 0


def module_of(name: str) -> str:
    return name if name in NAMES else name.rpartition(".")[0]


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_imports_point_down(path: Path) -> None:
    here = layer(".".join(path.with_suffix("").parts))
    wrong = [
        f"{path}:{found.line} imports {found.name}"
        for found in imports(path)
        if found.name.split(".")[0] == "mpirdd" and layer(module_of(found.name)) < here
        and not (path.parts[:3] == STAND_IN and found.name in PUBLIC)
    ]
    assert not wrong, "\n".join(wrong)


def test_every_module_belongs_to_a_layer() -> None:
    assert {path.parts[1] for path in MODULES} <= {*LAYERS, "__init__.py", "__main__.py"}


def test_mpi4py_is_imported_in_one_module_only() -> None:
    users = {str(path): found.name for path in MODULES for found in imports(path) if found.name.split(".")[0] == "mpi4py"}
    assert set(users) == {"mpirdd/comm/mpi_library.py"}


def test_modules_do_not_import_each_other_in_circles() -> None:
    loads = {
        ".".join(path.with_suffix("").parts).removesuffix(".__init__"): {
            module_of(found.name) for found in imports(path)
            if found.on_load and found.name.split(".")[0] == "mpirdd"
        }
        for path in MODULES
    }
    left = set(loads)
    while ready := {name for name in left if not loads[name] & left - {name}}:
        left -= ready
    while idle := {name for name in left if not any(name in loads[other] for other in left - {name})}:
        left -= idle  # it only imports those of a circle
    assert not left, f"these import each other: {sorted(left)}"


def test_importing_mpirdd_imports_nothing_heavy() -> None:
    """Every rank imports mpirdd, often from a shared file system."""
    heavy = ["numpy", "mpi4py", "cloudpickle", "tqdm", "xxhash"]
    command = f"import sys, mpirdd; print([name for name in {heavy} if name in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True).stdout
    assert loaded.strip() == "[]"
