"""The figure of all operations beside their loops."""

from __future__ import annotations

import statistics

from benchmarks.report import drawing
from benchmarks.report.drawing import COLOURS, Figure, shown
from benchmarks.report.records import Record

SLOW = 1.25
"""A bar beyond this ratio has another colour."""


def operations(record: Record) -> Figure:
    """A bar for each operation: its CPU time over that of its loop, the least first."""
    # A count of kept lists is their lengths, on both sides: there is nothing to compare but a job with no job.
    found = [one for one in record["operations"] if one["loop_ns"]["median"] >= 1]
    found.sort(key=lambda one: float(one["ratio"]["median"]))
    drawn, (axis,) = drawing.canvas(1, height=1.0 + 0.17 * len(found))
    for place, one in enumerate(found):
        ratio = one["ratio"]
        colour = COLOURS["engine"] if ratio["median"] <= SLOW else COLOURS["mapreduce"]
        axis.barh(place, ratio["median"], color=colour, height=0.66)
        axis.plot([ratio["min"], ratio["max"]], [place, place], color="black", linewidth=0.8, marker="|", markersize=4)
        words = f"{shown(ratio['median'])}   ({shown(one['engine_ns']['median'])} / {shown(one['loop_ns']['median'])} ns)"
        drawing.label(axis, max(ratio["max"], ratio["median"]), place, words)
    axis.axvline(1, color="black", linewidth=1.2)
    axis.set_yticks(range(len(found)), [one["name"] for one in found], fontsize=7.5)
    axis.invert_yaxis()
    axis.margins(y=0.01)
    axis.grid(axis="y", visible=False)
    axis.set_xlim(0, 1.3 * max([1.0, *(one["ratio"]["max"] for one in found)]))
    axis.set_xlabel("CPU time of the operation over that of a plain loop for the same (left of the line: less than the loop)")
    middle = statistics.median([one["ratio"]["median"] for one in found]) if found else 0.0
    slow = sum(one["ratio"]["median"] > SLOW for one in found)
    return Figure(
        "operators",
        f"{len(found)} operations take {shown(middle)} times the CPU time of a plain loop at the median; "
        + (f"{slow} take more than {SLOW:g} times it" if slow else f"none takes more than {SLOW:g} times it"),
        drawing.as_svg(drawn, "operators"),
        f"{record['options']['records']:,} cached records, one executor; operation and loop run in turn inside it, over the same "
        "objects. Loops of wide operations bucket, pickle, unpickle and merge. Nanoseconds are for a record of the largest "
        "input. Black lines run from the least ratio of a pair of turns to the largest. Results of both are compared.",
    )
