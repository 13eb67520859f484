"""Resilient distributed datasets on MPI: Spark's RDDs for people who have ``mpirun`` and Slurm.

>>> from mpirdd import Context
>>> with Context() as sc:                                                     # doctest: +SKIP
...     lines = sc.textFile("speeches/*.txt")
...     counts = lines.flatMap(str.split).map(lambda word: (word, 1)).reduceByKey(lambda a, b: a + b)
...     counts.takeOrdered(20, key=lambda pair: -pair[1])
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
_HOMES = {
    "mpirdd.edge.session": ("Context",),
    "mpirdd.edge.threads": ("InheritableThread", "inheritable_thread_target"),
    "mpirdd.user.accumulators": ("Accumulator", "AccumulatorParam"),
    "mpirdd.user.broadcast": ("Broadcast",),
    "mpirdd.user.files": ("SparkFiles",),
    "mpirdd.user.rdd": ("RDD",),
    "mpirdd.user.storagelevel": ("StorageLevel",),
    "mpirdd.user.taskcontext": ("BarrierTaskContext", "TaskContext"),
    "mpirdd.words.errors": (
        "ClusterError", "CommandError", "CorruptSpill", "InputError", "InternalError", "InvalidType", "InvalidValue",
        "JobCancelled", "MpirddError", "NotSupported", "RecordError", "ResultTooLarge", "ScratchError", "ScratchFull",
        "TaskError", "UsageError",
    ),
}
__all__ = [
    "RDD", "Accumulator", "AccumulatorParam", "BarrierTaskContext", "Broadcast", "ClusterError", "CommandError", "Context",
    "CorruptSpill", "InheritableThread",
    "InputError", "InternalError", "InvalidType", "InvalidValue", "JobCancelled", "MpirddError", "NotSupported", "RecordError",
    "ResultTooLarge", "ScratchError", "ScratchFull", "SparkFiles", "StorageLevel", "TaskContext", "TaskError", "UsageError",
    "__version__", "inheritable_thread_target", "mapreduce",
]

if TYPE_CHECKING:
    from mpirdd.edge import mapreduce
    from mpirdd.edge.session import Context
    from mpirdd.edge.threads import InheritableThread, inheritable_thread_target
    from mpirdd.user.accumulators import Accumulator, AccumulatorParam
    from mpirdd.user.broadcast import Broadcast
    from mpirdd.user.files import SparkFiles
    from mpirdd.user.rdd import RDD
    from mpirdd.user.storagelevel import StorageLevel
    from mpirdd.user.taskcontext import BarrierTaskContext, TaskContext
    from mpirdd.words.errors import (
        ClusterError,
        CommandError,
        CorruptSpill,
        InputError,
        InternalError,
        InvalidType,
        InvalidValue,
        JobCancelled,
        MpirddError,
        NotSupported,
        RecordError,
        ResultTooLarge,
        ScratchError,
        ScratchFull,
        TaskError,
        UsageError,
    )


def __getattr__(name: str) -> Any:
    """Import on first use: ``import mpirdd`` runs on every rank, and the command line needs none of this."""
    from importlib import import_module

    if name == "mapreduce":
        return import_module("mpirdd.edge.mapreduce")
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'mpirdd' has no attribute {name!r}")
