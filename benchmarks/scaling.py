"""Strong and weak scaling of word count and logistic regression: seconds on 1, 2 and 4 executors, as far as there are cores.

*Strong*: the same data on more executors. *Weak*: as much more data. Word count is timed from file to counts, logistic
regression by a later iteration on cached blocks. The driver is a rank of its own and sleeps meanwhile, so that executors up
to the number of cores have a core each; points beyond that are marked, not left out.
"""

from __future__ import annotations

import os
from argparse import Namespace
from statistics import median

from benchmarks import harness, peers, text

EXECUTORS = (1, 2, 4)


def measure(options: Namespace) -> harness.Record:
    cores = len(os.sched_getaffinity(0))
    counts = [count for count in EXECUTORS if count <= max(options.most, 1)]
    valid, points = True, []
    for job, run in (("wordcount", wordcount), ("lr", lr)):
        for kind in ("strong", "weak"):
            for executors in counts:
                mb = options.mb * executors if kind == "weak" else options.mb
                seconds, right, size, command = run(executors, mb, options)
                valid = valid and right
                points.append({"job": job, "kind": kind, "executors": executors, "bytes": size,
                               "seconds": harness.spread(seconds), "cores": cores, "command": command})
                harness.say(f"  {job:9} {kind:6} {executors} executors, {size / 1e6:.0f} MB: {median(seconds):.4f} s")
    return {"bytes": round(options.mb * 1e6), "valid": valid, "points": points}


Measured = tuple[list[float], bool, int, str]
"""Seconds of each run, whether the output was right, bytes of input, command."""


def wordcount(executors: int, mb: float, options: Namespace) -> Measured:
    source = text.zipf_text(mb, options.seed)
    text.warm(source.path)
    command = harness.on_engine("wordcount", executors + 1, source.path)
    runs = launch(command, options)
    right = all(run.report["digest"] == source.digest for run in runs)
    return harness.inner(runs), right, source.size_bytes, " ".join(command)


def lr(executors: int, mb: float, options: Namespace) -> Measured:
    path = peers.generated("points", f"{mb:g}MB", Namespace(**{**vars(options), "ranks": executors + 1}))
    command = harness.on_engine("job", executors + 1, "logistic_regression", path, "--iterations", options.iterations,
                                "--tolerance", "-1")
    runs = launch(command, options)
    by_hand = harness.launch(harness.by_hand("lr", executors + 1, path, options.iterations), options.timeout)
    expected = by_hand.report["result"]
    right = all(abs(run.report["result"] - expected) <= 1e-6 * abs(expected) for run in runs)
    return harness.inner(runs, "later"), right, peers.bytes_of(path), " ".join(command)


def launch(command: list[str], options: Namespace) -> list[harness.Run]:
    cold = options.page_cache == "drop"
    return harness.alternate(options.repeats, options.timeout, {"engine": command}, cold=cold)["engine"]


def main(argv: list[str] | None = None) -> int:
    return harness.main("scaling", measure, full={"mb": 100.0, "iterations": 10, "most": 4, "ranks": 5, "repeats": 3},
                        quick={"mb": 10.0, "iterations": 5, "repeats": 1}, argv=argv)


if __name__ == "__main__":
    raise SystemExit(main())
