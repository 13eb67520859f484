"""Word count on the engine from files to files, wherever they lie: ``counted.py SOURCE TARGET REDUCES --report FILE``."""

from __future__ import annotations

import sys
import time

from benchmarks.program import write_report
from benchmarks.text import digest
from mpirdd import Context


def main() -> None:
    source, target, reduces, _, report = sys.argv[1:]
    with Context() as sc:
        sc.textFile(source).take(1)  # executors are up, and have their clients
        started = time.monotonic()
        counts = sc.textFile(source).flatMap(str.split).map(lambda w: (w, 1)).reduceByKey(lambda a, b: a + b, int(reduces))
        counts.map("{0[0]}\t{0[1]}".format).saveAsTextFile(target)
        seconds = time.monotonic() - started
        found = sc.textFile(target).map(lambda line: line.split("\t")).collect()
    write_report(report, seconds=[seconds], digest=digest((word, int(count)) for word, count in found))


if __name__ == "__main__":
    main()
