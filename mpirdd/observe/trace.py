"""A run as a trace for Perfetto (ui.perfetto.dev) and chrome://tracing, in the Trace Event Format.

Each rank is a process of the trace: the driver with its jobs and stages, an executor with its tasks, exchanges and memory.
Rows are threads. The format wants slices of one row not to cross each other, so a slice that overlaps gets another row. Inside
a task are its parts (read, parse, compute, encode, spill, ...). The log has the sum of each part, not when it ran, so the parts
are laid end to end in the order in which data passes them. Arrows (flows) lead from the last map task of an executor to its
exchange, from there to the exchanges of other executors, and on to the first task that reads the shuffle.

Times are whole microseconds since the start of the run, in ascending order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

from mpirdd.observe.run_view import RunView
from mpirdd.observe.views import OK, TaskRow

_PARTS = (
    ("input_s", "read"), ("lines_s", "cut lines"), ("decode_s", "decode"), ("read_s", "spill read"), ("parse_s", "parse"),
    ("compute_s", "compute"), ("encode_s", "encode"), ("write_s", "spill write"), ("commit_s", "commit"),
    ("output_s", "write output"),
)
_PART_NAMES = dict(_PARTS)
_JITTER_US = 2000
"""Tasks of an executor follow one another. Clocks of two ranks may make them overlap by up to this: cut the overlap."""
_MOST_FLOWS = 256
"""At most so many arrows between executors for one exchange: those with the most bytes."""
_TASKS, _EXCHANGES, _JOBS, _STAGES = 1, 1001, 1, 1001

Entry = dict[str, Any]


def trace_events(run: RunView) -> list[Entry]:
    """The entries of the trace, metadata first, then by time. Costs O(n log n); about 150 bytes an entry once written."""
    rows = _Rows()
    entries: list[Entry] = []
    tasks = sorted(run.tasks, key=lambda row: (row.executor, row.start))
    ended: dict[int, int] = defaultdict(int)
    placed: list[tuple[TaskRow, int, int, int]] = []
    for row in tasks:
        start, end = _us(row.start), _us(row.start + row.seconds)
        if start < ended[row.executor] <= start + _JITTER_US:
            start = ended[row.executor]
        end = max(start, end)
        ended[row.executor] = max(ended[row.executor], end)
        thread = rows.place(row.executor, _TASKS, "tasks", start, end)
        placed.append((row, start, end, thread))
        entries += _task(run, row, start, end, thread)
    exchanges = _exchanges(run, rows)
    entries += [entry for entry, *_ in exchanges]
    entries += _flows(run, placed, exchanges)
    for job in sorted(run.jobs.values(), key=lambda job: job.start):
        start, end = _us(job.start), _us(job.end if job.end is not None else run.now)
        thread = rows.place(0, _JOBS, "jobs", start, end)
        entries.append(_slice(f"job {job.id}: {job.label}", "job", 0, thread, start, end, {"status": job.status}))
    for stage in sorted(run.stages.values(), key=lambda stage: stage.start):
        start, end = _us(stage.start), _us(max(stage.start, stage.last))
        thread = rows.place(0, _STAGES, "stages", start, end)
        entries.append(_slice(f"stage {stage.id}: {stage.label}", "stage", 0, thread, start, end,
                              {"tasks": stage.tasks, "failed": stage.failed}))
    entries += _samples(run)
    entries.sort(key=lambda entry: (entry["ts"], -entry.get("dur", 0)))  # a slice before those inside it
    return [*_metadata(run, rows), *entries]


class _Rows:
    """Gives each slice the first row of its kind in which it crosses no other. Slices must come by their starts."""

    def __init__(self) -> None:
        self.names: dict[tuple[int, int], str] = {}
        self._ends: dict[tuple[int, int], list[int]] = defaultdict(list)

    def place(self, process: int, first: int, name: str, start: int, end: int) -> int:
        ends = self._ends[process, first]
        number = next((each for each, until in enumerate(ends) if until <= start), len(ends))
        if number == len(ends):
            ends.append(end)
            self.names[process, first + number] = name if number == 0 else f"{name}, row {number + 1}"
        ends[number] = end
        return first + number


def _task(run: RunView, row: TaskRow, start: int, end: int, thread: int) -> Iterator[Entry]:
    stage = run.stages[row.stage]
    what = f"partition {row.partition}" if row.tasks == 1 else f"{row.tasks} tasks"
    state = "" if row.status == OK else f" ({row.status})"
    counts = {name: row.counts[name] for name in (
        "records_in", "bytes_in", "records_out", "bytes_out", "shuffle_read", "shuffle_written", "spilled", "peak_memory",
        "gc_s", "cpu_s", "error", "why") if row.counts.get(name)}
    yield _slice(f"{stage.label}, {what}{state}", "task", row.executor, thread, start, end, {
        "stage": row.stage, "partition": row.partition, "attempt": row.attempt, "status": row.status, **counts})
    costs = {name: seconds for name, seconds in row.counts.get("costs", {}).items() if seconds > 0}
    total = max(sum(costs.values()), row.seconds)
    if not costs or end - start < 2:
        return
    names = [name for name, _ in _PARTS if name in costs] + sorted(set(costs) - set(_PART_NAMES))
    passed = 0.0
    for name in names:
        begin = start + int((end - start) * passed / total)
        passed += costs[name]
        until = min(end, start + int((end - start) * passed / total))
        if until > begin:
            yield _slice(_PART_NAMES.get(name, name.removesuffix("_s")), "part", row.executor, thread, begin, until,
                         {"seconds": costs[name]})


def _exchanges(run: RunView, rows: _Rows) -> list[tuple[Entry, Any]]:
    found = []
    for event in sorted(run.exchanged, key=lambda event: event.get("start", 0.0)):
        start = _us(event.get("start", 0.0))
        end = start + _us(event.get("seconds", 0.0))
        thread = rows.place(event["executor"], _EXCHANGES, "exchanges", start, end)
        shuffle = run.exchanges.get(event["exchange"], {}).get("shuffle")
        name = run.label(shuffle) if shuffle is not None else "copies of kept partitions"
        sent = sum(event.get("sent", {}).values()) + event.get("sent_rest", 0)
        found.append((_slice(f"exchange: {name}", "exchange", event["executor"], thread, start, end,
                             {"exchange": event["exchange"], "sent": sent, "received": event.get("received", 0)}), event))
    return found


def _flows(run: RunView, placed: Iterable[tuple[TaskRow, int, int, int]], exchanges: list[tuple[Entry, Any]]) -> Iterator[Entry]:
    """Arrows, each as a pair of entries with an id of its own. None leads back in time."""
    number = 0

    def arrow(name: str, source: Entry, at: int, target: Entry, to: int) -> Iterator[Entry]:
        nonlocal number
        at, to = _inside(source, at), _inside(target, to)
        if to >= at:
            number += 1
            yield {"ph": "s", "name": name, "cat": "shuffle", "id": number, "pid": source["pid"], "tid": source["tid"], "ts": at}
            yield {"ph": "f", "bp": "e", "name": name, "cat": "shuffle", "id": number, "pid": target["pid"],
                   "tid": target["tid"], "ts": to}

    writers: dict[tuple[int, int], list[Entry]] = defaultdict(list)
    readers: dict[tuple[int, int], list[Entry]] = defaultdict(list)
    of = {stage.id: stage for stage in run.stages.values()}
    for row, start, end, thread in placed:
        entry = {"pid": row.executor, "tid": thread, "ts": start, "dur": end - start}
        stage = of[row.stage]
        if stage.kind == "map" and row.status == OK and stage.writes is not None:
            writers[stage.writes, row.executor].append(entry)
        for each in stage.shuffles:
            readers[each, row.executor].append(entry)
    together: dict[int, dict[int, tuple[Entry, Any]]] = defaultdict(dict)
    for entry, event in exchanges:
        together[event["exchange"]][event["executor"]] = entry, event
        shuffle = run.exchanges.get(event["exchange"], {}).get("shuffle")
        if shuffle is None:
            continue
        begin, end = entry["ts"], entry["ts"] + entry["dur"]
        before = [task for task in writers[shuffle, event["executor"]] if task["ts"] <= begin]
        if before:
            last = max(before, key=lambda task: int(task["ts"]))
            yield from arrow("shuffle write", last, min(last["ts"] + last["dur"], begin), entry, begin)
        after = [task for task in readers[shuffle, event["executor"]] if task["ts"] >= end]
        if after:
            first = min(after, key=lambda task: int(task["ts"]))
            yield from arrow("shuffle read", entry, end, first, first["ts"])
    for members in together.values():
        pairs = [(amount, executor, int(to)) for executor, (_, event) in members.items()
                 for to, amount in event.get("sent", {}).items() if int(to) != executor and int(to) in members and amount]
        for _, executor, to in sorted(pairs, reverse=True)[:_MOST_FLOWS]:
            source, target = members[executor][0], members[to][0]
            yield from arrow("shuffle", source, source["ts"], target, target["ts"] + target["dur"])


def _inside(entry: Entry, time: int) -> int:
    """The time, moved into the slice. The slice's end is outside: the next slice may begin there, and get the arrow."""
    start: int = entry["ts"]
    last: int = start + entry["dur"] - 1
    return max(start, min(time, last))


def _samples(run: RunView) -> Iterator[Entry]:
    for executor in run.executors.values():
        for time, peak, used in executor.memory:
            yield _memory(executor.rank, time, peak)
            if used != peak:
                yield _memory(executor.rank, time + 1e-6, used)
    for event in run.losses:
        yield {"ph": "i", "s": "g", "name": f"executor {event['executor']} lost: {event.get('why', '')}", "cat": "loss",
               "pid": event["executor"], "tid": _TASKS, "ts": _us(event.get("t", 0.0)), "args": {}}


def _memory(rank: int, time: float, used: int) -> Entry:
    return {"ph": "C", "name": "memory used", "pid": rank, "tid": 0, "ts": _us(time), "args": {"bytes": used}}


def _metadata(run: RunView, rows: _Rows) -> Iterator[Entry]:
    processes = {0: f"driver ({run.run.get('host', '?')})"}
    processes.update({each.rank: f"executor {each.rank} ({each.host or '?'})" for each in run.executors.values()})
    for process, name in sorted(processes.items()):
        yield _meta("process_name", process, 0, {"name": name})
        yield _meta("process_sort_index", process, 0, {"sort_index": process})
    for (process, thread), name in sorted(rows.names.items()):
        yield _meta("thread_name", process, thread, {"name": name})
        yield _meta("thread_sort_index", process, thread, {"sort_index": thread})


def _meta(name: str, process: int, thread: int, args: Entry) -> Entry:
    return {"ph": "M", "name": name, "pid": process, "tid": thread, "ts": 0, "args": args}


def _slice(name: str, category: str, process: int, thread: int, start: int, end: int, args: Entry) -> Entry:
    return {"ph": "X", "name": name, "cat": category, "pid": process, "tid": thread, "ts": start, "dur": end - start,
            "args": args}


def _us(seconds: float) -> int:
    return max(0, round(seconds * 1e6))
