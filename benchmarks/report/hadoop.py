"""The figures of a real Hadoop beside both modes: whole jobs, and the parts of Hadoop's time that the disk mode leaves out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks import hadoopparts
from benchmarks.report import drawing
from benchmarks.report.drawing import COLOURS, LABELS, Figure, Missing, shown
from benchmarks.report.records import Record, Results, sides

PROGRAMS = ("engine", "mapreduce", "hadoop", "binary", "streaming")
PART_COLOURS = {
    hadoopparts.SUBMIT: "#c3c8cf",
    hadoopparts.MASTER: "#98a4b3",
    hadoopparts.CONTAINERS: "#e2b93b",
    hadoopparts.JVMS: "#d9822b",
    hadoopparts.MAP: "#0b6e4f",
    hadoopparts.REDUCERS: "#b5651d",
    hadoopparts.REDUCE: "#7b4fa3",
    hadoopparts.END: "#d7a3c4",
}
DARK_PARTS = (hadoopparts.MAP, hadoopparts.REDUCE, hadoopparts.REDUCERS)
"""Words on them are white."""


def figures(results: Results) -> list[Figure | Missing]:
    record = results.get("hadoop")
    if record is None:
        reason = results.left_out.get("hadoop")
        what = "Hadoop on YARN beside both modes" + (f" (left out: {reason})" if reason else "")
        return [Missing(what, "python -m benchmarks hadoop")]
    return [beside(record), left_out(record)]


def beside(record: Record) -> Figure:
    """The same work by each program."""
    panels = {
        f"word count:\n{megabytes(record['wordcount'])} of text": seconds_of(record["wordcount"], "seconds"),
        f"sort:\n{megabytes(record['sort'])} of records": seconds_of(record["sort"], "seconds"),
        f"LR, a later iteration:\n{megabytes(record['lr'])} of text": seconds_of(record["lr"], "later"),
    }
    most = max(map(len, panels.values()))
    drawn, axes = drawing.canvas(len(panels), height=1.3 + 0.36 * most)
    claims = []
    for axis, (title, spreads) in zip(axes, panels.items(), strict=True):
        drawing.bars(axis, spreads, "s", title)
        axis.set_ylim(most - 0.5, -0.5)  # bars of one height in all panels
        claims.append(f"{title.partition(':')[0]} {shown(spreads['hadoop']['median'] / spreads['engine']['median'])}")
    return Figure(
        "hadoop",
        f"Hadoop MapReduce over mpirdd in memory, times as long: {', '.join(claims)}",
        drawing.as_svg(drawn, "hadoop"),
        "Hadoop 3.5 on YARN on the same host and cores: HDFS with one copy of each block of 128 MB, a JVM for each task, a "
        "combiner in the word count, Hadoop's own TeraSort. All read the same files in HDFS; word count and sort write there. "
        "Seconds from a job's submission to its end, without the start of clients and executors. All results are compared.",
    )


def seconds_of(work: Record, key: str) -> dict[str, Record]:
    found = sides(work, key)
    return {name: found[name][key] for name in PROGRAMS if name in found}


def left_out(record: Record) -> Figure:
    """Where the time of a job goes, beside the whole iteration in disk mode."""
    lr, empty = record["lr"], record["empty"]
    bars = {
        "an empty job": empty["parts"],
        f"word count,\n{megabytes(record['wordcount'])}": record["wordcount"]["hadoop"]["parts"],
        f"an LR iteration,\n{megabytes(lr)} of text": lr["hadoop"]["parts"],
    }
    if "binary" in lr:
        bars["an LR iteration,\nSequenceFiles"] = lr["binary"]["parts"]
    disk = lr["mapreduce"]["later"]["median"]
    drawn, (axis,) = drawing.canvas(1, height=1.5 + 0.46 * (len(bars) + 1))
    longest = max(sum(parts.values()) for parts in bars.values())
    for place, parts in enumerate(bars.values()):
        draw_parts(axis, place, parts, longest)
    axis.barh(len(bars), disk, color=COLOURS["mapreduce"], height=0.66)
    drawing.label(axis, disk, len(bars), f"{shown(disk)} s")
    axis.set_yticks(range(len(bars) + 1), [*bars, f"an LR iteration,\n{LABELS['mapreduce']}"])
    axis.invert_yaxis()
    axis.grid(axis="y", visible=False)
    axis.set_xlim(0, 1.1 * longest)
    axis.set_xlabel("seconds, from the job's submission to its end")
    swatches = [drawing.swatch(colour, part) for part, colour in PART_COLOURS.items()]
    drawn.legend(handles=swatches, ncols=4, loc="outside lower center", handlelength=1, columnspacing=1.2)
    parts = lr["hadoop"]["parts"]
    whole, overhead = sum(parts.values()), hadoopparts.overhead_s(parts)
    copies = empty["write_s"]
    few, *_, many = sorted(copies, key=int)
    return Figure(
        "hadoop-parts",
        f"Of the {shown(whole)} s of an iteration on Hadoop, {shown(overhead)} s start and end processes and wait for "
        f"heartbeats, which the disk mode leaves out; an empty job takes {shown(empty['seconds']['median'])} s",
        drawing.as_svg(drawn, "hadoop-parts"),
        f"A job of median length each; parts follow one another. A task's JVM takes {shown(empty['jvm_s']['median'])} s from its "
        f"start to the start of its task. The disk mode replicates nothing either: a file of "
        f"{shown(empty['write_bytes'] / 1e6)} MB takes {shown(copies[few])} s to write with {few} copy of its blocks and "
        f"{shown(copies[many])} s with {many}, on one disk. Parts in which no work on data is done hardly depend on its size: of "
        "larger data they are a smaller share.",
    )


def draw_parts(axis: Any, place: int, parts: Mapping[str, float], longest: float) -> None:
    left = 0.0
    for part, seconds in parts.items():
        axis.barh(place, seconds, left=left, color=PART_COLOURS[part], height=0.66)
        if seconds > 0.045 * longest:
            colour = "white" if part in DARK_PARTS else "#1c2430"
            axis.text(left + seconds / 2, place, shown(seconds), ha="center", va="center", fontsize=8, color=colour)
        left += seconds
    drawing.label(axis, left, place, f"{shown(left)} s")


def megabytes(work: Record) -> str:
    return f"{shown(work['bytes'] / 1e6)} MB"
