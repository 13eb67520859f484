"""Log mining: the errors of a month, cached, and several queries over them.

    mpirdd run -n 4 jobs/log_mining.py [PATH | --generate 20MB] [--month 2026-03]

The first example of the RDD paper (Zaharia et al., NSDI 2012, section 2.2.1): the job keeps only
the errors in memory, and only the first query reads the files. Lines are
``2026-03-14 15:09:26 ERROR service: text``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from operator import add
from typing import Any

from generate import add_generate, source
from mpirdd import RDD, Context


def is_error(month: str, line: str) -> bool:
    """True for an error of that month. The level counts, whatever the text says."""
    fields = line.split(" ", 3)
    return line.startswith(month) and len(fields) == 4 and fields[2] == "ERROR"


def service(line: str) -> str:
    """``mysql`` of ``2026-03-14 15:09:26 ERROR mysql: connection timed out``."""
    return line.split(" ", 4)[3].rstrip(":")


def by_service(errors: RDD) -> list[tuple[str, int]]:
    counts = errors.map(lambda line: (service(line), 1)).reduceByKey(add)
    return counts.takeOrdered(100, key=lambda pair: (-pair[1], pair[0]))


def by_day(errors: RDD) -> list[tuple[str, int]]:
    """The three worst days."""
    counts = errors.map(lambda line: (line[:10], 1)).reduceByKey(add)
    return counts.takeOrdered(3, key=lambda pair: (-pair[1], pair[0]))


def ask(what: str, query: Callable[[], Any]) -> None:
    started = time.monotonic()
    answer = query()
    print(f"{what}: {answer} ({time.monotonic() - started:.3f} s)", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", nargs="?", help="log files: a file, a folder, a glob, or a comma list of these")
    parser.add_argument("--month", default="2026-03", help="whose errors (2026-03)")
    parser.add_argument("--text", default="timed out", help="what the errors of the last query mention (timed out)")
    add_generate(parser, "logs", "5MB")
    options = parser.parse_args()
    with Context("log mining") as sc:
        path = options.path or source(sc, "logs", options.generate or "5MB", options.seed)
        text = options.text
        lines = sc.textFile(path, sc.defaultParallelism, errors="replace")
        errors = lines.filter(partial(is_error, options.month)).cache()
        ask(f"errors in {options.month}", errors.count)
        ask("by service", lambda: by_service(errors))
        ask("worst days", lambda: by_day(errors))
        ask(f"of mysql that mention {text!r}", errors.filter(lambda line: service(line) == "mysql" and text in line).count)


if __name__ == "__main__":
    main()
