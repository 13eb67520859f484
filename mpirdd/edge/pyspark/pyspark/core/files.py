try:
    from mpirdd.user.files import SparkFiles
except ImportError:
    SparkFiles = None

__all__ = ["SparkFiles"]
