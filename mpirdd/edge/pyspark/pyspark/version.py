"""The version of PySpark whose RDD API this is. ``SparkContext.version`` says the same, as programs compare it."""

__version__: str = "4.3.0"
