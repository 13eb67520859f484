from mpirdd.user.statistics import StatCounter

__all__ = ["StatCounter"]
