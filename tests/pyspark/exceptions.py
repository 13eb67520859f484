"""Which of PySpark's own doctests mpirdd does not pass, and why. An entry that is no longer needed fails the test.

Keys are ``file::docstring``. A value is the reason for the whole docstring, or a reason for each example by a part of its source;
a part that ends in `` ...`` stands for that example and all that follow it.
"""

from __future__ import annotations

_HADOOP = "needs Hadoop's InputFormats and OutputFormats, which are Java classes; NotSupported names what to use instead"
_DATAFRAME = "DataFrames and SQL need Spark"
_REPR = "how an object shows itself, which is Java's"

EXEMPT: dict[str, str | dict[str, str]] = {
}

RENAMED = {
    "Py4JJavaError": "TaskError",
}
"""Names in expected output that are others in mpirdd: `except Py4JJavaError` catches TaskError under --pyspark."""
