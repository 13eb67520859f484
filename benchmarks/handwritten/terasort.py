"""A sample sort by hand: read a share, agree on bounds, exchange, sort, write a part file each."""

from __future__ import annotations

import random
import shutil
import tempfile
import time
from bisect import bisect_left
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from struct import Struct

from mpi4py import MPI

from benchmarks.handwritten.ranks import leave_together, workers_of
from benchmarks.jobs import functions_of
from benchmarks.program import program_arguments, write_report

RECORD_BYTES, SAMPLE = 100, 1000


def own_records(comm: MPI.Intracomm, folder: str) -> list[bytes]:
    """This worker's share of each part file."""
    records: list[bytes] = []
    for part in sorted(Path(folder).glob("part-*")):
        count = part.stat().st_size // RECORD_BYTES
        start, end = (count * place // comm.size for place in (comm.rank, comm.rank + 1))
        with part.open("rb") as file:
            file.seek(start * RECORD_BYTES)
            data = file.read((end - start) * RECORD_BYTES)
        records += [record for (record,) in Struct(f"{RECORD_BYTES}s").iter_unpack(data)]
    return records


def sort(comm: MPI.Intracomm, folder: str, output: Path, key_of: Callable[[bytes], bytes]) -> None:
    """Write this worker's piece of the sorted records. Collective."""
    records = own_records(comm, folder)
    sample = random.Random(comm.rank).sample(records, min(SAMPLE, len(records)))
    sampled = sorted(chain.from_iterable(comm.allgather(list(map(key_of, sample)))))
    bounds = [sampled[len(sampled) * place // comm.size] for place in range(1, comm.size)]
    buckets: list[list[bytes]] = [[] for _ in range(comm.size)]
    for record in records:
        buckets[bisect_left(bounds, key_of(record))].append(record)
    mine = list(chain.from_iterable(comm.alltoall(buckets)))
    mine.sort(key=key_of)
    with (output / f"part-{comm.rank:05}").open("wb") as file:
        file.writelines(mine)


def main() -> None:
    world = MPI.COMM_WORLD
    arguments = program_arguments("path")
    comm = workers_of(world)
    if comm is not None:
        job = functions_of("terasort")
        output = Path(comm.bcast(tempfile.mkdtemp(prefix="mpirdd-benchmark-") if comm.rank == 0 else None))
        comm.Barrier()
        started = time.monotonic()
        sort(comm, arguments.path, output, job.key_of)
        comm.Barrier()
        seconds = time.monotonic() - started
        if comm.rank == 0:
            before, after = ([summary for part in sorted(Path(folder).glob("part-*")) for summary in job.summarise(
                record for (record,) in Struct(f"{RECORD_BYTES}s").iter_unpack(part.read_bytes()))]
                for folder in (arguments.path, output))
            shutil.rmtree(output)
            wrong = job.wrong_with(before, after)
            told = f"{sum(part[2] for part in after):,} records, checksum {sum(part[4] for part in after):x}"
            write_report(arguments.report, seconds=[seconds],
                         lines=[f"sorted in {seconds:.3f} s", told, "; ".join(wrong) or "valid"])
    leave_together(world)


if __name__ == "__main__":
    main()
