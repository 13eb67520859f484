"""The version of mpirdd, for those below the top package."""

__version__ = "0.1.0"
