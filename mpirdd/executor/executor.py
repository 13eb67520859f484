"""The executor: keeps blocks, runs tasks, takes part in exchanges, reports to the driver. It knows nothing of RDDs.

One loop, ``step``: look at the control channel; then advance the exchange under way, if there is one, or else run one task. A
step never waits, so the same executor runs in a rank of its own or inside the driver's process (a world of one rank, tests). A
table names the handler of each message; the handlers belong to the executor's parts.
"""

from __future__ import annotations

import os
import pickle
import signal
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from mpirdd.comm.broadcast import BroadcastReceiver
from mpirdd.comm.transport import Transport
from mpirdd.executor.barrier import BarrierWait, Received
from mpirdd.executor.closures import Closures
from mpirdd.executor.context_state import ContextState
from mpirdd.executor.exchanges import Exchanges
from mpirdd.executor.interrupt import Interrupts
from mpirdd.executor.process import HostedProcess
from mpirdd.executor.reports import Reports
from mpirdd.executor.task_queue import TaskQueue
from mpirdd.executor.task_runner import TaskRunner
from mpirdd.protocol import messages
from mpirdd.protocol.ids import DRIVER, BlockId, Rank
from mpirdd.protocol.signals import raised_by_a_handler
from mpirdd.store.codec import decode, encode

_BUDGET_BYTES = 1 << 30


class Executor:
    """One rank's executor. Call ``step`` until ``stopped``; pause when it returns False.

    Args:
        process: the process that it runs in; by default the program's.
        allotted_bytes: its memory budget if the settings give none.
    """

    def __init__(
        self,
        transport: Transport,
        interrupts: Interrupts | None = None,
        *,
        process: HostedProcess | None = None,
        allotted_bytes: int = _BUDGET_BYTES,
    ) -> None:
        self.stopped = False
        self.waits = False
        """This rank is a spare, not yet an executor."""
        self._transport = transport
        self._interrupts = interrupts or Interrupts(transport)
        self._process = process or HostedProcess()
        self._put_off: deque[Received] = deque()
        # Ending MPI during a collective has crashed ranks (MPICH). Where a collective can be left, it is left.
        self._behind_exchanges = messages.Start if transport.recovers else (messages.Start, messages.Stop)
        self._state = ContextState(self._process, allotted_bytes)
        self._closures = Closures()
        self._queue = TaskQueue()
        self._broadcasts = BroadcastReceiver(transport.rank, self._send, self._reserve)
        self._reports = Reports(self._state, self._tell, self._process.take_collecting_s)
        self._exchanges = Exchanges(transport, self._state, self._reports, self._tell)
        barrier = BarrierWait(
            self._state, self._interrupts, self._reports, self._tell,
            at_once={
                **self._broadcasts.handlers, messages.Ping: self._answer,
                messages.TellStack: self._interrupts.tell_stacks, messages.EndProcess: self._end_process},
            put_off=self._put_off)
        self._runner = TaskRunner(
            transport, self._state, self._closures, self._broadcasts, self._interrupts, self._reports, barrier,
            self._tell, self._process)
        self._handlers: dict[type, Callable[[Any], None]] = {
            messages.Start: self._start,
            messages.Join: self._join,
            messages.KeepClosures: self._closures.keep,
            **self._broadcasts.handlers,
            messages.Prepare: self._prepare,
            messages.OpenStage: self._queue.open_stage,
            messages.RunTasks: self._queue.add,
            messages.CancelTask: self._queue.cancel_task,
            messages.CancelStage: self._queue.cancel_stage,
            messages.Exchange: self._exchanges.add,
            messages.Regroup: self._exchanges.regroup,
            messages.Ping: self._answer,
            messages.TellStack: self._interrupts.tell_stacks,
            messages.EndProcess: self._end_process,
            messages.Drop: self._drop,
            messages.Reset: self._reset,
            messages.Stop: self._stop,
        }

    def busy(self) -> bool:
        """Are bytes moving to or from this rank? Then it should not sleep for long."""
        return self._exchanges.moving or self._transport.in_flight()

    @property
    def running(self) -> int:
        """The number of tasks that run now, one inside another."""
        return self._runner.depth

    def step(self) -> bool:
        """Do one thing; False if it can only wait.

        Raises:
            DriverLost: the driver is dead, so nobody will ask for anything again.
        """
        received = self._put_off.popleft() if self._put_off else self._interrupts.poll()
        if received is not None:
            message = decode(received[1])
            if self._exchanges and isinstance(message, self._behind_exchanges):
                self._put_off.appendleft(received)  # first finish exchanges that the previous Context left under way
                return self._exchanges.move()
            self._handlers[type(message)](message)
            return True
        if self._exchanges:
            return self._exchanges.move()
        task = self._queue.take(self._broadcasts.has)
        if task is not None:
            try:
                self._runner.run(task)
            except BaseException:  # from a signal handler: this thread's own job ends, but the task may be of another job
                self._queue.put_back(task)
                raise
            if self._queue:
                self._reports.send_if_due()
            else:
                self._reports.send()
            return True
        self._interrupts.check_driver()
        if self._reports.waiting:
            self._reports.send()
        return False

    def exiting(self, code: int) -> None:
        """A task has called ``os._exit``: tell the driver before the process ends, as it would only see the death."""
        with suppress(Exception):  # the rank ends in any case
            self._interrupts.last_words(messages.Exiting(code))

    def blocks(self) -> list[BlockId]:
        """The blocks held here, for observers."""
        return list(self._state.store)

    # --- messages from the driver -------------------------------------------------------------------------------------

    def _start(self, message: messages.Start) -> None:
        self._state.start(message.settings)
        self.waits = message.waits
        if message.members is not None and not self.waits:
            self._transport.regroup(message.epoch, message.members)
        sees_folder = self._process.adopt_program(message.argv, message.folder)
        if message.host not in ("", self._transport.host):
            self._process.driver_is_far()
        self._tell(messages.Started(self._transport.host, sees_folder, os.getpid(), self._state.memory.limit_bytes))

    def _join(self, message: messages.Join) -> None:
        self._state.start(self._state.settings, message.memory_bytes)
        self.waits = False

    def _prepare(self, message: messages.Prepare) -> None:
        try:
            with self._runner.output:
                pickle.loads(message.pickled)()
        except BaseException as error:  # sys.exit, too; the tasks that depend on it will fail, and this line says why
            if self._process.hosted and raised_by_a_handler(error):
                raise
            self._reports.print_lines(traceback.format_exception_only(error)[-1].splitlines())
        self._reports.send()

    def _drop(self, message: messages.Drop) -> None:
        store = self._state.store
        for block in message.blocks:
            store.drop(block)
        for node in message.nodes:
            store.drop_node(node)
        for node in message.kept:
            store.drop_node(node, kinds=("rdd",))
        for node in message.shuffles:
            store.drop_node(node, kinds=("map", "in"))
        self._closures.drop(message.closures, message.nodes)
        self._queue.close_stages(message.stages)
        self._broadcasts.drop(message.broadcasts)
        self._process.dropped(self._state.memory.kept_bytes)

    def _reset(self, message: messages.Reset) -> None:
        self._state.clear()
        self._closures.clear()
        self._broadcasts.clear()
        self._queue.clear()
        self._reports.clear()
        self._process.dropped(0)

    def _stop(self, message: messages.Stop) -> None:
        self._state.clear()
        self.stopped = True

    def _answer(self, message: messages.Ping) -> None:
        self._tell(messages.Alive(None, 0, 0.0))

    def _end_process(self, message: messages.EndProcess) -> None:
        with suppress(ProcessLookupError):
            os.kill(message.pid, signal.SIGKILL)

    # --- messages to others -------------------------------------------------------------------------------------------

    def _tell(self, message: Any) -> None:
        self._send(DRIVER, message)

    def _send(self, rank: Rank, message: Any) -> None:
        self._transport.send(rank, encode(message))

    def _reserve(self, nbytes: int) -> None:
        self._state.memory.reserve(nbytes)
