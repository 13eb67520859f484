"""The figures of iterative jobs: time against iterations, first and later ones, and where the time goes; beside the paper's."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.report import drawing
from benchmarks.report.drawing import COLOURS, Figure, Missing, shown
from benchmarks.report.records import Record, Results, is_spread, sides, totals

MARKS = (1, 5, 10, 20, 30)
SHOWN = ("engine", "uncontrolled", "mapreduce", "handwritten", "plain", "dask", "pyspark")


@dataclass(frozen=True)
class Job:
    """An iterative job, and the seconds that the paper (NSDI 2012) gives for its first and its later iterations."""

    benchmark: str
    title: str
    setting: str
    paper: dict[str, tuple[float, float]]


JOBS = (
    Job("lr", "Logistic regression", "100 GB, 100 machines", {"Hadoop": (80, 76), "Spark": (46, 3)}),
    Job("kmeans", "K-means", "100 GB, 100 machines", {"Hadoop": (115, 106), "Spark": (82, 33)}),
    Job(
        "pagerank",
        "PageRank",
        "54 GB, 30 machines",
        {"Hadoop": (171, 171), "Spark": (72, 72), "Spark, controlled\npartitioning": (23, 23)},
    ),
)
PAPER_COLOURS = {
    "Hadoop": COLOURS["mapreduce"],
    "Spark": COLOURS["engine"],
    "Spark, controlled\npartitioning": "#05402d",
}


def figures(results: Results) -> list[Figure | Missing]:
    """Three figures a job, as far as it was measured."""
    found: list[Figure | Missing] = []
    for job in JOBS:
        record = results.get(job.benchmark)
        if record is None:
            found.append(
                Missing(
                    f"{job.title}: time against iterations, in memory and on disk",
                    f"python -m benchmarks {job.benchmark}",
                )
            )
            continue
        found += [against_iterations(job, record), first_and_later(job, record), cost_split(job, record)]
        if split := disk_split(job, record):
            found.append(split)
        if "mapreduce" not in sides(record, "later"):
            found.append(
                Missing(
                    f"{job.title}: the line of disk mode, which this record of {job.benchmark} does not hold",
                    f"python -m benchmarks {job.benchmark} (of a version that has --mode mapreduce)",
                )
            )
    return found


def programs(record: Record, key: str) -> dict[str, Record]:
    found = sides(record, key)
    return {name: found[name] for name in SHOWN if name in found}


def against_iterations(job: Job, record: Record) -> Figure:
    drawn, (measured, paper) = drawing.canvas(2, height=3.1, gridspec_kw={"width_ratios": [1.7, 1]})
    curves = {name: totals(side) for name, side in programs(record, "later").items()}
    for name, curve in curves.items():
        marks = [mark for mark in MARKS if mark <= len(curve)]
        label = drawing.LABELS[name].replace("\n", " ")
        drawing.line(measured, range(1, len(curve) + 1), curve, name, label, markevery=[mark - 1 for mark in marks])
    drawing.axes_of(measured, "iterations", "seconds, loading included", f"measured here: {megabytes(record)}")
    measured.legend(loc="upper left")
    most = max(map(len, curves.values()))
    for axis in (measured, paper):
        axis.set_xticks([mark for mark in MARKS if mark <= most])
    for name, (first, later) in job.paper.items():
        places = range(1, most + 1)
        paper.plot(
            places,
            [first + later * (place - 1) for place in places],
            color=PAPER_COLOURS[name],
            linewidth=1.6,
            label=name.replace("\n", " "),
        )
    drawing.axes_of(paper, "iterations", "seconds", f"the paper's: {job.setting}")
    paper.legend(loc="upper left")
    return Figure(
        f"{job.benchmark}-iterations",
        claim_of_curves(job, curves),
        drawing.as_svg(drawn, f"{job.benchmark}-iterations"),
        "Lines are medians over the runs, bands run from the fastest to the slowest; start-up is not included. Each run "
        "made all iterations, and the line is the time until each was done. The paper's lines are drawn from its "
        "figures for the first and a later iteration.",
    )


def claim_of_curves(job: Job, curves: dict[str, list[Record]]) -> str:
    memory, disk = curves["engine"][-1]["median"], curves.get("mapreduce")
    count = len(curves["engine"])
    if disk is None:
        return (
            f"{job.title}: {count} iterations over data in memory take {shown(memory)} s; disk mode was not measured"
        )
    at = min(count, len(disk))
    memory, slow = curves["engine"][at - 1]["median"], disk[at - 1]["median"]
    measured = f"{job.title}: {at} iterations take {shown(memory)} s in memory and"
    if slow < memory:
        return f"{measured}, against the claim, only {shown(slow)} s on disk"
    return f"{measured} {shown(slow)} s on disk, {shown(slow / memory)} times as long"


def first_and_later(job: Job, record: Record) -> Figure:
    found = programs(record, "later")
    first = {name: totals(side)[0] for name, side in found.items()}
    later = {name: side["later"] for name, side in found.items()}
    drawn, (left, right, paper_left, paper_right) = drawing.canvas(
        2,
        2,
        height=2.5 + 0.33 * len(found),
        sharey="row",
        gridspec_kw={"height_ratios": [len(found), len(job.paper)]},
    )
    drawing.bars(left, first, "s", f"measured here ({megabytes(record)}):\nloading and first iteration")
    drawing.bars(right, later, "s", "measured here:\na later iteration")
    for axis, which in ((paper_left, 0), (paper_right, 1)):
        for place, (name, seconds) in enumerate(job.paper.items()):
            axis.barh(place, seconds[which], color=PAPER_COLOURS[name], height=0.62, alpha=0.6)
            drawing.label(axis, seconds[which], place, f"{seconds[which]:g} s")
        axis.set_xlim(0, 1.28 * max(seconds[which] for seconds in job.paper.values()))
        axis.set_title(f"the paper's ({job.setting}):\n{('first iteration', 'a later iteration')[which]}")
        axis.set_xlabel("s")
        axis.grid(axis="y", visible=False)
    paper_left.set_yticks(range(len(job.paper)), list(job.paper))
    paper_left.invert_yaxis()
    left.invert_yaxis()  # shared, and turned by both
    return Figure(
        f"{job.benchmark}-bars",
        claim_of_later(job, later),
        drawing.as_svg(drawn, f"{job.benchmark}-bars"),
        "Bars are medians, black lines run from the fastest to the slowest. Times are those that the same job prints, "
        "whichever engine it runs on.",
    )


def claim_of_later(job: Job, later: dict[str, Record]) -> str:
    engine = later["engine"]["median"]
    words = {
        "mapreduce": "disk mode",
        "uncontrolled": "no control of partitioning",
        "handwritten": "a hand-written MPI program",
        "plain": "one plain process",
        "dask": "Dask",
        "pyspark": "PySpark",
    }
    others = [f"{words[name]} {shown(side['median'] / engine)}" for name, side in later.items() if name != "engine"]
    times = f"; times as long: {', '.join(others)}" if others else ""
    return f"{job.title}: a later iteration takes {shown(engine * 1000)} ms{times}"


def cost_split(job: Job, record: Record) -> Figure:
    """What a program says of its costs (``costs``: seconds by part), else what can be told from outside."""
    found = programs(record, "later")
    splits = {name: split_of(side) for name, side in found.items()}
    parts = list(dict.fromkeys(part for split in splits.values() for part in split))
    colours = dict(
        zip(
            parts,
            ("#c8cdd4", "#7fa6c9", "#3f6f9f", "#0b6e4f", "#d9822b", "#b3262e", "#7b4fa3", "#333333", "#e2b93b"),
            strict=False,
        )
    )
    drawn, (axis,) = drawing.canvas(1, height=1.2 + 0.34 * len(found))
    for place, split in enumerate(splits.values()):
        left = 0.0
        for part, seconds in split.items():
            axis.barh(
                place,
                seconds,
                left=left,
                color=colours.get(part, "#999999"),
                height=0.62,
                label=part if part not in axis.get_legend_handles_labels()[1] else None,
            )
            left += seconds
        drawing.label(axis, left, place, f"{shown(left)} s")
    axis.set_yticks(range(len(splits)), [drawing.LABELS.get(name, name) for name in splits])
    axis.invert_yaxis()
    axis.grid(axis="y", visible=False)
    axis.set_xlim(0, 1.1 * max(sum(split.values()) for split in splits.values()))
    axis.set_xlabel("seconds of a whole run, from launch to exit")
    drawn.legend(ncols=min(5, len(parts)), loc="outside lower center")
    engine = splits["engine"]
    largest = max(engine, key=lambda part: engine[part])
    return Figure(
        f"{job.benchmark}-costs",
        f"{job.title}: of {shown(sum(engine.values()))} s in memory, {engine[largest] / sum(engine.values()):.0%} go into "
        f"{largest}",
        drawing.as_svg(drawn, f"{job.benchmark}-costs"),
        "Medians over the runs. Launch and end are what the whole command took beyond what the job timed: the interpreter, "
        "imports, MPI or Java, and shutting down.",
    )


def disk_split(job: Job, record: Record) -> Figure | None:
    """Where the time of a later iteration in disk mode goes (``later_split_s``: seconds by part, and ``all``)."""
    split = record.get("later_split_s")
    if not split or "engine" not in sides(record, "later"):
        return None
    parts = {part: max(0.0, seconds) for part, seconds in split.items() if part != "all"}
    memory = record["engine"]["later"]["median"]
    drawn, (axis,) = drawing.canvas(1, height=1.7)
    left = 0.0
    for (part, seconds), colour in zip(parts.items(), ("#7fa6c9", "#e2b93b", "#b3262e", "#98a4b3"), strict=False):
        axis.barh(0, seconds, left=left, color=colour, height=0.62, label=f"{part} {shown(seconds)} s")
        left += seconds
    drawing.label(axis, left, 0, f"{shown(left)} s")
    axis.barh(1, memory, color=COLOURS["engine"], height=0.62)
    drawing.label(axis, memory, 1, f"{shown(memory)} s")
    axis.set_yticks([0, 1], [drawing.LABELS["mapreduce"], drawing.LABELS["engine"]])
    axis.invert_yaxis()
    axis.grid(axis="y", visible=False)
    axis.set_xlim(0, 1.1 * left)
    axis.set_xlabel("seconds of a later iteration")
    drawn.legend(ncols=len(parts), loc="outside lower center")
    largest = max(parts, key=lambda part: parts[part])
    key = f"{job.benchmark}-disk"
    return Figure(
        key,
        f"{job.title}: {parts[largest] / left:.0%} of a later iteration in disk mode go into {largest}",
        drawing.as_svg(drawn, key),
        "Reading and parsing were measured by jobs of their own, in the same mode; the rest of the iteration is what remains.",
    )


def split_of(side: Record) -> dict[str, float]:
    """Seconds by part."""
    if isinstance(side.get("costs"), dict):
        return {part: value["median"] if is_spread(value) else float(value) for part, value in side["costs"].items()}
    runs = len(side["first"]["values"])
    inside = totals(side)[-1]["median"]
    load = side["load"]["median"] if is_spread(side.get("load")) else 0.0
    later = sum(side["later"]["values"]) / runs
    return {
        "launch and end": max(0.0, side["total_s"]["median"] - inside),
        "loading: read, parse, cache": load,
        "first iteration": side["first"]["median"],
        "later iterations": later,
    }


def megabytes(record: Record) -> str:
    return f"{shown(record['bytes'] / 1e6)} MB, {record['options']['ranks'] - 1} executors"
