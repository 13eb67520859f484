"""Runs a queued task: prepares its surroundings before, reports its end after."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import sleep
from typing import Any

from mpirdd.comm.broadcast import BroadcastReceiver
from mpirdd.comm.transport import Transport
from mpirdd.executor.barrier import BarrierWait
from mpirdd.executor.closures import Closures
from mpirdd.executor.context_state import ContextState
from mpirdd.executor.failures import failure_of
from mpirdd.executor.interrupt import DriverLost, Interrupted, Interrupts
from mpirdd.executor.meter import Meter
from mpirdd.executor.process import HostedProcess
from mpirdd.executor.reports import Reports, Tell
from mpirdd.executor.task import BlocksMissing, run_task
from mpirdd.executor.task_output import TaskOutput
from mpirdd.executor.task_queue import QueuedTask
from mpirdd.ops.current_task import CurrentTask
from mpirdd.protocol import messages
from mpirdd.protocol.errors import ResultTooLarge, UsageError
from mpirdd.protocol.frames import Frames
from mpirdd.protocol.ids import StageId
from mpirdd.protocol.signals import raised_by_a_handler
from mpirdd.protocol.stage import VariableId
from mpirdd.store.codec import encode, inside

_ANNOUNCED_S = 0.2
"""The driver gets this much time to take a message before the rank may die, as it takes none from the dead. It polls every 10
ms."""


class TaskRunner:
    """Runs one task at a time, in the calling thread.

    If the process is the program's too, Ctrl-C is for the program, and other threads print as before.
    """

    def __init__(
        self,
        transport: Transport,
        state: ContextState,
        closures: Closures,
        broadcasts: BroadcastReceiver,
        interrupts: Interrupts,
        reports: Reports,
        barrier: BarrierWait,
        tell: Tell,
        process: HostedProcess,
    ) -> None:
        self._transport, self._state, self._closures, self._broadcasts = transport, state, closures, broadcasts
        self._interrupts, self._reports, self._barrier, self._tell = interrupts, reports, barrier, tell
        self._process = process
        self.depth = 0
        """The number of running tasks: more than one if a signal handler of the program has interrupted a task and runs a job."""
        self.output = TaskOutput(reports.print_line, shared=process.hosted)
        """Catches the output of tasks."""

    def run(self, queued: QueuedTask) -> None:
        """Run the task, and report its end to the driver, whatever happens.

        Raises:
            DriverLost: the driver has died while the task waited for others.
            BaseException: raised by a signal handler of the program (such as Ctrl-C), if the program's process runs the task.
        """
        stage, partition = queued.stage.stage, queued.partition
        if queued.suspect:
            self._announce(stage.id, partition)
        try:
            began_s, done = self._finish(queued)
            self._reports.finished(done, began_s)
        except DriverLost:
            raise
        except Interrupted:  # the driver no longer waits for the task
            if not self.depth:  # a task around this one still has its claims
                self._state.memory.recount()
        except BlocksMissing as missing:
            self._tell(messages.Gone(missing.blocks, stage.id, (partition,)))
        except BaseException as error:  # sys.exit and the like in the user's function end the task, not the executor
            self._state.store.drop_failed()
            if self._process.hosted and raised_by_a_handler(error):
                raise
            self._reports.send()
            self._tell(messages.Failed(stage.id, partition, failure_of(
                error, rank=self._transport.rank, host=self._transport.host, stage=stage.label, partition=partition)))

    def _announce(self, stage: StageId, partition: int) -> None:
        """Tell the driver that a suspect begins: the task may have ended another executor, and may end this one."""
        self._reports.send()
        self._tell(messages.Alive(stage, partition, 0.0))
        sleep(_ANNOUNCED_S)

    def _finish(self, queued: QueuedTask) -> tuple[float, messages.Done]:
        """Run the task; return when it began, and the report of its end."""
        stage, partition = queued.stage.stage, queued.partition
        if queued.stage.broadcasts:
            self._closures.keep_broadcast(queued.stage.broadcasts, self._broadcasts.value)
        task = self._surroundings(queued)
        if self._reports.stage not in (None, stage.id):
            self._reports.send()
        meter = Meter(self._state.costs, task.memory, queued.stage.detail_s, self._process)
        depth = self.depth
        if not depth:
            self._process.begin_task(stage.label, partition)
        with self.output, task:
            try:
                self._interrupts.begin(stage.id, partition)  # inside: an interruption may come at once
                self.depth = depth + 1
                outcome = run_task(
                    stage, partition, store=self._state.store, closures=self._closures, splits=queued.splits,
                    memory=task.memory, levels=queued.stage.levels, profiled=self._state.settings.profile)
                result = [] if stage.output.kind == "map" else self._encoded_result(outcome.result, stage.label)
                updates = inside(encode(task.updates)) if task.updates else []
            finally:
                try:
                    self._interrupts.end()
                except Interrupted:  # too late: the task has ended
                    self._interrupts.end()
                task.memory.close()
                self.depth = depth
                if not depth:
                    self._state.store.kept.end_task()
                    self._process.end_task(self._state.memory.kept_bytes)
        seconds, figures = meter.end(task.memory, self._process, queued.tried)
        return meter.began, messages.Done(stage.id, partition, tuple(outcome.made), seconds, result, updates, figures)

    def _surroundings(self, queued: QueuedTask) -> CurrentTask:
        opened, stage = queued.stage, queued.stage.stage.id
        barrier: Callable[[str], tuple[str, ...]] | None = None
        if queued.barrier:
            barrier = partial(self._barrier.wait, stage, queued.partition, len(queued.barrier))
        memory = self._state.own_task_memory() if self.depth else self._state.task_memory
        return CurrentTask(
            stage, queued.partition, queued.attempt, opened.properties, barrier, queued.barrier,
            partial(self._broadcast_value, opened.broadcasts), memory=memory, tried=queued.tried)

    def _broadcast_value(self, versions: dict[VariableId, int], broadcast: int) -> Any:
        """The value of a broadcast variable. ``versions``: of the variables that the stage uses."""
        if broadcast not in versions:
            raise UsageError(
                f"broadcast variable {broadcast} has been destroyed, or it came here with the data: only functions "
                "bring their broadcast variables along"
            )
        return self._broadcasts.value(versions[broadcast])

    def _encoded_result(self, value: Any, label: str) -> Frames:
        """The result as frames. Raises ResultTooLarge if it exceeds the driver's limit."""
        frames = encode(value)
        limit = self._state.settings.max_result_bytes
        size = sum(map(len, frames))
        self._state.costs.note("result_bytes", size)
        if value.__class__ is list:
            self._state.costs.note("records_out", len(value))
        if 0 < limit < size:
            raise ResultTooLarge.of_a_task(size, limit, label)
        return inside(frames)
