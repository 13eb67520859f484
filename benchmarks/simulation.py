"""The scheduler alone, without MPI: decisions a second and memory, to 10,000 executors and 1,000,000 tasks.

Simulated executors answer each command at once: every task started is reported done, every exchange finished. What is measured is
then ``mpirdd/scheduler`` and nothing else: handing out tasks that may run anywhere (``map``), the same with a
shuffle behind, whose reduce tasks have a place each (``shuffle``), and tasks whose partitions are kept and then read by a second
job (``kept``). A *decision* is one event handled, and a second is one of CPU time. Valid means that every task
ran exactly once. Each size runs in a process of its own, so that its peak memory is known.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from argparse import Namespace
from collections import defaultdict, deque
from collections.abc import Iterator
from itertools import count

from benchmarks import harness
from mpirdd.protocol.ids import BlockId
from mpirdd.scheduler.events import (
    Command,
    Event,
    ExchangeFinished,
    JobEnded,
    JobSubmitted,
    NodeKept,
    StartExchange,
    StartTasks,
    TaskFinished,
)
from mpirdd.scheduler.lineage import ONE_TO_ONE, Narrow, Node, Shuffled, Source
from mpirdd.scheduler.scheduler import Scheduler

TASK_S = 0.1
"""What a simulated task is reported to have taken: portions depend on it."""
JOBS = ("map", "shuffle", "kept")
REDUCERS = 10_000
"""At most so many reduce tasks."""


def measure(options: Namespace) -> harness.Record:
    sizes = [(10 ** k, round(options.tasks * 10 ** k / options.executors)) for k in range(1, 9) if 10 ** k < options.executors]
    sizes.append((options.executors, options.tasks))
    points = []
    for job in JOBS:
        for executors, tasks in sizes:
            runs = [in_own_process(job, executors, tasks, options.timeout) for _ in range(options.repeats)]
            rates = harness.spread([run["events"] / run["seconds"] for run in runs])
            points.append({"job": job, "executors": executors, "tasks": runs[0]["tasks"], "events": runs[0]["events"],
                           "decisions_per_s": rates, "seconds": harness.spread([run["seconds"] for run in runs]),
                           "plan_s": harness.spread([run["plan_s"] for run in runs]),
                           "memory_bytes": max(run["memory_bytes"] for run in runs), "once": all(run["once"] for run in runs)})
            harness.say(f"  {job:7} {executors:6,} executors {runs[0]['tasks']:9,} tasks: {rates['median']:9,.0f} decisions/s, "
                        f"{points[-1]['memory_bytes'] / 1e6:.0f} MB")
    return {"bytes": 0, "valid": all(point["once"] for point in points), "points": points}


def in_own_process(job: str, executors: int, tasks: int, timeout_s: float) -> harness.Record:
    command = [sys.executable, "-m", "benchmarks.simulation", "--one", job, str(executors), str(tasks)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, env=harness.environment(), check=True)
    except subprocess.TimeoutExpired as late:
        raise harness.ProgramFailed(f"took more than {timeout_s:g} s: {' '.join(command)}") from late
    except subprocess.CalledProcessError as failed:
        raise harness.ProgramFailed(f"exit code {failed.returncode}: {' '.join(command)}\n{failed.stderr}") from failed
    record: harness.Record = json.loads(done.stdout)
    return record


def simulate(job: str, executors: int, tasks: int) -> harness.Record:
    """Drive the scheduler through one job."""
    node = lineage(job, tasks)
    before = peak_bytes()
    scheduler = Scheduler(range(1, executors + 1))
    jobs = 2 if job == "kept" else 1
    if job == "kept":
        scheduler.handle(NodeKept(node.id))
    started, plan_s = time.process_time(), 0.0
    events, ended = 0, 0
    ran = defaultdict[int, bytearray](lambda: bytearray(tasks))  # by stage: how often each partition ran; small
    for number in range(1, jobs + 1):
        submitted = time.process_time()
        commands = deque(scheduler.handle(JobSubmitted(number, node, range(node.num_partitions), job)))
        plan_s += time.process_time() - submitted
        events += 1
        while commands:
            command = commands.popleft()
            ended += isinstance(command, JobEnded)
            for event in answers(command, keeps=job == "kept" and number == 1):
                events += 1
                if isinstance(event, TaskFinished):
                    ran[event.stage][event.partition] += 1
                commands.extend(scheduler.handle(event))
    seconds = time.process_time() - started
    wanted = jobs * tasks + (node.num_partitions if job == "shuffle" else 0)
    return {"seconds": seconds, "plan_s": plan_s, "events": events, "tasks": wanted // jobs,
            "memory_bytes": peak_bytes() - before,
            "once": ended == jobs and sum(map(sum, ran.values())) == sum(times.count(1) for times in ran.values()) == wanted}


def answers(command: Command, *, keeps: bool) -> Iterator[Event]:
    """What executors say to a command; ``keeps``: their tasks keep partitions."""
    if isinstance(command, StartTasks):
        executor, stage, output = command.executor, command.stage.id, command.stage.output
        for partition in command.partitions:
            made: tuple[BlockId, ...] = ()
            if output.kind == "map":
                made = (BlockId("map", output.of, partition),)
            elif keeps:
                made = (BlockId("rdd", command.stage.target, partition),)
            yield TaskFinished(executor, stage, partition, made, TASK_S)
    elif isinstance(command, StartExchange):
        for executor in command.executors:
            yield ExchangeFinished(executor, command.exchange)


def lineage(job: str, tasks: int) -> Node:
    """A source of that many partitions and a map over it; for ``shuffle`` a shuffle of at most ``REDUCERS`` behind."""
    ids = count(1)
    source = Source(next(ids), "source", tasks, None, reader=iter, splits=range(tasks))
    mapped = Narrow(next(ids), "map", tasks, None, from_nodes=(source,), inputs=ONE_TO_ONE, step=lambda at, records: records)
    if job != "shuffle":
        return mapped
    return Shuffled(next(ids), "shuffle", min(tasks, REDUCERS), None, from_node=mapped,
                    write=lambda at, records, memory: [], read=lambda buckets, memory: [])


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    if arguments[:1] == ["--one"]:
        simulate(arguments[1], executors=10, tasks=100)  # Python's interpreter learns while it runs code for the first time
        print(json.dumps(simulate(arguments[1], int(arguments[2]), int(arguments[3]))))
        return 0
    return harness.main("simulation", measure, full={"executors": 10_000, "tasks": 1_000_000, "ranks": 1, "repeats": 1},
                        quick={"executors": 1_000, "tasks": 20_000}, argv=argv)


if __name__ == "__main__":
    raise SystemExit(main())
