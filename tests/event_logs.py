"""Event logs made up for tests: a small run in which much happens, and runs of any size."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

Event = dict[str, Any]
NASTY = "</script><script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\"> <b>&amp;"


def eventful(name: str = "skew.py") -> list[Event]:
    """Two executors; a kept RDD, a skewed shuffle, a failed task, a lost executor, a profile; seconds and bytes are round."""
    events: list[Event] = [
        {"event": "run", "t": 0, "version": 1, "unix": 1_800_000_000.0, "app": "mpirdd", "program": [name, "--n", "3"],
         "folder": "/jobs", "host": "node1", "pid": 1, "ranks": 3, "mode": "memory", "python": "3.11.9", "mpi": "Open MPI v5",
         "settings": {"memory": 1 << 28, "parallelism": 0}},
        {"event": "executor", "t": 0.1, "executor": 1, "host": "node1", "pid": 2, "memory": 1 << 28},
        {"event": "executor", "t": 0.1, "executor": 2, "host": "node2", "pid": 3, "memory": 1 << 28},
        {"event": "node", "t": 0.2, "node": 1, "label": f"textFile at {name}:3", "kind": "source", "parents": [],
         "partitions": 4, "input": "/data/in.txt"},
        {"event": "persist", "t": 0.2, "node": 1, "level": "memory", "copies": 1},
        {"event": "node", "t": 0.2, "node": 2, "label": f"groupByKey at {name}:5", "kind": "shuffled", "parents": [1],
         "partitions": 4},
        {"event": "job", "t": 0.3, "job": 1, "label": f"collect at {name}:6", "node": 2, "partitions": 4, "group": None},
        {"event": "stage", "t": 0.3, "stage": 1, "label": f"groupByKey at {name}:5", "kind": "map", "of": 2, "tasks": 4,
         "jobs": [1], "target": 1, "nodes": [1], "shuffles": [], "keeps": [1]},
    ]
    for partition in range(4):
        events += _task(1, partition, 1 + partition % 2, 0.4 + partition // 2, 1.0, bytes_in=1000, records_in=10,
                        shuffle_written=500, costs={"input_s": 0.25, "compute_s": 0.5, "encode_s": 0.25})
        events.append({"event": "kept", "t": 1.4 + partition // 2, "executor": 1 + partition % 2,
                       "blocks": [[1, partition, 4096, 0]]})
    events += [
        {"event": "stage_end", "t": 2.4, "stage": 1, "done": 4, "failed": 0, "seconds": 2.1},
        {"event": "exchange", "t": 2.4, "exchange": 1, "shuffle": 2, "executors": 2, "partitions": 4, "copies": 0},
        {"event": "exchanged", "t": 2.6, "exchange": 1, "executor": 1, "start": 2.4, "seconds": 0.2,
         "sent": {"1": 100, "2": 900}, "received": 150},
        {"event": "exchanged", "t": 2.6, "exchange": 1, "executor": 2, "start": 2.4, "seconds": 0.2,
         "sent": {"1": 50, "2": 950}, "received": 1850},
        {"event": "stage", "t": 2.6, "stage": 2, "label": f"collect at {name}:6", "kind": "result", "of": 1, "tasks": 4,
         "jobs": [1], "target": 2, "nodes": [2], "shuffles": [2], "keeps": []},
        *_task(2, 0, 1, 2.7, 0.1, shuffle_read=50), *_task(2, 1, 1, 2.8, 0.1, shuffle_read=50),
        *_task(2, 2, 1, 2.9, 0.1, shuffle_read=50), *_task(2, 3, 2, 2.7, 3.0, shuffle_read=1850, spilled=4096),
        {"event": "memory", "t": 3.0, "executor": 2, "used": 1 << 27, "kept": 4096},
        {"event": "profile", "t": 5.8, "node": 2, "label": f"collect at {name}:6", "unit": "us",
         "stacks": {f"{name}:5 f": 1000, f"{name}:5 f;{name}:9 g": 3000}},
        {"event": "job_end", "t": 5.8, "job": 1, "status": "SUCCEEDED", "seconds": 5.5, "driver_cpu_s": 0.1},
        {"event": "job", "t": 6.0, "job": 2, "label": f"count at {name}:8", "node": 1, "partitions": 4, "group": None},
        {"event": "stage", "t": 6.0, "stage": 3, "label": f"count at {name}:8", "kind": "result", "of": 2, "tasks": 4,
         "jobs": [2], "target": 1, "nodes": [1], "shuffles": [], "keeps": [1]},
        {"event": "started", "t": 6.0, "stage": 3, "executor": 1, "partitions": "0,2"},
        {"event": "started", "t": 6.0, "stage": 3, "executor": 2, "partitions": "1,3"},
        {"event": "executor_lost", "t": 6.5, "executor": 2, "host": "node2", "why": "a task called os._exit(7) there",
         "blocks": {"rdd": 2, "map": 2, "in": 1}, "tasks": 2, "left": 1, "running": [[3, 1]]},
        {"event": "task_failed", "t": 7.0, "stage": 3, "partition": 0, "executor": 1, "host": "node1", "attempt": 0,
         "label": f"count at {name}:8", "error": "ValueError: no number",
         "traceback": f'Traceback (most recent call last):\n  File "{name}", line 8, in f\nValueError: no number\n'},
        {"event": "stage_end", "t": 7.0, "stage": 3, "done": 0, "failed": 1, "seconds": 1.0},
        {"event": "job_end", "t": 7.0, "job": 2, "status": "FAILED", "seconds": 1.0, "error": "ValueError: no number"},
        {"event": "end", "t": 7.5, "status": "failed", "error": "ValueError: no number", "jobs": 2, "tasks": 8},
    ]
    return events


def _task(stage: int, partition: int, executor: int, start: float, seconds: float, **counts: Any) -> list[Event]:
    return [
        {"event": "started", "t": start, "stage": stage, "executor": executor, "partitions": str(partition)},
        {"event": "task", "t": start + seconds, "stage": stage, "partition": partition, "executor": executor, "start": start,
         "seconds": seconds, **counts}]


def large(tasks: int, *, executors: int = 16, stages: int = 50) -> list[Event]:
    """A run of so many tasks, each with a line of its own."""
    chance = random.Random(1)
    events = eventful()[:1]
    events += [{"event": "executor", "t": 0.1, "executor": rank, "host": f"node{rank // 8}", "pid": rank, "memory": 1 << 30}
               for rank in range(1, executors + 1)]
    free = [0.2] * (executors + 1)
    for number in range(1, stages + 1):
        began = max(free)
        free = [began] * (executors + 1)
        events.append({"event": "node", "t": began, "node": number, "label": f"map at large.py:{number}", "kind": "narrow",
                       "parents": [number - 1] if number > 1 else [], "partitions": tasks // stages})
        events.append({"event": "job", "t": began, "job": number, "label": f"count at large.py:{number}", "node": number,
                       "partitions": tasks // stages, "group": None})
        events.append({"event": "stage", "t": began, "stage": number, "label": f"count at large.py:{number}", "kind": "result",
                       "of": number, "tasks": tasks // stages, "jobs": [number], "nodes": [number], "shuffles": []})
        for partition in range(tasks // stages):
            executor = min(range(1, executors + 1), key=free.__getitem__)
            seconds = round(chance.lognormvariate(-3, 0.5), 6)
            events.append({"event": "task", "t": free[executor] + seconds, "stage": number, "partition": partition,
                           "executor": executor, "start": round(free[executor], 6), "seconds": seconds,
                           "records_in": 1000 + partition, "bytes_in": 123_456 + partition, "gc_s": 0.001,
                           "costs": {"input_s": round(seconds / 4, 6), "compute_s": round(seconds / 2, 6)}})
            free[executor] += seconds + 0.001
        events.append({"event": "job_end", "t": max(free), "job": number, "status": "SUCCEEDED", "seconds": max(free) - began})
    return [*events, {"event": "end", "t": max(free), "status": "ok", "jobs": stages, "tasks": tasks}]


def write(path: Path, events: list[Event]) -> Path:
    path.write_text("".join(json.dumps(event, separators=(",", ":")) + "\n" for event in events))
    return path
