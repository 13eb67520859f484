"""Resilient distributed datasets on MPI: Spark's RDDs for people who have ``mpirun`` and Slurm.

>>> from mpirdd import Context
>>> with Context() as sc:                                                     # doctest: +SKIP
...     lines = sc.textFile("speeches/*.txt")
...     counts = lines.flatMap(str.split).map(lambda word: (word, 1)).reduceByKey(lambda a, b: a + b)
...     counts.takeOrdered(20, key=lambda pair: -pair[1])
"""

from __future__ import annotations

import os as _os
from typing import TYPE_CHECKING, Any

if _os.environ.keys() & {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_ID", "MPIRDD_RANK"}:  # a rank, or started by one
    from mpirdd.launch.start import begin as _begin

    _begin()

_HOMES = {
    "mpirdd.launch.session": ("Context",),
    "mpirdd.api.threads": ("InheritableThread", "inheritable_thread_target"),
    "mpirdd.api.accumulators": ("Accumulator", "AccumulatorParam"),
    "mpirdd.api.broadcast": ("Broadcast",),
    "mpirdd.api.conf": ("Conf",),
    "mpirdd.api.files": ("SparkFiles",),
    "mpirdd.api.rdd": ("RDD",),
    "mpirdd.api.storagelevel": ("StorageLevel",),
    "mpirdd.api.taskcontext": ("BarrierTaskContext", "TaskContext"),
    "mpirdd.protocol.errors": (
        "ClusterError", "CommandError", "CorruptSpill", "InputError", "InternalError", "InvalidType", "InvalidValue",
        "JobCancelled", "MpirddError", "NotSupported", "RecordError", "ResultTooLarge", "ScratchError", "ScratchFull",
        "TaskError", "UsageError",
    ),
    "mpirdd.protocol.version": ("__version__",),
}
__all__ = [
    "RDD", "Accumulator", "AccumulatorParam", "BarrierTaskContext", "Broadcast", "ClusterError", "CommandError", "Conf",
    "Context", "CorruptSpill", "InheritableThread",
    "InputError", "InternalError", "InvalidType", "InvalidValue", "JobCancelled", "MpirddError", "NotSupported", "RecordError",
    "ResultTooLarge", "ScratchError", "ScratchFull", "SparkFiles", "StorageLevel", "TaskContext", "TaskError", "UsageError",
    "__version__", "inheritable_thread_target", "mapreduce",
]

if TYPE_CHECKING:
    from mpirdd.api.accumulators import Accumulator, AccumulatorParam
    from mpirdd.api.broadcast import Broadcast
    from mpirdd.api.conf import Conf
    from mpirdd.api.files import SparkFiles
    from mpirdd.api.rdd import RDD
    from mpirdd.api.storagelevel import StorageLevel
    from mpirdd.api.taskcontext import BarrierTaskContext, TaskContext
    from mpirdd.api.threads import InheritableThread, inheritable_thread_target
    from mpirdd.launch import mapreduce
    from mpirdd.launch.session import Context
    from mpirdd.protocol.errors import (
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
    from mpirdd.protocol.version import __version__


def __getattr__(name: str) -> Any:
    """Import on first use: ``import mpirdd`` runs on every rank, and the command line needs none of this."""
    from importlib import import_module

    if name == "mapreduce":
        return import_module("mpirdd.launch.mapreduce")
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(module), name)
    raise AttributeError(f"module 'mpirdd' has no attribute {name!r}")
