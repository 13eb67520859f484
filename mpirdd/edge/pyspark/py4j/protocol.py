"""Under PySpark, whatever goes wrong behind the Java gateway is a Py4JJavaError: a failed or cancelled job, a missing input, an
output folder that exists. Here these are several kinds of MpirddError, and ``except Py4JJavaError`` catches all of them."""

from mpirdd.words.errors import MpirddError

Py4JError = Py4JJavaError = MpirddError

__all__ = ["Py4JError", "Py4JJavaError"]
