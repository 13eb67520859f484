"""The latency numbers every programmer should know, measured here: this machine, this MPI, this engine.

    mpirdd run -n 4 jobs/latency.py                 memory, disk, and what the engine does
    mpirun -n 4 python jobs/latency.py              messages between ranks by mpi4py, too

After the table by Peter Norvig and Jeff Dean, with their human scale: 1 ns is 1 s. A figure is the
median of many measurements, or of a few long ones divided by the number of their steps. The time of a
memory reference is that of one step of a random walk through 128 MB, less that of a walk through 4 kB:
Python's own time and the level 1 cache cancel out. Disk: --folder names the place. The job asks the
system to drop a file's page cache (posix_fadvise), which some systems ignore, and a virtual machine's
host may cache as well.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np

from checked import whole
from mpirdd import Context

MB = 1_000_000
Row = tuple[str, float]
"""A name, and its seconds."""


def median(step: Callable[[], Any], times: int) -> float:
    """The seconds of one call: the median of ``times`` calls."""
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def walk_s(size: int, steps: int = 500_000) -> float:
    """Seconds of a step of a walk through all of ``size`` numbers in random order."""
    order = np.random.default_rng(1).permutation(size)
    following = np.empty(size, np.int64)
    following[order] = np.roll(order, -1)
    table, place = array("q", following.tobytes()), 0
    started = time.perf_counter()
    for _ in range(steps):
        place = table[place]
    return (time.perf_counter() - started) / steps


def memory() -> Iterator[Row]:
    yield "Python function call", median(lambda: list(map(nothing, range(1000))), 100) / 1000
    near = min(walk_s(512) for _ in range(3))
    yield "memory reference (random, 128 MB)", max(walk_s(128 * MB // 8) - near, 0.0)
    block, other = np.ones(256 * MB // 8), np.empty(256 * MB // 8)
    yield "read 1 MB from memory, one core", median(block.sum, 5) / 256
    other[:] = 0  # touch its pages first
    yield "copy 1 MB in memory", median(lambda: np.copyto(other, block), 5) / 256


def nothing(number: int) -> int:
    return number


def disk(folder: str | None, size_mb: int) -> Iterator[Row]:
    with tempfile.NamedTemporaryFile(dir=folder, prefix="mpirdd-latency-") as file:
        descriptor = file.fileno()

        def append() -> None:
            os.write(descriptor, bytes(4096))
            os.fsync(descriptor)

        yield "write 4 kB and fsync", median(append, 50)
        block = os.urandom(MB)  # a disk may compress zeros
        started = time.perf_counter()
        for _ in range(size_mb):
            os.write(descriptor, block)
        os.fsync(descriptor)
        yield "write 1 MB sequentially, fsync at the end", (time.perf_counter() - started) / size_mb
        yield "read 1 MB, in the page cache", read_s(descriptor) / size_mb
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        yield "read 1 MB, page cache dropped for the file", read_s(descriptor) / size_mb


def read_s(descriptor: int) -> float:
    buffer, started, place = bytearray(MB), time.perf_counter(), 0
    while got := os.preadv(descriptor, [buffer], place):
        place += got
    return time.perf_counter() - started


def messages(comm: Any) -> Iterator[Row]:
    """By mpi4py alone: between the first two ranks, and among all. All ranks call this together."""
    for what, count, times in (("8 bytes", 8, 2000), ("1 MB", MB, 50)):
        there_and_back = partial(ping_pong, comm, np.zeros(count, np.uint8))
        comm.Barrier()
        yield f"send {what} to another rank and back, MPI", median(there_and_back, times)
    sent, received = (np.ones(comm.size * MB, np.uint8) for _ in range(2))
    comm.Barrier()
    yield f"all-to-all among {comm.size} ranks, 1 MB each to each, MPI", median(lambda: comm.Alltoall(sent, received), 20)


def ping_pong(comm: Any, buffer: np.ndarray) -> None:
    if comm.rank == 0:
        comm.Send(buffer, 1)
        comm.Recv(buffer, 1)
    elif comm.rank == 1:
        comm.Recv(buffer, 0)
        comm.Send(buffer, 0)


def engine(sc: Context) -> Iterator[Row]:
    executors = sc.defaultParallelism
    one, all_of_them = sc.parallelize([0], 1), sc.parallelize(range(executors), executors)
    median(all_of_them.count, 20)  # executors import what they need
    yield "job of one empty task, there and back", median(one.count, 200)
    yield f"job of {executors} empty tasks, there and back", median(all_of_them.count, 200)
    thousand = sc.parallelize(range(1000), 1000)
    yield "empty task, of a job of 1,000", median(thousand.count, 5) / 1000
    arrays = all_of_them.flatMap(lambda _: [(place, np.ones(MB, np.uint8)) for place in range(executors)]).cache()
    arrays.count()
    moved = median(lambda: arrays.partitionBy(executors, int).count(), 20)
    yield f"shuffle among {executors} executors, 1 MB each to each", moved
    big = all_of_them.map(lambda _: np.ones(MB, np.uint8)).cache()
    big.count()
    yield "collect 1 MB from an executor", median(big.collect, 20) / executors


def human(seconds: float) -> str:
    """On the human scale: 1 ns is 1 s."""
    scaled = seconds * 1e9
    for unit, size in (("years", 31_557_600.0), ("days", 86_400.0), ("hours", 3_600.0), ("minutes", 60.0)):
        if scaled >= 2 * size:
            return f"{scaled / size:,.1f} {unit}"
    return f"{scaled:,.1f} seconds"


def show(rows: Iterable[Row]) -> None:
    for what, seconds in rows:
        print(f"{what:52} {seconds * 1e9:16,.0f} ns  {human(seconds):>16}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", help="where to measure the disk (the folder for temporary files)")
    parser.add_argument("--size", type=whole(1), default=100, metavar="MB", help="what to write there (100)")
    options = parser.parse_args()
    # Under mpirdd run MPI has started before this program, and the other ranks already serve the
    # engine.
    between = [] if "mpi4py.MPI" in sys.modules else list(between_ranks())
    with Context("latency") as sc:
        print(f"{'on ' + os.uname().nodename:52} {'time':>16}     {'if 1 ns were 1 s':>16}")
        show(memory())
        show(disk(options.folder, options.size))
        show(between)
        show(engine(sc))


def between_ranks() -> Iterator[Row]:
    """The figures of ``messages``; none in a world of one."""
    from mpi4py import MPI

    if MPI.COMM_WORLD.size > 1:
        yield from messages(MPI.COMM_WORLD.Dup())


if __name__ == "__main__":
    main()
