"""TeraSort: sort records of 100 bytes by their first 10, write them, and validate the output.

    mpirdd run -n 4 jobs/terasort.py [PATH | --generate 20MB] [--output FOLDER] [--partitions N]

The sort benchmark of Jim Gray (sortbenchmark.org, "GraySort, Indy"), with records as ``gensort -a``
makes them. The job samples the keys, cuts their range into pieces of about equal size, moves each
record to its piece and sorts it there. The part files, one after the other, are the result.
Validation reads them again. Each key must be at least as great as the one before, also from file to
file, and the output must have as many records as the input, with the same checksum (the sum of their
CRC-32, as in ``valsort``). Without --output the job deletes the result after validation.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from zlib import crc32

from checked import whole
from generate import add_generate, source
from mpirdd import Context

RECORD_BYTES, KEY_BYTES = 100, 10


Summary = tuple[bytes, bytes, int, int, int]
"""A partition's first and last key, number of records, number of records smaller than the one
before, and checksum."""


def key_of(record: bytes) -> bytes:
    return record[:KEY_BYTES]


def without_line_end(record: bytes) -> bytes:
    return record[:-1]  # saveAsTextFile ends each with one again


def summarise(records: Iterator[bytes]) -> Iterator[Summary]:
    data = list(records)
    if data:
        keys = list(map(key_of, data))
        out_of_order = sum(a > b for a, b in pairwise(keys))
        yield keys[0], keys[-1], len(data), out_of_order, sum(map(crc32, data))


def sort(sc: Context, path: str, output: str, partitions: int | None) -> None:
    records = sc.binaryRecords(path, RECORD_BYTES)
    records.sortBy(key_of, numPartitions=partitions).map(without_line_end).saveAsTextFile(output)


def in_order(output: str) -> str:
    """The paths of the part files in the order of their names; PySpark reads a folder in another
    order."""
    return ",".join(sorted(map(str, Path(output).glob("part-*")))) or output


def wrong_with(before: list[Summary], after: list[Summary]) -> list[str]:
    """The faults of an output, from the partitions of the input and its own; none if it is
    right."""
    wrong = []
    out_of_order = sum(part[3] for part in after) + sum(a[1] > b[0] for a, b in pairwise(after))
    if out_of_order:
        wrong.append(f"{out_of_order:,} records are smaller than the one before")
    for what, place in ("records", 2), ("checksum", 4):
        was, is_ = (sum(part[place] for part in parts) for parts in (before, after))
        if was != is_:
            wrong.append(f"{what}: {was:,} in the input, {is_:,} in the output")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?", help="files of records of 100 bytes, each with a line end as its last byte")
    parser.add_argument("--output", metavar="FOLDER", help="a new folder for the sorted records")
    parser.add_argument("--partitions", type=whole(1), metavar="N", help="part files to write (one for each partition read)")
    parser.add_argument("--validate-only", action="store_true", help="validate what is in --output")
    add_generate(parser, "records", "20MB")
    options = parser.parse_args()
    if options.validate_only and not options.output:
        parser.error("--validate-only needs --output")
    with Context("TeraSort") as sc, tempfile.TemporaryDirectory(prefix="mpirdd-terasort-") as scratch:
        path = options.path or source(sc, "records", options.generate or "20MB", options.seed)
        output = options.output or str(Path(scratch, "sorted"))
        if not options.validate_only:
            started = time.monotonic()
            sort(sc, path, output, options.partitions)
            print(f"sorted in {time.monotonic() - started:.3f} s", flush=True)
        before, after = (sc.binaryRecords(files, RECORD_BYTES).mapPartitions(summarise).collect()
                         for files in (path, in_order(output)))
    print(f"{sum(part[2] for part in after):,} records, checksum {sum(part[4] for part in after):x}")
    wrong = wrong_with(before, after)
    if wrong:
        sys.exit("NOT sorted: " + "; ".join(wrong))
    print("valid: in order, and the same records")


if __name__ == "__main__":
    main()
