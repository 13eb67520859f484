"""The account of a run, summed from its events: the report, the live page and ``mpirdd top`` read it.

``RunView.take`` folds one event of the log after the other, so a reader of a growing log keeps its view and takes the new
events. It ignores kinds and fields that it does not know, and tolerates events whose beginning is missing (a stage without
its ``stage`` line): logs may be cut off. No clock, no files.

Left out: reading files (``event_files``), and all decisions about what to show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from mpirdd.observe.views import (
    FAILED,
    LOST,
    ODD,
    OK,
    STOPPED,
    SUMS,
    Event,
    ExecutorView,
    JobView,
    KeptView,
    StageView,
    TaskRow,
    partitions_of,
)


class RunView:
    """The account of one run. ``take`` each event, in order.

    Args:
        details: also remember each task, exchange and memory sample. Without them the view of the longest run stays small.
    """

    def __init__(self, *, details: bool = True) -> None:
        self.details = details
        self.run: Event = {}
        self.contexts = 1
        """The number of Contexts that the program has made, one after the other."""
        self.now = 0.0
        """The time of the last event, in seconds since the run began."""
        self.end: Event | None = None
        self.jobs: dict[int, JobView] = {}
        self.stages: dict[int, StageView] = {}
        self.executors: dict[int, ExecutorView] = {}
        self.spares: dict[int, Event] = {}
        """All spares that have started, whether they still wait, have joined or are lost."""
        self.spares_lost: list[Event] = []
        self.nodes: dict[int, Event] = {}
        self.kept: dict[int, KeptView] = {}
        self.tasks: list[TaskRow] = []
        self.failures: list[Event] = []
        self.failure_count = 0
        self.exchanges: dict[int, Event] = {}
        self.exchanged: list[Event] = []
        self.shuffled_bytes = 0
        self.losses: list[Event] = []
        self.stacks: list[Event] = []
        self.profiles: list[Event] = []
        self.keys: list[Event] = []
        self.strange = 0
        """The number of events of known kinds whose fields make no sense."""
        self.sampled_s: float = 0.0
        """Shorter tasks have no line of their own."""

    def take(self, event: Event) -> bool:
        """False: it makes no sense, and changes nothing."""
        time = event.get("t")
        if isinstance(time, int | float):
            self.now = max(self.now, time)
        handler = _HANDLERS.get(event.get("event", ""))
        if handler is not None:
            try:
                handler(self, event)
            except ODD:  # another version's, or damaged
                self.strange += 1
                return False
        return True

    def take_all(self, events: Iterable[Event]) -> RunView:
        for event in events:
            self.take(event)
        return self

    @property
    def spares_waiting(self) -> int:
        """How many spares wait now."""
        return len(self.spares.keys() - self.executors.keys()) - len(self.spares_lost)

    @property
    def status(self) -> str:
        """``running`` if the log has no end; else ``succeeded``, ``failed`` or ``terminated``."""
        if self.end is None:
            return "running"
        said = str(self.end.get("status", "ok"))
        return "succeeded" if said == "ok" else said

    def stage(self, number: int) -> StageView:
        """The stage; one without a name if the log lacks its beginning."""
        found = self.stages.get(_whole(number))
        if found is None:
            found = self.stages[number] = StageView(number, f"stage {number}", start=self.now, last=self.now)
        return found

    def executor(self, rank: int) -> ExecutorView:
        found = self.executors.get(_whole(rank))
        if found is None:
            found = self.executors[rank] = ExecutorView(rank)
        return found

    def label(self, node: int | None) -> str:
        """What a lineage node does, and where."""
        return str(self.nodes.get(node, {}).get("label", f"RDD {node}")) if node is not None else ""


def _whole(number: object) -> int:
    if not isinstance(number, int):
        raise TypeError(f"{number!r} is no id")
    return number


def _on_run(run: RunView, event: Event) -> None:
    run.run = event


def _on_context(run: RunView, event: Event) -> None:
    run.contexts += 1
    run.end = None


def _on_end(run: RunView, event: Event) -> None:
    run.end = event


def _on_executor(run: RunView, event: Event) -> None:
    executor = run.executor(event["executor"])
    executor.host, executor.pid = event.get("host", ""), event.get("pid")
    executor.limit_bytes = event.get("memory", 0)
    executor.joined = executor.joined or event.get("t", 0.0)  # in the first of several Contexts
    executor.instead = executor.instead or event.get("instead")


def _on_spare(run: RunView, event: Event) -> None:
    run.spares[_whole(event["spare"])] = event


def _on_spare_lost(run: RunView, event: Event) -> None:
    run.spares_lost.append(event)


def _on_node(run: RunView, event: Event) -> None:
    run.nodes[_whole(event["node"])] = event


def _on_persist(run: RunView, event: Event) -> None:
    run.kept.setdefault(event["node"], KeptView()).level = event.get("level", "")


def _on_job(run: RunView, event: Event) -> None:
    run.jobs[_whole(event["job"])] = JobView(event["job"], event.get("label", ""), event.get("t", 0.0), event.get("group"))


def _on_job_end(run: RunView, event: Event) -> None:
    job = run.jobs.setdefault(event["job"], JobView(event["job"], "", event.get("t", 0.0) - event.get("seconds", 0.0)))
    job.end, job.status, job.error = event.get("t", run.now), event.get("status", "?"), event.get("error", "")


def _on_stage(run: RunView, event: Event) -> None:
    stage = run.stage(event["stage"])
    stage.label, stage.kind = event.get("label", stage.label), event.get("kind", "result")
    stage.tasks, stage.start = event.get("tasks", 0), event.get("t", 0.0)
    stage.jobs, stage.nodes = tuple(event.get("jobs", ())), tuple(event.get("nodes", ()))
    stage.shuffles = tuple(event.get("shuffles", ()))
    stage.writes = event.get("of") if stage.kind == "map" else None
    for job in stage.jobs:
        if job in run.jobs and stage.id not in run.jobs[job].stages:
            run.jobs[job].stages.append(stage.id)


def _on_stage_end(run: RunView, event: Event) -> None:
    stage = run.stage(event["stage"])
    stage.ended, stage.last = True, max(stage.last, event.get("t", 0.0))


def _on_started(run: RunView, event: Event) -> None:
    executor = run.executor(event["executor"])
    for partition in partitions_of(event.get("partitions", "")):
        executor.now[event["stage"], partition] = event.get("t", run.now)


def _on_running(run: RunView, event: Event) -> None:
    executor = run.executor(event["executor"])
    task = event["stage"], event.get("partition", 0)
    if task not in executor.now:  # the executor got the task without a line
        executor.now = {task: event.get("t", run.now) - event.get("seconds", 0.0), **executor.now}


def _on_task(run: RunView, event: Event) -> None:
    stage, executor = run.stage(event["stage"]), run.executor(event["executor"])
    partition, seconds, start = event.get("partition", 0), event.get("seconds", 0.0), event.get("start", 0.0)
    if run.details:
        stage.seconds.append((seconds, 1))
    if stage.longest_partition is None or seconds > stage.longest_s:
        stage.longest_s, stage.longest_partition = seconds, partition
    _count(run, event, stage, executor, count=1, until=start + seconds)
    executor.now.pop((stage.id, partition), None)
    executor.last = (stage.id, partition, start + seconds)
    if run.details:
        run.tasks.append(TaskRow(stage.id, partition, event.get("attempt", 0), executor.rank, start, seconds, OK, 1, event))


def _on_tasks(run: RunView, event: Event) -> None:
    stage, executor = run.stage(event["stage"]), run.executor(event["executor"])
    count, longest, partition = event.get("count", 1), event.get("longest", 0.0), event.get("partition", 0)
    start = event.get("start", run.now)
    until = event.get("until", start)
    if run.details:
        stage.seconds.append((longest, 1))
    if run.details and count > 1:
        stage.seconds.append(((event.get("seconds", 0.0) - longest) / (count - 1), count - 1))
    if stage.longest_partition is None or longest > stage.longest_s:
        stage.longest_s, stage.longest_partition = longest, partition
    _count(run, event, stage, executor, count=count, until=until)
    for each in partitions_of(event.get("partitions", "")):
        executor.now.pop((stage.id, each), None)
    executor.last = (stage.id, partition, until)
    if run.details:
        run.tasks.append(TaskRow(stage.id, partition, 0, executor.rank, start, until - start, OK, count, event))


def _count(run: RunView, event: Event, stage: StageView, executor: ExecutorView, *, count: int, until: float) -> None:
    seconds = event.get("seconds", 0.0)
    stage.done += count
    stage.busy_s += seconds
    stage.last = max(stage.last, until)
    for name in SUMS:
        if value := event.get(name):
            stage.sums[name] += value
    stage.costs.update(event.get("costs", {}))
    stage.peak_bytes = max(stage.peak_bytes, event.get("peak_memory", 0))
    executor.tasks += count
    executor.busy_s += seconds
    executor.spilled += event.get("spilled", 0)
    executor.rss_bytes = event.get("rss", executor.rss_bytes)


def _on_task_failed(run: RunView, event: Event) -> None:
    run.stage(event["stage"]).failed += 1
    run.failure_count += 1
    if len(run.failures) < 200:
        run.failures.append(event)
    _unfinished(run, event, FAILED)


def _on_task_stopped(run: RunView, event: Event) -> None:
    run.stage(event["stage"]).stopped += 1
    _unfinished(run, event, STOPPED)


def _unfinished(run: RunView, event: Event, status: str) -> None:
    stage, partition = event["stage"], event.get("partition", 0)
    executor = run.executor(event["executor"])
    handed = executor.now.pop((stage, partition), None)
    if not run.details:
        return
    time = event.get("t", run.now)  # queued tasks run one after the other: it began after the last one ended
    start = min(time, max(handed or 0.0, executor.last[2] if executor.last else run.stage(stage).start))
    executor.last = (stage, partition, time)
    run.tasks.append(TaskRow(
        stage, partition, event.get("attempt", 0), executor.rank, start, time - start, status, 1, event))


def _on_exchange(run: RunView, event: Event) -> None:
    if run.details:
        run.exchanges[event["exchange"]] = event


def _on_exchanged(run: RunView, event: Event) -> None:
    run.executor(event["executor"]).exchange_s += event.get("seconds", 0.0)
    run.shuffled_bytes += sum(event.get("sent", {}).values()) + event.get("sent_rest", 0)
    if run.details:
        run.exchanged.append(event)


def _on_memory(run: RunView, event: Event) -> None:
    executor = run.executor(event["executor"])
    used = event.get("used", 0)
    peak = max(used, event.get("peak", 0))
    if executor.lost is None:
        executor.used_bytes = used
    executor.peak_bytes = max(executor.peak_bytes, peak)
    if run.details:
        executor.memory.append((event.get("t", run.now), peak, used))


def _on_kept(run: RunView, event: Event) -> None:
    for node, part, memory, disk in event.get("blocks", ()):
        kept = run.kept.setdefault(node, KeptView())
        kept.parts[part] = (memory, disk)
        if len(kept.parts) >= kept.most[0]:
            sizes = list(kept.parts.values())
            kept.most = (len(sizes), sum(size[0] for size in sizes), sum(size[1] for size in sizes))


def _on_evicted(run: RunView, event: Event) -> None:
    for kind, node, part in event.get("blocks", ()):
        if kind == "rdd" and node in run.kept and run.kept[node].parts.pop(part, None) is not None:
            run.kept[node].evicted += 1


def _on_not_kept(run: RunView, event: Event) -> None:
    for node, _ in event.get("blocks", ()):
        run.kept.setdefault(node, KeptView()).refused += 1


def _on_recomputed(run: RunView, event: Event) -> None:
    for node, _ in event.get("blocks", ()):
        run.kept.setdefault(node, KeptView()).again += 1


def _on_executor_lost(run: RunView, event: Event) -> None:
    executor = run.executor(event["executor"])
    executor.lost, executor.cause = event.get("t", run.now), event.get("why", "")
    executor.host = executor.host or event.get("host", "")
    if run.details:
        for (stage, partition), handed in executor.now.items():
            start = max(handed, executor.last[2] if executor.last else 0.0)
            if [stage, partition] in (event.get("running") or [[stage, partition]]) and start < executor.lost:
                run.tasks.append(TaskRow(
                    stage, partition, 0, executor.rank, start, executor.lost - start, LOST, 1, event))
                break  # one task runs at a time; the others only waited
    executor.now.clear()
    executor.used_bytes = 0
    run.losses.append(event)


def _on_profile(run: RunView, event: Event) -> None:
    if run.details:
        run.profiles.append(event)


def _on_stack(run: RunView, event: Event) -> None:
    if len(run.stacks) < 200:
        run.stacks.append(event)


def _on_keys(run: RunView, event: Event) -> None:
    if len(run.keys) < 1000:
        run.keys.append(event)


def _on_sampling(run: RunView, event: Event) -> None:
    run.sampled_s = event.get("detail_s", 0.0)


_HANDLERS: dict[str, Callable[[RunView, Event], None]] = {
    "run": _on_run,
    "context": _on_context,
    "end": _on_end,
    "executor": _on_executor,
    "spare": _on_spare,
    "spare_lost": _on_spare_lost,
    "node": _on_node,
    "persist": _on_persist,
    "job": _on_job,
    "job_end": _on_job_end,
    "stage": _on_stage,
    "stage_end": _on_stage_end,
    "started": _on_started,
    "running": _on_running,
    "task": _on_task,
    "tasks": _on_tasks,
    "task_failed": _on_task_failed,
    "task_stopped": _on_task_stopped,
    "exchange": _on_exchange,
    "exchanged": _on_exchanged,
    "memory": _on_memory,
    "kept": _on_kept,
    "not_kept": _on_not_kept,
    "recomputed": _on_recomputed,
    "evicted": _on_evicted,
    "executor_lost": _on_executor_lost,
    "profile": _on_profile,
    "stack": _on_stack,
    "keys": _on_keys,
    "sampling": _on_sampling,
}
