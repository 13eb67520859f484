"""The executor: keeps blocks, runs tasks, takes part in exchanges, tells the driver. Knows nothing of RDDs.

One loop, ``step``: look at the control channel; if an exchange is under way, move it on; else run one task. A step
never waits, so the same executor runs in a rank of its own or inside the driver's process (a world of one rank, tests).
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import traceback
from collections import defaultdict, deque
from collections.abc import Callable, Generator
from contextlib import suppress
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple

from mpirdd.roles.console import Lines
from mpirdd.roles.current import CurrentTask
from mpirdd.roles.interrupt import Interrupted, Interrupts
from mpirdd.roles.task import BlocksMissing, run_task
from mpirdd.roles.waiting import Waiting
from mpirdd.storage.blocks import BlockStore, Bucket
from mpirdd.storage.codec import decode, encode, inside
from mpirdd.storage.memory import Memory, resident_bytes, reuse_freed_memory
from mpirdd.storage.scratch import Scratch
from mpirdd.storage.workspace import Workspace
from mpirdd.together.broadcast import BroadcastReceiver
from mpirdd.together.exchange import Parcel, exchange
from mpirdd.words import messages
from mpirdd.words.errors import ClusterError, Failure, InternalError, ResultTooLarge, UsageError
from mpirdd.words.ids import BlockId, NodeId, Rank, StageId
from mpirdd.words.settings import Settings
from mpirdd.words.stage import ClosureId
from mpirdd.words.transport import EpochOver, Frames, Transport

_DRIVER: Rank = 0
_EMPTY = -1
"""The source of a parcel that only says that its block is empty."""
_BUDGET_BYTES = 1 << 30
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class DriverLost(Exception):
    """The driver has died, and the run with it."""


class Executor:
    """One rank's executor. Call ``step`` until ``stopped``; pause when it returns False."""

    def __init__(
        self, transport: Transport, interrupts: Interrupts | None = None, *, allotted_bytes: int = _BUDGET_BYTES
    ) -> None:
        self.stopped = False
        self._transport = transport
        self._interrupts = interrupts or Interrupts(transport)
        self._settings = Settings()
        self._allotted_bytes = allotted_bytes
        self._scratch = Scratch()
        self._store = BlockStore(Memory(allotted_bytes), self._scratch)
        self._workspace = Workspace(self._store.memory, self._scratch)
        self._stages: dict[StageId, messages.OpenStage] = {}
        self._broadcasts = BroadcastReceiver(transport.rank, self._send, lambda nbytes: self._store.memory.reserve(nbytes))
        self._closures: dict[ClosureId, Callable[..., Any]] = {}
        self._tasks: deque[_Task] = deque()
        self._waiting_messages: deque[tuple[int, Frames]] = deque()
        self._exchanges: deque[tuple[messages.Exchange, dict[Rank, list[Parcel]] | None]] = deque()
        self._exchange: Generator[int, None, None] | None = None
        self._round = 0
        self._done: list[messages.Done] = []
        self._printed: list[str] = []
        self._last_report = 0.0
        self._hosted = interrupts is None
        self._lines = Lines(self._printed.append, shared=self._hosted)
        self._handlers: dict[type, Callable[[Any], None]] = {
            messages.Start: self._start,
            messages.Closures: self._keep_closures,
            **self._broadcasts.handlers,
            messages.Prepare: self._prepare,
            messages.OpenStage: self._open_stage,
            messages.RunTasks: self._queue_tasks,
            messages.CancelTask: self._cancel_task,
            messages.CancelStage: self._cancel_stage,
            messages.Exchange: self._queue_exchange,
            messages.Regroup: self._regroup,
            messages.Ping: self._answer,
            messages.EndProcess: self._end_process,
            messages.Drop: self._drop,
            messages.Reset: self._reset,
            messages.Stop: self._stop,
        }

    def busy(self) -> bool:
        """Bytes are moving to or from this rank, so it should not sleep for long."""
        return self._round > 0 or self._transport.in_flight()

    def step(self) -> bool:
        """Do one thing; False when there is nothing to do but wait.

        Raises:
            DriverLost: nobody will ever ask for anything again.
        """
        received = self._waiting_messages.popleft() if self._waiting_messages else self._interrupts.poll()
        if received is not None:
            message = decode(received[1])
            if isinstance(message, messages.Start) and self._exchanges:
                self._waiting_messages.appendleft(received)  # first finish what the Context before left under way
                return self._move_exchange()
            self._handlers[type(message)](message)
            return True
        if self._exchanges:
            return self._move_exchange()
        task = self._next_task()
        if task is not None:
            self._run_task(task)
            return True
        if _DRIVER in self._transport.lost():
            raise DriverLost
        if self._done:
            self._report()
        return False

    # --- messages from the driver ---------------------------------------------------------------------------------

    def _start(self, message: messages.Start) -> None:
        self._settings = message.settings
        self._set_up_storage()
        sys.argv = list(message.argv)
        sees_folder = os.path.isdir(message.folder)
        if sees_folder and message.folder not in sys.path:
            sys.path.insert(0, message.folder)
        self._tell(messages.Started(self._transport.host, sees_folder, os.getpid(), self._store.memory.limit_bytes))

    def _set_up_storage(self) -> None:
        """Make an empty store in the budget that the settings give. Only a process of its own watches its resident size:
        that of the program's holds what the program holds."""
        self._clear_storage()
        budget = self._settings.memory or self._allotted_bytes
        if not self._hosted:
            reuse_freed_memory(budget)
        self._scratch = Scratch(self._settings.scratch)
        self._store = BlockStore(Memory(budget, None if self._hosted else resident_bytes), self._scratch,
                                 through_files=self._settings.mode == "mapreduce")
        self._workspace = Workspace(self._store.memory, self._scratch)

    def _clear_storage(self) -> None:
        self._store.clear()
        self._scratch.remove()

    def _keep_closures(self, message: messages.Closures) -> None:
        for closure, pickled in message.pickled:
            try:
                self._closures[closure] = pickle.loads(pickled)
            except Exception as error:  # a module that is not installed here, say: tell it when a task needs it
                self._closures[closure] = _Unloadable(f"{type(error).__name__}: {error}")

    def _prepare(self, message: messages.Prepare) -> None:
        try:
            with self._lines:
                pickle.loads(message.pickled)()
        except Exception as error:  # the tasks that need it will fail, and this line says why
            self._printed += traceback.format_exception_only(error)[-1].splitlines()
        self._report()

    def _open_stage(self, message: messages.OpenStage) -> None:
        self._stages[message.stage.id] = message

    def _queue_tasks(self, message: messages.RunTasks) -> None:
        for attempt, partition in enumerate(message.partitions, message.first_attempt):
            self._tasks.append(_Task(message.stage, partition, attempt, message.barrier, message.splits))

    def _cancel_task(self, message: messages.CancelTask) -> None:
        wanted = [task for task in self._tasks if (task.stage, task.partition) != (message.stage, message.partition)]
        self._tasks.clear()
        self._tasks.extend(wanted)

    def _cancel_stage(self, message: messages.CancelStage) -> None:
        kept = [task for task in self._tasks if task.stage != message.stage]
        self._tasks.clear()
        self._tasks.extend(kept)
        self._stages.pop(message.stage, None)

    def _drop(self, message: messages.Drop) -> None:
        for block in message.blocks:
            self._store.drop(block)
        for node in message.nodes:
            self._store.drop_node(node)
            self._closures.pop(ClosureId("step", node), None)
            self._closures.pop(ClosureId("scatter", node), None)
        for node in message.kept:
            self._store.drop_node(node, kinds=("rdd",))
        for node in message.shuffles:
            self._store.drop_node(node, kinds=("map", "in"))
        for closure in message.closures:
            self._closures.pop(closure, None)
        for stage in message.stages:
            self._stages.pop(stage, None)
        self._broadcasts.drop(message.broadcasts)

    def _reset(self, message: messages.Reset) -> None:
        self._clear_storage()
        self._stages.clear()
        self._closures.clear()
        self._broadcasts.clear()
        self._tasks.clear()
        self._done.clear()

    def _stop(self, message: messages.Stop) -> None:
        self._clear_storage()
        self.stopped = True

    def _answer(self, message: messages.Ping) -> None:
        self._tell(messages.Alive(None, 0, 0.0))

    def _end_process(self, message: messages.EndProcess) -> None:
        with suppress(ProcessLookupError):
            os.kill(message.pid, signal.SIGKILL)

    # --- tasks ----------------------------------------------------------------------------------------------------

    def _next_task(self) -> _Task | None:
        """The first one whose broadcast variables are here."""
        for place, task in enumerate(self._tasks):
            if self._broadcasts.has(self._stages[task.stage].broadcasts.values()):
                del self._tasks[place]
                return task
        return None

    def _run_task(self, started: _Task) -> None:
        stage_id, partition, attempt, barrier, splits = started
        opened = self._stages[stage_id]
        stage = opened.stage
        broadcast = partial(self._broadcast_value, opened.broadcasts)
        task = CurrentTask(stage_id, partition, attempt, opened.properties, None, barrier, broadcast, workspace=self._workspace)
        began, counted_s = perf_counter(), self._scratch.costs.counted_s
        if barrier:
            task.barrier = partial(self._wait_at_barrier, stage_id, partition, len(barrier))
        try:
            with self._lines, task:
                self._interrupts.begin(stage_id, partition)
                try:
                    outcome = run_task(stage, partition, store=self._store, closures=self._closures, splits=splits,
                                       workspace=task.workspace, levels=opened.levels)
                    result = [] if stage.output.kind == "map" else self._result(outcome.result, stage.label)
                    updates = inside(encode(task.updates)) if task.updates else []
                finally:
                    self._interrupts.end()
                    task.workspace.close()
                    self._store.end_task()
            seconds = perf_counter() - began
            self._scratch.costs.add_task(began, counted_s)
            self._done.append(messages.Done(stage_id, partition, tuple(outcome.made), seconds, result, updates))
        except DriverLost:
            raise
        except Interrupted:  # the driver does not wait for it any more
            self._store.memory.recount()
        except BlocksMissing as missing:
            self._tell(messages.Lacking(stage_id, partition, missing.blocks))
        except BaseException as error:
            if self._hosted and isinstance(error, KeyboardInterrupt):
                raise  # Ctrl-C at the program, which happens to run this task
            self._store.drop_failed()
            self._report()
            self._tell(messages.Failed(stage_id, partition, self._failure(error, stage.label, partition)))
        if not self._tasks or perf_counter() - self._last_report > self._settings.report_interval_s:
            self._report()

    def _result(self, value: Any, label: str) -> list[Any]:
        """Encoded; UsageError when it is more than the driver is to get."""
        frames = encode(value)
        limit = self._settings.max_result_bytes
        size = sum(map(len, frames))
        if 0 < limit < size:
            raise ResultTooLarge.of_a_task(size, limit, label)
        return inside(frames)

    def _wait_at_barrier(self, stage: StageId, partition: int, tasks: int, message: str) -> tuple[str, ...]:
        """Called by a task. Other messages wait until the task is done; a cancellation ends it."""
        if tasks == 1:
            return (message,)
        self._report()
        self._tell(messages.AtBarrier(stage, partition, message))
        waiting = Waiting(spin_s=self._settings.spin_s, poll_sleep_s=self._settings.poll_sleep_s)
        while True:
            received = self._interrupts.poll()
            if received is None:
                if _DRIVER in self._transport.lost():
                    raise DriverLost
                waiting.pause()
                continue
            answer = decode(received[1])
            if isinstance(answer, messages.Ping):
                self._answer(answer)
                continue
            if isinstance(answer, messages.BarrierPassed) and answer.stage == stage:
                return answer.said
            if type(answer) in self._broadcasts.handlers:  # other tasks may wait for this rank to pass it on
                self._handlers[type(answer)](answer)
                continue
            self._waiting_messages.append(received)
            cancelled = isinstance(answer, messages.CancelStage) and answer.stage == stage
            if cancelled or answer == messages.CancelTask(stage, partition):
                raise Interrupted

    def _broadcast_value(self, copies: dict[int, int], broadcast: int) -> Any:
        """``copies``: of the broadcast variables that the stage uses."""
        if broadcast not in copies:
            raise UsageError(
                f"broadcast variable {broadcast} has been destroyed; or it came here with the data, where only functions "
                "bring their variables along"
            )
        return self._broadcasts.value(copies[broadcast])

    def _report(self) -> None:
        """Send what has gathered: lines first, so that a task's output comes before its result."""
        self._last_report = perf_counter()
        if self._printed:
            self._tell(messages.Printed(tuple(self._printed)))
            self._printed.clear()
        sizes, gone = self._store.take_changes()
        if self._done or sizes or gone:
            self._tell(messages.Report(tuple(self._done), sizes, self._store.memory.used_bytes, gone,
                                       self._scratch.costs.take()))
            self._done.clear()

    def _failure(self, error: BaseException, stage: str, partition: int) -> Failure:
        summary = "".join(traceback.format_exception_only(error)).strip()
        # An error of ours about the user's call says all there is to say; frames of the engine would bury it.
        lines = "" if isinstance(error, UsageError | ClusterError) else _users_traceback(error)
        return Failure(
            summary, lines, self._transport.rank, self._transport.host, stage, partition, _pickled_exception(error)
        )

    # --- exchanges ------------------------------------------------------------------------------------------------

    def _move_exchange(self) -> bool:
        """Go on with the exchange under way, or begin the next one."""
        if self._exchange is None:
            self._exchange = self._run_exchange(*self._exchanges[0])
        before = self._round
        try:
            self._round = next(self._exchange)
        except StopIteration:
            self._exchange, self._round = None, 0
            self._exchanges.popleft()
            return True
        except EpochOver:
            self._leave_exchanges()  # the driver learns of the loss as well, and will tell how to go on
            return True
        return self._round != before

    def _leave_exchanges(self) -> None:
        if not self._transport.recovers:
            raise ClusterError("another rank is lost in the middle of an exchange, and this MPI cannot go on without it")
        if self._exchange is not None:
            self._exchange.close()
        self._exchange, self._round = None, 0
        self._exchanges.clear()
        self._store.abandon_arrivals()

    def _regroup(self, message: messages.Regroup) -> None:
        for rank in message.lost:
            self._transport.declare_lost(rank)
        if self._exchanges:
            self._leave_exchanges()
        self._transport.regroup(message.epoch, message.members)

    def _run_exchange(
        self, message: messages.Exchange, parcels: dict[Rank, list[Parcel]] | None
    ) -> Generator[int, None, None]:
        group = self._transport.group()
        if group is None:
            raise InternalError("an exchange on a rank that is no executor")
        for partition in message.owners.get(self._transport.rank, ()):
            assert message.shuffle is not None
            self._store.expect(BlockId("in", message.shuffle, partition))
        self._store.levels_of_copies = message.levels
        began, counted_s = perf_counter(), self._scratch.costs.counted_s
        whole = yield from exchange(
            group, parcels, self._deliver, message.buffer_bytes, self._store.memory.take)
        self._scratch.costs.add_rest("exchange_s", began, counted_s)  # tasks run meanwhile, and files are read and written
        if whole:
            self._store.complete_arrivals()
        else:
            self._store.abandon_arrivals()
        self._report()
        self._tell(messages.Exchanged(message.exchange))

    def _queue_exchange(self, message: messages.Exchange) -> None:
        """Take up what is to be sent now, in the order of the messages: a later one may drop it from the store."""
        parcels: defaultdict[Rank, list[Parcel]] = defaultdict(list)
        gone: list[BlockId] = []
        maps = [BlockId("map", message.shuffle, task) for task in message.maps if message.shuffle is not None]
        wanted = {rank: [BlockId("in", block.of, partition) for partition in partitions]
                  for block in maps[:1] for rank, partitions in message.owners.items()}
        for block in maps:
            if block not in self._store:
                gone.append(block)
                continue
            for pack in self._store.packs(block):
                for rank, ins in wanted.items():
                    parcels[rank] += [Parcel(to, block.part, Bucket(pack, to.part)) for to in ins if pack.has(to.part)]
        for block, rank in message.copies:
            if block in self._store:
                pieces = [Parcel(block, source, frames) for source, frames in self._store.parcels(block)]
                parcels[rank] += pieces or [Parcel(block, _EMPTY, [b""])]
            else:
                gone.append(block)
        if gone:
            self._tell(messages.Gone(tuple(gone)))
        lacking = any(block.kind == "map" for block in gone)
        self._exchanges.append((message, None if lacking else parcels))

    def _deliver(self, parcel: Parcel) -> None:
        if parcel.source == _EMPTY:
            self._store.expect(parcel.block)
        else:
            self._store.arrive(parcel.block, parcel.source, parcel.frames)  # type: ignore[arg-type]  # ours, or in memory

    def _tell(self, message: Any) -> None:
        self._send(_DRIVER, message)

    def _send(self, rank: Rank, message: Any) -> None:
        self._transport.send(rank, encode(message))


class _Task(NamedTuple):
    stage: StageId
    partition: int
    attempt: int
    barrier: tuple[str, ...]
    splits: dict[tuple[NodeId, int], Any]


class _Unloadable:
    """Stands for a function that could not be loaded here; says so when it is called."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def __call__(self, *arguments: Any) -> Any:
        raise UsageError(
            f"a function of the job could not be loaded on this rank: {self._reason}. "
            "Install the module on every host, or keep it in the job's own folder."
        )


def _users_traceback(error: BaseException) -> str:
    """The traceback from the user's first frame on; empty when there is none."""
    frame = error.__traceback__
    while frame is not None and frame.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        frame = frame.tb_next
    if frame is None:  # raised by Python itself on the user's records, as sum() does for strings; or by a bug of ours
        return "".join(traceback.format_exception(type(error), error, error.__traceback__, limit=-3))
    return "".join(traceback.format_exception(type(error), error, frame))


def _pickled_exception(error: BaseException) -> bytes | None:
    try:
        pickled = encode(error)[0]
        pickle.loads(pickled)
    except Exception:
        return None
    return bytes(pickled)
