"""PySpark's RDD API, on mpirdd. What each name does is written where mpirdd has it."""

from __future__ import annotations

import sys

from . import _absent
from .accumulators import Accumulator, AccumulatorParam
from .conf import SparkConf
from .core import broadcast, context, files, rdd, status
from .core.broadcast import Broadcast
from .core.context import SparkContext
from .core.files import SparkFiles
from .core.rdd import RDD, RDDBarrier
from .core.status import SparkExecutorInfo, SparkJobInfo, SparkStageInfo, StatusTracker
from .profiler import BasicProfiler, Profiler
from .resultiterable import ResultIterable
from .serializers import CPickleSerializer, MarshalSerializer
from .sql import Row
from .storagelevel import StorageLevel
from .taskcontext import BarrierTaskContext, BarrierTaskInfo, TaskContext
from .util import InheritableThread, inheritable_thread_target
from .version import __version__

_absent.explain_imports_of(__name__)
for _module in (broadcast, context, files, rdd, status):  # also under their older names, as in PySpark
    sys.modules[f"{__name__}.{_module.__name__.rpartition('.')[2]}"] = _module

__all__ = [
    "RDD",
    "Accumulator",
    "AccumulatorParam",
    "BarrierTaskContext",
    "BarrierTaskInfo",
    "BasicProfiler",
    "Broadcast",
    "CPickleSerializer",
    "InheritableThread",
    "MarshalSerializer",
    "Profiler",
    "RDDBarrier",
    "ResultIterable",
    "Row",
    "SparkConf",
    "SparkContext",
    "SparkExecutorInfo",
    "SparkFiles",
    "SparkJobInfo",
    "SparkStageInfo",
    "StatusTracker",
    "StorageLevel",
    "TaskContext",
    "__version__",
    "inheritable_thread_target",
]
