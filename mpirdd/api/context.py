"""The Context's methods, put together of their families, over a driver that is given.

Programs use ``mpirdd.Context``, which adds how the ranks are found.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, NoReturn, TypeVar

from mpirdd.api.accumulators import Accumulator, AccumulatorParam
from mpirdd.api.application import Application
from mpirdd.api.arrayfiles import ArrayFiles
from mpirdd.api.base import partition_count
from mpirdd.api.broadcast import Broadcast
from mpirdd.api.conf import Conf
from mpirdd.api.engine import Engine
from mpirdd.api.files import AddedFiles, Files
from mpirdd.api.jobs import Jobs
from mpirdd.api.profiling import BasicProfiler, Profiler, Profiles
from mpirdd.api.rdd import RDD
from mpirdd.api.resumable import Resumable
from mpirdd.api.snapshots import as_sequence, split
from mpirdd.api.status import StatusTracker
from mpirdd.api.storageinfo import StorageInfo, storage_infos
from mpirdd.driver.driver import Driver
from mpirdd.formats.paths import OnePath
from mpirdd.observe.figures import COUNTS
from mpirdd.ops import operators as steps
from mpirdd.protocol.errors import UsageError
from mpirdd.protocol.settings import Settings

_log = logging.getLogger("mpirdd")
_Self = TypeVar("_Self", bound="BaseContext")
"""The class of the context itself (``typing.Self`` needs Python 3.11)."""


class BaseContext(Jobs, Application, ArrayFiles, Files):
    """Makes RDDs. One at a time in a program; a ``with`` block stops it."""

    def __init__(
        self, driver: Driver, conf: Conf | None = None, profiler: type[Profiler] = BasicProfiler
    ) -> None:
        dump_path = conf.get("spark.python.profile.dump") if conf is not None else None
        profiles = Profiles(self, profiler if driver.settings.profile else None, dump_path)
        self._engine = Engine(driver, self, profiles)
        self._driver = driver
        self._added = AddedFiles(driver)
        self._started_s = time.time()
        self._conf = self._complete(conf)

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if value is not None:
            self._driver.observers.ends_with(value)
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

    def stop(self) -> None:
        """End the Context; executors forget its data. Its RDDs are unusable from then on. Stopping
        twice is no error."""
        if self._engine.stop():
            for info in self.storageInfo() if _log.isEnabledFor(logging.INFO) else ():
                _log.info("kept: %s", info)
            self._engine.termination.close()
            self._added.remove()
            self._driver.stop()

    def parallelize(self, c: Iterable[Any], numSlices: int | None = None) -> RDD:
        """An RDD of local data; partition i holds items ``i*n//k`` to ``(i+1)*n//k``. A ``range``
        stays a range.

        The data are taken as they are now: what the program does to records later, or to an array, changes nothing. Records
        that cannot change are not copied for that, others are pickled here and not by the job; see ``snapshots``.

        Raises:
            UsageError: a record cannot be pickled.

        >>> sc.parallelize([0, 2, 3, 4, 6], 5).glom().collect()
        [[0], [2], [3], [4], [6]]
        """
        self._engine.check_usable()
        data = as_sequence(c)
        count = self.defaultParallelism if numSlices is None else partition_count(numSlices, "numSlices")
        return self._source("parallelize", steps.read_split, split(data, count))

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
        return first._united(others)

    def broadcast(self, value: Any) -> Broadcast:
        """Send a read-only value to each executor once, for all its tasks.

        >>> b = sc.broadcast([1, 2, 3])
        >>> sc.parallelize([0, 2]).map(lambda i: b.value[i]).collect()
        [1, 3]
        """
        self._engine.check_usable()
        return Broadcast(self._driver, self._engine.new_id(), value)

    def accumulator(self, value: Any, accum_param: AccumulatorParam | None = None) -> Accumulator:
        """A sum that tasks add to, starting at ``value``. Numbers need no ``accum_param``; other types raise
        TypeError without.

        >>> seen = sc.accumulator(0)
        >>> sc.parallelize([1, 2, 3]).foreach(lambda x: seen.add(1))
        >>> seen.value
        3
        """
        return self._engine.accumulators.make(self._engine.new_id(), value, accum_param)

    def storageInfo(self) -> list[StorageInfo]:
        """The kept partitions of each persisted RDD: how many, where, and how large.

        >>> rdd = sc.parallelize(range(1000), 2).setName("numbers").cache()
        >>> rdd.count()
        1000
        >>> [(info.name, info.partitions_kept, info.partitions) for info in sc.storageInfo() if info.id == rdd.id()]
        [('numbers', 2, 2)]
        """
        self._driver.catch_up()
        return list(storage_infos(self._driver, self._engine.levels, self._engine.names))

    def costs(self) -> dict[str, float]:
        """The costs of files and data so far, summed over the executors: seconds (``..._s``) and
        bytes. ``input_s`` and ``input_bytes`` are reading input files, ``lines_s`` cutting text into
        lines, ``parse_s`` making records of other files, ``output_s`` and ``output_bytes`` writing
        output files; ``read_s``, ``write_s`` and ``commit_s`` are spill files and other data in
        files; ``encode_s`` and ``decode_s`` are records to bytes and back; ``exchange_s`` is
        exchanges, waiting for other executors included; ``compute_s`` is all other work of tasks. No
        second is in two of these. ``task_s`` is whole tasks, with their share of all of these. The
        costs of a job are complete when its action has returned.

        >>> sc.parallelize([("a", 1)]).reduceByKey(max).count()
        1
        >>> sc.costs()["task_s"] > 0
        True
        """
        return {name: cost for name, cost in sorted(self._driver.costs.items()) if name not in COUNTS}

    def statusTracker(self) -> StatusTracker:
        """Recent jobs and stages, running and ended."""
        return StatusTracker(self._driver)

    def setCheckpointDir(self, dirName: OnePath, *, storage_options: Mapping[str, Any] | None = None) -> None:
        """Save checkpoints in a new private folder below ``dirName``, on a file system that all
        ranks see; it may be a URL. ``storage_options``: how to reach it, as in ``textFile``."""
        self._engine.checkpoints.set_folder(dirName, self._storage(storage_options))

    def getCheckpointDir(self) -> str | None:
        """The folder of this Context's checkpoints; None if none is set."""
        return self._engine.checkpoints.folder

    def onTerminate(self, callback: Callable[[], Any]) -> None:
        """Call ``callback`` in the main thread when a signal tells the program to end, so that it
        can save. On SIGUSR2, which batch scripts pass on some time before the walltime ends
        (docs/CLUSTER.md), the program goes on after it, unless the callback ends it (``sys.exit``).
        On SIGTERM the program ends after it, within ``MPIRDD_GRACE_S`` seconds. The callback may
        run jobs. mpirdd calls it between two jobs or while the program waits for one, which then
        goes on. Call this from the main thread.

        >>> sc.onTerminate(lambda: print("saving"))
        """
        self._engine.termination.add(callback)

    def resumable(
        self, path: OnePath | None, *, about: Mapping[str, Any] | None = None, every_s: float = 0.0,
        storage_options: Mapping[str, Any] | None = None,
    ) -> Resumable:
        """State in the folder ``path`` that survives the program's end, so the next run can resume.

        For a ``with`` block, which checks the state and locks the folder. ``get`` unpickles the
        state: use folders that you trust. The driver and all executors must see it. With None for
        the path there is no state, and ``save`` does nothing: for programs with an option for this.
        It may be a URL. Only local folders are locked; elsewhere a second run fails when it saves.

        Args:
            about: the identity of the run, such as its input and parameters, as JSON values. mpirdd
                saves it along and refuses state of another run. It compares only these values: a
                path says nothing of a file that has changed since, so add its size and modification
                time, as jobs/resuming.py does.
            every_s: save at most this often, in seconds.
            storage_options: how to reach the file system of a URL, as in ``textFile``.

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
        return Resumable(self._engine, path, about or {}, every_s, self._storage(storage_options))

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
