from mpirdd.user.files import SparkFiles

__all__ = ["SparkFiles"]
