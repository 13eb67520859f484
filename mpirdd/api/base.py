"""The base of every RDD: a thin handle on a lineage node, and the few primitives of all operations.

    _narrow      each partition from known partitions of the parents, no data moves
    _shuffle     records change partitions by key; then a last step on what has come
    _run         a job: an action on some or all partitions

The families of operations (``rdd``, ``pairs``, ``joins``, ``actions``, ...) are mixins over this class.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial, reduce
from operator import index
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

from mpirdd.api.callsite import label
from mpirdd.api.engine import AnyNode, Engine
from mpirdd.ops import shuffle
from mpirdd.ops import sort_merge_shuffle as sortmerge
from mpirdd.ops.combine import Combiner
from mpirdd.ops.current_task import STOPPED
from mpirdd.ops.hashing import stable_hash
from mpirdd.ops.partitioners import FunctionPartitioner, HashPartitioner, Partitioner
from mpirdd.ops.python_hash import SteadyHash
from mpirdd.ops.shuffle import Splitter
from mpirdd.protocol.errors import InvalidType, InvalidValue, UsageError
from mpirdd.protocol.settings import MOST_PARTITIONS
from mpirdd.protocol.stage import Inputs
from mpirdd.scheduler.lineage import ONE_TO_ONE, Narrow, Node, OneToOne, Shuffled

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11 on

Step = Callable[..., Iterable[Any]]


def _as_it_is(node: int, label: str, write: Callable[..., Any]) -> Callable[..., Any]:
    """Records that only move have no keys to count."""
    return write


class Handle:
    """A dataset that may not exist yet: where it comes from, and the engine of the Context it belongs to.

    Operations give handles of the same class, so that a family needs to know only the families that it uses.
    """

    def __init__(self, engine: Engine, node: Node) -> None:
        self._engine = engine
        self._node = node
        engine.disk_mode.watched(self)

    # --- primitives -----------------------------------------------------------------------------------------------

    def _made(self, make: Callable[[int], AnyNode]) -> Self:
        """A handle on the new node that ``make(id)`` gives."""
        return type(self)(self._engine, self._engine.add(make))

    def _narrow(
        self,
        operation: str,
        step: Step,
        *,
        others: Sequence[Handle] = (),
        inputs: Inputs = ONE_TO_ONE,
        num_partitions: int | None = None,
        partitioner: Partitioner | None = None,
        barrier: bool = False,
        ends_wide: bool = False,
    ) -> Self:
        """Each partition is ``step(partition, *the parents' partitions that inputs names)``.

        ``ends_wide``: this is the last step of a wide operation, whose result mode mapreduce writes to files.
        """
        self._check_same_context(operation, others)
        count = self._node.num_partitions if num_partitions is None else num_partitions
        parents = (self._node, *(other._node for other in others))
        if inputs is not ONE_TO_ONE:  # no mere chain
            self._engine.capture(*parents)
        made = self._made(lambda id: Narrow(id, label(operation), count, partitioner, parents, inputs, step, barrier))
        if ends_wide:
            self._engine.disk_mode.write(made._node)
            self._engine.capture(made._node)
        return made

    def _shuffle(
        self,
        operation: str,
        splitter: Splitter,
        combiner: Combiner | None = None,
        *,
        partitioner: Partitioner | None,
        others: Sequence[Self] = (),
        finish: Step | None = None,
    ) -> Self:
        """Records move to the partition that ``splitter`` chooses, combined by key on both sides if
        there is a combiner.

        Args:
            partitioner: what later operations may count on; None when equal keys may lie apart. An RDD that is
                partitioned so already does not move.
            others: RDDs whose records move likewise, to be brought together by ``finish``.
            finish: ``step(partition, records, *records of the others)``, what the reduce tasks do last; None where they
                have done all when the records are there.
        """
        self._check_same_context(operation, others)
        moved = [rdd._moved(operation, splitter, combiner, partitioner) for rdd in (self, *others)]
        if finish is not None:
            inputs = OneToOne(len(moved)) if others else ONE_TO_ONE
            return moved[0]._narrow(
                operation, finish, others=moved[1:], inputs=inputs, num_partitions=splitter.num_partitions,
                partitioner=partitioner, ends_wide=True)
        if moved[0] is not self:
            self._engine.disk_mode.write(moved[0]._node)
        self._engine.capture(moved[0]._node)
        return moved[0]

    def _moved(
        self, operation: str, splitter: Splitter, combiner: Combiner | None, partitioner: Partitioner | None
    ) -> Self:
        if partitioner is not None and partitioner == self.partitioner:
            return self
        write, read = self._writer(splitter, combiner), partial(self._way.read, combiner)
        counting = self._engine.hot_keys.counting if combiner or partitioner else _as_it_is
        named = label(operation)
        return self._made(lambda id: Shuffled(
            id, named, splitter.num_partitions, partitioner, self._node, counting(id, named, write), read))

    def _writer(self, splitter: Splitter, combiner: Combiner | None) -> Callable[..., Any]:
        """What the map tasks of a shuffle of this RDD do with their records."""
        return self._engine.profiles.watch(
            self._node.id, self._node.label, partial(self._way.write, splitter, combiner))

    @property
    def _way(self) -> ModuleType:
        return sortmerge if self._engine.disk_mode.on else shuffle

    def _later(self, provisional: Handle, make: Callable[[], Node]) -> Self:
        """An RDD whose node ``make`` gives, which may run jobs, just before the first job that needs it; until then
        ``provisional`` shows what it will be like."""
        return type(self)(self._engine, self._engine.made_later(provisional._node, make))

    def _check_same_context(self, operation: str, others: Iterable[Handle]) -> None:
        for other in others:
            if other._engine is not self._engine:
                raise UsageError(f"{operation}: the RDDs belong to different Contexts")

    def _run(self, operation: str, action: Callable[..., Any], partitions: Sequence[int] | None = None) -> list[Any]:
        """``action(partition, records)`` for each partition, in order."""
        return self._engine.run(self._node, action, label(operation), partitions)

    def _partitions(self, given: int | None, default: int | None = None) -> int:
        """The number of partitions of a shuffle: as given, or the ``parallelism`` setting, or ``default``, or
        as it is."""
        if given is None:
            return self._engine.settings.parallelism or (self._node.num_partitions if default is None else default)
        return partition_count(given, "numPartitions")

    # --- what all handles have ------------------------------------------------------------------------------------

    @property
    def context(self) -> Any:
        """The Context that this RDD belongs to."""
        return self._engine.context

    @property
    def ctx(self) -> Any:
        """``context``, under its older name.

        >>> sc.parallelize([1]).ctx is sc
        True
        """
        return self._engine.context

    @property
    def partitioner(self) -> Partitioner | None:
        """The map from keys to partitions, or None if unknown; RDDs with equal partitioners join
        without moving."""
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
    return FunctionPartitioner(num_partitions, SteadyHash(function))


def whole_number(value: Any, name: str, *, least: int) -> int:
    """``value`` as an int, which may come as numpy's, or as a float such as 2.0; raises InvalidValue for what is none, or too
    small."""
    try:
        number = int(value) if isinstance(value, float) and value.is_integer() else index(value)
    except TypeError:
        number = least - 1
    if number < least or isinstance(value, bool):
        raise InvalidValue(f"{name} must be a whole number of {least} or more, not {value!r}")
    return number


def partition_count(value: Any, name: str) -> int:
    """``whole_number`` for a number of partitions, which has a limit; raises InvalidValue."""
    number = whole_number(value, name, least=1)
    if number > MOST_PARTITIONS:
        raise InvalidValue(f"{name} must be at most {MOST_PARTITIONS:,}, not {number:,}")
    return number


def merged(function: Callable[[Any, Any], Any], results: Iterable[Any], *start: Any) -> Any:
    """``functools.reduce`` on the driver. A StopIteration of the user's function fails, as it does in a task."""
    try:
        return reduce(function, results, *start)
    except StopIteration as error:
        raise RuntimeError(STOPPED) from error


def check_function(function: Any, operation: str) -> None:
    if not callable(function):
        raise InvalidType(f"{operation} needs a function, not {function!r}")
