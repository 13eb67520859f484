from mpirdd.user.statcounter import StatCounter

__all__ = ["StatCounter"]
