"""PySpark raises every error behind the Java gateway as Py4JJavaError: a failed or cancelled job, a
missing input, an output folder that exists. Here these are several kinds of MpirddError, and
``except Py4JJavaError`` catches all of them."""

from mpirdd.protocol.errors import MpirddError

Py4JError = Py4JJavaError = Py4JNetworkError = MpirddError

__all__ = ["Py4JError", "Py4JJavaError", "Py4JNetworkError"]
