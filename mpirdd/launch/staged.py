"""On a rank that runs from a staged environment (``staging.py``): finds modules in the stage first, others elsewhere.

* The program's own modules come from the stage under their original names: ``__file__`` leads to the data beside them.
* Modules that the user's PYTHONPATH puts in front of installed ones stay in front.
* When the stage lacks a module, the rank from then on also looks in the original environment.

Processes that a rank starts get the original Python and PYTHONPATH, as they may need more than the rank does.
"""

from __future__ import annotations

import fcntl
import marshal
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import spec_from_file_location
from types import CodeType, ModuleType
from typing import Any

VARIABLE = "MPIRDD_STAGE"
PREFIX = "mpirdd-stage-"
"""The beginning of the folder's name."""
_PACK = "MPIRDD_STAGE_PACK"
_LOCK = "MPIRDD_STAGE_LOCK"
"""The descriptor that the script in ``staging.py`` leaves open: the folder, locked as long as the rank needs it."""


def begin(folder: str) -> None:
    """Use the stage in ``folder``. Called once, before anything else is imported."""
    with open(os.path.join(folder, "stage"), "rb") as file:
        told: dict[str, Any] = marshal.load(file)
    sys.meta_path.insert(0, _First(folder, told["modules"], told["early"]))
    sys.meta_path.append(_Last(told["sites"], set(told["late"])))
    sys.executable = told["python"]
    if told["python_path"]:
        os.environ["PYTHONPATH"] = told["python_path"]
        sys.path += [os.path.abspath(path) for path in told["python_path"].split(os.pathsep) if path]
    if os.path.exists(os.path.join(folder, "lib", "openmpi")):
        os.environ["OPAL_PREFIX"] = folder  # where Open MPI looks for its parts
    os.environ[_PACK] = told["pack"]
    libraries = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    before = os.pathsep.join([path for path in libraries if path and not path.startswith(folder)])
    if before:
        os.environ["LD_LIBRARY_PATH"] = before
    else:
        os.environ.pop("LD_LIBRARY_PATH", None)


def all_are_up() -> None:
    """On rank 0, when all ranks have started: remove the pack, which nobody needs any more. A killed run then leaves none."""
    pack = os.environ.pop(_PACK, "")
    if pack:
        with suppress(OSError):
            os.unlink(pack)


def leave() -> None:
    """This rank imports nothing more. The last rank on a host removes the stage, and stages that killed runs have left."""
    folder, lock = os.environ.pop(VARIABLE, None), os.environ.pop(_LOCK, "")
    if folder is None:
        return
    from mpirdd.store.scratch import remove_orphans, remove_tree

    with suppress(OSError):
        fcntl.flock(int(lock), fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: other ranks need it
        remove_tree(folder)
        remove_orphans(os.path.dirname(folder), PREFIX, locked_late=True)


class _First:
    """Finds the program's own modules in the stage, and modules of PYTHONPATH there."""

    def __init__(self, folder: str, modules: dict[str, tuple[str, bool]], early: dict[str, str]) -> None:
        self._modules = {name: (os.path.join(folder, "job", f"{number}.py"), path, is_package)
                         for number, (name, (path, is_package)) in enumerate(modules.items())}
        self._early = early

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        found = self._modules.get(name)
        if found is not None:
            staged, original, is_package = found
            return spec_from_file_location(
                name, original, loader=_Loader(name, original, staged),
                submodule_search_locations=[os.path.dirname(original)] if is_package else None)
        return PathFinder.find_spec(name, [self._early[name]], target) if name in self._early else None


class _Loader(SourceFileLoader):
    """Loads a module as if from its original file."""

    def __init__(self, name: str, original: str, staged: str) -> None:
        super().__init__(name, original)
        self._staged = staged

    def get_code(self, fullname: str) -> CodeType:
        with open(self._staged, "rb") as file:
            return compile(file.read(), self.path, "exec", dont_inherit=True)


class _Last:
    """Finds modules that no other finder has found, in the original environment."""

    def __init__(self, sites: list[str], names: set[str]) -> None:
        self._sites, self._names = sites, names

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        above = sys.modules.get(name.rpartition(".")[0])
        whole = getattr(above, "__file__", None)  # a package that is no namespace has all its modules in one place
        if not self._sites or whole or name.partition(".")[0] not in self._names:
            return None
        from site import addsitedir

        sites, self._sites = self._sites, []
        for folder in sites:
            addsitedir(folder)
        for finder in sys.meta_path:
            found = finder.find_spec(name, path, target) if finder is not self else None
            if found is not None:
                return found
        return None
