"""A run's state, built from the lines of its event log, for the summary. Pure.

It stays small for a long run: of a single task it keeps the run time and some amounts, a few bytes each.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

Line = dict[str, Any]
_SUMMED = ("records_in", "bytes_in", "cached_bytes", "records_out", "bytes_out", "shuffle_read", "shuffle_written", "spilled",
           "gc_s", "cpu_s")
AMOUNTS = ("shuffle_read", "input", "records_in")
"""``input``: bytes of files and of kept partitions."""


@dataclass(slots=True)
class StageState:
    """One stage, as far as it has got."""

    id: int
    label: str
    kind: str
    of: int
    tasks: int
    jobs: tuple[int, ...]
    nodes: tuple[int, ...]
    shuffles: tuple[int, ...]
    keeps: tuple[int, ...]
    began: float
    ended: float | None = None
    done: int = 0
    failed: int = 0
    seconds: float = 0.0
    """Run time of all finished tasks."""
    longest: float = 0.0
    longest_partition: int = 0
    times: array[float] = field(default_factory=lambda: array("f"))
    """Run times. Tasks that share a line have one entry, their mean."""
    weights: array[int] = field(default_factory=lambda: array("l"))
    """How many tasks each of ``times`` stands for."""
    amounts: dict[str, array[int]] = field(default_factory=lambda: {name: array("q") for name in AMOUNTS})
    """The input of each task with a line of its own, measured in three ways."""
    longest_task: Line = field(default_factory=dict)
    """The line of the longest task, if it has one of its own."""
    sums: Counter[str] = field(default_factory=Counter)
    costs: Counter[str] = field(default_factory=Counter)
    peak_memory: int = 0

    @property
    def median(self) -> float:
        """The median run time of its tasks."""
        half, counted = sum(self.weights) / 2, 0
        for seconds, weight in sorted(zip(self.times, self.weights, strict=True)):
            counted += weight
            if counted >= half:
                return seconds
        return 0.0


@dataclass(slots=True)
class JobState:
    id: int
    label: str
    began: float
    status: str = "RUNNING"
    seconds: float = 0.0
    driver_cpu_s: float = 0.0
    error: str = ""


@dataclass(slots=True)
class NodeState:
    id: int
    label: str
    kind: str
    parents: tuple[int, ...]
    partitions: int
    input: str = ""
    gzip: bool = False
    level: str = ""
    """The storage level of its partitions: ``memory``, ``memory+disk`` ...; empty: they are not kept."""
    kept: dict[int, int] = field(default_factory=dict)
    """The kept partitions with their bytes, memory and disk together."""
    refused: set[int] = field(default_factory=set)
    """Partitions for which there was no room."""
    evicted: set[int] = field(default_factory=set)
    """Kept partitions that were dropped for lack of memory."""
    recomputed: dict[int, int] = field(default_factory=dict)
    """How often each partition to keep has been computed again."""

    @property
    def persisted(self) -> bool:
        return bool(self.level)


class RunState:
    """``take`` each line, in order. A ``run`` line begins anew."""

    def __init__(self) -> None:
        self._handlers: dict[str, Callable[[Line], None]] = {
            "run": self._run, "context": self._end, "end": self._end, "executor": self._executor,
            "executor_lost": self._executor_lost,
            "spare": lambda line: self.spares.update({line["spare"]: line}),
            "spare_lost": lambda line: self.spares_lost.append(line),
            "node": self._node, "persist": self._persist, "job": self._job, "job_end": self._job_end,
            "stage": self._stage, "stage_end": self._stage_end, "task": self._task, "tasks": self._tasks,
            "task_failed": self._task_failed, "task_slow": self._task_slow, "closure": self._closure,
            "evicted": self._evicted, "kept": self._kept, "not_kept": self._not_kept, "recomputed": self._recomputed,
            "exchanged": self._exchanged,
        }
        self._clear()

    def _clear(self) -> None:
        self.run: Line = {}
        self.end: Line | None = None
        self.contexts = 1
        """The number of Contexts that the program has made, one after the other."""
        self.t = 0.0
        """The time of the last line, in seconds since the run's start."""
        self.executors: dict[int, Line] = {}
        """All ranks that have been executors, with the spares that have joined."""
        self.spares: dict[int, Line] = {}
        """All spares."""
        self.spares_lost: list[Line] = []
        """Spares that were lost while they waited."""
        self.jobs: dict[int, JobState] = {}
        self.stages: dict[int, StageState] = {}
        self.nodes: dict[int, NodeState] = {}
        self.losses: list[Line] = []
        self.failures: list[Line] = []
        self.slow: list[Line] = []
        self.closures: list[Line] = []
        self.first_tasks: dict[int, Line] = {}
        """The line about the first task (or tasks) of each executor."""
        self.exchanged_bytes = 0

    def take(self, line: Line) -> None:
        handler = self._handlers.get(line["event"])
        self.t = max(self.t, line.get("t", 0.0))
        if handler is not None:
            handler(line)

    # --- lines ------------------------------------------------------------------------------------

    def _run(self, line: Line) -> None:
        self._clear()
        self.run = line

    def _end(self, line: Line) -> None:
        self.end = line if line["event"] == "end" else None  # a further Context goes on with the run
        self.contexts += line["event"] == "context"

    def _executor(self, line: Line) -> None:
        before = self.executors.get(line["executor"])
        if before is not None and before.get("instead"):  # another Context of the program
            line = {**line, "instead": before["instead"]}
        self.executors[line["executor"]] = line

    def _executor_lost(self, line: Line) -> None:
        self.losses.append(line)

    def _node(self, line: Line) -> None:
        before = self.nodes.get(line["node"])
        self.nodes[line["node"]] = NodeState(
            line["node"], line["label"], line["kind"], tuple(line["parents"]), line["partitions"], line.get("input", ""),
            line.get("gzip", False), before.level if before is not None else "")

    def _persist(self, line: Line) -> None:
        self._of(line["node"]).level = line.get("level") or "memory"

    def _of(self, node: int) -> NodeState:
        """The node; one without a name if its ``node`` line is missing, or comes later."""
        return self.nodes.setdefault(node, NodeState(node, f"RDD {node}", "narrow", (), 0))

    def _job(self, line: Line) -> None:
        self.jobs[line["job"]] = JobState(line["job"], line["label"], line["t"])

    def _job_end(self, line: Line) -> None:
        job = self.jobs.get(line["job"])
        if job is not None:
            job.status, job.seconds, job.error = line["status"], line["seconds"], line.get("error", "")
            job.driver_cpu_s = line.get("driver_cpu_s", 0.0)

    def _stage(self, line: Line) -> None:
        self.stages[line["stage"]] = StageState(
            line["stage"], line["label"], line["kind"], line["of"], line["tasks"], tuple(line["jobs"]),
            tuple(line["nodes"]), tuple(line["shuffles"]), tuple(line["keeps"]), line["t"])

    def _stage_end(self, line: Line) -> None:
        stage = self.stages.get(line["stage"])
        if stage is not None:
            stage.ended = line["t"]

    def _task(self, line: Line) -> None:
        stage = self.stages.get(line["stage"])
        if stage is None:
            return
        self._add(stage, line, 1, line["seconds"], line["seconds"])
        if line["seconds"] >= stage.longest:
            stage.longest_task = line
        for name in AMOUNTS:
            stage.amounts[name].append(amount_of(line, name))
        stage.peak_memory = max(stage.peak_memory, line.get("peak_memory", 0))

    def _tasks(self, line: Line) -> None:
        stage = self.stages.get(line["stage"])
        if stage is not None:
            self._add(stage, line, line["count"], line["seconds"], line["longest"])

    def _add(self, stage: StageState, line: Line, count: int, seconds: float, longest: float) -> None:
        self.first_tasks.setdefault(line["executor"], line)
        stage.done += count
        stage.seconds += seconds
        stage.times.append(seconds / count)
        stage.weights.append(count)
        if longest >= stage.longest:
            stage.longest, stage.longest_partition = longest, line["partition"]
        for name in _SUMMED:
            if name in line:
                stage.sums[name] += line[name]
        stage.costs.update(line.get("costs", {}))

    def _task_failed(self, line: Line) -> None:
        self.failures.append(line)
        if line["stage"] in self.stages:
            self.stages[line["stage"]].failed += 1

    def _task_slow(self, line: Line) -> None:
        self.slow.append(line)

    def _closure(self, line: Line) -> None:
        self.closures.append(line)

    def _evicted(self, line: Line) -> None:
        for kind, node, partition in line["blocks"]:
            if kind == "rdd":
                self._of(node).evicted.add(partition)

    def _kept(self, line: Line) -> None:
        for node, partition, memory, disk in line["blocks"]:
            self._of(node).kept[partition] = memory + disk

    def _not_kept(self, line: Line) -> None:
        for node, partition in line["blocks"]:
            self._of(node).refused.add(partition)

    def _recomputed(self, line: Line) -> None:
        for node, partition in line["blocks"]:
            times = self._of(node).recomputed
            times[partition] = times.get(partition, 0) + 1

    def _exchanged(self, line: Line) -> None:
        self.exchanged_bytes += sum(line["sent"].values()) + line.get("sent_rest", 0)


def amount_of(task: Line, name: str) -> int:
    """The input of a task, measured as a name of ``AMOUNTS`` says."""
    amount: int = task.get("bytes_in", 0) + task.get("cached_bytes", 0) if name == "input" else task.get(name, 0)
    return amount


def executors_at_once(state: RunState) -> int:
    """How many executors work at a time: a spare that took the place of a lost executor does not count."""
    return sum(not line.get("instead") for line in state.executors.values())
