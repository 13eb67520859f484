"""The benchmarks' work on Hadoop: ``python -m benchmarks.onhadoop FOLDER NAME ARGUMENTS... --report FILE``.

It runs inside the namespace of the cluster of ``FOLDER`` (minihadoop.py). Names are ``empty``, ``wordcount``, ``streaming``,
``terasort``, ``logistic_regression``, ``binary`` (the same over SequenceFiles), ``put`` and ``write``; paths are ``hdfs://``.
A client JVM submits the jobs (java/Jobs.java). The loop of the logistic regression is the job's own, ``fit`` in
jobs/logistic_regression.py: each of its passes over the data is one MapReduce job, and the driver updates the weights.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from benchmarks import hadoopparts, jobs
from benchmarks.minihadoop import hadoop_client
from benchmarks.program import write_report
from benchmarks.text import digest

SCRIPTS = Path(__file__).parent / "streaming"
"""The commands of Hadoop Streaming."""
POINT_WIDTH = 21
"""Numbers in a line of points: 20 features and a label."""
JOB_WITHIN_S = 600.0


class Client:
    """What submits jobs. All of them are in ``jobs``, in their order."""

    def __init__(self, jvm: Any) -> None:
        self.jvm = jvm
        self.jobs: list[dict[str, Any]] = []

    def run(self, *words: object) -> dict[str, Any]:
        """Submit a job and wait for its end. Raises RuntimeError if it fails."""
        self.jobs.append(self.do(*words))
        return self.jobs[-1]

    def do(self, *words: object) -> dict[str, Any]:
        """What the client JVM answers to a command."""
        found: dict[str, Any] = json.loads(self.jvm.ask(*words, timeout_s=JOB_WITHIN_S))
        return found

    def report(self) -> dict[str, Any]:
        """Each job's seconds, CPU seconds of its tasks, and parts, where its tasks say when they began."""
        stamped = [job for job in self.jobs if "maps" in job]
        return {"jobs": [job["seconds"] for job in self.jobs], "task_cpu_s": [job["cpu_s"] for job in stamped],
                "parts": [hadoopparts.of_job(job) for job in stamped],
                "jvm_s": [seconds for job in stamped for seconds in hadoopparts.jvm_starts(job)]}


class Points:
    """The points in HDFS, with the RDD methods that the job's loop calls: a job for each ``reduce``."""

    def __init__(self, client: Client, path: str, scratch: str, weights: Any = None) -> None:
        self.client, self.path, self.scratch, self.weights = client, path, scratch, weights

    def map(self, function: Callable[[Any], Any]) -> Points:
        """``block_loss`` with its weights, or ``block_gram``; Jobs.java does the same with each point."""
        return Points(self.client, self.path, self.scratch, function.args[0] if isinstance(function, partial) else None)

    def reduce(self, operation: Callable[[Any, Any], Any]) -> Any:
        """The sum; ``operation`` must be an addition."""
        words = [] if self.weights is None else [",".join(map(repr, self.weights.tolist()))]
        job = self.client.run("points", self.path, f"{self.scratch}/{len(self.client.jobs)}", POINT_WIDTH, *words)
        values = np.array(job["values"])
        return values.reshape(POINT_WIDTH, POINT_WIDTH) if self.weights is None else values


def empty(client: Client, count: str) -> dict[str, Any]:
    return {"seconds": [client.run("empty")["seconds"] for _ in range(int(count))]}


def wordcount(client: Client, source: str, target: str, reduces: str) -> dict[str, Any]:
    """Hadoop's tutorial, with its combiner."""
    job = client.run("wordcount", source, target, reduces)
    return {"seconds": [job["seconds"]], "digest": digest(counts_in(target))}


def streaming(client: Client, source: str, target: str, reduces: str) -> dict[str, Any]:
    """The same by two Python scripts, the reducer being the combiner too."""
    job = client.run("streaming", source, target, reduces, SCRIPTS / "words.py", SCRIPTS / "sums.py")
    return {"seconds": [job["seconds"]], "digest": digest(counts_in(target))}


def terasort(client: Client, source: str, target: str, reduces: str) -> dict[str, Any]:
    """Hadoop's own TeraSort, which samples the keys and partitions by their order."""
    return {"seconds": [client.run("terasort", source, target, reduces)["seconds"]], "target": target}


def logistic_regression(client: Client, source: str, iterations: str, *, binary: bool = False) -> dict[str, Any]:
    job, output, started = jobs.functions_of("logistic_regression"), io.StringIO(), time.monotonic()
    scratch = f"{source}-{uuid4().hex}"
    if binary:
        client.run("bytes", source, f"{scratch}.bytes", POINT_WIDTH)
        source = f"{scratch}.bytes"
    points = Points(client, source, scratch)
    with contextlib.redirect_stdout(output):
        gram = points.map(job.block_gram).reduce(None)
        print(f"loaded, {time.monotonic() - started:.4f} s")
        job.fit(points, gram, Namespace(iterations=int(iterations), tolerance=-1, penalty=1.0, points=False),
                jobs.NothingSaved())
    return jobs.report_of(output.getvalue())


def put(client: Client, path: str, target: str) -> dict[str, Any]:
    """Copy a local file or folder, as ``hdfs dfs -put`` does."""
    return client.do("put", path, target)


def write(client: Client, target: str, size_bytes: str, *copies: str) -> dict[str, Any]:
    """Seconds to write a file with each number of copies of its blocks."""
    return {"seconds": {each: client.do("write", f"{target}-{each}-{uuid4().hex}", size_bytes, each)["seconds"]
                        for each in copies}}


def counts_in(folder: str) -> Iterator[tuple[str, int]]:
    """The words and counts of a folder of text."""
    from mpirdd.formats.filesystems import Options, filesystem_of

    files = filesystem_of(folder, Options())
    for each in files.entries(folder):
        if not each.path.rpartition("/")[2].startswith("_"):
            with files.open(each.path) as reader:
                for line in reader.readall().decode().splitlines():
                    word, _, count = line.partition("\t")
                    yield word, int(count)


PROGRAMS: dict[str, Callable[..., dict[str, Any]]] = {
    "empty": empty, "wordcount": wordcount, "streaming": streaming, "terasort": terasort, "put": put, "write": write,
    "logistic_regression": logistic_regression, "binary": partial(logistic_regression, binary=True),
}


def main() -> None:
    folder, name, *arguments, _, report = sys.argv[1:]
    with hadoop_client(Path(folder), Path(report).with_name("client.log")) as jvm:
        client = Client(jvm)
        found = PROGRAMS[name](client, *arguments)
    write_report(report, **found, **client.report())


if __name__ == "__main__":
    main()
