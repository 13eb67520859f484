"""A job of jobs/, unchanged, on PySpark: ``python -m benchmarks.spark NAME EXECUTORS ARGUMENTS... --report FILE``.

The jobs use nothing but what PySpark's RDDs have as well, so only the Context is another one. Run by the Python that
MPIRDD_PYSPARK_PYTHON names, which needs pyspark, numpy and Java, and nothing of ours.
"""

from __future__ import annotations

import os
import runpy
import sys
from typing import Any

from benchmarks import jobs
from benchmarks.program import write_report


def main() -> None:
    os.environ["PYSPARK_PYTHON"] = sys.executable  # else its workers are whatever python3 is on the path
    from pyspark import SparkConf, SparkContext

    name, executors, *arguments, _, report = sys.argv[1:]

    def context(title: str = "mpirdd") -> Any:
        conf = SparkConf().setMaster(f"local[{executors}]").setAppName(title).set("spark.ui.enabled", "false")
        conf.set("spark.driver.memory", "4g").set("spark.driver.bindAddress", "127.0.0.1")
        conf.set("spark.ui.showConsoleProgress", "false").set("spark.driver.host", "127.0.0.1")
        sc = SparkContext(conf=conf)
        sc.setLogLevel("ERROR")
        sc.resumable = lambda *path, **about: jobs.NothingSaved()  # which PySpark does not have
        sc.parallelize(range(64), int(executors)).count()  # its Python workers are up
        return sc

    jobs.stand_in(context)
    if name.startswith("engine/"):  # a program of benchmarks/engine, which writes its own report
        sys.argv = [name, *arguments, "--report", report]
        runpy.run_module(f"benchmarks.{name.replace('/', '.')}", run_name="__main__")
    else:
        write_report(report, **jobs.run(name, arguments))


if __name__ == "__main__":
    main()
