"""Hints about a slow run, as far as its figures justify them. Pure.

Each kind of hint is a function from the run's state to texts. It says nothing about small costs.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import chain
from statistics import median

from mpirdd.observe.run_events import PACKED
from mpirdd.observe.run_state import AMOUNTS, Line, NodeState, RunState, StageState, amount_of, executors_at_once
from mpirdd.protocol.shown import shown_size

_LEAST_S = 0.5
"""A cost that takes less in all gets no hint."""
_MANY_JOBS = 10
_LEAST_SHARE = 0.1
"""Nor does a cost that takes a smaller part of all tasks' time."""
_SKEW_TIMES = 4.0
"""A task is far longer than its siblings when it takes this many times their median."""
_SKEW_AMOUNT = 3.0
"""A task has more to do than its siblings when it takes in this many times as much."""
_CLOSURE_BYTES = 2 << 20
_TINY_S = 0.002
"""Tasks that take less on average cost more to schedule than they do."""


def hints(state: RunState) -> list[str]:
    """The hints for a run, the most useful first."""
    made = chain.from_iterable(hint(state) for hint in _HINTS)
    return list(dict.fromkeys(made))


def share(seconds: float, state: RunState) -> float:
    """These seconds as a part of all task time, from 0 to 1."""
    total = sum(stage.seconds for stage in state.stages.values())
    return seconds / total if total else 0.0


def skew(state: RunState) -> Iterator[str]:
    """One partition delays a stage."""
    for stage in state.stages.values():
        usual = stage.median
        if stage.done < 2 or stage.longest < _SKEW_TIMES * usual or stage.longest - usual < _LEAST_S:
            continue
        if share(stage.longest, state) < _LEAST_SHARE:
            continue
        times = f"{stage.longest / usual:.0f} times the median" if usual else "far more than the others"
        what = f"{stage.label}: partition {stage.longest_partition} took {stage.longest:.1f} s, {times}"
        if told := _why_longest(stage, state):
            yield what + told


def _why_longest(stage: StageState, state: RunState) -> str:
    """Why the longest task took longer than the others; empty if it has no line of its own in the log."""
    task = stage.longest_task
    if not task or task["partition"] != stage.longest_partition:
        return ""
    for name in AMOUNTS:
        mine, others = amount_of(task, name), _usual_amount(stage, name, amount_of(task, name))
        if mine and mine >= _SKEW_AMOUNT * others:
            shown = (f"{mine:,} records", f"{others:,.0f}") if name == "records_in" else (shown_size(mine), shown_size(others))
            took = f", and read {shown[0]} where the others read {shown[1]}: "
            if name == "shuffle_read" or stage.shuffles:
                return took + _skewed_keys(stage, state)
            return f"{took}its input is cut unevenly. More or other partitions (repartition, minPartitions=) spread it."
    if _first_tasks_are_slow(task, stage, state):
        return (f", with no more data than the others: it was the first one on executor {task['executor']}, and the first ones "
                "on the others were as slow. They import modules and wait for broadcast values; later tasks need not.")
    costs = task.get("costs", {})
    files_s = sum(costs.get(name, 0.0) for name in ("read_s", "write_s", "commit_s", "input_s"))
    if files_s > task["seconds"] / 2:
        return (f", {files_s:.1f} s of them with files, and read no more than the others: the disk or file system of executor "
                f"{task['executor']} is slow, or its data is on disk where the others have theirs in memory.")
    if "cpu_s" in task and task["cpu_s"] < task["seconds"] / 2:
        used = f"for {task['cpu_s']:.1f} s only" if task["cpu_s"] >= 0.1 else "for less than 0.1 s"
        return (f", and used the processor {used}, with no more data than the others: it waited, for a service, a lock, or a "
                "core that others had. It is not skewed.")
    return (", with no more data than the others: a few of its records cost far more than the rest. More partitions "
            "(repartition, minPartitions=) spread them.")


def _first_tasks_are_slow(task: Line, stage: StageState, state: RunState) -> bool:
    """Was it the first task of its executor, and were the first tasks of the other executors slow, too?"""
    others = [line for line in state.first_tasks.values() if line["stage"] == stage.id and line is not task]
    return (state.first_tasks.get(task["executor"]) is task and bool(others)
            and all(line["seconds"] >= _SKEW_TIMES * stage.median for line in others))


def _skewed_keys(stage: StageState, state: RunState) -> str:
    """Skewed keys, and a remedy, which depends on the operation."""
    labels = [state.nodes[node].label for node in stage.shuffles if node in state.nodes]
    operation, whose = (labels[0].partition(" at ")[0], f"the keys of {labels[0]}") if labels else ("", "its keys")
    if "oin" in operation or operation == "cogroup":
        remedy = "If the other side is small, broadcast it as a dict and map, without a join; else a salt in the key spreads it."
    elif operation in ("groupByKey", "groupBy", ""):
        remedy = "reduceByKey or aggregateByKey instead of groupByKey, or a salt in the key, spread it."
    else:
        remedy = "A salt in the key spreads it."
    return f"{whose} are skewed. Look for one key with most of the records (countByKey on a sample, --hot-keys). {remedy}"


def _usual_amount(stage: StageState, name: str, mine: int) -> float:
    """What the other tasks took in: the median; the mean where tasks share lines."""
    amounts = stage.amounts[name]
    if len(amounts) == stage.done:
        others = amounts[:]
        others.remove(mine)
        return median(others)
    total = stage.sums["bytes_in"] + stage.sums["cached_bytes"] if name == "input" else stage.sums[name]
    return (total - mine) / max(1, stage.done - 1)


def computed_again(state: RunState) -> Iterator[str]:
    """An RDD that several jobs compute could be cached."""
    users: dict[int, list[StageState]] = {}
    for stage in state.stages.values():
        for number in stage.nodes:
            users.setdefault(number, []).append(stage)
    worth: dict[tuple[int, ...], NodeState] = {}
    for number, stages in users.items():
        node = state.nodes.get(number)
        if node is None or node.persisted or _behind_kept(node, state) or _only_reads(node):
            continue
        jobs = {job for stage in stages for job in stage.jobs}
        if len(jobs) < 2 or len({(stage.kind, stage.of) for stage in stages}) < 2:
            continue  # computed again after a loss, or for a shuffle that was exchanged again
        again = sum(map(_making_s, stages[1:]))
        if again < _LEAST_S or share(again, state) < _LEAST_SHARE:
            continue
        key = tuple(stage.id for stage in stages)
        if key not in worth or node.id > worth[key].id:  # the last of a chain that the same stages compute
            worth[key] = node
    found = [(sum(_making_s(state.stages[stage]) for stage in key[1:]), key, node) for key, node in worth.items()]
    for seconds, key, node in sorted(found, key=lambda item: -item[0])[:2]:
        yield (f"{node.label}: computed in {len(key)} stages, up to {seconds:.1f} s of task time after the first. cache() it, if "
               "it fits; persist(StorageLevel.MEMORY_AND_DISK) else.")


def _making_s(stage: StageState) -> float:
    """The stage's time, less the time it spent on passing its records on."""
    return stage.seconds - sum(stage.costs[name] for name in ("encode_s", "write_s", "read_s", "commit_s"))


def _behind_kept(node: NodeState, state: RunState) -> bool:
    """Is a node made from this one persisted? Reading that node does not need this one."""
    return any(other.persisted and node.id in other.parents for other in state.nodes.values())


def _only_reads(node: NodeState) -> bool:
    """Does the node only read a shuffle, or data that the program has given? That costs less than a cache."""
    return node.kind == "shuffled" or (node.kind == "source" and not node.input)


def compressed(state: RunState) -> Iterator[str]:
    """A file that cannot be cut is one partition."""
    executors = executors_at_once(state)
    for node in state.nodes.values():
        if not node.gzip or node.partitions >= executors:
            continue
        stages = [stage for stage in state.stages.values() if node.id in stage.nodes and stage.tasks < executors]
        seconds = sum(stage.seconds for stage in stages)
        if seconds < _LEAST_S or share(seconds, state) < _LEAST_SHARE:
            continue
        count = node.partitions
        files, readers = ("one partition", "one") if count == 1 else (f"{count} partitions", str(count))
        packed = node.input.endswith((os.sep, *PACKED))
        why, way_out = ("is compressed", "Unpack it first, or cut it") if packed else (
            "is of a format that is not cut", "Write it")
        yield (f"{node.label}: {node.input} {why}, so it is read as {files}, by {readers} of {executors} executors. "
               f"{way_out} into many files; repartition() behind it spreads at least what follows.")


def large_closures(state: RunState) -> Iterator[str]:
    """A function carries much data."""
    for line in state.closures:
        if line["bytes"] >= _CLOSURE_BYTES:
            yield (f"{line['label']}: its function takes {shown_size(line['bytes'])}, sent to each of {line['copies']} "
                   "executors by the driver. Broadcast the array or table that it uses (sc.broadcast), once for all jobs.")


def spilling(state: RunState) -> Iterator[str]:
    """A stage is busy with spill files most of the time."""
    if state.run.get("mode") == "mapreduce":
        return
    for stage in state.stages.values():
        files_s = sum(stage.costs[name] for name in ("read_s", "write_s"))
        spilled = stage.sums["spilled"]
        if spilled and files_s > stage.seconds / 2 and stage.seconds >= _LEAST_S:
            yield (f"{stage.label}: {100 * files_s / stage.seconds:.0f} % of the time went to spill files "
                   f"({shown_size(spilled)} written). More memory a rank (--memory), more executors, or a faster --scratch; "
                   "more partitions make each task smaller.")


def scheduling(state: RunState) -> Iterator[str]:
    """Tasks are so small that starting them takes longer than running them."""
    jobs_s = sum(job.seconds for job in state.jobs.values() if job.status != "RUNNING")
    seconds = sum(stage.seconds for stage in state.stages.values())
    count = sum(stage.done for stage in state.stages.values())
    executors = max(executors_at_once(state), 1)
    if jobs_s < _LEAST_S or not count or seconds / count >= _TINY_S or seconds > jobs_s * executors / 2:
        return
    largest = max(state.stages.values(), key=lambda stage: stage.done)
    if largest.done > 4 * executors:
        yield (f"{count:,} tasks took {1000 * seconds / count:.2g} ms each: starting them took longer than running them. Use "
               f"fewer partitions (coalesce, numPartitions=, minPartitions=): {largest.label} has {largest.tasks:,}.")
    elif len(state.jobs) >= _MANY_JOBS:  # the first one also waits for the executors, and a loss takes time of its own
        yield (f"{len(state.jobs):,} jobs of {1000 * jobs_s / max(len(state.jobs), 1):.0f} ms each: starting them took longer "
               "than running them. Do more in one job.")


def parsing(state: RunState) -> Iterator[str]:
    """Reading and cutting text takes most of the time."""
    total = sum(stage.seconds for stage in state.stages.values())
    seconds = sum(stage.costs[name] for stage in state.stages.values() for name in ("input_s", "lines_s", "parse_s"))
    if total >= _LEAST_S and seconds > total / 2:
        yield (f"Reading and parsing input took {100 * seconds / total:.0f} % of the task time. If it is read again and again, "
               "cache() what is parsed, or write it once in a form that needs no parsing (saveAsPickleFile, Parquet).")


def cache_too_small(state: RunState) -> Iterator[str]:
    """Partitions to keep found no room, or were evicted, and were computed again and again."""
    for node in state.nodes.values():
        missing = (node.refused | node.evicted) & node.recomputed.keys()
        if not missing or "disk" in node.level:
            continue
        computing = [stage for stage in state.stages.values() if node.id in stage.nodes and stage.done]
        if not computing:
            continue
        first = computing[0]  # later ones also read kept partitions
        again = sum(node.recomputed[partition] for partition in missing)
        seconds = again * first.seconds / first.done
        if seconds < _LEAST_S or share(seconds, state) < _LEAST_SHARE:
            continue
        jobs = {job for stage in computing for job in stage.jobs}
        each = "in each job" if again >= len(missing) * (len(jobs) - 1) else f"{again} times in all"
        sizes = f", which take about {shown_size(sum(node.kept.values()) / len(node.kept))} each" if node.kept else ""
        budget = min((line.get("memory", 0) for line in state.executors.values()), default=0)
        now = f", now {shown_size(budget)}" if budget else ""
        yield (f"{node.label}: the cache does not fit: {len(missing)} of {max(node.partitions, len(missing))} partitions{sizes}, "
               f"are computed again {each}, some {seconds:.1f} s in all. persist(StorageLevel.MEMORY_AND_DISK), or give more "
               f"memory a rank (--memory{now}).")


_HINTS: tuple[Callable[[RunState], Iterator[str]], ...] = (
    skew, compressed, computed_again, cache_too_small, large_closures, spilling, scheduling, parsing,
)
