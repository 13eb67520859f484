from mpirdd.user.storagelevel import StorageLevel

__all__ = ["StorageLevel"]
