"""Barrier stages: all tasks start together and can wait for each other, as programs that talk among themselves need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Generic, TypeVar

from mpirdd.api.base import Handle, check_function
from mpirdd.ops import operators as steps

AnyHandle = TypeVar("AnyHandle", bound=Handle)


class RDDBarrier(Generic[AnyHandle]):
    """Made by ``RDD.barrier``. Needs an executor for each partition."""

    def __init__(self, rdd: AnyHandle) -> None:
        self.rdd = rdd

    def mapPartitions(
        self, f: Callable[[Iterator[Any]], Iterable[Any]], preservesPartitioning: bool = False
    ) -> AnyHandle:
        """As ``RDD.mapPartitions``, in a stage whose tasks start together; see ``BarrierTaskContext``.

        >>> def talk(records):
        ...     yield len(BarrierTaskContext.get().allGather(str(sum(records))))
        >>> sc.parallelize([1, 2, 3], 1).barrier().mapPartitions(talk).collect()
        [1]
        """
        check_function(f, "barrier")
        return self._step(partial(steps.map_partition, f), preservesPartitioning)

    def mapPartitionsWithIndex(
        self, f: Callable[[int, Iterator[Any]], Iterable[Any]], preservesPartitioning: bool = False
    ) -> AnyHandle:
        """As ``RDD.mapPartitionsWithIndex``, in a stage whose tasks start together."""
        check_function(f, "barrier")
        return self._step(partial(steps.map_partition_with_index, f), preservesPartitioning)

    def _step(self, step: Callable[..., Iterable[Any]], preserves: bool) -> AnyHandle:
        partitioner = self.rdd.partitioner if preserves else None
        return self.rdd._narrow("barrier", step, partitioner=partitioner, barrier=True)
