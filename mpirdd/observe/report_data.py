"""The data of the report's page, as one JSON value. This module chooses and cuts; the page's scripts only draw.

A page with 100,000 tasks must open within seconds. So tasks travel as columns. Beyond ``MOST_TASKS`` rows the page has only
tasks that did not finish, the longest ones, and a sample of the others. Sums and quantiles are always those of all tasks.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from heapq import nlargest
from operator import itemgetter
from typing import Any

from mpirdd.observe import flame, lineage_layout
from mpirdd.observe.run_view import RunView
from mpirdd.observe.shown import duration, moment
from mpirdd.observe.views import LOST, OK, ExecutorView, StageView, TaskRow, operation_and_line, replaced
from mpirdd.protocol.shown import shown_size

MOST_TASKS = 100_000
_MOST_EXCHANGES = 20_000
_MOST_NODES = 120
_MOST_STAGES = 3000
_MOST_LINES = 40
"""Executors whose memory is drawn."""
_SAMPLES = 400
"""Points of an executor's line of memory."""
_MOST_SHUFFLES = 30
_MOST_RANKS = 100
"""Rows of a shuffle's matrix."""
_MOST_PARTITIONS = 40
_MOST_TEXT = 60_000
"""Characters of one traceback."""
_MOST_TITLE = 300

Data = dict[str, Any]


def report_data(run: RunView, *, notes: Sequence[str] = (), over: bool = True, hints: Sequence[str] = (),
                most_tasks: int = MOST_TASKS) -> Data:
    """The data that the page shows of this run.

    Args:
        notes: lines for the top of the page, from reading the log.
        over: the run is known to be over, so a log without an end was cut off.
        hints: lines for "What stands out".
        most_tasks: at most so many rows of single tasks.
    """
    stages = sorted(run.stages.values(), key=lambda stage: stage.id)
    notes = list(notes)
    if len(stages) > _MOST_STAGES:
        notes.append(f"The last {_MOST_STAGES:,} of {len(stages):,} stages.")
        stages = stages[-_MOST_STAGES:]
    keys = {stage.id: key for key, stage in enumerate(stages)}
    tasks = [row for row in run.tasks if row.stage in keys]
    rows, note = _chosen(tasks, most_tasks)
    notes += note
    if run.strange:
        notes.append(f"{run.strange:,} events make no sense to this version of mpirdd, and are left out.")
    if run.sampled_s:
        notes.append(f"Tasks shorter than {duration(run.sampled_s)} are in the log as sums, not one by one. "
                     "The timeline shows them in groups; sums and counts are exact.")
    status = run.status
    if status == "running" and over:
        status = "killed"
        notes.append("The log has no end, and the driver is gone: the run was killed.")
    statuses = sorted({row.status for row in rows} | {OK}, key=lambda each: (each != OK, each))
    return {
        "title": _title(run), "status": status, "notes": notes, "hints": list(hints), "live": False, "footer": "",
        "span": run.now, "tiles": _tiles(run),
        "executors": [_executor(run, each) for _, each in sorted(run.executors.items())],
        "jobs": [_job(run, each) for _, each in sorted(run.jobs.items())][-_MOST_STAGES:],
        "stages": [_stage(stage, key) for key, stage in enumerate(stages)],
        "statuses": statuses, "tasks": _columns(rows, keys, statuses),
        "exchanges": _exchanges(run), "losses": _losses(run), "memory": _memory(run), "shuffles": _shuffles(run),
        "partitions": _largest(tasks, run), "keys": _keys(run),
        "lineage": _lineage(run), "kept": _kept(run), "settings": _settings(run), "errors": _errors(run),
        "flame": flame.tree(run.profiles),
    }


def _title(run: RunView) -> str:
    app, program = str(run.run.get("app", "")), run.run.get("program") or [""]
    name = str(program[0]).rsplit("/", 1)[-1]
    only = run.contexts == 1
    return app if only and app not in ("", "mpirdd") else name or app or "a run of mpirdd"


def _tiles(run: RunView) -> list[list[Any]]:
    stages = run.stages.values()
    sums: Counter[str] = Counter()
    for stage in stages:
        sums.update(stage.sums)
    busy = sum(executor.busy_s for executor in run.executors.values())
    there = sum((executor.lost if executor.lost is not None else run.now) - executor.joined
                for executor in run.executors.values())
    lost = sum(executor.lost is not None for executor in run.executors.values())
    peak = max((executor.peak_bytes for executor in run.executors.values()), default=0)
    done = sum(stage.done for stage in stages)
    tiles: list[list[Any]] = [
        ["in all", duration(run.now), False], _counted(len(run.jobs), "job"), _counted(len(run.stages), "stage"),
        _counted(done, "task")]
    if run.failure_count:
        tiles.append(_counted(run.failure_count, "failed attempt", bad=True))
    joined = sum(executor.instead is not None for executor in run.executors.values())
    tiles.append(_counted(len(run.executors) - joined, "executor"))
    if run.spares:
        tiles.append(["spares joined", f"{joined:,} of {len(run.spares):,}", False])
    if lost:
        tiles.append([f"executor{'s' * (lost != 1)} lost", f"{lost:,}", True])
    if there > 0:
        tiles.append(["of their time in tasks", f"{100 * busy / there:.0f} %", False])
    for label, value in (("read from files", sums["bytes_in"]), ("sent in shuffles", run.shuffled_bytes),
                         ("spilled", sums["spilled"]), ("most memory used by one", peak)):
        if value:
            tiles.append([label, shown_size(value), False])
    if busy and sums["gc_s"] > 0.02 * busy:
        tiles.append(["of task time in garbage collection", f"{100 * sums['gc_s'] / busy:.0f} %", False])
    return tiles


def _counted(number: int, what: str, *, bad: bool = False) -> list[Any]:
    return [f"{what}{'s' * (number != 1)}", f"{number:,}", bad]


def _executor(run: RunView, executor: ExecutorView) -> Data:
    there = (executor.lost if executor.lost is not None else run.now) - executor.joined
    return {
        "rank": executor.rank, "host": executor.host, "pid": executor.pid, "tasks": executor.tasks,
        "busy": _short(executor.busy_s), "idle": _short(max(0.0, there - executor.busy_s - executor.exchange_s)),
        "limit": executor.limit_bytes or None, "peak": executor.peak_bytes or None, "spilled": executor.spilled or None,
        "lost": executor.lost, "cause": executor.cause, "instead": executor.instead,
    }


def _job(run: RunView, job: Any) -> Data:
    action, site = operation_and_line(job.label)
    return {"id": job.id, "name": action, "site": site, "start": job.start, "status": job.status.lower(),
            "took": _short((job.end if job.end is not None else run.now) - job.start),
            "stages": ", ".join(map(str, job.stages[:30])) + (" ..." if len(job.stages) > 30 else "")}


def _stage(stage: StageView, key: int) -> Data:
    name, site = operation_and_line(stage.label)
    least, q1, median, q3, most = stage.quantiles(0, 0.25, 0.5, 0.75, 1) if stage.seconds else [None] * 5
    parts = [(cost.removesuffix("_s"), seconds) for cost, seconds in stage.costs.most_common(8) if seconds > 0]
    sums = stage.sums
    return {
        "key": key, "id": stage.id, "name": name, "site": site, "kind": stage.kind, "tasks": max(stage.tasks, stage.done),
        "done": stage.done, "failed": stage.failed, "attempts": stage.attempts, "start": _short(stage.start),
        "took": _short(max(0.0, stage.last - stage.start)), "busy": _short(stage.busy_s),
        "min": _short(least), "q1": _short(q1), "median": _short(median), "q3": _short(q3), "max": _short(most),
        "records_in": sums["records_in"], "bytes_in": sums["bytes_in"], "records_out": sums["records_out"],
        "shuffle_write": sums["shuffle_written"], "shuffle_read": sums["shuffle_read"], "spilled": sums["spilled"],
        "gc": _short(sums["gc_s"]), "peak": stage.peak_bytes, "parts": [[part, _short(seconds)] for part, seconds in parts],
        "mostly": f"{parts[0][0]} {100 * parts[0][1] / stage.busy_s:.0f} %" if parts and stage.busy_s else "",
    }


def _chosen(rows: list[TaskRow], most: int) -> tuple[list[TaskRow], list[str]]:
    """At most ``most`` of the rows, and a note if these are not all."""
    if len(rows) <= most:
        return rows, []
    chosen = set([number for number, row in enumerate(rows) if row.status != OK][: most // 4])
    chosen.update(sorted(range(len(rows)), key=lambda number: -rows[number].seconds)[: most // 4])
    others, left = [number for number in range(len(rows)) if number not in chosen], most - len(chosen)
    chosen.update(others[number * len(others) // left] for number in range(left))
    note = (f"Timeline and task tables have {len(chosen):,} of {len(rows):,} rows: what did not finish, the longest tasks, and "
            "a sample of the others. Stages and sums are those of all tasks.")
    return [rows[number] for number in sorted(chosen)], [note]


def _columns(rows: Iterable[TaskRow], keys: dict[int, int], statuses: list[str]) -> Data:
    columns: Data = {name: [] for name in ("stage", "partition", "attempt", "executor", "start", "duration", "status", "count")}
    rows = list(rows)
    for row in rows:
        columns["stage"].append(keys[row.stage])
        columns["partition"].append(row.partition)
        columns["attempt"].append(row.attempt)
        columns["executor"].append(row.executor)
        columns["start"].append(round(row.start, 6))
        columns["duration"].append(round(row.seconds, 6))
        columns["status"].append(statuses.index(row.status))
        columns["count"].append(row.tasks)
    for shown, name in (("bytes_in", "bytes_in"), ("records_in", "records_in"), ("records_out", "records_out"),
                        ("shuffle_write", "shuffle_written"), ("shuffle_read", "shuffle_read"), ("spilled", "spilled"),
                        ("peak", "peak_memory"), ("gc", "gc_s")):
        values = [row.counts.get(name, 0) for row in rows]
        if any(values):
            columns[shown] = [round(value, 4) for value in values] if name == "gc_s" else values
    return columns


def _exchanges(run: RunView) -> list[Data]:
    longest = sorted(run.exchanged, key=lambda event: -event.get("seconds", 0.0))[:_MOST_EXCHANGES]
    return [{"name": _exchange_name(run, event["exchange"]), "executor": event["executor"], "start": event.get("start", 0.0),
             "end": event.get("start", 0.0) + event.get("seconds", 0.0)} for event in longest]


def _exchange_name(run: RunView, number: int) -> str:
    shuffle = run.exchanges.get(number, {}).get("shuffle")
    return run.label(shuffle) if shuffle is not None else "copies of kept partitions"


def _losses(run: RunView) -> list[Data]:
    return [{"executor": event["executor"], "at": event.get("t", 0.0), "text": _loss(event)} for event in run.losses]


def _loss(event: Any) -> str:
    host = f" (host {event['host']})" if event.get("host") else ""
    return f"executor {event['executor']}{host} was lost: {event.get('why') or 'unknown cause'}{replaced(event)}"


def _memory(run: RunView) -> list[Data]:
    executors = sorted((each for each in run.executors.values() if each.memory), key=lambda each: -each.peak_bytes)
    return [{"executor": each.rank, "limit": each.limit_bytes or None, **_thinned([(each.joined, 0, 0), *each.memory])}
            for each in sorted(executors[:_MOST_LINES], key=lambda each: each.rank)]


def _thinned(samples: list[tuple[float, int, int]]) -> Data:
    """The points of a step line: at the end of each piece of time the peak within it, so that no peak is lost, and then the
    use from there on."""
    step = max(1, len(samples) // _SAMPLES + (len(samples) % _SAMPLES > 0))
    times: list[float] = []
    used: list[int] = []
    for start in range(0, len(samples), step):
        piece = samples[start : start + step]
        times += [round(piece[-1][0], 4)] * 2
        used += [max(peak for _, peak, _ in piece), piece[-1][2]]
    return {"t": times, "used": used}


def _shuffles(run: RunView) -> list[Data]:
    sent: dict[str, Counter[tuple[int, int]]] = defaultdict(Counter)
    for event in run.exchanged:
        shuffle = run.exchanges.get(event["exchange"], {}).get("shuffle")
        name = "copies of kept partitions" if shuffle is None else f"{run.label(shuffle)} (RDD {shuffle})"
        for to, amount in event.get("sent", {}).items():
            sent[name][event["executor"], int(to)] += amount
    largest = sorted(sent.items(), key=lambda item: -item[1].total() if hasattr(item[1], "total") else -sum(item[1].values()))
    if len(largest) > 1:
        everything: Counter[tuple[int, int]] = Counter()
        for cells in sent.values():
            everything.update(cells)
        largest.insert(0, ("all shuffles", everything))
    return [_matrix(name, cells) for name, cells in largest[:_MOST_SHUFFLES]]


def _matrix(name: str, cells: Counter[tuple[int, int]]) -> Data:
    traffic: Counter[int] = Counter()
    for (source, to), amount in cells.items():
        traffic[source] += amount
        traffic[to] += amount
    ranks = sorted(rank for rank, _ in traffic.most_common(_MOST_RANKS))
    cut = "" if len(traffic) <= _MOST_RANKS else f", {_MOST_RANKS} of {len(traffic)} executors"
    return {"name": f"{name}: {shown_size(sum(cells.values()))}{cut}", "ranks": ranks,
            "matrix": [[cells.get((source, to), 0) for to in ranks] for source in ranks]}


def _largest(rows: Iterable[TaskRow], run: RunView) -> list[Data]:
    """The largest partitions by what their tasks took in: from shuffles, else from files."""
    by_stage: dict[int, list[TaskRow]] = defaultdict(list)
    for row in rows:
        if row.tasks == 1 and row.status == OK:
            by_stage[row.stage].append(row)
    found: list[Data] = []
    for number, single in by_stage.items():
        stage = run.stages[number]
        name = "shuffle_read" if stage.sums["shuffle_read"] else "bytes_in"
        total, sizes = stage.sums[name], [row.counts.get(name) or 0 for row in single]
        # Tasks that share a line have no size, so these may be too few for a median.
        median = sorted(sizes)[len(sizes) // 2] if len(sizes) > max(2, stage.done / 2) else 0
        for amount, row in nlargest(5, zip(sizes, single, strict=True), key=itemgetter(0)):
            if amount:
                found.append({
                    "name": f"{number}: {stage.label}", "partition": row.partition, "bytes": amount,
                    "records": row.counts.get("records_in") or None, "share": amount / total if stage.done > 1 else None,
                    "times": amount / median if median else None})
    return sorted(found, key=lambda each: -each["bytes"])[:_MOST_PARTITIONS]


def _keys(run: RunView) -> list[Data]:
    found = []
    for event in {event.get("node"): event for event in run.keys}.values():  # for a shuffle made again, the last count
        records = event.get("records", 0)
        for shown, amount in event.get("keys", ()):
            found.append({"name": f"{event.get('label', '')} (RDD {event.get('node')})", "shown": str(shown)[:500],
                          "records": amount, "share": amount / records if records else None})
    return sorted(found, key=lambda each: -each["records"])[:200]


def _lineage(run: RunView) -> Data:
    numbers = sorted(run.nodes)[-_MOST_NODES:]
    parents = {number: list(run.nodes[number].get("parents", ())) for number in numbers}
    at = lineage_layout.place(parents)
    index = {number: position for position, number in enumerate(numbers)}
    nodes = []
    for number in numbers:
        node, kept = run.nodes[number], run.kept.get(number)
        operation, line = operation_and_line(str(node.get("label", "")))
        kind = str(node.get("kind", ""))
        detail = [f"RDD {number}: {operation}", line, f"{node.get('partitions', '?')} partitions", str(node.get("input") or "")]
        detail += ["in one piece: the file cannot be cut"] if node.get("gzip") else []
        detail += [f"kept: {kept.level or 'yes'}"] if kept else []
        state = "kept" if kept else {"source": "source", "shuffled": "shuffle"}.get(kind, "plain")
        x, layer = at[number]
        nodes.append({"label": operation, "x": x, "y": layer, "state": state, "detail": [*filter(None, detail)]})
    edges = [[index[parent], index[number], run.nodes[number].get("kind") == "shuffled"]
             for number in numbers for parent in parents[number] if parent in index]
    note = "Data goes down: from sources through narrow steps and shuffles to what jobs asked for. Point at a node for details."
    if len(run.nodes) > len(numbers):
        note = f"The last {len(numbers)} of {len(run.nodes):,} RDDs. {note}"
    return {"nodes": nodes, "edges": edges, "note": note}


def _kept(run: RunView) -> list[Data]:
    found = []
    for number, kept in sorted(run.kept.items()):
        counts = ((kept.refused, "found no room"), (kept.evicted, "evicted"), (kept.again, "computed again"))
        all_of_it = run.nodes.get(number, {}).get("partitions") or kept.most[0]
        happened = [f"{amount:,} {what}" for amount, what in counts if amount]
        found.append({
            "name": f"{number}: {run.label(number)}", "what": ", ".join(happened), "level": kept.level,
            "partitions": kept.most[0], "all": max(all_of_it, kept.most[0]), "memory": kept.most[1], "disk": kept.most[2]})
    return found[-200:]


def _settings(run: RunView) -> list[list[str]]:
    said = run.run
    facts = [
        ("program", " ".join(map(str, said.get("program", ())))), ("folder", said.get("folder")),
        ("began", moment(said["unix"]) if "unix" in said else ""), ("driver", said.get("host")), ("ranks", said.get("ranks")),
        ("hosts", ", ".join(sorted({executor.host for executor in run.executors.values() if executor.host}))),
        ("mpirdd", said.get("mpirdd")), ("Python", said.get("python")), ("MPI", said.get("mpi")),
        ("platform", said.get("platform"))]
    settings = said.get("settings", {})
    return ([[name, str(value)] for name, value in facts if value]
            + [[name, _setting(name, settings[name])] for name in sorted(settings)])


def _setting(name: str, value: Any) -> str:
    is_size = (name == "memory" or name.endswith("_bytes")) and isinstance(value, int) and value > 0
    return shown_size(value) if is_size else str(value)


def _errors(run: RunView) -> list[Data]:
    seen: dict[tuple[str, str], Data] = {}
    for event in run.failures:
        key = str(event.get("error", "")), str(event.get("traceback", ""))
        where = (f"stage {event['stage']}, {event.get('label', '')}, partition {event.get('partition')}, "
                 f"executor {event['executor']}" + (f" (host {event['host']})" if event.get("host") else ""))
        if key in seen:
            seen[key]["times"] += 1
        elif len(seen) < 50:
            seen[key] = {"title": key[0], "text": f"{where}\n\n{key[1] or key[0]}"[:_MOST_TEXT], "times": 1}
    found = [{**error, "title": _title_of(error["title"]) + (f", {error['times']} times" if error["times"] > 1 else "")}
             for error in seen.values()]
    found += [{"title": _loss(event), "text": _lost_text(run, event)} for event in run.losses[:50]]
    found += [{"title": f"stack of executor {event.get('executor')}: {event.get('why', '')}",
               "text": str(event.get("text", ""))[:_MOST_TEXT]} for event in run.stacks[:20]]
    if run.end is not None and run.end.get("error"):
        text = str(run.end["error"])
        found.append({"title": _title_of(text) or "the program failed", "text": text[:_MOST_TEXT]})
    return found


def _title_of(error: str) -> str:
    first = error.strip().partition("\n")[0]
    return first if len(first) <= _MOST_TITLE else f"{first[:_MOST_TITLE]} ..."


def _lost_text(run: RunView, event: Any) -> str:
    blocks = {"rdd": "kept partitions", "map": "map outputs", "in": "shuffled partitions"}
    lost = [f"{amount:,} {blocks.get(kind, kind)}" for kind, amount in event.get("blocks", {}).items() if amount]
    ran = [f"stage {row.stage} ({run.stages[row.stage].label}), partition {row.partition}"
           for row in run.tasks if row.status == LOST and row.counts is event]
    lines = [
        _loss(event), f"at {event.get('t', 0.0):.2f} s",
        f"it ran: {', '.join(ran) or 'no task that is known'} ({event.get('tasks', 0):,} tasks were under way or waiting there)",
        f"lost with it, without a copy: {', '.join(lost) or 'no blocks'}", f"executors left: {event.get('left', '?')}"
        + (f", with spare {event['joins']} in its place" if event.get("joins") else "")]
    return "\n".join(lines)


def _short(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)
