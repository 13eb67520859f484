"""How a rank ends: through C's exit, at once, or by the program's ``os._exit``; and the steps before that."""

from __future__ import annotations

import atexit
import fcntl
import gc
import io
import os
import signal
import stat
import sys
from collections.abc import Callable
from contextlib import suppress
from threading import Timer
from typing import NoReturn

from mpirdd.launch.status_channel import DRIVER_LOST

_AT_EXIT_S = 2.0
"""An executor gives the functions that tasks have registered with ``atexit`` this long."""


class Leaving:
    """The ways out of this process. One for each process, as it may replace ``os._exit``."""

    def __init__(self) -> None:
        self._exit_at_once = os._exit
        self.tell_launcher: Callable[[int], object] | None = None
        """If ``mpirdd run`` has started the run: called first at an abrupt exit, with its code."""

    def with_a_lost_driver(self) -> NoReturn:
        """End at once, as the driver has died. The command that started the run reports it."""
        self._exit_at_once(DRIVER_LOST)

    def by_c_exit(self) -> NoReturn:
        """End with code 0 through C's own exit, without going back into the user's script.

        In that exit MPICH closes its connection to the launcher. After ``os._exit`` the launcher would take this rank for
        crashed, and kill the driver in one run of two.
        """
        import ctypes

        ctypes.CDLL(None).exit(0)
        raise AssertionError("exit came back")

    def as_an_executor(self) -> NoReturn:
        """End this rank after the run. Does not wait for threads and processes that tasks have left running."""
        watchdog = Timer(_AT_EXIT_S, self.by_c_exit)
        watchdog.daemon = True
        watchdog.start()
        atexit._run_exitfuncs()
        flush_files()
        self.by_c_exit()

    def make_abrupt_exits_known(self, told: Callable[[int], object] = lambda code: None) -> None:
        """Make ``os._exit(code)`` call ``told`` with the code, then kill this rank.

        The kill is for MPI, which notices the end of a rank only if a signal ends it.
        """
        rank = os.getpid()

        def leave(status: int) -> NoReturn:
            if os.getpid() == rank:  # not in a process that the program has forked
                if self.tell_launcher is not None:
                    self.tell_launcher(status)
                told(status)
                os.kill(rank, signal.SIGKILL)
            self._exit_at_once(status)

        os._exit = leave


def code_of(leaving: SystemExit) -> int:
    """The exit code that ``sys.exit`` was called with: 0 for nothing; 1 for any other object, which is printed."""
    if leaving.code is None:
        return 0
    if isinstance(leaving.code, int):
        return leaving.code & 0xFF
    print(leaving.code, file=sys.stderr)
    return 1


def flush_files() -> None:
    """Write out the buffers of open files. Python itself does so only at its very end. It may never get that far, as MPI waits
    for a rank that does not answer, and the files would stay empty."""
    streams: list[object] = [sys.stdout, sys.stderr]
    if _writes_to_files():  # else there is no need to look at all objects, of which there may be millions
        streams += [each for each in gc.get_objects() if type(each) in (io.TextIOWrapper, io.BufferedWriter, io.BufferedRandom)]
    for stream in streams:
        with suppress(OSError, ValueError, AttributeError):  # closed, on a full disk, or no stream at all
            stream.flush()  # type: ignore[attr-defined]


def _writes_to_files() -> bool:
    """Is a file that has a name open for writing, besides the standard streams?"""
    try:
        descriptors = [int(name) for name in os.listdir("/proc/self/fd")]
    except OSError:
        return True
    return any(number > 2 and _is_written(number) for number in descriptors)


def _is_written(descriptor: int) -> bool:
    with suppress(OSError):
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode) and status.st_nlink:
            return fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
    return False
