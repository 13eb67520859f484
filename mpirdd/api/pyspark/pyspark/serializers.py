"""Names for the arguments of SparkContext. mpirdd has one way to encode records: pickle, with arrays beside it."""

from __future__ import annotations

import marshal
import pickle
from typing import Any


class Serializer:
    """Accepted and not used."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class CPickleSerializer(Serializer):
    def dumps(self, obj: Any) -> bytes:
        return pickle.dumps(obj, 5)

    def loads(self, obj: bytes) -> Any:
        return pickle.loads(obj)


class MarshalSerializer(Serializer):
    def dumps(self, obj: Any) -> bytes:
        return marshal.dumps(obj)

    def loads(self, obj: bytes) -> Any:
        return marshal.loads(obj)


class NoOpSerializer(Serializer):
    def dumps(self, obj: Any) -> Any:
        return obj

    def loads(self, obj: Any) -> Any:
        return obj


PickleSerializer = CPickleSerializer


class BatchedSerializer(Serializer):
    def __init__(self, serializer: Serializer, batchSize: int = -1) -> None:
        self.serializer, self.batchSize = serializer, batchSize


class AutoBatchedSerializer(BatchedSerializer):
    pass


__all__ = [
    "AutoBatchedSerializer",
    "BatchedSerializer",
    "CPickleSerializer",
    "MarshalSerializer",
    "NoOpSerializer",
    "PickleSerializer",
]
