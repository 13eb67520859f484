"""The version of PySpark whose RDD API this is. ``SparkContext.version`` is the same, since
programs compare it."""

__version__: str = "4.3.0"
