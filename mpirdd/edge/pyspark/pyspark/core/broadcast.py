from mpirdd.user.broadcast import Broadcast

__all__ = ["Broadcast"]
