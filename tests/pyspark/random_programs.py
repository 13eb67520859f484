"""Runs random programs (``fuzzing``) under PySpark or mpirdd: ``python random_programs.py OUTPUT FIRST COUNT [SECONDS]``.

Writes what they give, a list of outcomes for each seed. Begins no program when the seconds are over.
"""

from __future__ import annotations

import pickle
import sys
import tempfile
import time
from pathlib import Path

from pyspark import SparkConf, SparkContext, StorageLevel

sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzzing.programs import random_program, run, text_of

PARTITIONS = 2
"""PySpark takes some 24 ms for each task."""


def text(seed: int) -> str:
    """The program of the seed. An RDD without partitions has some instead: there, many of PySpark's actions fail."""
    return text_of(random_program(seed, PARTITIONS)).replace("sc.emptyRDD()", "sc.range(0, 0, 1, 2)")


if __name__ == "__main__":
    output, first, count, *most_s = sys.argv[1:]
    until = time.monotonic() + float(most_s[0] if most_s else "inf")
    quiet = SparkConf().setMaster("local[3]").setAppName("random programs")
    for name in ("spark.ui.enabled", "spark.ui.showConsoleProgress"):
        quiet.set(name, "false")
    sc = SparkContext(conf=quiet)
    sc.setLogLevel("OFF")
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        sc.setCheckpointDir(folder)
        for seed in range(int(first), int(first) + int(count)):
            if time.monotonic() > until:
                break
            found[seed] = run(text(seed), sc, StorageLevel)
        sc.stop()
    Path(output).write_bytes(pickle.dumps(found))
