"""The figures of what grows with the number of executors and of tasks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.report import drawing
from benchmarks.report.drawing import COLOURS, Figure, shown
from benchmarks.report.records import Record, Results

SIMULATED = {
    "map": ("tasks that may run anywhere", COLOURS["engine"]),
    "shuffle": ("the same, and a shuffle behind", COLOURS["dask"]),
    "kept": ("partitions that are kept, then read", COLOURS["pyspark"]),
}
REAL = {"empty": ("empty tasks", COLOURS["engine"]), "shuffle": ("a shuffle, n x n partitions", COLOURS["dask"]),
        "function": ("a function of 256 KiB, n hosts", COLOURS["pyspark"])}

LINES = (("-", "o"), ("--", "s"), (":", "^"))
"""For each MPI its line, and its points."""
WHO = {"engine": "mpirdd", "handwritten": "by hand"}
WAYS = {"collective": COLOURS["engine"], "pairwise": COLOURS["dask"], "raw": COLOURS["handwritten"]}


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


def ranks(results: Results) -> Figure | None:
    """A whole short program, and the bytes of a shuffle, against the number of ranks, on each MPI."""
    programs, shuffles = (results.by_ranks.get(name, {}) for name in ("many_ranks", "shuffle"))
    if not programs and not shuffles:
        return None
    drawn, (start, rate) = drawing.canvas(2, height=3.4)
    for mpi, (line, marker) in zip(sorted({mpi for mpi, _ in (*programs, *shuffles)}, reverse=True), LINES, strict=False):
        for side in ("engine", "handwritten"):
            points = sorted((count, record[side]["total_s"]) for (name, count), record in programs.items() if name == mpi)
            look = {"linestyle": line, "marker": marker, "color": COLOURS[side]}
            if points:
                drawing.line(start, *columns(points), side, f"{WHO[side]}, {mpi}", **look)
        for way in ("collective", "pairwise", "raw"):
            points = sorted((count, record[side_of(record, way)]["gb_per_s"])
                            for (name, count), record in shuffles.items() if name == mpi)
            if points:
                drawing.line(rate, *columns(points), way, f"{way}, {mpi}", linestyle=line, marker=marker, color=WAYS[way])
    drawing.axes_of(start, "ranks", "seconds", "start, count the words of 20 MB, stop")
    drawing.axes_of(rate, "ranks", "GB/s", "a shuffle of numpy arrays")
    for axis in (start, rate):
        axis.set_xscale("log", base=2)
        axis.set_xticks(sorted({count for _, count in (programs if axis is start else shuffles)}))
        axis.minorticks_off()
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    handles, labels = (start_of + rate_of for start_of, rate_of in zip(
        start.get_legend_handles_labels(), rate.get_legend_handles_labels(), strict=True))
    drawn.legend(handles, labels, loc="outside lower center", ncols=5)
    claims = []
    if programs:
        (mpi, most), last = max(programs.items(), key=lambda found: found[0][1])
        claims.append(f"{most} ranks on {last['host']['cores']} cores start, count words and stop in "
                      f"{shown(last['engine']['total_s']['median'])} s ({mpi}; by hand "
                      f"{shown(last['handwritten']['total_s']['median'])})")
    for mpi in sorted({mpi for mpi, _ in shuffles}, reverse=True):
        times = [(count, record["collective_over_pairwise"]["median"]) for (name, count), record in sorted(shuffles.items())
                 if name == mpi]
        claims.append(f"a collective exchange takes {', '.join(shown(ratio) for _, ratio in times)} of the time of a pairwise "
                      f"one with {', '.join(str(count) for count, _ in times)} ranks ({mpi})")
    return Figure(
        "ranks", "; ".join(claims), drawing.as_svg(drawn, "ranks"),
        "All ranks share the host's cores. Raw is an Alltoallv of the same bytes by hand. Bands run from the least to the most.")


def columns(points: Sequence[tuple[int, Record]]) -> tuple[list[int], list[Record]]:
    return [count for count, _ in points], [found for _, found in points]


def side_of(record: Record, way: str) -> str:
    """Which side of a record of ``shuffle`` went this way."""
    return next((side for side, its in record["exchange"].items() if its == way), "handwritten")


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
