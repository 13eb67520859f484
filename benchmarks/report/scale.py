"""The figures of what grows with the number of executors and of tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.report import drawing
from benchmarks.report.drawing import COLOURS, Figure, shown
from benchmarks.report.records import Record

SIMULATED = {
    "map": ("tasks that may run anywhere", COLOURS["engine"]),
    "shuffle": ("the same, and a shuffle behind", COLOURS["dask"]),
    "kept": ("partitions that are kept, then read", COLOURS["pyspark"]),
}
REAL = {"empty": ("empty tasks", COLOURS["engine"]), "shuffle": ("a shuffle, n x n partitions", COLOURS["dask"]),
        "function": ("a function of 256 KiB, n hosts", COLOURS["pyspark"])}


def simulation(record: Record) -> Figure:
    """Decisions a second, and memory, of the scheduler alone."""
    drawn, (rate, memory) = drawing.canvas(2, height=2.8)
    for job, points in by_job(record, list(SIMULATED)).items():
        label, colour = SIMULATED[job]
        executors = [point["executors"] for point in points]
        drawing.line(rate, executors, [point["decisions_per_s"] for point in points], job, label, color=colour)
        grown = [point for point in points if point["memory_bytes"] >= 1e6]  # less is noise of the allocator
        plotted(memory, [point["tasks"] for point in grown], [point["memory_bytes"] / 1e6 for point in grown], label, colour)
    drawing.axes_of(rate, "executors", "decisions a second", "100 tasks an executor")
    drawing.axes_of(memory, "tasks", "MB of memory", "the scheduler and the job's lineage", zero=False)
    rate.set_xscale("log")
    memory.set_xscale("log")
    memory.set_yscale("log")
    for axis in (rate.xaxis, rate.yaxis, memory.xaxis, memory.yaxis):
        drawing.plain_numbers(axis)
    decades(memory)
    rate.legend(loc="lower left")
    slowest = min(point["decisions_per_s"]["median"] for point in record["points"])
    largest = max(record["points"], key=lambda point: int(point["tasks"]))
    most_bytes = max(point["memory_bytes"] / point["tasks"] for point in record["points"])
    return Figure(
        "simulation",
        f"The scheduler alone decides at least {slowest:,.0f} times a second, to {largest['executors']:,} executors "
        f"and {largest['tasks']:,} tasks, in at most {most_bytes:,.0f} bytes a task",
        drawing.as_svg(drawn, "simulation"),
        "Without MPI: executors are simulated and answer at once. A decision is one event (a task done, an exchange done) that "
        "the scheduler has handled. Memory is the growth of the process's peak.",
    )


def at_scale(record: Record) -> Figure:
    """Messages, bytes, time and memory at the driver, against the number of executors."""
    drawn, axes = drawing.canvas(4, height=3.0)
    jobs = by_job(record, list(REAL))
    for job, points in jobs.items():
        label, colour = REAL[job]
        executors = [point["executors"] for point in points]
        for axis, values in zip(axes, (
            [point["sent"] + point["received"] for point in points],
            [(point["sent_bytes"] + point["received_bytes"]) / 1e6 for point in points],
            [point["driver_s"]["median"] for point in points],
            [(point["queued_bytes"] + point["account_bytes"]) / 1e6 for point in points],
        ), strict=True):
            plotted(axis, executors, values, label, colour)
    titles = ("messages", "MB sent and got", "seconds of its CPU", "MB queued and kept")
    for axis, title in zip(axes, titles, strict=True):
        drawing.axes_of(axis, "executors", "", title, zero=False)
        axis.set_xscale("log")
        axis.set_yscale("log")
        drawing.plain_numbers(axis.xaxis)
        drawing.plain_numbers(axis.yaxis)
        decades(axis)
    drawn.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(jobs))
    claims = []
    for job, points in jobs.items():
        last = points[-1]
        claims.append(f"{REAL[job][0]} {shown(last['driver_s']['median'])} s")
    most = max(point["executors"] for point in record["points"])
    return Figure(
        "at_scale",
        f"The driver's own time at {most:,} executors: {', '.join(claims)}",
        drawing.as_svg(drawn, "at_scale"),
        "The real driver and real executors in one process, on the network that worlds of one rank use. Both axes are "
        "logarithmic: a line that rises by one decade in one is linear. "
        f"Empty: {record['options']['tasks']} tasks an executor. Shuffle: n map and n reduce tasks. "
        "Function: a task on each of n hosts. What executors trade among "
        "themselves in the exchange does not pass the driver, and is not in it.",
    )


def by_job(record: Record, jobs: Sequence[str]) -> dict[str, list[Record]]:
    """The points of those jobs that the record has."""
    found = {job: [point for point in record["points"] if point["job"] == job] for job in jobs}
    return {job: points for job, points in found.items() if points}


def decades(axis: Any) -> None:
    """Name only the powers of ten on the x axis."""
    low, high = axis.get_xlim()
    axis.set_xticks([10 ** power for power in range(10) if low <= 10 ** power <= high])


def plotted(axis: Any, x: Sequence[float], y: Sequence[float], label: str, colour: str) -> None:
    axis.plot(x, y, marker="o", markersize=3.5, color=colour, label=label)
