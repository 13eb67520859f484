"""Which of PySpark's own doctests mpirdd does not pass, and why. A superfluous entry fails the
test.

Keys are ``file::docstring``. A value is the reason for the whole docstring, or a reason for each example by a
part of its source; a part that ends in " ..." stands for that example and all that follow it.
"""

from __future__ import annotations

_HADOOP = "needs Hadoop's InputFormats and OutputFormats, which are Java classes; NotSupported names what to use instead"
_JAVA = "asks Java"
_SLEEP = "sleeps 100 s in a task of a world of one, where tasks run in the driver's process and so cannot be cut short"

EXEMPT: dict[str, str | dict[str, str]] = {
    "conf.py::SparkConf": {"conf._jconf ...": _JAVA},
    "core/context.py::SparkContext.applicationId": "its form depends on the scheduler, as PySpark says: here mpirdd-...",
    "core/context.py::SparkContext.emptyRDD": {
        "sc.emptyRDD()\n": "how an RDD shows itself; here, <RDD 1: emptyRDD at ...>"
    },
    "core/context.py::SparkContext.getSystemProperty": _JAVA,
    "core/context.py::SparkContext.hadoopFile": _HADOOP,
    "core/context.py::SparkContext.hadoopRDD": _HADOOP,
    "core/context.py::SparkContext.newAPIHadoopFile": _HADOOP,
    "core/context.py::SparkContext.newAPIHadoopRDD": _HADOOP,
    "core/context.py::SparkContext.sequenceFile": _HADOOP + "; the example writes with one",
    "core/context.py::SparkContext.uiWebUrl": "there is no web page: None",
    "core/rdd.py::RDD.saveAsHadoopDataset": _HADOOP,
    "core/rdd.py::RDD.saveAsHadoopFile": _HADOOP,
    "core/rdd.py::RDD.saveAsNewAPIHadoopDataset": _HADOOP,
    "core/rdd.py::RDD.saveAsNewAPIHadoopFile": _HADOOP,
    "core/rdd.py::RDD.toDebugString": "names Spark's classes in Scala; here it names operations and lines of the program",
    "profiler.py::Profiler": {"sc.show_profiles()": "ids of RDDs are counted in another way"},
    "statcounter.py::StatCounter.asDict": "written for Python 2, with 4L; PySpark does not run it",
    "taskcontext.py::TaskContext": {"pyspark.sql.functions import udf ...": "DataFrames and SQL need Spark"},
}

LEAST_RANKS: dict[str, tuple[int, str]] = {
    "core/context.py::SparkContext.addJobTag": (2, _SLEEP),
    "core/context.py::SparkContext.setJobGroup": (2, _SLEEP),
    "core/rdd.py::RDD.intersection": (
        3,
        "prints values in the order of their partitions, of which there must be four",
    ),
    "core/rdd.py::RDDBarrier.mapPartitions": (3, "a barrier stage of 2 tasks needs 2 executors"),
    "core/rdd.py::RDDBarrier.mapPartitionsWithIndex": (5, "a barrier stage of 4 tasks needs 4 executors"),
}
"""Docstrings that pass only on so many ranks."""

DIFFERS: dict[str, str] = {
    "parallelize_cuts_evenly": "PySpark cuts lists in batches of min(n // k, 1024) records, as it sends them to Java: "
    "10 records in 4 partitions become 2, 2, 2 and 4; here 2, 3, 2 and 3",
}
"""Small programs (``programs.py``) that do not give what PySpark gives, and why."""
