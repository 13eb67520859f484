"""The Context: the program's way into the engine. Makes RDDs and runs jobs for them.

The public class is ``mpirdd.Context``, which adds how ranks are found; this one is given a driver.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from threading import Lock
from types import TracebackType
from typing import Any, NoReturn, TypeVar
from weakref import WeakKeyDictionary, WeakValueDictionary, finalize

from mpirdd.decisions.lineage import Concatenated, Narrow, Node, OneToOne, Shuffled, Source, walk
from mpirdd.decisions.plan import shuffles_of
from mpirdd.roles.driver import Driver
from mpirdd.user import steps
from mpirdd.user.accumulators import Accumulator, AccumulatorParam, param_for
from mpirdd.user.application import Application
from mpirdd.user.base import whole_number
from mpirdd.user.broadcast import Broadcast
from mpirdd.user.callsite import label
from mpirdd.user.checkpoints import Checkpoints
from mpirdd.user.conf import Conf
from mpirdd.user.diskmode import DiskMode
from mpirdd.user.files import Files
from mpirdd.user.jobs import Jobs
from mpirdd.user.profiling import BasicProfiler, Profiler, Profiles
from mpirdd.user.rdd import RDD
from mpirdd.user.resumable import Resumable
from mpirdd.user.sources import Sources
from mpirdd.user.status import StatusTracker
from mpirdd.user.storageinfo import StorageInfo, storage_infos
from mpirdd.user.storagelevel import StorageLevel
from mpirdd.user.termination import Termination
from mpirdd.words.errors import TaskError, UsageError
from mpirdd.words.settings import Settings

_log = logging.getLogger("mpirdd")
_Self = TypeVar("_Self", bound="Context")
"""The class of the context itself (``typing.Self`` needs Python 3.11)."""


class Context(Jobs, Application, Sources, Files):
    """Where RDDs come from. One at a time in a program; a ``with`` block stops it."""

    def __init__(
        self, driver: Driver, conf: Conf | None = None, profiler: type[Profiler] = BasicProfiler
    ) -> None:
        Jobs.__init__(self)
        self._driver = driver
        Application.__init__(self, conf)
        Files.__init__(self)
        self._profiles = Profiles(
            self, profiler if self.settings.profile else None, self._conf.get("spark.python.profile.dump"))
        self._accumulators: WeakValueDictionary[int, Accumulator] = WeakValueDictionary()
        driver.on_updates(self._accumulate)
        self._ids = itertools.count(1)
        self._stopped = False
        self._names: WeakKeyDictionary[Node, str] = WeakKeyDictionary()
        self._levels: WeakKeyDictionary[Node, StorageLevel] = WeakKeyDictionary()
        self._checkpoints = Checkpoints(self)
        self._disk_mode = DiskMode(driver)
        self._preparations: WeakKeyDictionary[Node, _Once] = WeakKeyDictionary()
        self._termination = Termination()
        driver.on_turn(self._termination.check)

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __reduce__(self) -> NoReturn:
        raise UsageError(
            "the Context is used inside a function that runs on executors, but it lives on the driver. "
            "Make RDDs and run jobs in the program itself."
        )

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._driver.settings

    @property
    def defaultParallelism(self) -> int:
        """The default number of partitions: the ``parallelism`` setting, else the number of executors.

        >>> sc.defaultParallelism >= 1
        True
        """
        return self.settings.parallelism or max(1, len(self._driver.executors))

    @property
    def defaultMinPartitions(self) -> int:
        """The default least number of partitions of a file: ``min(defaultParallelism, 2)``."""
        return min(self.defaultParallelism, 2)

    def stop(self) -> None:
        """End the Context; executors forget its data. Its RDDs cannot be used any more. Stopping twice is no error."""
        if not self._stopped:
            self._stopped = True
            for info in self.storageInfo() if _log.isEnabledFor(logging.INFO) else ():
                _log.info("kept: %s", info)
            self._termination.close()
            self._remove_files()
            self._driver.stop()

    def parallelize(self, c: Iterable[Any], numSlices: int | None = None) -> RDD:
        """An RDD of local data; partition i holds items ``i*n//k`` to ``(i+1)*n//k``. A ``range`` is never spelled out.

        >>> sc.parallelize([0, 2, 3, 4, 6], 5).glom().collect()
        [[0], [2], [3], [4], [6]]
        """
        data: Any = c if hasattr(c, "__len__") and hasattr(c, "__getitem__") and not isinstance(c, dict) else list(c)
        count, length = self._slices(numSlices), len(data)
        splits = [data[i * length // count : (i + 1) * length // count] for i in range(count)]
        return self._source("parallelize", steps.identity, splits)

    def range(
        self, start: int, end: int | None = None, step: int = 1, numSlices: int | None = None
    ) -> RDD:
        """An RDD of whole numbers, as Python's ``range``; made on the executors.

        >>> sc.range(2, 10, 3).collect()
        [2, 5, 8]
        """
        return self.parallelize(range(start) if end is None else range(start, end, step), numSlices)

    def emptyRDD(self) -> RDD:
        """An RDD without partitions.

        >>> sc.emptyRDD().isEmpty()
        True
        """
        return self._source("emptyRDD", steps.identity, [])

    def union(self, rdds: Sequence[RDD]) -> RDD:
        """All records of all of them, in their order.

        >>> sc.union([sc.parallelize([1]), sc.parallelize([2]), sc.parallelize([3])]).collect()
        [1, 2, 3]
        """
        if not rdds or not all(isinstance(rdd, RDD) for rdd in rdds):
            raise UsageError(f"union needs a list of one or more RDDs, not {rdds!r}")
        first, *others = rdds
        partitioner = first.partitioner
        if partitioner is not None and all(other.partitioner == partitioner for other in others):
            return first._narrow("union", steps.concatenate, others=others, inputs=OneToOne(len(rdds)),
                                 partitioner=partitioner)
        counts = tuple(rdd.getNumPartitions() for rdd in rdds)
        return first._narrow("union", steps.concatenate, others=others, inputs=Concatenated(counts),
                             num_partitions=sum(counts))

    def broadcast(self, value: Any) -> Broadcast:
        """Send a read-only value to each executor once, for all its tasks.

        >>> b = sc.broadcast([1, 2, 3])
        >>> sc.parallelize([0, 2]).map(lambda i: b.value[i]).collect()
        [1, 3]
        """
        self._check_usable()
        return Broadcast(self._driver, next(self._ids), value)

    def accumulator(self, value: Any, accum_param: AccumulatorParam | None = None) -> Accumulator:
        """A sum that tasks add to, starting at ``value``. Numbers need no ``accum_param``; other types raise
        TypeError without.

        >>> seen = sc.accumulator(0)
        >>> sc.parallelize([1, 2, 3]).foreach(lambda x: seen.add(1))
        >>> seen.value
        3
        """
        accumulator = Accumulator(next(self._ids), value, accum_param or param_for(value))
        self._accumulators[accumulator.aid] = accumulator
        return accumulator

    def storageInfo(self) -> list[StorageInfo]:
        """What is kept of each persisted RDD: how many partitions, where, and how large.

        >>> rdd = sc.parallelize(range(1000), 2).setName("numbers").cache()
        >>> rdd.count()
        1000
        >>> [(info.name, info.partitions_kept, info.partitions) for info in sc.storageInfo() if info.id == rdd.id()]
        [('numbers', 2, 2)]
        """
        self._driver.catch_up()
        return list(storage_infos(self._driver, self._levels, self._names))

    def costs(self) -> dict[str, float]:
        """What files and data on its way have cost so far, summed over the executors: seconds (``..._s``) and bytes.

        ``input_s`` is reading input text, ``lines_s`` cutting it into lines, ``read_s``, ``write_s`` and ``commit_s`` are spill
        files and what goes through files, ``encode_s`` and ``decode_s`` records to bytes and back, ``exchange_s`` is exchanges,
        waiting for other executors included, and ``compute_s`` all else that tasks do. No second is in two of these. ``task_s``
        is whole tasks, what they do of all of these included. What a job costs is known when its action has returned.

        >>> sc.parallelize([("a", 1)]).reduceByKey(max).count()
        1
        >>> sc.costs()["task_s"] > 0
        True
        """
        return dict(sorted(self._driver.costs.items()))

    def statusTracker(self) -> StatusTracker:
        """Recent jobs and stages, running and ended."""
        return StatusTracker(self._driver)

    def setCheckpointDir(self, dirName: str) -> None:
        """Where checkpoints go: a new private folder below ``dirName``, on a file system that all ranks see."""
        self._checkpoints.set_folder(dirName)

    def getCheckpointDir(self) -> str | None:
        """The folder of this Context's checkpoints; None if none is set."""
        return self._checkpoints.folder

    def onTerminate(self, callback: Callable[[], Any]) -> None:
        """Call ``callback`` in the main thread when the program is told to end, so that it can save.

        On SIGUSR2, which batch scripts pass on some time before the walltime ends (docs/CLUSTER.md), the program goes on
        after it, unless the callback ends it (``sys.exit``). On SIGTERM the program ends after it, within
        ``MPIRDD_GRACE_S`` seconds. The callback may run jobs; it is called between two jobs or while the program waits
        for one, which then goes on. Call this from the main thread.

        >>> sc.onTerminate(lambda: print("saving"))
        """
        self._termination.add(callback)

    def resumable(
        self, path: str | None, *, about: Mapping[str, Any] | None = None, every_s: float = 0.0
    ) -> Resumable:
        """State in the folder ``path`` that survives the program's end, for the next run to go on from.

        For a ``with`` block: the folder is locked inside of it, and what it holds has been checked. Unpickles what it
        holds, on ``get``: use folders that you trust. The driver and all executors must see it. With None for the path
        there is nothing to go on from, and ``save`` does nothing: for programs that have this as an option.

        Args:
            about: what makes the run what it is, such as its input and parameters: saved along, and state of another
                run is refused. Values as JSON has them. Only these are compared: a path says nothing of a file that has
                changed since, so add its size and time of change, as jobs/resuming.py does.
            every_s: save at most this often, in seconds.

        Raises:
            UsageError: another run uses the folder, it is the state of another run, or the path is empty.
            InputError: there is state, and none of it is whole.

        >>> import tempfile
        >>> folder = tempfile.mkdtemp()
        >>> with sc.resumable(folder) as state:
        ...     total = state.get("total", 0)
        ...     for i in range(state.iteration, 3):
        ...         total += sc.range(4).sum()
        ...         saved = state.save(i + 1, total=total)
        >>> with sc.resumable(folder) as state:  # another run
        ...     state.iteration, state.get("total")
        (3, 18)
        """
        return Resumable(self, path, about or {}, every_s)

    def runJob(
        self, rdd: RDD, partitionFunc: Callable[[Iterable[Any]], Iterable[Any]], partitions: Sequence[int] | None = None,
        allowLocal: bool = False,
    ) -> list[Any]:
        """``partitionFunc(iterator)`` on the chosen partitions; the results in one list.

        >>> sc.runJob(sc.parallelize(range(6), 3), lambda records: [sum(records)], [0, 2])
        [1, 9]
        """
        made = rdd.mapPartitions(partitionFunc)
        return [record for part in made._run("runJob", steps.collect_records, partitions) for record in part]

    # --- for the RDD families -------------------------------------------------------------------------------------

    def _source(self, operation: str, reader: Callable[[Any], Iterable[Any]], splits: Sequence[Any]) -> RDD:
        return self._new(lambda id: Source(id, label(operation), len(splits), None, reader, splits))

    def _new(self, make: Callable[[int], Narrow | Shuffled | Source]) -> RDD:
        """A handle on a new node; when the node is gone, executors may drop what they hold for it."""
        self._check_usable()
        node = make(next(self._ids))
        finalize(node, self._driver.unreferenced, node.id).atexit = False
        return self._disk_mode.watched(RDD(self, node))

    def _keep(self, node: Node, level: StorageLevel) -> None:
        """Keep the node's partitions, as the user asked; not in disk mode."""
        if not self._disk_mode.on:
            self._driver.keep(node.id, level.replication, level._for_executors())
        else:
            self._disk_mode.ignore_persist()

    def _unkeep(self, node: Node) -> None:
        self._driver.unkeep(node.id)
        self._disk_mode.write_again(node)

    def _drop_shuffles(self, node: Node) -> None:
        """Drop what is kept of the shuffles in the node's lineage; in disk mode the files of their output as well."""
        self._driver.drop(kept=self._disk_mode.outputs_of(node), shuffles=shuffles_of(node))

    def _before_first_use(self, node: Node, prepare: Callable[[], None]) -> None:
        """``prepare`` runs jobs of its own that the node's functions need; once, before the first job that
        needs the node."""
        self._preparations[node] = _Once(prepare)

    def _run(
        self, node: Node, action: Callable[..., Any], operation: str, partitions: Sequence[int] | None = None
    ) -> list[Any]:
        self._check_usable()
        self._termination.check()
        if partitions is None:
            partitions = range(node.num_partitions)
        elif not all(0 <= partition < node.num_partitions for partition in partitions):
            raise UsageError(f"{operation}: partitions must lie in 0 .. {node.num_partitions - 1}, not {list(partitions)}")
        if self._preparations:
            ancestors_first = reversed([ancestor for ancestor in walk(node) if ancestor in self._preparations])
            for ancestor in sorted(ancestors_first, key=lambda node: node.id):  # a parent's id is smaller
                prepare = self._preparations.get(ancestor)
                if prepare is not None:
                    prepare()
                    self._preparations.pop(ancestor, None)
        try:
            action = self._profiles.watch(node.id, action)
            with self._disk_mode.job(node):
                results = self._driver.run(node, partitions, action, operation, self._request())
        except TaskError as error:
            raise error.with_traceback(None) from error.__cause__  # the engine's own frames tell the user nothing
        self._checkpoints.after_job(node)
        return results

    def _accumulate(self, updates: dict[int, Any]) -> None:
        for aid, term in updates.items():
            accumulator = self._accumulators.get(aid)
            if accumulator is not None:
                accumulator.add(term)

    def _check_usable(self) -> None:
        if self._stopped:
            raise UsageError("the Context has been stopped; make a new one")

    def _slices(self, given: int | None) -> int:
        if given is None:
            return self.defaultParallelism
        return whole_number(given, "numSlices", least=1)


class _Once:
    """Calls a function until it has succeeded once; other threads wait for it meanwhile."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function
        self._lock = Lock()
        self._done = False

    def __call__(self) -> None:
        with self._lock:
            if not self._done:
                self._function()
                self._done = True
