from mpirdd.user.results import ResultIterable

__all__ = ["ResultIterable"]
