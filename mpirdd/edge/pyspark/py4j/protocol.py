"""A failed job raises Py4JJavaError under PySpark, and TaskError here: ``except Py4JJavaError`` catches it."""

from mpirdd.words.errors import MpirddError as Py4JError
from mpirdd.words.errors import TaskError as Py4JJavaError

__all__ = ["Py4JError", "Py4JJavaError"]
