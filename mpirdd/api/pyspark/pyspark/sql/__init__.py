"""As much of Spark SQL as RDD programs use: a session to get the context from, and to read text with."""

from .session import SparkSession
from .types import Row

__all__ = ["Row", "SparkSession"]
