"""Line ends of a text file counted by hand: each rank reads its part with the store's own client."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator

from mpi4py import MPI

from benchmarks.handwritten.ranks import leave_together
from benchmarks.program import program_arguments, write_report

PIECE_BYTES = 256 << 10
STREAM_BYTES = 4 << 20


def main() -> None:
    world = MPI.COMM_WORLD
    arguments = program_arguments("path", "jobs")
    open_part = OPENERS[arguments.path.partition("://")[0] if "://" in arguments.path else "local"](arguments.path)
    seconds, lines = [], 0
    for _ in range(arguments.jobs):
        world.Barrier()
        started = time.monotonic()
        lines = world.allreduce(sum(bytes(piece).count(b"\n") for piece in open_part(world.rank, world.size)))
        seconds.append(time.monotonic() - started)
    if world.rank == 0:
        write_report(arguments.report, seconds=seconds, lines=lines)
    leave_together(world)


def bounds(size: int, rank: int, ranks: int) -> tuple[int, int]:
    """The byte range of a rank."""
    return size * rank // ranks, size * (rank + 1) // ranks


class Local:
    def __init__(self, path: str) -> None:
        self.path, self.size = path, os.path.getsize(path)

    def __call__(self, rank: int, ranks: int) -> Iterator[bytes]:
        start, end = bounds(self.size, rank, ranks)
        with open(self.path, "rb", buffering=0) as file:
            file.seek(start)
            while start < end and (piece := file.read(min(PIECE_BYTES, end - start))):
                start += len(piece)
                yield piece


class Hdfs:
    def __init__(self, url: str) -> None:
        from hdfs_native import Client

        host, _, path = url.removeprefix("hdfs://").partition("/")
        self.client, self.path = Client(f"hdfs://{host}"), "/" + path
        self.size = self.client.get_file_info(self.path).length

    def __call__(self, rank: int, ranks: int) -> Iterable[bytes]:
        start, end = bounds(self.size, rank, ranks)
        return self.client.read(self.path).read_range_stream(start, end - start)


class S3:
    def __init__(self, url: str) -> None:
        import obstore
        from obstore.store import S3Store

        bucket, _, self.key = url.removeprefix("s3://").partition("/")
        self.obstore, self.store = obstore, S3Store(bucket)
        self.size = obstore.head(self.store, self.key)["size"]

    def __call__(self, rank: int, ranks: int) -> Iterable[bytes]:
        got = self.obstore.get(self.store, self.key, options={"range": bounds(self.size, rank, ranks)})
        return got.stream(STREAM_BYTES)


OPENERS = {"local": Local, "hdfs": Hdfs, "s3": S3}


if __name__ == "__main__":
    main()
