"""How fast lines are counted on a store, beside its client alone. Printed: on a machine that does other things no figure
would hold."""

from __future__ import annotations

import os
from collections.abc import Iterator
from statistics import median
from time import perf_counter

import pytest
from servers import S3, MiniHdfs
from store import Store

from mpirdd import Context

pytestmark = pytest.mark.timeout(300)
BYTES = 300 << 20
PIECE = 8 << 20


def pieces_of(client: str, url: str, options: dict[str, str]) -> Iterator[int]:
    """The sizes of the pieces of the client library's own stream."""
    if client == "hdfs":
        from hdfs_native import Client

        reader = Client(url).read("/speed/lines")
        yield from map(len, reader.read_range_stream(0, len(reader)))
    else:
        import obstore
        from obstore.store import S3Store

        store = S3Store("test", config=options)  # type: ignore[arg-type]
        yield from map(len, obstore.get(store, "speed/lines").stream())


@pytest.mark.parametrize("kind", ["hdfs", "s3"])
def test_lines_are_counted_nearly_as_fast_as_the_client_reads(
    request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    server: MiniHdfs | S3 = request.getfixturevalue(kind)
    options = dict(getattr(server, "options", {}))
    store = Store(f"{server.url}/speed", options)
    line = b"x" * 63 + b"\n"
    with store.fs.create(store.path("lines"), overwrite=True) as file:
        for _ in range(BYTES // PIECE):
            file.write(line * (PIECE // len(line)))
    size = PIECE * (BYTES // PIECE)
    alone, ours = [], []
    with Context() as sc:
        lines = sc.textFile(store.path("lines"), storage_options=options or None)
        for _ in range(3):
            start = perf_counter()
            assert sum(pieces_of(kind, server.url, options)) == size
            alone.append(perf_counter() - start)
            start = perf_counter()
            assert lines.count() == size // len(line)
            ours.append(perf_counter() - start)
    store.fs.remove(store.path("lines"))
    with capsys.disabled():
        print(f"\n{kind}: {size >> 20} MiB, the client alone {size / median(alone) / 1e6:.0f} MB/s, count of lines "
              f"{size / median(ours) / 1e6:.0f} MB/s: {median(alone) / median(ours):.0%} (load {os.getloadavg()[0]:.1f})")
