"""Starts jobs as users do, kills their ranks at chosen moments, and finds the processes by a mark
in their environment.

The jobs share ``PREAMBLE``: functions with which a rank ends itself in the middle of its work. The
package has no hooks for that.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from threading import Thread
from typing import IO

from mpirdd.launch.mpirun import can_recover, find_launcher
from mpirdd.protocol.errors import ClusterError

ROOT = Path(__file__).parents[2]
BOUND_S = 50.0
"""For a run that is to come to a good end; several times what it takes on a busy machine."""
LOST = re.compile(r"mpirdd: lost the executor on rank (\d+) \(host [^)\s]+\): .*; (?:\d executors? left|the spare on rank \d+ "
                  r"takes its place: \d executors? as before, (?:no spare|\d spares?) left)\.")

PREAMBLE = '''
import os, signal, sys, threading, time
from contextlib import suppress
from operator import add
import numpy as np
from mpirdd import Context, StorageLevel

def times(name):
    """How often this was called with the name before, on all ranks together."""
    with open(name + ".times", "ab") as file:
        file.write(b".")
        file.flush()
        return file.tell() - 1

def die(name, most=1):
    """The first ``most`` callers end here."""
    if times(name) < most:
        os.kill(os.getpid(), signal.SIGKILL)

def die_at(index, name, most=1):
    """For mapPartitionsWithIndex: at the second record of a partition."""
    def function(partition, records):
        for place, record in enumerate(records):
            if partition == index and place == 1:
                die(name, most)
            yield record
    return function

def kill(*ranks):
    """On the driver. They may have left already."""
    for rank in ranks:
        with suppress(ProcessLookupError):
            os.kill(sc._driver.pids[rank], signal.SIGKILL)

def wait_until(condition, most_s=20):
    """It comes true, or the program ends and says that it did not."""
    deadline = time.monotonic() + most_s
    while not condition():
        if time.monotonic() > deadline:
            sys.exit("waited in vain")
        time.sleep(0.002)

def wait_for_file(name):
    wait_until(lambda: os.path.exists(name))

def touch(name):
    open(name, "a").close()

def is_dead(rank):
    """On the driver: the process of the rank has ended, though its parent may not have noticed."""
    try:
        with open(f"/proc/{sc._driver.pids[rank]}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):  # it vanished before, or while it was read
        return True

def kill_at_file(name, *ranks):
    """On the driver: in a thread, as soon as the file is there."""
    threading.Thread(target=lambda: (wait_for_file(name), kill(*ranks)), daemon=True).start()

def my_rank():
    from mpi4py import MPI
    return MPI.COMM_WORLD.rank

def before_call(owner, name, number, action):
    """Here, the call of ``owner.name`` with that number, counted from 1, does ``action`` first."""
    whole, calls = getattr(owner, name), []
    def counted(*arguments, **options):
        calls.append(None)
        if len(calls) == number:
            action()
        return whole(*arguments, **options)
    setattr(owner, name, counted)

def before_buffer(number, action):
    """On an executor: ``action`` runs inside an exchange, when that buffer of another rank's data has come."""
    from mpirdd.comm import exchange
    before_call(exchange._Assembler, "feed", number, action)

def in_exchange(number, action, *ranks):
    """On the driver: each of these executors does ``action`` inside an exchange, before that buffer."""
    sc._driver.on_every_executor(lambda: my_rank() in ranks and before_buffer(number, action))

def die_together(*ranks):
    """On the driver, an action for one of these executors: it takes the others with it."""
    pids = [sc._driver.pids[rank] for rank in ranks]
    def die():
        for pid in sorted(pids, key=lambda pid: pid == os.getpid()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    return die
'''


@dataclass
class Done:
    """How a run has ended."""

    code: int
    out: str
    err: str

    def lost(self) -> list[int]:
        """The ranks that the run reports as lost and goes on without."""
        return [int(match[1]) for match in map(LOST.fullmatch, self.err.splitlines()) if match]

    def noise(self) -> list[str]:
        """All other lines of stderr."""
        return [line for line in self.err.splitlines() if not LOST.fullmatch(line)]


class Started:
    """A run under way, and its output so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.out: list[str] = []
        self.err: list[str] = []
        assert process.stdout is not None and process.stderr is not None
        self._readers = [Thread(target=self._read, args=pair, daemon=True)
                         for pair in ((process.stdout, self.out), (process.stderr, self.err))]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(stream: IO[str], into: list[str]) -> None:
        for line in stream:
            into.append(line)

    def wait_for(self, text: str, timeout_s: float = 30.0) -> None:
        """Wait until the output contains the text."""
        deadline = time.monotonic() + timeout_s
        while not any(text in line for line in [*self.out, *self.err]):
            assert time.monotonic() < deadline, f"no {text!r} in\n{''.join(self.out + self.err)}"
            assert self.process.poll() is None, f"ended before {text!r}:\n{''.join(self.out + self.err)}"
            time.sleep(0.002)

    def wait_for_file(self, path: Path, timeout_s: float) -> float:
        """Wait for the file; return its time as ``time.time`` counts. The run may have ended
        since."""
        deadline = time.monotonic() + timeout_s
        while True:
            ended = self.process.poll() is not None
            if path.exists():
                return path.stat().st_mtime
            assert not ended and time.monotonic() < deadline, f"no {path.name}:\n{''.join(self.out + self.err)}"
            time.sleep(0.01)

    def done(self, timeout_s: float = BOUND_S) -> Done:
        """Wait for the end. Raises TimeoutExpired, with the output, when the run does not end."""
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired as error:
            error.add_note("".join(self.out + self.err)) if hasattr(error, "add_note") else None
            raise
        for reader in self._readers:
            reader.join(2)
        return Done(code, "".join(self.out), "".join(self.err))


@dataclass
class Runs:
    """Starts ``mpirdd run`` in a folder."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def start(self, text: str, *options: str, ranks: int = 5, arguments: Sequence[str] = ()) -> Started:
        (self.folder / "job.py").write_text(PREAMBLE + text)
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "PYTHONPATH": path, "RUNS_MARK": self.mark, "TMPDIR": str(self.folder), **self.environment}
        command = [sys.executable, "-m", "mpirdd", "run", "-n", str(ranks), *options, "job.py", *arguments]
        return Started(subprocess.Popen(
            command, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True))

    def __call__(self, text: str, *options: str, ranks: int = 5, timeout_s: float = BOUND_S) -> Done:
        return self.start(text, *options, ranks=ranks).done(timeout_s)

    def times(self, name: str) -> int:
        """How often the job called ``times`` or ``die`` with the name."""
        path = self.folder / f"{name}.times"
        return path.stat().st_size if path.exists() else 0

    def pids(self) -> dict[int, int]:
        """Process ids of the living ranks, by rank."""
        found = {}
        for pid, variables in self._marked():
            for variable in variables:
                name, _, value = variable.partition(b"=")
                if name in (b"OMPI_COMM_WORLD_RANK", b"PMI_RANK") and value.isdigit():
                    found[int(value)] = pid
        return found

    def wait_for_pid(self, rank: int) -> int:
        deadline = time.monotonic() + 20
        while rank not in (pids := self.pids()):
            assert time.monotonic() < deadline, f"rank {rank} does not start"
        return pids[rank]

    def left(self) -> list[int]:
        """Processes that still live after 10 s; helpers take a moment to go, a longer one on a busy machine."""
        deadline = time.monotonic() + 10
        while (pids := [pid for pid, _ in self._marked()]) and time.monotonic() < deadline:
            time.sleep(0.02)
        return pids

    def clean(self) -> list[int]:
        """End the remaining processes and return them."""
        left = self.left()
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return left

    def _marked(self) -> Iterator[tuple[int, list[bytes]]]:
        mark = f"RUNS_MARK={self.mark}".encode()
        for entry in os.listdir("/proc"):
            with suppress(OSError):
                if entry.isdigit():
                    variables = Path("/proc", entry, "environ").read_bytes().split(b"\0")
                    if mark in variables:
                        yield int(entry), variables


@dataclass
class Took:
    """The longest time that runs of each kind took to end, for printing."""

    longest: dict[str, tuple[float, str]] = field(default_factory=dict)

    def note(self, kind: str, seconds: float, what: str) -> None:
        self.longest[kind] = max(self.longest.get(kind, (0.0, "")), (seconds, what))


def no_mpirun() -> str:
    """Why no run can start; empty if one can."""
    try:
        find_launcher()
    except ClusterError as error:
        return str(error).splitlines()[0]
    return ""


def no_recovery() -> str:
    """Why runs here cannot survive losses; empty if they can."""
    if reason := no_mpirun():
        return reason
    launcher = find_launcher()
    return "" if can_recover(launcher) else f"{launcher.kind} {launcher.version} has no ULFM: a loss ends the run"


# In the environment, so that all processes of one run of pytest choose the same cells, at midnight too.
MATRIX_SEED = int(os.environ.setdefault("MPIRDD_MATRIX_SEED", str(int(time.time()) // 86_400)))
MATRIX_SAMPLE = 8


def matrix_cells(cells: list[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """The cells of the matrix that run today."""
    if os.environ.get("MPIRDD_MATRIX") == "all":
        return cells
    return sorted(Random(MATRIX_SEED).sample(cells, MATRIX_SAMPLE))
