"""MB/s from each store (local disk, HDFS, S3) into a count of lines, one executor and more, beside the client library alone.

By hand, as many processes as there are executors read the file's byte ranges with the store's own client and count the line
ends. HDFS (Maven, Java) and S3 (SeaweedFS) run on this machine and share its cores with the readers; a store whose server is
not at hand is left out, with the reason.

The text cannot be packed: SeaweedFS keeps what can be packed as gzip, and unpacks it for each reader at 100 MB/s, which would
be what is measured.
"""

from __future__ import annotations

import os
import sys
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from benchmarks import harness, recordfiles, text

BLOCK_BYTES = 128 << 20
"""HDFS's usual block size."""


def measure(options: Namespace) -> harness.Record:
    path = text.noise(options.mb, options.seed)
    size_bytes, lines = os.path.getsize(path), _count_lines(path)
    counts = sorted({1, options.ranks - 1})
    stores: harness.Record = {}
    missing: dict[str, str] = {}
    with ExitStack() as open_stores:
        for name, url in _urls(path, open_stores, missing):
            commands = {
                f"{side} {count}": command for count in counts for side, command in (
                    ("engine", harness.on_engine("sources", count + 1, url, options.jobs)),
                    ("handwritten", harness.by_hand("sources", count, url, options.jobs)))
            }
            harness.say(f" {name}")
            runs = harness.alternate(options.repeats, options.timeout, commands)
            stores[name] = {
                **{side: {"mb_per_s": harness.spread([size_bytes / 1e6 / each for run in of_side
                                                      for each in run.report["seconds"]]),
                          "lines": [run.report["lines"] for run in of_side]} for side, of_side in runs.items()},
                **{f"ratio {count}": harness.ratio(harness.inner(runs[f"handwritten {count}"]),
                                                   harness.inner(runs[f"engine {count}"])) for count in counts},
            }
    targets = [harness.Target(f"{name}, {count} executors: engine / client alone", 0.8, store[f"ratio {count}"]["median"],
                              at_least=True) for name, store in stores.items() for count in counts]
    if options.mb >= 800 and options.ranks == 3:
        targets.append(harness.Target("local, 2 executors: GB/s", 1.3, stores["local"]["engine 2"]["mb_per_s"]["median"] / 1e3,
                                      at_least=True))
    counted = [found for store in stores.values() for side, of_side in store.items() if "ratio" not in side
               for found in of_side["lines"]]
    return {"bytes": size_bytes, "lines": lines, "stores": stores, "missing": missing,
            "records": recordfiles.in_a_process(300_000 if options.mb >= 800 else 100_000),
            "valid": set(counted) == {lines}, "targets": [target.record() for target in targets]}


def _urls(path: str, open_stores: ExitStack, missing: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Each store's name, and the file's address there. The servers end with ``open_stores``."""
    yield "local", path
    sys.path.insert(0, str(harness.ROOT / "tests" / "stores"))
    from jvm import NoJars
    from servers import S3, MiniHdfs, why_no_hdfs, why_no_s3

    for name, why_not, server in (("hdfs", why_no_hdfs(), MiniHdfs), ("s3", why_no_s3(), S3)):
        folder = Path(open_stores.enter_context(tempfile.TemporaryDirectory(prefix=f"mpirdd-{name}-")))
        up = None
        try:
            if why_not is None:
                up = open_stores.enter_context(server(folder))
        except NoJars as reason:
            why_not = str(reason)
        if up is None:
            missing[name] = str(why_not)
            harness.say(f" {name} is left out: {why_not}")
            continue
        os.environ.update(getattr(up, "environment", {}))
        url = f"{up.url}/sources.txt"
        _copy(path, url)
        yield name, url


def _copy(path: str, url: str) -> None:
    from mpirdd.formats.filesystems import Options, filesystem_of

    options = Options({"dfs.blocksize": str(BLOCK_BYTES)}) if url.startswith("hdfs:") else Options()
    with open(path, "rb") as source, filesystem_of(url, options).create(url) as target:
        while data := source.read(8 << 20):
            target.write(data)


def _count_lines(path: str) -> int:
    with open(path, "rb") as file:
        return sum(data.count(b"\n") for data in iter(lambda: file.read(1 << 20), b""))


def main(argv: list[str] | None = None) -> int:
    return harness.main("sources", measure, full={"mb": 800.0, "jobs": 3, "ranks": 3, "repeats": 3},
                        quick={"mb": 100.0, "jobs": 2, "repeats": 1}, argv=argv)


if __name__ == "__main__":
    raise SystemExit(main())
