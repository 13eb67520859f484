"""A small MPI program that ``mpirdd doctor`` runs on a few ranks: what MPI is this, and how fast is it?

``mpirun -n 4 python -m mpirdd.launch.mpi_probe`` prints one line of JSON, from rank 0. A rank that
finds itself alone prints one, too, which reveals worlds of one. The measurements take about a second in
all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from importlib.metadata import version
from signal import SIGKILL
from time import perf_counter
from typing import Any

from mpirdd.launch.status_channel import die_with_parent

die_with_parent(SIGKILL)  # before MPI starts: its start may hang, and doctor then kills mpirun
from mpirdd.comm.mpi_library import MPI, finalize_at_exit, survives_losses  # noqa: E402

_MEASURE_S = 0.2
_BLOCK_BYTES = 4 << 20
"""The size of a message in the bandwidth test, and of all that a rank gives away in a round of all-to-all."""


def describe() -> dict[str, Any]:
    """This world and its MPI library, as rank 0 sees them. Called by all ranks."""
    hosts = MPI.COMM_WORLD.gather(MPI.Get_processor_name())
    levels = {
        MPI.THREAD_SINGLE: "single",
        MPI.THREAD_FUNNELED: "funneled",
        MPI.THREAD_SERIALIZED: "serialized",
        MPI.THREAD_MULTIPLE: "multiple",
    }
    return {
        "size": MPI.COMM_WORLD.size,
        "hosts": sorted(set(hosts or [])),
        "library": " ".join(MPI.Get_library_version().strip("\0").splitlines()[0].split(",")[0].split()),
        "standard": ".".join(map(str, MPI.Get_version())),
        "libmpi": _loaded_libmpi(),
        "mpi4py": version("mpi4py"),
        "mpi4py_path": os.path.dirname(MPI.__file__),
        "thread_level": levels[MPI.Query_thread()],
        "ulfm": survives_losses(),
    }


def measure() -> dict[str, float]:
    """Latency (us) and bandwidth (MB/s) between ranks 0 and 1; bandwidth of an all-to-all, of all ranks together.

    Called by all ranks; the figures are rank 0's. Empty in a world of one.
    """
    world = MPI.COMM_WORLD
    if world.size == 1:
        return {}
    small, large = bytearray(8), bytearray(_BLOCK_BYTES)
    for_each = max(1, _BLOCK_BYTES // world.size)
    given, taken = bytearray(for_each * world.size), bytearray(for_each * world.size)
    round_trip_s = _seconds_each(lambda: _ping_pong(small))
    exchange_s = _seconds_each(
        lambda: world.Alltoall([given, for_each, MPI.BYTE], [taken, for_each, MPI.BYTE])
    )
    return {
        "latency_us": round_trip_s / 2 * 1e6,
        "bandwidth_mb_s": 2 * _BLOCK_BYTES / _seconds_each(lambda: _ping_pong(large)) / 1e6,
        "alltoall_mb_s": for_each * world.size * (world.size - 1) / exchange_s / 1e6,
    }


def _ping_pong(buffer: bytearray) -> None:
    world = MPI.COMM_WORLD
    if world.rank == 0:
        world.Send([buffer, MPI.BYTE], 1)
        world.Recv([buffer, MPI.BYTE], 1)
    elif world.rank == 1:
        world.Recv([buffer, MPI.BYTE], 0)
        world.Send([buffer, MPI.BYTE], 0)


def _seconds_each(action: Callable[[], object]) -> float:
    """Time of one action on rank 0: the best of some rounds, as ranks that share a core get in between."""
    world = MPI.COMM_WORLD
    best, spent, times = float("inf"), 0.0, 1
    while spent < _MEASURE_S:
        world.Barrier()
        start = perf_counter()
        for _ in range(times):
            action()
        took = perf_counter() - start
        best = min(best, took / times)
        # All ranks must repeat equally often: rank 0's clock decides.
        spent, times = world.bcast((spent + took, 2 * times if took < _MEASURE_S / 8 else times))
    return best


def _loaded_libmpi() -> str:
    """The MPI library in this process, which may be another one than the user has asked for."""
    try:
        with open("/proc/self/maps") as maps:
            paths = {line.split(maxsplit=5)[5].strip() for line in maps if "/libmpi" in line}
    except OSError:
        return "?"
    return min(paths, key=len, default="?")


if __name__ == "__main__":
    finalize_at_exit()
    found = {**describe(), **measure()}
    if MPI.COMM_WORLD.rank == 0:
        print(json.dumps(found), flush=True)
