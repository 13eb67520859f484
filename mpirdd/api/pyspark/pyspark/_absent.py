"""Errors for the parts of PySpark that mpirdd lacks: at import, or at the use of a member."""

from __future__ import annotations

import dis
import sys
from collections.abc import Sequence
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, NoReturn

from mpirdd.protocol.errors import NotSupported, UsageError


class AbsentModule(UsageError, ImportError):
    """A program imported a part of PySpark that mpirdd lacks."""


class AbsentMember(NotSupported, AttributeError):
    """A program used a member of a class of PySpark that mpirdd lacks."""


_WHY = ("it runs PySpark programs that use RDDs (SparkContext, and SparkSession for sparkContext and read.text(path).rdd), not "
        "DataFrames, SQL, ML, streaming or pandas. Write this part with RDDs, or run the program under Spark.")


def explain_imports_of(package: str) -> None:
    """Imports from ``package`` of missing modules, and of missing names in modules that exist, raise
    AbsentModule."""
    sys.meta_path.append(_LastFinder(package))
    for name, module in list(sys.modules.items()):
        if name.startswith(package + ".") and not hasattr(module, "__path__"):
            explain_names_of(module)


def explain_names_of(module: ModuleType) -> None:
    """What is imported from the module and is not there raises AbsentModule. ``import *`` gives those names of ``__all__``
    that are not there as stand-ins, which raise when they are used."""
    module.__dict__["__getattr__"] = partial(_absent_name, module.__name__)


def _absent_name(module: str, name: str) -> Any:
    # Only an import statement is told in this way: whoever asks with getattr or hasattr expects an AttributeError. Pickle
    # asks all modules for a name.
    frame = sys._getframe(1)
    code = frame.f_code.co_code
    doing = dis.opname[code[frame.f_lasti]] if 0 <= frame.f_lasti < len(code) else ""
    if doing == "IMPORT_FROM" and not name.startswith("__"):
        raise AbsentModule(f"mpirdd has no {module}.{name}: {_WHY}")
    if doing in _STAR and name in getattr(sys.modules[module], "__all__", ()):
        return _Absent(f"{module}.{name}")
    raise AbsentMember(f"mpirdd has no {module}.{name}: {_WHY}")


_STAR = ("IMPORT_STAR", "CALL_INTRINSIC_1")  # the latter from Python 3.12 on


class _Absent:
    """Stands for a name that ``import *`` asks for."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise AbsentMember(f"mpirdd has no {self._name}: {_WHY}")

    def __getattr__(self, name: str) -> NoReturn:
        raise AbsentMember(f"mpirdd has no {self._name}: {_WHY}")


class _LastFinder(MetaPathFinder):
    """Python asks this finder last for a module, and for a name that a package lacks."""

    def __init__(self, package: str) -> None:
        self._prefix = package + "."

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        name = fullname.rpartition(".")[2]
        if not fullname.startswith(self._prefix) or name.startswith("__"):  # __path__ and the like
            return None
        raise AbsentModule(f"mpirdd has no {fullname}: {_WHY}")


class HasAbsentMembers:
    """Base of a class with the members of PySpark's that RDD programs use: the others name the
    alternative."""

    _instead = "use RDDs"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AbsentMember(f"mpirdd has no {type(self).__name__}.{name}: {self._instead}")
