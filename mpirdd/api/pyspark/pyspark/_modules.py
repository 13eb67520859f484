"""The modules of PySpark that only give names to what mpirdd has, as one table; and the finder that makes them.

A module made from it is like any other: ``importlib`` finds it, it has a ``__spec__`` and an ``__all__``, and a debugger shows
in its ``__doc__`` what it is. The classes are mpirdd's own, so what a program pickles names their modules, not these.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

TABLE: dict[str, dict[str, str]] = {
    "accumulators": {"mpirdd.api.accumulators": "Accumulator AccumulatorParam AddingAccumulatorParam"},
    "core.broadcast": {"mpirdd.api.broadcast": "Broadcast"},
    "core.context": {"pyspark.context": "SparkContext"},
    "core.files": {"mpirdd.api.files": "SparkFiles"},
    "core.rdd": {
        "mpirdd.api.barrier": "RDDBarrier",
        "mpirdd.api.numbers": "BoundedFloat",
        "mpirdd.api.rdd": "RDD RDD=PipelinedRDD",  # in PySpark, RDDs that narrow operations make; here all are of one class
        "mpirdd.ops.hashing": "stable_hash=portable_hash",
        "pyspark._evaltype": "PythonEvalType",
    },
    "core.status": {"mpirdd.api.status": "SparkExecutorInfo SparkJobInfo SparkStageInfo StatusTracker"},
    "profiler": {"mpirdd.api.profiling": "BasicProfiler Profiler"},
    "resultiterable": {"mpirdd.api.results": "ResultIterable"},
    "statcounter": {"mpirdd.api.statcounter": "StatCounter"},
    "storagelevel": {"mpirdd.api.storagelevel": "StorageLevel"},
    "taskcontext": {"mpirdd.api.taskcontext": "BarrierTaskContext BarrierTaskInfo TaskContext"},
    "util": {
        "mpirdd.api.threads": "InheritableThread inheritable_thread_target",
        "pyspark._evaltype": "PythonEvalType",
    },
}
"""Module -> where its names come from -> the names; ``theirs=ours`` where PySpark has another name."""
SAME: dict[str, str] = {
    "broadcast": "core.broadcast", "files": "core.files", "rdd": "core.rdd", "status": "core.status",
}
"""Modules that PySpark had elsewhere before version 4, and has there still: the very same modules."""


def enable(package: str) -> None:
    """Give ``package``, which is being imported, these modules."""
    sys.meta_path.append(_Finder(package))
    for name in TABLE:
        import_module(f"{package}.{name}")
    for old, new in SAME.items():
        module = sys.modules[f"{package}.{old}"] = sys.modules[f"{package}.{new}"]
        setattr(sys.modules[package], old, module)


class _Finder(MetaPathFinder, Loader):
    def __init__(self, package: str) -> None:
        self._prefix = package + "."

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        name = fullname.removeprefix(self._prefix)
        if name == fullname or (name != "core" and name not in TABLE):
            return None
        return ModuleSpec(fullname, self, origin=__file__, is_package=name == "core")

    def exec_module(self, module: ModuleType) -> None:
        names = TABLE.get(module.__name__.removeprefix(self._prefix), {})
        module.__doc__ = "Names of mpirdd, as PySpark has them; see pyspark._modules."
        exported = []
        for home, words in names.items():
            for word in words.split():
                theirs, _, ours = word.partition("=")
                setattr(module, ours or theirs, getattr(import_module(home), theirs))
                exported.append(ours or theirs)
        module.__dict__["__all__"] = sorted(exported)
