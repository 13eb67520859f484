"""The names of PySpark's errors that RDD programs catch, as mpirdd's errors: programs catch the
errors of the same places."""

from mpirdd.protocol.errors import (
    InvalidType,
    InvalidValue,
    MpirddError,
    NotSupported,
    TaskError,
    UsageError,
)

PySparkException = MpirddError
PySparkRuntimeError = UsageError
PySparkPicklingError = UsageError
PySparkValueError = InvalidValue
PySparkTypeError = InvalidType
PySparkNotImplementedError = NotSupported
IllegalArgumentException = UsageError
PythonException = TaskError
SparkRuntimeException = TaskError

__all__ = [
    "IllegalArgumentException",
    "PySparkException",
    "PySparkNotImplementedError",
    "PySparkPicklingError",
    "PySparkRuntimeError",
    "PySparkTypeError",
    "PySparkValueError",
    "PythonException",
    "SparkRuntimeException",
]
