"""PySpark's names on mpirdd. The ranks and the hooks are those of the engine's tests: rank 0 runs the tests,
the others serve."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from mpirdd.api import pyspark

pyspark.enable()

_FOLDER = Path(__file__).parents[1] / "engine"
sys.path.append(str(_FOLDER))
_spec = spec_from_file_location("engine_conftest", _FOLDER / "conftest.py")
assert _spec is not None and _spec.loader is not None
_engine = module_from_spec(_spec)
_spec.loader.exec_module(_engine)
globals().update(
    {
        name: value
        for name, value in vars(_engine).items()
        if name.startswith("pytest_") or name in ("WORLD", "sc", "ranks", "executors")
    }
)
