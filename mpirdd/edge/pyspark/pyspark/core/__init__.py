"""Where PySpark keeps its RDD layer since version 4."""
