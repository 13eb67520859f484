"""Processes that a rank forks are no ranks: they must not speak for their parent.

A fork copies everything: the end of the network, the driver, the running task. A child that uses the copies takes messages
for its parent, and answers in the parent's name. So in a child, from the first moment on:

* the network and the driver of the parent are out of reach: calls to them raise an error;
* a child that a task has forked ends where the task ends, and a child of the program where the program ends. It ends as
  Python would end it: with a traceback and code 1, or with the code of ``sys.exit``. The parent notices nothing;
* the child ends with its parent at the latest, so nothing is left when the run is over. This holds for children of the main
  thread: to the kernel the parent is the thread that has forked, and another thread may end sooner.

A child that goes its own way (multiprocessing, exec) meets none of this.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any, NoReturn

from mpirdd.comm.transport import Transport
from mpirdd.executor.failures import users_traceback
from mpirdd.executor.interrupt import Interrupts
from mpirdd.executor.stacks import Offered
from mpirdd.launch.leaving import code_of, flush_files
from mpirdd.launch.status_channel import death_with_parent
from mpirdd.ops.current_task import current_task
from mpirdd.protocol.errors import UsageError

if TYPE_CHECKING:
    from mpirdd.driver.driver import Driver

TOLD = (
    "this process was forked from a rank of the run, and is no rank itself: only the process that made the Context can use it. "
    "Fork before Context(), or let the child work on plain data."
)


class ForkGuard:
    """Keeps the children that this process forks from acting as this process. One for each process."""

    def __init__(self) -> None:
        self.in_child = False
        """This process is a child that a rank has forked."""
        self._transports: list[Transport] = []
        self._drivers: list[Driver] = []
        self._interrupts: list[Interrupts] = []
        self._stacks: list[Offered] = []
        self._rank, self._by_main_thread = os.getpid(), False
        self._end_with_parent = death_with_parent()
        self._thread = threading.local()
        """``mask``: the signals that a forking thread had blocked before."""
        os.register_at_fork(before=self._before, after_in_parent=self._unblock, after_in_child=self._begin_child)

    def guard_transport(self, transport: Transport) -> None:
        """Children that call this transport get an error."""
        self._transports.append(transport)

    def guard_driver(self, driver: Driver) -> None:
        """Children that call this driver get an error."""
        self._drivers[:] = [driver]

    def guard_tasks(self, interrupts: Interrupts) -> None:
        """Children that this executor's tasks fork end where the task ends."""
        self._interrupts[:] = [interrupts]

    def guard_stacks(self, stacks: Offered) -> None:
        """Children show no stacks, and end by signals as any process does."""
        self._stacks[:] = [stacks]

    def leave(self, code: int) -> NoReturn:
        """End this child without the last steps of the interpreter: some of them are for the parent."""
        flush_files()
        os._exit(code)

    def _before(self) -> None:
        self._by_main_thread = threading.current_thread() is threading.main_thread()
        if _is_ours(signal.getsignal(signal.SIGTERM)):
            self._thread.mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def _unblock(self) -> None:
        if hasattr(self._thread, "mask"):
            signal.pthread_sigmask(signal.SIG_SETMASK, self._thread.mask)
            del self._thread.mask

    def _inherit_default_sigterm(self) -> None:
        """Let the child die of SIGTERM: a pool ends its workers this way before it waits for them. A handler in Python is not
        enough: it does not run while the child waits in C, and Python forgets signals that come right after a fork."""
        if hasattr(self._thread, "mask"):
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self._unblock()

    def _begin_child(self) -> None:
        if self.in_child:
            return  # a child of a child
        self.in_child = True
        for stacks in self._stacks:
            stacks.forget()
        self._inherit_default_sigterm()
        if self._by_main_thread:
            self._end_with_parent(signal.SIGKILL)
            if os.getppid() != self._rank:  # the parent died before the kernel knew that this child is to end with it
                os._exit(1)
        for transport in self._transports:
            transport.__class__ = _NoTransport
        for driver in self._drivers:
            driver.__class__ = _NoDriver  # type: ignore[assignment]
        for interrupts in self._interrupts:
            interrupts.__class__ = _NoInterrupts
            interrupts.end = self._end_with_task  # type: ignore[method-assign]
        if current_task() is not None:  # its output would go into the report of the task, which only the parent sends
            sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__

    def _end_with_task(self) -> NoReturn:
        """Called where the task ends, with or without an exception under way."""
        error = sys.exc_info()[1]
        if error is None:
            self.leave(0)
        if isinstance(error, SystemExit):
            self.leave(code_of(error))
        sys.stderr.write(users_traceback(error))
        self.leave(130 if isinstance(error, KeyboardInterrupt) else 1)


def _is_ours(handler: Any) -> bool:
    return str(getattr(getattr(handler, "func", handler), "__module__", "")).startswith("mpirdd.")


class _Told:
    """Has the attributes of the object it stands for, and none of its methods."""

    harmless: frozenset[str] = frozenset()
    """Methods that a child may call in passing, also as it ends: they do nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name in self.harmless:
            return _do_nothing
        raise UsageError(TOLD)


class _NoTransport(_Told):
    harmless = frozenset(("close",))


class _NoDriver(_Told):
    harmless = frozenset((
        "stop", "unkeep", "drop", "unreferenced", "unreferenced_broadcast", "drop_broadcast", "on_every_executor", "catch_up",
    ))


class _NoInterrupts(Interrupts):
    def poll(self) -> NoReturn:
        raise UsageError(TOLD)


def _do_nothing(*arguments: Any, **options: Any) -> None:
    pass

