"""The driver: runs jobs for the user's API.

``run`` loops until its job has ended: it gives the loop a turn, and pauses for a moment if there is nothing to do. It holds the
lock for one turn at a time. So several threads of the program may run jobs at once, and each advances all jobs while it waits
for its own.
"""

from __future__ import annotations

import logging
import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from time import monotonic, process_time
from typing import Any

from mpirdd.comm.transport import Transport
from mpirdd.driver.loop import Loop
from mpirdd.driver.results import Job, Request
from mpirdd.driver.told import shown_level
from mpirdd.driver.turn_lock import TurnLock
from mpirdd.observe import data_events, run_events
from mpirdd.observe.observers import Observers
from mpirdd.ops.current_task import collecting_broadcasts
from mpirdd.protocol import messages
from mpirdd.protocol.frames import Frames
from mpirdd.protocol.ids import JobId, NodeId, Rank
from mpirdd.protocol.settings import Settings
from mpirdd.protocol.stage import Level
from mpirdd.scheduler import events
from mpirdd.scheduler.lineage import Node
from mpirdd.store.codec import encode, pickle_function

_log = logging.getLogger("mpirdd")
_SETTLE_S = 10.0
"""When the Context stops, broadcast values under way get this long to arrive: an executor that leaves with the program must not
abandon another one to which it is still sending."""
_NOBODY = Request()


class Driver:
    """Rank 0's side of the control channel.

    Args:
        transport: the network, already joined by all ranks.
        pause: called when there is nothing to do, with True if bytes are moving. It lets time pass, or the executors of this
            process take a step. Several threads may call it.
        resume: called when something has happened.
        in_engine: is the calling thread inside ``pause``, working for an executor, but not in one of its tasks?
        observers: the readers of events; by default those that the settings ask for.
        before: the driver of the previous Context.
    """

    def __init__(
        self,
        transport: Transport,
        settings: Settings,
        *,
        folder: str,
        pause: Callable[[bool], None],
        resume: Callable[[], None],
        in_engine: Callable[[], bool] = lambda: False,
        observers: Observers | None = None,
        before: Driver | None = None,
    ) -> None:
        self.settings = settings
        self._transport = transport
        self._pause, self._resume = pause, resume
        self._lock = TurnLock(in_engine)
        self.observers = observers or Observers(settings)
        self._emit, self.history = self.observers.bus.emit, self.observers.history
        lost = before._loop.detector.lost if before is not None else {}
        epoch = before._loop.losses.epoch + 1 if before is not None and transport.recovers else 0
        loop = Loop(transport, settings, self.observers, lost=lost, epoch=epoch)
        self._loop: Loop = loop
        self.memory, self.costs = loop.memory, loop.costs
        self.hosts, self.pids = loop.hosts, loop.detector.pids
        self._job_ids = count(1)
        self._between_turns: Callable[[], None] = lambda: None
        self._unreferenced: deque[NodeId] = deque()
        self._unreferenced_broadcasts: deque[int] = deque()
        channel = loop.channel
        others = bool(channel.spares or epoch)  # the group is not all ranks in epoch 0
        for ranks, waits in ((channel.executors, False), (channel.spares, True)):
            start = messages.Start(
                settings, folder, tuple(sys.argv), transport.host, waits, epoch, tuple(channel.executors) if others else None)
            for rank in ranks:
                channel.send(rank, start)
        while not self.pids.keys() >= {*channel.executors, *channel.spares}:
            if not self._loop.turn():
                self._pause(self._transport.in_flight())

    @property
    def executors(self) -> list[Rank]:
        """The living executors, in the order of their ranks."""
        return self._loop.channel.executors

    @property
    def everybody_sees_folder(self) -> bool:
        """Does the job's folder exist on the hosts of all executors?"""
        return all(self._loop.sees_folder)

    # --- jobs -------------------------------------------------------------------------------------

    def run(
        self,
        node: Node,
        partitions: Sequence[int],
        action: Callable[[int, Any], Any],
        label: str,
        request: Request = _NOBODY,
    ) -> list[Any]:
        """The results of ``action(partition, records)`` for each partition, in the order of ``partitions``.

        Args:
            label: the operation and the line of the program, for messages.
            request: the origin of the job, by which ``cancel`` finds it.

        Raises:
            TaskError: a function raised on an executor. The driver can go on with the next job.
            ResultTooLarge: the results exceed the setting ``max_result_bytes``.
            UsageError: a function cannot be sent to the executors.
            ClusterError: all executors are lost.
            JobCancelled: another thread called ``cancel``.
        """
        loop, job_id, job = self._loop, next(self._job_ids), Job(request, label, partitions)
        began, cpu_s = monotonic(), process_time()
        _log.info("job %d: %s, %d partitions", job_id, label, len(partitions))
        self._lock.look_for_handlers()
        try:
            with self._lock:
                self._forget_unreferenced()
                with self._lock.interruptible():
                    loop.closures.pickle_action(job_id, action, label)
                    loop.closures.pickle_lineage(node)
                loop.results.jobs[job_id] = job
                self._emit(run_events.JobStarted(job_id, label, node.id, len(partitions), request.group))
                wanted = partitions if isinstance(partitions, range) else tuple(partitions)
                loop.tell(events.JobSubmitted(job_id, node, wanted, label))
            self._wait_for(job_id, job)
        except BaseException:
            with self._lock:
                loop.tell(events.JobWithdrawn(job_id))
            raise
        finally:
            with self._lock:
                if loop.results.jobs.pop(job_id, None) is not None:
                    status, error = job.end()
                    self._emit(run_events.JobEnded(
                        job_id, status, monotonic() - began, process_time() - cpu_s, error))
                loop.closures.drop_action(job_id)
        _log.info("job %d ended after %.3f s", job_id, monotonic() - began)
        return job.values()

    def _wait_for(self, job_id: JobId, job: Job) -> None:
        """Advance all jobs until this one has ended."""
        while not job.ended:
            self._between_turns()
            with self._lock:
                worked = job.ended or self._loop.turn()
                if worked:
                    self._resume()
            if not worked:  # without the lock: other threads run jobs and cancel them
                self._pause(self._transport.in_flight())

    def cancel(self, wanted: Callable[[Request], bool]) -> None:
        """Cancel the running jobs whose request is ``wanted``; the threads that wait for them get ``JobCancelled``."""
        with self._lock:
            self._loop.results.cancel(wanted)

    def on_every_executor(self, function: Callable[[], Any]) -> None:
        """Run ``function`` once on each executor, before any task of a later job. An exception is printed there.

        Raises:
            UsageError: the function cannot be pickled.
        """
        pickled = pickle_function(function, "preparing the executors")
        with self._lock:
            self._loop.channel.send_all(messages.Prepare(pickled))

    def on_updates(self, take: Callable[[dict[int, Any]], None]) -> None:
        """Let ``take`` get the tasks' additions to accumulators, exactly once for each partition of a job or shuffle."""
        self._loop.results.take_updates = take

    def on_turn(self, call: Callable[[], None]) -> None:
        """Call ``call`` again and again while a job runs. It may run jobs itself, or raise to end this one."""
        self._between_turns = call

    def load(self) -> dict[Rank, int]:
        """By living executor, its number of running and queued tasks."""
        with self._lock:
            load = self.history.load()
            return {rank: load[rank] for rank in self.executors}

    # --- broadcast variables ----------------------------------------------------------------------

    def broadcast(self, broadcast: int, value: Any) -> tuple[Frames, set[int]]:
        """Keep ``value`` for tasks. An executor gets it before the first task that uses it there.

        Returns:
            The encoded value as it is kept, and the broadcast variables inside it.

        Raises:
            UsageError: the value cannot be pickled.
        """
        with collecting_broadcasts() as inner:
            frames = encode(value, by_value=True)
        with self._lock:
            self._forget_unreferenced_broadcasts()
            kept = self._loop.broadcasts.add(broadcast, frames, inner)
            self._emit(run_events.BroadcastMade(broadcast, sum([memoryview(frame).nbytes for frame in kept])))
            return kept, inner

    def drop_broadcast(self, broadcast: int, *, destroy: bool, wait: bool) -> None:
        """Drop the executors' copies once no task uses them. Unless ``destroy`` is set, the next use sends the value again.

        ``wait``: return only when the copies are dropped.
        """
        broadcasts = self._loop.broadcasts
        with self._lock:
            self._emit(run_events.BroadcastDropped(broadcast))
            dropped = broadcasts.drop(broadcast, destroy=destroy)
            while not dropped and self._loop.turn():  # reports of executors that have it may be waiting
                dropped = broadcasts.drop(broadcast, destroy=destroy)
        while wait and not dropped:
            self._pause(self._transport.in_flight())
            with self._lock:
                self._loop.turn()
                dropped = broadcasts.drop(broadcast, destroy=destroy)

    def unreferenced_broadcast(self, broadcast: int) -> None:
        """The program no longer refers to the variable; it is dropped once no function of an RDD uses it. May be called from
        anywhere, at any time."""
        self._unreferenced_broadcasts.append(broadcast)

    # --- kept partitions and shuffles -------------------------------------------------------------

    def keep(self, node: NodeId, copies: int = 1, level: Level = Level()) -> None:  # noqa: B008  (a frozen value)
        """From now on keep the node's partitions where they are computed, and copies on other executors: ``copies`` in all."""
        with self._lock:
            self._loop.levels[node] = level
            self._emit(data_events.Persisted(node, shown_level(level), copies))
            self._loop.tell(events.NodeKept(node, copies))

    def unkeep(self, node: NodeId) -> None:
        """Drop the node's kept partitions."""
        with self._lock:
            self._loop.levels.pop(node, None)
            self._emit(data_events.Unpersisted(node))
            self._loop.tell(events.NodeReleased(node))

    def drop(self, kept: Iterable[NodeId], shuffles: Iterable[NodeId]) -> None:
        """Drop the kept partitions of some nodes and the blocks of some shuffles; later jobs recompute both if they need
        them."""
        with self._lock:
            self._loop.tell(events.DataDropped(tuple(kept), tuple(shuffles)))

    def drop_unneeded(self, roots: Iterable[Node], outputs: Iterable[NodeId]) -> None:
        """Drop data that jobs over ``roots`` would not read: the shuffles behind nodes of which all partitions are kept; and of
        the kept nodes in ``outputs``, those behind other such nodes. Cost: the lineage between the roots and the kept nodes."""
        with self._lock:
            self._loop.tell(events.RootsChanged(tuple(roots), frozenset(outputs)))

    def adopt(self, node: Node) -> None:
        """The node replaces another one in a known lineage."""
        with self._lock:
            self._loop.closures.pickle_lineage(node)

    def unreferenced(self, node: NodeId) -> None:
        """No handle refers to the node: its blocks are dropped before the next job. May be called from anywhere, at any time."""
        self._unreferenced.append(node)

    def _forget_unreferenced(self) -> None:
        nodes = tuple(self._unreferenced.popleft() for _ in range(len(self._unreferenced)))
        if nodes:
            self._loop.results.forget(nodes)
            self._loop.closures.forget(nodes)
            for node in nodes:
                self._loop.levels.pop(node, None)
            self._loop.tell(events.NodesForgotten(nodes))
        self._forget_unreferenced_broadcasts()

    def _forget_unreferenced_broadcasts(self) -> None:
        waiting = self._unreferenced_broadcasts
        if waiting:
            gone = {waiting.popleft() for _ in range(len(waiting))}
            waiting.extend(self._loop.broadcasts.drop_unused(gone, self._loop.closures.used_broadcasts()))

    # --- between jobs -----------------------------------------------------------------------------

    def catch_up(self) -> None:
        """Handle the executors' messages since the last job. While no job runs, wait for copies on their way to other
        executors, at most 10 s."""
        deadline = monotonic() + _SETTLE_S
        while True:
            with self._lock:
                worked = self._loop.turn()
                waiting = self._loop.commands.copying and not self._loop.results.jobs and monotonic() < deadline
            if worked:
                self._resume()
            elif not waiting:
                return
            else:
                self._pause(self._transport.in_flight())

    def stop(self) -> None:
        """Let the executors forget this Context and wait for another one. Jobs of other threads are cancelled."""
        deadline = monotonic() + _SETTLE_S
        while not self._loop.broadcasts.settled and monotonic() < deadline:
            with self._lock:
                worked = self._loop.turn()
            if not worked:
                self._pause(self._transport.in_flight())
        with self._lock:
            self._loop.results.cancel(lambda request: True)
            self._loop.channel.send_all(messages.Reset())
            self._loop.channel.close()
            self._loop.broadcasts.clear()
            self.observers.end()
        self._lock.give_handlers_back()
