"""The parts of a MapReduce job's time, from the stamps of its client and of its tasks.

All stamps are milliseconds of one host's clock. Parts follow one another, so they add up to the job's seconds. Map tasks run
side by side, and reduce tasks start while maps run: a part ends with the first, or the last, task that reaches its end.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

SUBMIT = "submit the job"
MASTER = "start the application master"
CONTAINERS = "wait for containers"
JVMS = "start the tasks' JVMs"
MAP = "map"
REDUCERS = "start the reduce tasks"
REDUCE = "shuffle and reduce"
END = "commit, and tell the client"
PARTS = (SUBMIT, MASTER, CONTAINERS, JVMS, MAP, REDUCERS, REDUCE, END)
"""In the order of time."""
WORK = (MAP, REDUCE)
"""What a disk mode does too; the others are what it leaves out."""


def of_job(job: Mapping[str, Any]) -> dict[str, float]:
    """Seconds of each part of a job as Jobs.java reports it."""
    maps, reduces = job["maps"], job["reduces"]
    stamps = [
        job["began"],
        job["submitted"],  # files are staged, splits written
        job["master"],
        min(task["jvm"] for task in maps),
        min(task["task"] for task in maps),
        max(task["end"] for task in maps),
    ]
    stamps += [max([task[which] for task in reduces], default=stamps[-1]) for which in ("task", "end")]
    stamps.append(job["ended"])
    for place in range(1, len(stamps)):  # a JVM may count its start a moment before the master has stamped its own
        stamps[place] = max(stamps[place - 1], stamps[place])
    return {part: (after - before) / 1e3 for part, (before, after) in zip(PARTS, pairwise(stamps), strict=True)}


def jvm_starts(job: Mapping[str, Any]) -> list[float]:
    """Seconds from the start of each task's JVM to the task's own start, before it reads or fetches anything."""
    return [(task["task"] - task["jvm"]) / 1e3 for task in [*job["maps"], *job["reduces"]]]


def overhead_s(parts: Mapping[str, float]) -> float:
    """The seconds of a job that are no work on data."""
    return sum(seconds for part, seconds in parts.items() if part not in WORK)
