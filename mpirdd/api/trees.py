"""Reductions over several levels on the executors, for partial results too large or too many for the driver
to merge alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from copy import deepcopy
from functools import partial
from typing import Any, TypeVar

from mpirdd.api.base import check_function, hash_partitioner, merged
from mpirdd.api.pairs import Pairs
from mpirdd.ops import operators as steps
from mpirdd.ops.combine import Combiner
from mpirdd.protocol.errors import InvalidValue

AnyPairs = TypeVar("AnyPairs", bound=Pairs)


class Trees(Pairs):
    def treeReduce(self, f: Callable[[Any, Any], Any], depth: int = 2) -> Any:
        """``reduce``, with partial results merged over ``depth`` levels. An action; shuffles the partial
        results between levels.

        Raises:
            ValueError: there is no record, or ``depth`` is below 1.

        >>> sc.parallelize([-5, -4, -3, -2, -1, 1, 2, 3, 4], 10).treeReduce(lambda x, y: x + y)
        -5
        """
        check_function(f, "treeReduce")
        results = self._merge_over_levels("treeReduce", partial(steps.reduce_records, f), f, depth)
        if not results:
            raise ValueError("Cannot reduce empty RDD.")
        return merged(f, results)

    def treeAggregate(
        self, zeroValue: Any, seqOp: Callable[[Any, Any], Any], combOp: Callable[[Any, Any], Any], depth: int = 2
    ) -> Any:
        """``aggregate``, with partial results merged over ``depth`` levels. An action; shuffles the partial
        results between levels.

        Each partition uses the zero value once, the driver never.

        Raises:
            ValueError: ``depth`` is below 1.

        >>> from operator import add
        >>> sc.parallelize([-5, -4, -3, -2, -1, 1, 2, 3, 4], 10).treeAggregate(0, add, add, depth=3)
        -5
        """
        check_function(seqOp, "treeAggregate")
        check_function(combOp, "treeAggregate")
        fold = partial(_fold, zeroValue, seqOp)
        results = self._merge_over_levels("treeAggregate", fold, combOp, depth)
        return merged(combOp, results) if results else deepcopy(zeroValue)

    def _merge_over_levels(
        self, operation: str, step: Callable[..., Iterable[Any]], merge: Callable[[Any, Any], Any], depth: int
    ) -> list[Any]:
        """The last few partial results, in order. ``step`` makes one from a partition, or none.

        Each level divides their number by the ``depth``-th root of the number of partitions, while
        that saves the driver work.
        """
        if depth < 1:
            raise InvalidValue(f"{operation}: depth must be 1 or more, not {depth}")
        partials = self._narrow(operation, step)
        number = float(self._node.num_partitions)
        scale = max(math.ceil(number ** (1 / depth)), 2)
        combiner = Combiner(None, merge, merge, operation)
        while number > scale + number / scale:
            number /= scale
            partials = _level(partials, operation, int(number), combiner)
        results = partials._run(operation, partial(steps.reduce_records, merge))
        return [result for part in results for result in part]


def _level(partials: AnyPairs, operation: str, count: int, combiner: Combiner) -> AnyPairs:
    """``count`` partial results instead of more: those of partitions i, i + count, i + 2 count, ... become
    one."""
    keyed = partials._narrow(operation, partial(_key_by_place, count))
    partitioner = hash_partitioner(count, None)
    return keyed._shuffle(operation, partitioner, combiner, partitioner=partitioner).values()


# --- on the executors -------------------------------------------------------------------------------------------------


def _fold(zero: Any, function: Callable[[Any, Any], Any], partition: int, records: Iterable[Any]) -> Iterator[Any]:
    yield steps.fold_records(zero, function, partition, records)


def _key_by_place(count: int, partition: int, records: Iterable[Any]) -> Iterator[Any]:
    return ((partition % count, record) for record in records)
