"""The driver: runs jobs. Turns the scheduler's commands into messages and the executors' messages into events.

``run`` loops until its job has ended: take one message, handle it, act on the commands; wait a moment when
there is none. The loop holds a lock for one turn at a time, so that several threads of the program may run jobs
at once, each moving all jobs on while it waits for its own.

The driver remembers what each executor has been sent (functions, stages), so that an iteration of a loop sends
only what is new, and tells them to forget what no handle refers to any more.
"""

from __future__ import annotations

import logging
import pickle
import sys
from collections import Counter, deque
from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from threading import Lock
from time import monotonic
from typing import Any

from mpirdd.decisions import events
from mpirdd.decisions.lineage import Narrow, Node, Shuffled, Source, walk
from mpirdd.decisions.plan import needed
from mpirdd.decisions.scheduler import Scheduler
from mpirdd.roles import notices
from mpirdd.roles.current import collecting_broadcasts
from mpirdd.roles.history import History
from mpirdd.roles.memories import MemoryOfRanks
from mpirdd.roles.progress import Progress
from mpirdd.roles.rollcall import RollCall
from mpirdd.storage.codec import decode, encode, pickle_function
from mpirdd.together.broadcast import BroadcastSender
from mpirdd.words import messages
from mpirdd.words.errors import ClusterError, Failure, JobCancelled, ResultTooLarge, TaskError
from mpirdd.words.ids import BlockId, JobId, NodeId, Rank, StageId
from mpirdd.words.settings import MIB, Settings
from mpirdd.words.stage import ClosureId, Level
from mpirdd.words.transport import Frames, Transport

_log = logging.getLogger("mpirdd")
_SETTLE_S = 10.0
"""Broadcast values that are on their way get this long to arrive when the Context stops: an executor that leaves with the
program must not leave another one behind that is still sending to it."""
_UNSET = object()
_EXCHANGE_PART = 16
"""The two buffers of an exchange take at most two of these parts of the smallest budget (but 1 MiB each in any case)."""
_NONE: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks for a job, and how it can be found to be cancelled."""

    group: str | None = None
    tags: frozenset[str] = frozenset()
    properties: dict[str, str] = field(default_factory=dict)
    """Local properties of the thread that asks, for its tasks."""


_NOBODY = Request()


class _Job:
    """What the driver knows of a job besides the scheduler: the results so far, and how it ended."""

    def __init__(self, request: Request, label: str, partitions: Sequence[int]) -> None:
        self.request, self.label = request, label
        self.results: dict[int, Any] = dict.fromkeys(partitions, _UNSET)
        self.failure: Failure | None = None
        self.cancelled = False
        self.error: ResultTooLarge | None = None
        self.result_bytes = 0
        self.ended = False


class Driver:
    """Rank 0's side of the control channel.

    Args:
        transport: the network, already joined by all ranks.
        pause: called when there is nothing to do, with whether bytes are moving; lets time pass, or the
            executors of this process take a step. Must stand being called by several threads.
        resume: called when something happened.
    """

    def __init__(
        self,
        transport: Transport,
        settings: Settings,
        *,
        folder: str,
        pause: Callable[[bool], None],
        resume: Callable[[], None],
    ) -> None:
        self.settings = settings
        self.memory = MemoryOfRanks()
        self.costs: Counter[str] = Counter()
        """What files cost the executors so far, and the seconds of tasks and exchanges."""
        self.history = History()
        self._transport = transport
        self._pause, self._resume = pause, resume
        self._scheduler = Scheduler(
            range(1, transport.size), task_retries=settings.task_retries, speculation=settings.speculation,
            most_losses=settings.most_losses)
        self._roll = RollCall(transport, settings, self._scheduler.executors, self._send)
        self.hosts, self.pids = self._roll.hosts, self._roll.pids
        self._scheduler.hosts = self.hosts
        self._jobs: dict[JobId, _Job] = {}
        self._job_ids = count(1)
        self._levels: dict[NodeId, Level] = {}
        self._pickled: dict[ClosureId, bytes] = {}
        self._uses: dict[ClosureId, set[int]] = {}
        self._broadcasts = BroadcastSender(
            self._send, host=transport.host, hosts=self.hosts, shared_bytes=settings.broadcast_bytes)
        self._unreferenced_broadcasts: deque[int] = deque()
        self._sent: dict[Rank, set[ClosureId | StageId]] = {rank: set() for rank in self._scheduler.executors}
        self._barriers: dict[StageId, dict[int, tuple[Rank, str]]] = {}
        self._attempts = 0
        self._take_updates: Callable[[dict[int, Any]], None] = lambda updates: None
        self._between_turns: Callable[[], None] = lambda: None
        self._counted: set[tuple[NodeId, int]] = set()
        self._unreferenced: deque[NodeId] = deque()
        self._lock = Lock()
        self._copying: dict[int, set[Rank]] = {}
        """Exchanges under way that copy kept blocks: who has not finished yet."""
        self._progress = Progress(settings.progress)
        self._sees_folder: list[bool] = []
        for rank in self._scheduler.executors:
            self._send(rank, messages.Start(settings, folder, tuple(sys.argv)))
        while not self.pids.keys() >= set(self._scheduler.executors):
            if not self._turn():
                self._pause(self._transport.in_flight())

    @property
    def executors(self) -> list[Rank]:
        """Living executors, in the order of their ranks."""
        return self._scheduler.executors

    @property
    def everybody_sees_folder(self) -> bool:
        """The job's folder exists on the hosts of all executors."""
        return all(self._sees_folder)

    # --- what the user's layer calls ------------------------------------------------------------------------------

    def run(
        self,
        node: Node,
        partitions: Sequence[int],
        action: Callable[[int, Any], Any],
        label: str,
        request: Request = _NOBODY,
    ) -> list[Any]:
        """``action(partition, records)`` for each partition, in the order of ``partitions``.

        Raises:
            TaskError: a function raised on an executor. The driver can go on with the next job.
            UsageError: a function cannot be sent to the executors.
            JobCancelled: by ``cancel``, from another thread.
        """
        job_id, job = next(self._job_ids), _Job(request, label, partitions)
        began = monotonic()
        _log.info("job %d: %s, %d partitions", job_id, label, len(partitions))
        try:
            with self._lock:
                self._forget_unreferenced()
                self._pickle(ClosureId("action", job_id), action, label)
                self._pickle_lineage(node)
                self._jobs[job_id] = job
                self.history.job_started(job_id, request.group)
                self._act(self._scheduler.handle(events.JobSubmitted(job_id, node, list(partitions), label)))
            while not job.ended:
                self._between_turns()
                with self._lock:
                    worked = job.ended or self._turn()
                    if worked:
                        self._resume()
                        self._show_progress(job_id)
                if not worked:  # not under the lock: other threads run jobs and cancel them
                    self._pause(self._transport.in_flight())
        except BaseException:
            with self._lock:
                self._act(self._scheduler.handle(events.JobCancelled(job_id)))
            raise
        finally:
            self.history.job_ended(job_id, succeeded=job.ended and not job.cancelled and not job.error and job.failure is None)
            self._end(job_id)
        _log.info("job %d ended after %.3f s", job_id, monotonic() - began)
        if job.error is not None:
            raise job.error
        if job.cancelled:
            raise JobCancelled(f"{label} was cancelled")
        if job.failure is not None and not self._scheduler.executors:
            raise ClusterError(
                f"{label}: all executors are lost, so nothing can run any more. The lines above say which, and why.")
        if job.failure is not None:
            exception = _exception(job.failure)
            if isinstance(exception, ResultTooLarge):
                raise exception
            raise TaskError(job.failure) from exception
        return list(job.results.values())

    def cancel(self, wanted: Callable[[Request], bool]) -> None:
        """Cancel the running jobs whose request is ``wanted``; the threads that wait for them get ``JobCancelled``."""
        with self._lock:
            for job_id, job in list(self._jobs.items()):
                if not job.ended and wanted(job.request):
                    job.cancelled = job.ended = True
                    self._act(self._scheduler.handle(events.JobCancelled(job_id)))

    def broadcast(self, broadcast: int, value: Any) -> Any:
        """Keep ``value`` for tasks; it goes to the executors before the first task that uses it runs there.

        Returns:
            The value: for large arrays a read-only view of shared memory, else ``value`` itself.
        """
        with collecting_broadcasts() as inner:
            frames = encode(value, by_value=True)
        with self._lock:
            self._forget_unreferenced_broadcasts()
            shared = self._broadcasts.add(broadcast, frames, inner)
        return value if shared is None else shared

    def drop_broadcast(self, broadcast: int, *, destroy: bool, wait: bool) -> None:
        """Drop the executors' copies once no task uses them; unless destroyed, they are sent again when used.

        ``wait`` returns when that is done.
        """
        with self._lock:
            dropped = self._broadcasts.drop(broadcast, destroy=destroy)
            while not dropped and self._turn():  # executors may have told that they have it
                dropped = self._broadcasts.drop(broadcast, destroy=destroy)
        while wait and not dropped:
            self._pause(self._transport.in_flight())
            with self._lock:
                self._turn()
                dropped = self._broadcasts.drop(broadcast, destroy=destroy)

    def unreferenced_broadcast(self, broadcast: int) -> None:
        """The program has let go of the variable; it goes once no function of an RDD uses it. May be called from anywhere,
        at any time."""
        self._unreferenced_broadcasts.append(broadcast)

    def on_every_executor(self, function: Callable[[], Any]) -> None:
        """Run ``function`` once on each executor, before any task of a later job. What it raises is printed there."""
        pickled = pickle_function(function, "preparing the executors")
        with self._lock:
            self._broadcast(messages.Prepare(pickled))

    def on_updates(self, take: Callable[[dict[int, Any]], None]) -> None:
        """``take`` gets what tasks add to accumulators, exactly once for each partition of a job or shuffle."""
        self._take_updates = take

    def on_turn(self, call: Callable[[], None]) -> None:
        """``call`` is called all the time while a job runs, where it may run jobs itself or raise to end this one."""
        self._between_turns = call

    def keep(self, node: NodeId, copies: int = 1, level: Level = Level()) -> None:  # noqa: B008  (a frozen value)
        """Keep the node's partitions where they are computed from now on, and copies of them on other executors."""
        self._levels[node] = level
        self._scheduler.kept[node] = copies

    def unkeep(self, node: NodeId) -> None:
        """Drop the node's kept partitions."""
        with self._lock:
            self._scheduler.kept.pop(node, None)
            self._scheduler.have.forget_kept(node)
            self._levels.pop(node, None)
            self.memory.forget(node)
            self._broadcast(messages.Drop(kept=(node,)))

    def drop(self, kept: Iterable[NodeId], shuffles: Iterable[NodeId]) -> None:
        """Drop kept partitions of some nodes and what executors hold of some shuffles; both are made again when needed."""
        with self._lock:
            self._drop(tuple(kept), tuple(shuffles))

    def drop_unneeded(self, roots: Iterable[Node], outputs: Container[NodeId]) -> None:
        """Drop what no job over ``roots`` would read as things are: shuffles behind partitions that are all kept, and of
        ``outputs``, which are kept, those that lie behind others. Cost: the lineage between the roots and what is kept."""
        with self._lock:
            have = self._scheduler.have
            shuffles, kept = have.nodes("map") | have.nodes("in"), {node for node in have.nodes("rdd") if node in outputs}
            if not shuffles and not kept:
                return
            unfinished, whole = needed(roots, have)
            self._drop(tuple(kept - unfinished - whole), tuple(shuffles - unfinished))

    def load(self) -> dict[Rank, int]:
        """How many tasks each executor has, running or queued."""
        with self._lock:
            return self._scheduler.load()

    def adopt(self, node: Node) -> None:
        """The node takes the place of another one in a lineage that is known already."""
        with self._lock:
            self._pickle_lineage(node)

    def catch_up(self) -> None:
        """Hear what executors have told since the last job, and while no job runs, wait until copies that are on their way
        to other executors are there."""
        deadline = monotonic() + _SETTLE_S
        while True:
            with self._lock:
                worked = self._turn()
                waiting = self._copying and not self._jobs and monotonic() < deadline
            if worked:
                self._resume()
            elif not waiting:
                return
            else:
                self._pause(self._transport.in_flight())

    def unreferenced(self, node: NodeId) -> None:
        """No handle refers to the node; its blocks go before the next job. May be called from anywhere, at any time."""
        self._unreferenced.append(node)

    def stop(self) -> None:
        """Let the executors forget this Context; they wait for another one."""
        deadline = monotonic() + _SETTLE_S
        while not self._broadcasts.settled and monotonic() < deadline:
            with self._lock:
                worked = self._turn()
            if not worked:
                self._pause(self._transport.in_flight())
        with self._lock:
            self._broadcast(messages.Reset())
            self._broadcasts.clear()
            self._progress.close()

    # --- the loop -------------------------------------------------------------------------------------------------

    def _turn(self) -> bool:
        """Handle one message if there is one; else see who is lost."""
        received = self._transport.poll()
        if received is not None:
            self._receive(*received)
            return True
        for rank in self._roll.newly_lost():
            self._lose(rank)
        return False

    def _receive(self, sender: Rank, frames: Frames) -> None:
        if not self._roll.heard(sender):
            return
        message = decode(frames)
        if isinstance(message, messages.Report):
            sizes = {block: size for block, size in message.sizes.items() if block.of in self._levels}
            self.memory.reported(sender, sizes, message.used_bytes)
            self.costs.update(message.costs)
            for done in message.done:
                self._finish_task(sender, done)
            if message.gone:
                self._take_gone(sender, message.gone)
        elif isinstance(message, messages.Exchanged):
            if message.exchange in self._copying:
                self._copying[message.exchange].discard(sender)
                self._copying = {exchange: left for exchange, left in self._copying.items() if left}
            self._act(self._scheduler.handle(events.ExchangeFinished(sender, message.exchange)))
        elif isinstance(message, messages.Failed):
            self.history.task_ended(message.stage, succeeded=False)
            self._act(self._scheduler.handle(
                events.TaskFailed(sender, message.stage, message.partition, message.failure)))
        elif isinstance(message, messages.Lacking):
            self._act(self._scheduler.handle(
                events.BlocksGone(sender, message.blocks, message.stage, (message.partition,))))
        elif isinstance(message, messages.Gone):
            self._take_gone(sender, message.blocks)
        elif isinstance(message, messages.AtBarrier):
            self._meet(sender, message)
        elif isinstance(message, messages.Alive):
            if message.stage is not None:
                self._act(self._scheduler.handle(
                    events.TaskRunning(sender, message.stage, message.partition, message.seconds)))
        elif isinstance(message, messages.BroadcastArrived | messages.BroadcastRefused):
            self._broadcasts.receive(sender, message)
        elif isinstance(message, messages.Printed):
            self._progress.write("".join(f"[rank {sender}] {line}\n" for line in message.lines))
        elif isinstance(message, messages.Started):
            self._roll.joined(sender, message.host, message.pid)
            self.memory.limit_bytes[sender] = message.memory_bytes
            self._sees_folder.append(message.sees_folder)

    def _finish_task(self, sender: Rank, done: messages.Done) -> None:
        self.history.task_ended(done.stage, succeeded=True)
        output = self._scheduler.output_of(done.stage)
        if output is None:
            pass  # of a job that has ended
        elif output.kind == "map":
            if done.updates and (output.of, done.partition) not in self._counted:
                self._counted.add((output.of, done.partition))
                self._take_updates(decode(done.updates))
        elif (results := self._jobs[output.of].results)[done.partition] is _UNSET:
            job = self._jobs[output.of]
            job.result_bytes += sum(map(len, done.result))
            if 0 < self.settings.max_result_bytes < job.result_bytes:
                self._refuse_results(output.of, job)
                return
            results[done.partition] = decode(done.result)
            if done.updates:
                self._take_updates(decode(done.updates))
        self._act(self._scheduler.handle(
            events.TaskFinished(sender, done.stage, done.partition, done.made, done.seconds)))
        self._check_barrier(done.stage)

    def _take_gone(self, sender: Rank, blocks: tuple[BlockId, ...]) -> None:
        self.memory.gone(sender, blocks)
        self._act(self._scheduler.handle(events.BlocksGone(sender, blocks)))

    def _refuse_results(self, job_id: JobId, job: _Job) -> None:
        """End a job whose results are more than the driver takes."""
        job.error = ResultTooLarge.of_a_job(job.result_bytes, self.settings.max_result_bytes, job.label)
        job.ended = True
        job.results.clear()
        self._act(self._scheduler.handle(events.JobCancelled(job_id)))

    def _meet(self, sender: Rank, message: messages.AtBarrier) -> None:
        """Let the tasks of a barrier stage go on once all of them are there."""
        there = self._barriers.setdefault(message.stage, {})
        there[message.partition] = sender, message.message
        if len(there) == self._scheduler.tasks_of(message.stage):
            del self._barriers[message.stage]
            said = tuple(text for _, (_, text) in sorted(there.items()))
            for rank, _ in there.values():
                self._send(rank, messages.BarrierPassed(message.stage, said))
        self._check_barrier(message.stage)

    def _check_barrier(self, stage: StageId) -> None:
        """End the wait of tasks at a barrier for one that has ended, and will not come."""
        waiting, output = self._barriers.get(stage), self._scheduler.output_of(stage)
        wanting = self._scheduler.jobs_wanting(output) if waiting and output is not None else []
        if not waiting or not wanting or not self._scheduler.finished_of(stage):
            return
        partition, (rank, _) = min(waiting.items())
        summary = ("UsageError: this task waits at a barrier, but another task of its stage has ended without coming there. All "
                   "tasks of a barrier stage must call barrier() and allGather() equally often: do not leave them out in some "
                   "partitions, and do not unite or coalesce barrier RDDs with others before a shuffle.")
        label = self._jobs[wanting[0]].label
        failure = Failure(summary, "", rank, self.hosts[rank], label, partition, None)
        self._act(self._scheduler.handle(events.TaskFailed(rank, stage, partition, failure)))

    # --- losses -----------------------------------------------------------------------------------------------------

    def _lose(self, rank: Rank) -> None:
        """The others go on without it."""
        self._sent.pop(rank, None)
        self._broadcasts.executor_lost(rank)
        self.memory.lose(rank)
        self._copying.clear()  # a loss voids all exchanges
        for there in self._barriers.values():
            for partition in [partition for partition, (waiting, _) in there.items() if waiting == rank]:
                del there[partition]
        self._act(self._scheduler.handle(events.ExecutorLost(rank)))

    def _regroup(self, command: events.Regroup) -> None:
        """Nobody waits for anybody: messages of the new epoch wait for whoever has not read of it yet."""
        for rank in command.executors:
            self._send(rank, messages.Regroup(command.epoch, command.executors, tuple(self._roll.lost)))

    # --- acting on commands -----------------------------------------------------------------------------------------

    def _act(self, commands: list[events.Command]) -> None:
        for command in commands:
            if isinstance(command, events.StartTasks):
                self._start_tasks(command)
            elif isinstance(command, events.StartExchange):
                self._start_exchange(command)
            elif isinstance(command, events.CancelStage):
                self._send(command.executor, messages.CancelStage(command.stage))
            elif isinstance(command, events.CancelTask):
                self._send(command.executor, messages.CancelTask(command.stage, command.partition))
            elif isinstance(command, events.Regroup):
                self._regroup(command)
            elif isinstance(command, events.Recovering):
                left, why = len(self._scheduler.executors), self._roll.lost[command.lost]
                self._progress.write(notices.of_loss(command, why, self.hosts, left))
            elif isinstance(command, events.TaskSlow):
                self._progress.write(notices.of_slow_task(command, self.hosts))
            elif isinstance(command, events.DropBlocks):
                self._send(command.executor, messages.Drop(blocks=command.blocks))
            elif isinstance(command, events.CloseStage):
                self._close_stage(command.stage)
            elif isinstance(command, events.JobEnded) and command.job in self._jobs:
                job = self._jobs[command.job]
                job.failure, job.ended = command.failure, True

    def _start_tasks(self, command: events.StartTasks) -> None:
        stage, sent = command.stage, self._sent[command.executor]
        _log.debug("stage %d (%s): %d tasks to rank %d", stage.id, stage.label, len(command.tasks), command.executor)
        wanting = self._scheduler.jobs_wanting(stage.output)
        self.history.tasks_started(
            stage.id, stage.label, self._scheduler.tasks_of(stage.id), len(command.tasks), wanting)
        broadcasts = self._provide_broadcasts(command)
        new = [closure for closure in dict.fromkeys(stage.closures()) if closure not in sent]
        if new:
            self._send(command.executor, messages.Closures(tuple((c, self._pickled[c]) for c in new)))
            sent.update(new)
        if stage.id not in sent:
            properties = self._jobs[wanting[0]].request.properties if wanting else {}
            levels = {node: self._levels[node] for node, pipe in stage.pipes.items() if pipe.keep and node in self._levels}
            self._send(command.executor, messages.OpenStage(stage, properties, broadcasts, levels))
            sent.add(stage.id)
        splits = {}
        for task in command.tasks:
            for node, index in task.splits:
                source = command.nodes[node]
                assert isinstance(source, Source)
                splits[node, index] = source.splits[index]
        hosts = tuple(self.hosts[rank] for rank in self._scheduler.executors[: command.barrier])
        message = messages.RunTasks(stage.id, tuple(task.partition for task in command.tasks), self._attempts, hosts, splits)
        self._attempts += len(command.tasks)
        self._transport.send(command.executor, encode(message, by_value=True))

    def _provide_broadcasts(self, command: events.StartTasks) -> dict[int, int]:
        """Send what the stage's functions use and the executor does not have; gives the copies to wait for."""
        if not self._uses:
            return {}
        stage = command.stage
        used = set().union(*[self._uses.get(closure, _NONE) for closure in stage.closures()])
        return self._broadcasts.provide(used, stage.id, command.executor)

    def _start_exchange(self, command: events.StartExchange) -> None:
        buffer_bytes = min(self.settings.exchange_bytes, self.memory.least_bytes() // _EXCHANGE_PART)
        buffer_bytes = max(buffer_bytes, min(self.settings.exchange_bytes, MIB))
        _log.debug("exchange %d among %d executors", command.exchange, len(command.executors))
        nodes = {block.of for copies in command.copies.values() for block, _ in copies}
        levels = {node: self._levels[node] for node in nodes if node in self._levels}
        if nodes:
            self._copying[command.exchange] = set(command.executors)
        for rank in command.executors:
            self._send(rank, messages.Exchange(
                command.exchange, command.shuffle, command.maps.get(rank, ()), command.owners, command.copies.get(rank, ()),
                buffer_bytes, levels))

    def _close_stage(self, stage: StageId) -> None:
        self._barriers.pop(stage, None)
        self.history.stage_closed(stage)
        self._broadcasts.stage_closed(stage)
        for rank, sent in self._sent.items():
            if stage in sent:
                sent.discard(stage)
                self._send(rank, messages.Drop(stages=(stage,)))

    def _end(self, job_id: JobId) -> None:
        closure = ClosureId("action", job_id)
        with self._lock:
            self._progress.done()
            self._jobs.pop(job_id, None)
            self._pickled.pop(closure, None)
            self._uses.pop(closure, None)
            for rank, sent in self._sent.items():
                if closure in sent:
                    sent.discard(closure)
                    self._send(rank, messages.Drop(closures=(closure,)))

    def _pickle_lineage(self, target: Node) -> None:
        """Pickle the functions of new nodes now, so that an error names the operation before anything runs."""
        known = self._pickled
        for node in list(walk(target, stop=lambda node: ClosureId("step", node.id) in known)):
            step = ClosureId("step", node.id)
            if step in known:
                continue
            if isinstance(node, Shuffled):
                self._pickle(ClosureId("scatter", node.id), node.scatter, node.label)
                self._pickle(step, node.gather, node.label)
            elif isinstance(node, Source):
                self._pickle(step, node.reader, node.label)
            elif isinstance(node, Narrow):
                self._pickle(step, node.step, node.label)

    def _pickle(self, closure: ClosureId, function: Any, label: str) -> None:
        with collecting_broadcasts() as used:
            self._pickled[closure] = pickle_function(function, label)
        if used:
            self._uses[closure] = used

    def _forget_unreferenced(self) -> None:
        nodes = [self._unreferenced.popleft() for _ in range(len(self._unreferenced))]
        if nodes:
            self._forget_nodes(nodes)
        self._forget_unreferenced_broadcasts()

    def _forget_unreferenced_broadcasts(self) -> None:
        if self._unreferenced_broadcasts:
            waiting = self._unreferenced_broadcasts
            gone = {waiting.popleft() for _ in range(len(waiting))}
            waiting.extend(self._broadcasts.drop_unused(gone, set().union(*self._uses.values())))

    def _forget_nodes(self, nodes: list[NodeId]) -> None:
        if self._counted:
            gone = set(nodes)
            self._counted = {counted for counted in self._counted if counted[0] not in gone}
        for node in nodes:
            self._scheduler.forget(node)
            self._levels.pop(node, None)
            self.memory.forget(node)
            for closure in (ClosureId("step", node), ClosureId("scatter", node)):
                self._pickled.pop(closure, None)
                self._uses.pop(closure, None)
                for sent in self._sent.values():
                    sent.discard(closure)
        self._broadcast(messages.Drop(nodes=tuple(nodes)))

    def _drop(self, kept: tuple[NodeId, ...], shuffles: tuple[NodeId, ...]) -> None:
        for node in kept:
            self._scheduler.have.forget_kept(node)
            self.memory.forget(node)
        for shuffle in shuffles:
            self._scheduler.forget_shuffle(shuffle)
        if kept or shuffles:
            self._broadcast(messages.Drop(kept=kept, shuffles=shuffles))

    def _show_progress(self, job_id: JobId) -> None:
        if self._progress.due():
            self._progress.show(self._scheduler.progress(job_id))

    def _broadcast(self, message: Any) -> None:
        for rank in self._scheduler.executors:
            self._send(rank, message)

    def _send(self, rank: Rank, message: Any) -> None:
        self._transport.send(rank, encode(message))


def _exception(failure: Failure) -> BaseException | None:
    """The user's exception, where it can be loaded here."""
    if failure.exception is None:
        return None
    try:
        exception = pickle.loads(failure.exception)
    except Exception:
        return None
    return exception if isinstance(exception, BaseException) else None

