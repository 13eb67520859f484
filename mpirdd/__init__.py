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
__all__ = ["RDD", "Context", "MpirddError", "TaskError", "UsageError", "__version__"]

if TYPE_CHECKING:
    from mpirdd.edge.session import Context
    from mpirdd.user.rdd import RDD
    from mpirdd.words.errors import MpirddError, TaskError, UsageError

_HOMES = {
    "Context": "mpirdd.edge.session",
    "RDD": "mpirdd.user.rdd",
    "MpirddError": "mpirdd.words.errors",
    "TaskError": "mpirdd.words.errors",
    "UsageError": "mpirdd.words.errors",
}


def __getattr__(name: str) -> Any:
    """Import on first use: ``import mpirdd`` runs on every rank, and the command line needs none of this."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mpirdd' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
