"""Input for the jobs, of any size, from a seed. The bytes do not depend on the number of ranks.

    mpirdd run -n 4 jobs/generate.py points 200MB FOLDER [--seed 1]

A size is bytes (200MB, about) or rows (2M). The kinds:

    points     20 numbers and a label of 0 or 1, by commas: for logistic_regression
    clusters   10 numbers around one of 10 centres, by commas: for kmeans
    graph      links, source and target by a tab; few pages get most of the links: for pagerank
    logs       lines of some services over the year 2026: for log_mining
    pages      a title and a text, by a tab: for search
    customers  number, name, region; and
    orders     number, customer, cents: for join
    records    of 100 bytes, 10 of them the key, like ``gensort -a``: for terasort

Rows come in chunks of 10,000, each from a random generator of its own, seeded by (seed, chunk).
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from checked import whole
from mpirdd import Context

CHUNK_ROWS = 10_000
Random = np.random.Generator


@dataclass(frozen=True)
class Chunk:
    """The rows of one chunk."""

    seed: int
    first: int
    rows: int
    total: int
    """Rows of the whole data."""

    def random(self) -> Random:
        return np.random.default_rng([self.seed, self.first])

    def shared_random(self) -> Random:
        """For values that all chunks share, such as the centres of clusters."""
        return np.random.default_rng(self.seed)


def points(chunk: Chunk) -> bytes:
    truth, random = chunk.shared_random().normal(size=20), chunk.random()
    features = random.normal(size=(chunk.rows, 20))
    labels = random.random(chunk.rows) < 1 / (1 + np.exp(-features @ truth))
    form = ",".join(["%.5f"] * 20) + ",%d"
    return _lines(form % (*row, label) for row, label in zip(features.tolist(), labels.tolist(), strict=True))


def clusters(chunk: Chunk) -> bytes:
    centres, random = chunk.shared_random().uniform(-100, 100, size=(10, 10)), chunk.random()
    rows = centres[random.integers(10, size=chunk.rows)] + random.normal(size=(chunk.rows, 10)) * 50
    form = ",".join(["%.5f"] * 10)
    return _lines(form % tuple(row) for row in rows.tolist())


def graph(chunk: Chunk) -> bytes:
    random, pages = chunk.random(), max(2, chunk.total // 10)
    sources = random.integers(pages, size=chunk.rows)
    targets = (pages * random.random(chunk.rows) ** 3).astype(np.int64)
    return _lines(f"{source}\t{target}" for source, target in zip(sources.tolist(), targets.tolist(), strict=True))


def logs(chunk: Chunk) -> bytes:
    random, start = chunk.random(), np.datetime64("2026-01-01T00:00:00")
    seconds = (np.arange(chunk.first, chunk.first + chunk.rows) * 365 * 86400 // chunk.total).astype("timedelta64[s]")
    levels = random.choice(["INFO", "WARN", "ERROR"], size=chunk.rows, p=[0.9, 0.07, 0.03])
    services = random.choice(["mysql", "hdfs", "php", "cron", "sshd"], size=chunk.rows)
    texts = random.choice(["request done", "connection timed out", "disk full", "retrying"], size=chunk.rows)
    numbers = random.integers(100_000, size=chunk.rows).tolist()
    rows = zip((start + seconds).tolist(), levels.tolist(), services.tolist(), texts.tolist(), numbers, strict=True)
    return _lines(f"{when} {level} {service}: {text} ({number})" for when, level, service, text, number in rows)


def pages(chunk: Chunk) -> bytes:
    random = chunk.random()
    ranks = np.minimum(random.zipf(1.2, size=(chunk.rows, 100)), 50_000).tolist()
    return _lines(f"Page {chunk.first + i}\t" + " ".join([_word(rank) for rank in row]) for i, row in enumerate(ranks))


def customers(chunk: Chunk) -> bytes:
    regions = chunk.random().choice(["north", "east", "south", "west"], size=chunk.rows).tolist()
    return _lines(f"{number},{_word(number + 1)},{region}" for number, region in enumerate(regions, chunk.first))


def orders(chunk: Chunk) -> bytes:
    random = chunk.random()  # one customer for ten orders; some orders are of customers that are in no table
    buyers = random.integers(chunk.total // 10 + 2, size=chunk.rows).tolist()
    cents = random.integers(100, 100_000, size=chunk.rows).tolist()
    return _lines(f"{number},{buyer},{price}" for number, (buyer, price)
                  in enumerate(zip(buyers, cents, strict=True), chunk.first))


def records(chunk: Chunk) -> bytes:
    random, digits = chunk.random(), np.frombuffer(b"0123456789ABCDEF", np.uint8)
    block = np.full((chunk.rows, 100), ord(" "), np.uint8)
    block[:, :10] = random.integers(32, 127, size=(chunk.rows, 10))
    block[:, 12:28] = ord("0")
    numbers = np.arange(chunk.first, chunk.first + chunk.rows)
    block[:, 28:44] = digits[(numbers[:, None] >> np.arange(60, -1, -4)) & 15]
    block[:, 46:98] = np.repeat(digits[random.integers(16, size=(chunk.rows, 13))], 4, axis=1)
    block[:, 98:] = ord("\r"), ord("\n")
    return block.tobytes()


KINDS: dict[str, tuple[Callable[[Chunk], bytes], int]] = {
    "points": (points, 172), "clusters": (clusters, 94), "graph": (graph, 11), "logs": (logs, 52),
    "pages": (pages, 420), "customers": (customers, 18), "orders": (orders, 18), "records": (records, 100),
}
"""The function that makes a chunk, and the approximate bytes of a row (of 1 million)."""


def write(sc: Context, kind: str, size: str, seed: int, folder: str) -> None:
    """Write the data as part files into a new folder. A job."""
    make, row_bytes = KINDS[kind]
    total = rows_of(size, row_bytes)
    starts = range(0, total, CHUNK_ROWS)
    chunks = [Chunk(seed, first, min(CHUNK_ROWS, total - first), total) for first in starts]
    # saveAsTextFile adds a line end to each record, so the chunk's own last one goes.
    sc.parallelize(chunks, min(len(chunks), sc.defaultParallelism)).map(partial(_without_end, make)).saveAsTextFile(folder)


def rows_of(size: str, row_bytes: int) -> int:
    """``200MB`` or ``2M`` as rows, at least one. Raises ArgumentTypeError if the text is no size."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kMG]?)(B?)", size)
    if match is None or not float(match[1]):
        raise argparse.ArgumentTypeError(f"{size!r} is no size: say 200MB (bytes) or 2M (rows), with k, M or G")
    number, factor, is_bytes = match.groups()
    amount = float(number) * {"": 1, "k": 1e3, "M": 1e6, "G": 1e9}[factor]
    return max(1, round(amount / row_bytes if is_bytes else amount))


def size_text(text: str) -> str:
    """The size as given, since it names the folder. Raises ArgumentTypeError if it is none."""
    rows_of(text, 1)
    return text


def add_generate(parser: argparse.ArgumentParser, what: str, default: str | None) -> None:
    """Add the options that ``source`` needs."""
    shown = f"; {default} by default where no path is given" if default else ""
    parser.add_argument("--generate", type=size_text, metavar="SIZE", help=f"make {what} first, of 20MB or 100k rows, say{shown}")
    parser.add_argument("--seed", type=whole(0), default=1, help="the seed of random data and draws (1)")


def source(sc: Context, kind: str, size: str, seed: int) -> str:
    """The folder of generated data; generates it unless an earlier run did. All ranks must see the
    folder for temporary files (set TMPDIR where hosts do not share it)."""
    scratch = Path(tempfile.gettempdir(), f"mpirdd-jobs-{os.getuid()}")
    scratch.mkdir(mode=0o700, exist_ok=True)
    if scratch.stat().st_uid != os.getuid():
        raise SystemExit(f"{scratch} belongs to another user; set TMPDIR to a folder of your own")
    folder = scratch / f"{kind}-{size}-seed{seed}"
    if not (folder / "_SUCCESS").exists():
        write(sc, kind, size, seed, str(folder))
    return str(folder)


def _without_end(make: Callable[[Chunk], bytes], chunk: Chunk) -> bytes:
    return make(chunk)[:-1]


def _lines(rows: Iterable[str]) -> bytes:
    return ("\n".join(rows) + "\n").encode()


def _word(rank: int) -> str:
    """A pronounceable word, short for common ones."""
    word = ""
    while rank:
        rank, syllable = divmod(rank, 70)
        word += "bdfgklmnprstvz"[syllable % 14] + "aeiou"[syllable // 14]
    return word


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("size", type=size_text, help="bytes (200MB, about) or rows (2M)")
    parser.add_argument("folder", help="a new folder, which all ranks see")
    parser.add_argument("--seed", type=whole(0), default=1, help="another seed gives other data (1)")
    options = parser.parse_args()
    with Context("generate") as sc:
        write(sc, options.kind, options.size, options.seed, options.folder)
    size = sum(part.stat().st_size for part in Path(options.folder).glob("part-*"))
    print(f"{options.kind}: {size:,} bytes in {options.folder}")


if __name__ == "__main__":
    main()
