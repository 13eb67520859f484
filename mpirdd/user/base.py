"""What every RDD is: a thin handle on a lineage node, and the few primitives all operations are made of.

    _narrow      each partition from known partitions of the parents, no data moves
    _shuffle     records change partitions by key
    _run         a job: an action on some or all partitions

The families of operations (``rdd``, ``pairs``, ``joins``, ``actions``, ...) are mixins over this class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from operator import index
from typing import TYPE_CHECKING, Any, NoReturn

from mpirdd.decisions.hashing import stable_hash
from mpirdd.decisions.lineage import ONE_TO_ONE, Narrow, Node, Shuffled
from mpirdd.decisions.partitioners import FunctionPartitioner, HashPartitioner, Partitioner
from mpirdd.storage import scatter, sortmerge
from mpirdd.storage.combine import Combiner
from mpirdd.storage.scatter import Splitter
from mpirdd.user.callsite import label
from mpirdd.words.errors import InvalidValue, UsageError
from mpirdd.words.stage import Inputs

if TYPE_CHECKING:
    from mpirdd.user.context import Context
    from mpirdd.user.rdd import RDD


class Handle:
    """A dataset that may not exist yet: where it comes from, and the Context it belongs to."""

    def __init__(self, context: Context, node: Node) -> None:
        self._context = context
        self._node = node

    # --- primitives -----------------------------------------------------------------------------------------------

    def _narrow(
        self,
        operation: str,
        step: Callable[..., Iterable[Any]],
        *,
        others: Sequence[Handle] = (),
        inputs: Inputs = ONE_TO_ONE,
        num_partitions: int | None = None,
        partitioner: Partitioner | None = None,
        barrier: bool = False,
    ) -> RDD:
        """Each partition is ``step(partition, *the parents' partitions that inputs names)``."""
        for other in others:
            if other._context is not self._context:
                raise UsageError(f"{operation}: the RDDs belong to different Contexts")
        count = self._node.num_partitions if num_partitions is None else num_partitions
        parents = (self._node, *(other._node for other in others))
        return self._context._new(
            lambda id: Narrow(id, label(operation), count, partitioner, parents, inputs, step, barrier)
        )

    def _shuffle(
        self, operation: str, splitter: Splitter, combiner: Combiner | None, *, partitioner: Partitioner | None
    ) -> RDD:
        """Records move to the partition that ``splitter`` says, combined by key on both sides if there is a combiner.

        ``partitioner`` is what later operations may count on; None when equal keys may lie apart. Whoever calls this says
        where its reduce tasks end, with ``_written``.
        """
        way = sortmerge if self._context._disk_mode.on else scatter
        write = self._context._profiles.watch(self._node.id, partial(way.scatter, splitter, combiner))
        return self._context._new(
            lambda id: Shuffled(
                id, label(operation), splitter.num_partitions, partitioner, self._node,
                write, partial(way.gather, combiner),
            )
        )

    def _written(self) -> RDD:
        """This very RDD, as what the reduce tasks of a wide operation give: its last step, if it has several. In mode
        mapreduce it is written to committed files, and read from there."""
        self._context._disk_mode.write(self._node)
        return self._same()

    def _run(self, operation: str, action: Callable[..., Any], partitions: Sequence[int] | None = None) -> list[Any]:
        """``action(partition, records)`` for each partition, in order."""
        return self._context._run(self._node, action, label(operation), partitions)

    def _partitions(self, given: int | None, default: int | None = None) -> int:
        """The number of partitions of a shuffle: as given, or the ``parallelism`` setting, or ``default``, or
        as it is."""
        if given is None:
            fallback = self._node.num_partitions if default is None else default
            return max(1, self._context.settings.parallelism or fallback)
        return whole_number(given, "numPartitions", least=1)

    def _same(self) -> RDD:
        """This very RDD, as the type that the mixins give back."""
        return self  # type: ignore[return-value]

    # --- what all handles have ------------------------------------------------------------------------------------

    @property
    def context(self) -> Context:
        """The Context that this RDD belongs to."""
        return self._context

    @property
    def ctx(self) -> Context:
        """``context``, under its older name.

        >>> sc.parallelize([1]).ctx is sc
        True
        """
        return self._context

    @property
    def partitioner(self) -> Partitioner | None:
        """How keys are spread over the partitions, where that is known; equal partitioners join without moving."""
        partitioner = self._node.partitioner
        assert partitioner is None or isinstance(partitioner, Partitioner)
        return partitioner

    def id(self) -> int:
        """A number that is unique within the Context."""
        return self._node.id

    def getNumPartitions(self) -> int:
        """The number of partitions.

        >>> sc.parallelize(range(10), 4).getNumPartitions()
        4
        """
        return self._node.num_partitions

    def __repr__(self) -> str:
        return f"<RDD {self._node.id}: {self._node.label}, {self._node.num_partitions} partitions>"

    def __reduce__(self) -> NoReturn:
        raise UsageError(
            f"{self!r} is used inside a function that runs on executors, but RDDs and the Context live on the driver. "
            "Bring small data there first (collect, collectAsMap) and use that, or join the two RDDs."
        )

    def __iter__(self) -> NoReturn:
        raise TypeError("an RDD cannot be iterated; use collect() or take(n)")


def hash_partitioner(num_partitions: int, function: Callable[[Any], int] | None) -> Partitioner:
    """The partitioner for a ``partitionFunc`` argument; None means the engine's own stable hash."""
    if function is None or function is stable_hash:
        return HashPartitioner(num_partitions)
    return FunctionPartitioner(num_partitions, function)


def whole_number(value: Any, name: str, *, least: int) -> int:
    """``value`` as an int, which may come as numpy's; raises InvalidValue for what is none, or too small."""
    try:
        number = index(value)
    except TypeError:
        number = least - 1
    if number < least or isinstance(value, bool):
        raise InvalidValue(f"{name} must be a whole number of {least} or more, not {value!r}")
    return number


def check_function(function: Any, operation: str) -> None:
    if not callable(function):
        raise UsageError(f"{operation} needs a function, not {function!r}")
