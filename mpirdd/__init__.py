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
__all__ = [
    "RDD", "Accumulator", "AccumulatorParam", "BarrierTaskContext", "Broadcast", "Context", "InputError", "JobCancelled",
    "MpirddError", "RecordError", "SparkFiles", "StorageLevel", "TaskContext", "TaskError", "UsageError", "__version__",
]

if TYPE_CHECKING:
    from mpirdd.edge.session import Context
    from mpirdd.user.accumulators import Accumulator, AccumulatorParam
    from mpirdd.user.broadcast import Broadcast
    from mpirdd.user.files import SparkFiles
    from mpirdd.user.rdd import RDD
    from mpirdd.user.storagelevel import StorageLevel
    from mpirdd.user.taskcontext import BarrierTaskContext, TaskContext
    from mpirdd.words.errors import InputError, JobCancelled, MpirddError, RecordError, TaskError, UsageError

_HOMES = {
    "Context": "mpirdd.edge.session",
    "RDD": "mpirdd.user.rdd",
    "Accumulator": "mpirdd.user.accumulators",
    "AccumulatorParam": "mpirdd.user.accumulators",
    "Broadcast": "mpirdd.user.broadcast",
    "SparkFiles": "mpirdd.user.files",
    "StorageLevel": "mpirdd.user.storagelevel",
    "BarrierTaskContext": "mpirdd.user.taskcontext",
    "TaskContext": "mpirdd.user.taskcontext",
    "InputError": "mpirdd.words.errors",
    "JobCancelled": "mpirdd.words.errors",
    "MpirddError": "mpirdd.words.errors",
    "RecordError": "mpirdd.words.errors",
    "TaskError": "mpirdd.words.errors",
    "UsageError": "mpirdd.words.errors",
}


def __getattr__(name: str) -> Any:
    """Import on first use: ``import mpirdd`` runs on every rank, and the command line needs none of this."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mpirdd' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
