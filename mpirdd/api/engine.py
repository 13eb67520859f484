"""The engine behind a Context: what the Context and its RDDs share.

An RDD is a handle on a lineage node, and needs few things of the Context that made it: new nodes, jobs, and what is
known of nodes beside the lineage (names, storage levels, checkpoints). These are here, below both, so that neither
module of the RDD nor module of the Context has to know the other.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar
from weakref import WeakKeyDictionary, finalize

from mpirdd.api.accumulators import Accumulators
from mpirdd.api.callsite import label
from mpirdd.api.checkpoints import Checkpoints
from mpirdd.api.diskmode import DiskMode
from mpirdd.api.hot_keys import HotKeyCounts
from mpirdd.api.preparations import Preparations
from mpirdd.api.profiling import Profiles
from mpirdd.api.requests import Requests
from mpirdd.api.storagelevel import StorageLevel
from mpirdd.api.termination import Termination
from mpirdd.driver.driver import Driver
from mpirdd.observe.run_events import Profiled
from mpirdd.protocol.errors import TaskError, UsageError
from mpirdd.protocol.settings import Settings
from mpirdd.scheduler.lineage import ONE_TO_ONE, Cut, Node
from mpirdd.scheduler.planner import shuffles_of

AnyNode = TypeVar("AnyNode", bound=Node)


class Engine:
    """Of one Context; goes with it.

    Args:
        context: the Context, which RDDs give to those who ask for it, and which profilers are made with.
    """

    def __init__(self, driver: Driver, context: Any, profiles: Profiles) -> None:
        self.driver = driver
        self.context = context
        self.made_at = label("made")
        """Where in the program, for messages."""
        self.profiles = profiles
        self.names: WeakKeyDictionary[Node, str] = WeakKeyDictionary()
        self.levels: WeakKeyDictionary[Node, StorageLevel] = WeakKeyDictionary()
        self.accumulators = Accumulators()
        driver.on_updates(self.accumulators.add_up)
        self.hot_keys = HotKeyCounts(self.accumulators, self.new_id, driver.settings.hot_keys)
        self.requests = Requests()
        self.disk_mode = DiskMode(driver)
        self.termination = Termination()
        driver.on_turn(self.termination.check)
        driver.observers.before_end.append(self.tell_profiles)
        self.checkpoints = Checkpoints(self)
        self._preparations = Preparations(self.replace)
        self._ids = itertools.count(1)
        self._stopped = False

    @property
    def settings(self) -> Settings:
        return self.driver.settings

    def check_usable(self) -> None:
        """Raises UsageError once the Context has been stopped."""
        if self._stopped:
            raise UsageError("the Context has been stopped; make a new one")

    def stop(self) -> bool:
        """From now on nothing can be used any more. Returns False if that was so already."""
        stopped, self._stopped = self._stopped, True
        return not stopped

    # --- nodes ----------------------------------------------------------------------------------------------------

    def new_id(self) -> int:
        """A number that nothing else in the Context has."""
        return next(self._ids)

    def add(self, make: Callable[[int], AnyNode]) -> AnyNode:
        """The node that ``make(id)`` gives; when it is gone, executors drop what they hold for it."""
        self.check_usable()
        node = make(self.new_id())
        finalize(node, self.driver.unreferenced, node.id).atexit = False
        return node

    def stand_in(self, for_node: Node) -> Cut:
        """A node with the records of ``for_node``, in whose place another one can be put later."""
        return self.add(lambda id: Cut(
            id, for_node.label, for_node.num_partitions, for_node.partitioner, (), ONE_TO_ONE, _as_they_are, False, [for_node]))

    def replace(self, stand_in: Cut, node: Node) -> None:
        """Put ``node`` where the stand-in has led to another one; that one and its ancestors are free to go."""
        self.driver.adopt(node)
        stand_in.parent[0] = node

    def made_later(self, provisional: Node, make: Callable[[], Node]) -> Node:
        """For operations whose functions a job has to find out first: a node that leads to ``provisional``, which no task
        ever runs, until a job needs it. Just before that ``make`` is called, once, and gives the node to run."""
        stand_in = self.stand_in(provisional)
        self._preparations.add(stand_in, make)
        return stand_in

    def capture(self, *nodes: Node) -> None:
        """Pickle the functions of the nodes and of their ancestors as they are now, unless that was done before.

        Functions refer to variables of the program, which change. As in PySpark, they are captured when something is put on
        top of them that is no mere chain: a wide operation, ``union``, ``zip``, ``cartesian``, ``coalesce``; when they are
        cached or checkpointed; and at the latest by the first job that runs them. So in a loop that builds RDDs with
        ``lambda x: x == i``, each has the ``i`` of its own turn as soon as it is united with the others, and a chain of maps
        and filters has the last one until then.

        Raises:
            UsageError: a function cannot be pickled.
        """
        for node in nodes:
            self.driver.adopt(node)

    # --- what is kept of nodes ------------------------------------------------------------------------------------

    def keep(self, node: Node, level: StorageLevel) -> None:
        """Keep the node's partitions, as the user asked; not in disk mode."""
        if not self.disk_mode.on:
            self.driver.keep(node.id, level.replication, level._for_executors())
        else:
            self.disk_mode.ignore_persist()

    def unkeep(self, node: Node) -> None:
        self.driver.unkeep(node.id)
        self.disk_mode.write_again(node)

    def drop_shuffles(self, node: Node) -> None:
        """Drop the blocks of the shuffles in the node's lineage; in disk mode the files of their
        output as well."""
        self.driver.drop(kept=self.disk_mode.outputs_of(node), shuffles=shuffles_of(node))

    # --- jobs -----------------------------------------------------------------------------------------------------

    def run(
        self, node: Node, action: Callable[..., Any], operation: str, partitions: Sequence[int] | None = None
    ) -> list[Any]:
        """A job: ``action(partition, records)`` for each of the partitions, or for all, in order."""
        self.check_usable()
        chosen = _checked(operation, node, partitions)
        self.termination.check()
        self._preparations.make_ready(node)
        with self.disk_mode.job(node):
            results = self._run_now(node, action, operation, chosen)
        self.checkpoints.after_job(node)
        return results

    def tell_profiles(self, *, all_of_it: bool = True) -> None:
        """Let the event log have the profiles and the hottest keys so far."""
        for node, made, stacks in self.profiles.news(all_of_it=all_of_it):
            self.driver.observers.bus.emit(Profiled(node, made, "us", stacks))
        for event in self.hot_keys.news():
            self.driver.observers.bus.emit(event)

    def _run_now(self, node: Node, action: Callable[..., Any], operation: str, partitions: Sequence[int]) -> list[Any]:
        watched = self.profiles.watch(node.id, node.label, action)
        try:
            results = self.driver.run(node, partitions, watched, operation, self.requests.current())
        except TaskError as error:
            raise error.with_traceback(None) from error.__cause__  # the engine's own frames tell the user nothing
        self.tell_profiles(all_of_it=False)
        return results


class Family:
    """What each family of the Context's methods stands on. The Context makes the engine before anything else."""

    _engine: Engine


def _checked(operation: str, node: Node, partitions: Sequence[int] | None) -> Sequence[int]:
    everything = range(node.num_partitions)
    if partitions is None:
        return everything
    if not all(0 <= partition < node.num_partitions for partition in partitions):
        raise UsageError(f"{operation}: partitions must lie in 0 .. {node.num_partitions - 1}, not {list(partitions)}")
    return partitions


# --- on executors -----------------------------------------------------------------------------------------------------


def _as_they_are(partition: int, records: Iterable[Any]) -> Iterable[Any]:
    return records
