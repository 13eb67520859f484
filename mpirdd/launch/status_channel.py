"""How ``mpirdd run`` and the driver talk past mpirun: standard streams, exit code, and the end of either.

mpirun stands between the two, and is a bad messenger. Open MPI 5.0.11 never passes on the end of stdin, so a program that reads
all of it hangs (measured; openpmix/openpmix pull 4024). It is said to repeat parts of input over 64 KiB (openpmix/prrte issue
2579). It shows rank 0 a terminal where stdout is a file; MPICH shows a pipe where there is a terminal. After an exit code other
than 0 mpirun prints a page of explanations, and after the loss of a host it has returned 0.

So the launcher makes a private folder (mode 0700) with a Unix socket in it. The driver connects and receives the launcher's own
stdin, stdout and stderr (as file descriptors: no copying, no port). At its end the driver writes its exit code to a file there.
If rank 0 may be on another host, there is only the file, in a folder that the hosts share, and mpirun carries the streams.

A process that calls ``die_with_parent`` gets a signal when its parent dies, even by kill -9. On Linux only.
"""

from __future__ import annotations

import os
import struct
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from signal import Signals
from threading import Thread
from types import TracebackType
from typing import TYPE_CHECKING

from mpirdd.launch import leavings
from mpirdd.store.scratch import ScratchFolder, make_private_folder, remove_tree, temporary_folder

if TYPE_CHECKING:
    import socket

STATUS_VARIABLE = "MPIRDD_STATUS_FILE"
STREAMS_VARIABLE = "MPIRDD_STREAMS"
_CONNECT_TIMEOUT_S = 10.0
DRIVER_LOST = 71
"""The exit code of executors that leave because the driver has died."""
_RANK_FILE = "rank-"
_EXIT_FILE = "exit-"


class StatusChannel:
    """The launcher's end. A context manager: it removes the folder afterwards; after a kill -9 the next start on this host does.

    Args:
        near: rank 0 will be a process of this host. Otherwise the folder is made in the current one, which all hosts presumably
            share, as they must see the program. Nothing removes that one after a kill -9, as other hosts may not see its lock.

    Raises:
        ClusterError: no folder can be made.
    """

    def __init__(self, *, near: bool) -> None:
        self.driver_is_far = not near
        self._swept = ScratchFolder(leavings.RUN, temporary_folder(), clear=leavings.take_away) if near else None
        self._folder = self._swept.path if self._swept else make_private_folder(".mpirdd-", os.getcwd())
        self._server: socket.socket | None = None
        self.driver_pid: int | None = None
        """None until the driver has taken the streams."""
        self._untold: deque[int] = deque()
        """Signals for the driver. A signal handler adds them; it sends them, or the thread that lends the streams."""
        if near:
            import socket  # late, as all below: executors do not need it

            self._server = socket.socket(socket.AF_UNIX)
            with _short_name(self._folder, "streams") as name:
                self._server.bind(name)
            self._server.listen(1)

    def __enter__(self) -> StatusChannel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not leavings.take_away(self._folder) and self._swept:
            return  # a rank is still on its way out: the next run on this host looks again
        if self._swept:
            self._swept.remove()
        else:
            remove_tree(self._folder)

    def environment(self) -> dict[str, str]:
        """The variables that the driver needs in its environment."""
        variables = {STATUS_VARIABLE: os.path.join(self._folder, "status")}
        if self._server is not None:
            variables[STREAMS_VARIABLE] = os.path.join(self._folder, "streams")
        return variables

    def note_mpirun(self, pid: int) -> None:
        """Note mpirun's process id, for the cleaning up after a killed run."""
        leavings.note_mpirun(self._folder, pid)

    def lend_streams(self) -> None:
        """Give the standard streams to the driver as soon as it asks, from a thread."""
        if self._server is not None:
            Thread(target=self._lend, args=(self._server,), daemon=True).start()

    def _lend(self, server: socket.socket) -> None:
        with server, suppress(OSError):  # without an answer the driver keeps the streams of mpirun
            import socket

            connection, _ = server.accept()
            with connection:
                credentials = connection.getsockopt(
                    socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")
                )
                self.driver_pid = struct.unpack("3i", credentials)[0]
                socket.send_fds(connection, [b"."], [stdin_to_lend(), 1, 2])
        self._tell()

    def signal_driver(self, number: int) -> None:
        """Send the driver a signal as soon as its process is known. Not for drivers on other hosts."""
        self._untold.append(number)  # first: the driver may come right after the look for it
        self._tell()

    def _tell(self) -> None:
        if self.driver_pid is not None:
            with suppress(ProcessLookupError, IndexError):  # IndexError: all are sent
                while True:
                    os.kill(self.driver_pid, self._untold.popleft())

    def ranks(self) -> dict[int, tuple[str, int]]:
        """Host and process id of the ranks that have started, as far as they see this folder."""
        ranks = {}
        for name in os.listdir(self._folder):
            if name.startswith(_RANK_FILE) and not name.endswith(".part"):
                with suppress(OSError, ValueError), open(os.path.join(self._folder, name)) as file:
                    host, pid = file.read().split()
                    ranks[int(name[len(_RANK_FILE):])] = host, int(pid)
        return ranks

    def exits(self) -> dict[int, int]:
        """The codes with which tasks have ended ranks through ``os._exit``, by rank."""
        exits = {}
        for name in os.listdir(self._folder):
            if name.startswith(_EXIT_FILE):
                with suppress(OSError, ValueError), open(os.path.join(self._folder, name)) as file:
                    exits[int(name[len(_EXIT_FILE):])] = int(file.read())
        return exits

    def exit_code(self) -> int | None:
        """The driver's exit code; None if the driver has not told one."""
        try:
            with open(os.path.join(self._folder, "status")) as file:
                return int(file.read())
        except (OSError, ValueError):
            return None


def register(status_file: str | None, rank: int) -> None:
    """On every rank, before MPI starts: tell the launcher about this process, if this host sees the launcher's folder."""
    with suppress(OSError):
        if status_file is not None and os.path.isdir(os.path.dirname(status_file)):
            path = os.path.join(os.path.dirname(status_file), f"{_RANK_FILE}{rank}")
            with open(path + ".part", "w") as file:
                file.write(f"{os.uname().nodename} {os.getpid()}")
            os.rename(path + ".part", path)


def launcher_is_here(status_file: str | None, environment: Mapping[str, str]) -> bool:
    """On every rank, before ``take_streams``: is the launcher on this host? Then so is its folder, which is not a shared one."""
    return status_file is not None and STREAMS_VARIABLE in environment and os.path.isdir(os.path.dirname(status_file))


def report_rank_exit(status_file: str | None, rank: int, code: int) -> None:
    """On an executor: tell the launcher that a task ends this rank through ``os._exit``, if this host sees its folder."""
    with suppress(OSError):
        if status_file is not None:
            with open(os.path.join(os.path.dirname(status_file), f"{_EXIT_FILE}{rank}"), "w") as file:
                file.write(str(code))


def take_streams(environment: MutableMapping[str, str]) -> None:
    """On the driver: use the launcher's standard streams from now on, where it lends them."""
    path = environment.pop(STREAMS_VARIABLE, None)  # popped: a process that the program starts is not the driver
    if path is None:
        return
    import socket

    try:
        with socket.socket(socket.AF_UNIX) as connection, _short_name(*os.path.split(path)) as name:
            connection.settimeout(_CONNECT_TIMEOUT_S)
            connection.connect(name)
            _, lent, _, _ = socket.recv_fds(connection, 1, 3)
    except OSError:  # rank 0 is on another host after all
        return
    for number, descriptor in enumerate(lent):
        os.dup2(descriptor, number)
        os.close(descriptor)
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(line_buffering=sys.stdout.isatty())  # as Python decides at its start


def report_exit(path: str | None, code: int) -> int:
    """On the driver: write the exit code to the launcher's status file. Returns the code to leave with.

    That is 0 once the launcher knows: mpirun then sees a success, and prints no page about a failure.
    """
    if path is None:
        return code
    try:
        with open(path + ".part", "w") as file:
            file.write(str(code))
        os.rename(path + ".part", path)
    except OSError:
        return code
    return 0


def die_with_parent(deadly: Signals) -> None:
    """Have the kernel send this process a signal when its parent ends, however it ends."""
    death_with_parent()(deadly)


def death_with_parent() -> Callable[[Signals], object]:
    """``die_with_parent``, ready to be called in a process that was just forked."""
    try:
        import ctypes
    except ImportError:  # a Python built without libffi
        return lambda deadly: None
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is None:
        return lambda deadly: None
    return lambda deadly: prctl(1, int(deadly), 0, 0, 0)  # 1 is PR_SET_PDEATHSIG


def stdin_to_lend() -> int:
    """Standard input; the null device if this is a background job of a terminal: it would take the shell's input."""
    with suppress(OSError):
        if os.isatty(0) and os.tcgetpgrp(0) != os.getpgrp():
            return os.open(os.devnull, os.O_RDONLY)
    return 0


@contextmanager
def _short_name(folder: str, file: str) -> Iterator[str]:
    """A name for ``folder/file`` of at most 108 bytes, the most that a Unix socket can have."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}/{file}"
    finally:
        os.close(descriptor)
