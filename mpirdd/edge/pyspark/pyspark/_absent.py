"""The one way in which what mpirdd does not have says so: at import, or when a member is used."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from mpirdd.words.errors import NotSupported, UsageError


class AbsentModule(UsageError, ImportError):
    """Something of PySpark that was imported and that mpirdd does not have."""


class AbsentMember(NotSupported, AttributeError):
    """A member of a class of PySpark that mpirdd does not have."""


def explain_imports_of(package: str) -> None:
    """What is imported from ``package`` and is not there raises AbsentModule."""
    sys.meta_path.append(_LastFinder(package))


class _LastFinder(MetaPathFinder):
    """Asked when nobody else has found a module; Python also asks for a name that a package does not have."""

    def __init__(self, package: str) -> None:
        self._prefix = package + "."

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        name = fullname.rpartition(".")[2]
        if not fullname.startswith(self._prefix) or name.startswith("__"):  # __path__ and the like
            return None
        raise AbsentModule(
            f"mpirdd has no {fullname}: it runs PySpark programs that use RDDs (SparkContext, and SparkSession for "
            f"sparkContext and read.text(path).rdd), not DataFrames, SQL, ML, streaming or pandas. Write this part with RDDs, "
            f"or run the program under Spark."
        )


class HasAbsentMembers:
    """For a class that has the members of PySpark's that RDD programs use: the others say what to use instead."""

    _instead = "use RDDs"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AbsentMember(f"mpirdd has no {type(self).__name__}.{name}: {self._instead}")
