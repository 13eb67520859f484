"""PySpark's RDD API, on mpirdd. mpirdd's own modules document each name."""

from __future__ import annotations

from mpirdd.api.accumulators import Accumulator, AccumulatorParam
from mpirdd.api.barrier import RDDBarrier
from mpirdd.api.broadcast import Broadcast
from mpirdd.api.files import SparkFiles
from mpirdd.api.profiling import BasicProfiler, Profiler
from mpirdd.api.rdd import RDD
from mpirdd.api.results import ResultIterable
from mpirdd.api.status import SparkExecutorInfo, SparkJobInfo, SparkStageInfo, StatusTracker
from mpirdd.api.storagelevel import StorageLevel
from mpirdd.api.taskcontext import BarrierTaskContext, BarrierTaskInfo, TaskContext
from mpirdd.api.threads import InheritableThread, inheritable_thread_target

from . import _absent, _modules, errors
from .conf import SparkConf
from .context import SparkContext
from .serializers import CPickleSerializer, MarshalSerializer
from .sql import Row
from .version import __version__

_modules.enable(__name__)
_absent.explain_imports_of(__name__)

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
    "errors",
    "inheritable_thread_target",
]
