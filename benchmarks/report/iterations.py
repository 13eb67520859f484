"""The figures of iterative jobs: time against iterations, first and later ones, and what they cost; beside the paper's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import parts
from benchmarks.report import drawing
from benchmarks.report.drawing import COLOURS, Figure, Missing, shown
from benchmarks.report.records import Record, Results, is_spread, sides, totals, whole_runs

MARKS = (1, 5, 10, 20, 30)
SHOWN = ("engine", "uncontrolled", "mapreduce", "handwritten", "plain", "dask", "pyspark")
MODES = ("engine", "uncontrolled", "mapreduce")
MODE_LABELS = {"engine": "in memory", "uncontrolled": "in memory, uncontrolled", "mapreduce": "disk mode", "hadoop": "Hadoop"}
OLD_PARTS = ("read", "parse", "compute and job")


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
PART_COLOURS = {
    parts.LAUNCH: "#c3c8cf",
    "read": "#7fa6c9",
    "parse": "#e2b93b",
    "deserialise": "#d9822b",
    "compute": "#0b6e4f",
    "serialise": "#d7a3c4",
    "exchange": "#7b4fa3",
    "write": "#b3262e",
    "compute and job": "#73b59a",
}
DARK_PARTS = ("compute", "exchange", "write")
"""Words on them are white."""


def figures(results: Results) -> list[Figure | Missing]:
    """The famous figure, the same of the other jobs, then three figures a job, as far as it was measured."""
    found: list[Figure | Missing] = []
    measured = [(job, record) for job in JOBS if (record := results.get(job.benchmark))]
    for job, record in measured[:1]:
        if job.benchmark == "lr":
            found.append(famous(job, record, results.get("hadoop")))
    if others := [(job, record) for job, record in measured if job.benchmark != "lr"]:
        found.append(other_jobs(others))
    for job in JOBS:
        if record := results.get(job.benchmark):
            found += [first_and_later(job, record), cost_split(job, record), whole_run(job, record)]
            if "mapreduce" not in sides(record, "later"):
                command = f"python -m benchmarks.{job.benchmark} --disk 1"
                found.append(Missing(f"{job.title}: disk mode, which this record does not hold", command))
        else:
            what = f"{job.title}: time against iterations, in memory and on disk"
            found.append(Missing(what, f"python -m benchmarks {job.benchmark}"))
    return found


def programs(record: Record, key: str) -> dict[str, Record]:
    found = sides(record, key)
    return {name: found[name] for name in SHOWN if name in found}


# Time against iterations


def curves_of(record: Record) -> dict[str, list[Record]]:
    """Of each way in which the job ran on the engine: seconds of a whole run of 1, 2, ... iterations."""
    return {name: whole_runs(side) for name, side in programs(record, "later").items() if name in MODES}


def famous(job: Job, record: Record, hadoop: Record | None) -> Figure:
    """One line in memory, one on disk; before them, where it was measured, both beside a real Hadoop."""
    curves, claim = curves_of(record), ""
    ratios = [2.1, 1] if hadoop is None else [1.1, 1.9, 1]
    drawn, (*beside, measured, paper) = drawing.canvas(len(ratios), height=3.5, gridspec_kw={"width_ratios": ratios})
    if hadoop is not None:
        three = {name: whole_runs(hadoop["lr"][name]) for name in ("engine", "mapreduce", "hadoop")}
        draw_curves(beside[0], three, f"beside Hadoop:\n{shown(hadoop['lr']['bytes'] / 1e6)} MB of text in HDFS")
        claim = (f"; an iteration of Hadoop MapReduce takes {shown(hadoop['hadoop_over_memory'])} times as long as in memory, "
                 f"{shown(hadoop['hadoop_over_disk'])} times as long as on disk")
    draw_curves(measured, curves, f"{job.title}, measured here:\n{megabytes(record)}", numbers=True)
    if "mapreduce" in curves:
        memory, disk = (curves[name][-1]["median"] for name in ("engine", "mapreduce"))
        at = (1.26 if hadoop is None else 1.38) * len(curves["engine"])
        measured.set_xlim(right=max(measured.get_xlim()[1], 1.1 * at))  # clear of the names of the lines
        measured.annotate("", (at, memory), xytext=(at, disk), arrowprops={"arrowstyle": "<->", "color": "#1c2430"})
        measured.text(at, (memory + disk) / 2, f"{shown(disk / memory)} times\nas long", ha="center", va="center", fontsize=10,
                      bbox={"facecolor": "white", "edgecolor": "none", "pad": 2})
    draw_paper(paper, job, max(map(len, curves.values())))
    return Figure(
        job.benchmark,
        claim_of_curves(job, record, curves) + claim,
        drawing.as_svg(drawn, job.benchmark),
        "The same job file, run in two modes. Time is that of the whole command, from launch to end: start-up, loading and all "
        "iterations. Each run made all iterations, and the line is what it had taken until each was done; bands run from the "
        "fastest run to the slowest. The paper's lines are drawn from its figures for the first and a later iteration."
        + (" Beside Hadoop: a MapReduce job an iteration on YARN, and both modes, on the same text in one run." if claim else ""),
    )


def other_jobs(measured: Sequence[tuple[Job, Record]]) -> Figure:
    drawn, axes = drawing.canvas(len(measured), height=3.2)
    claims = []
    for axis, (job, record) in zip(axes, measured, strict=True):
        curves = curves_of(record)
        draw_curves(axis, curves, f"{job.title}: {megabytes(record)}")
        claims.append(claim_of_curves(job, record, curves))
    return Figure(
        "iterations",
        "; ".join(claims),
        drawing.as_svg(drawn, "iterations"),
        "As above: whole runs, from launch to end. PageRank's controlled partitioning keeps links and ranks on the executor that "
        "their page hashes to, so that an iteration moves contributions only; uncontrolled, everything moves.",
    )


def draw_curves(axis: Any, curves: Mapping[str, list[Record]], title: str, *, numbers: bool = False) -> None:
    """A line each, named at its end; with ``numbers``, seconds at each mark."""
    most = max(map(len, curves.values()))
    top = max(curve[-1]["median"] for curve in curves.values())
    ends = []
    labelled: dict[int, list[float]] = {}
    for name, curve in sorted(curves.items(), key=lambda item: -item[1][-1]["median"]):
        marks = [mark for mark in MARKS if mark <= len(curve)]
        options = {"markevery": [mark - 1 for mark in marks], "linewidth": 2.4, "markersize": 5}
        drawing.line(axis, range(1, len(curve) + 1), curve, name, **options)
        words = MODE_LABELS[name].replace(", ", ",\n")
        ends.append((curve[-1]["median"], len(curve), f"{words}\n{shown(curve[-1]['median'])} s", COLOURS[name]))
        for mark in marks[:-1] if numbers else ():
            seconds = curve[mark - 1]["median"]
            if any(abs(seconds - other) < 0.08 * top for other in labelled.get(mark, ())):
                continue  # there is no room for both
            axis.annotate(f"{shown(seconds)} s", (mark, seconds), xytext=(-5, 14 if mark == 1 else 7), textcoords="offset points",
                          ha="left" if mark == 1 else "center", fontsize=8, color=COLOURS[name])
            labelled.setdefault(mark, []).append(seconds)
    free = 0.0
    for seconds, place, text, colour in sorted(ends):
        half = 0.036 * top * (1 + text.count("\n"))
        height = max(seconds, free + half)  # clear of the one below
        axis.annotate(text, (place, seconds), xytext=(place + 0.03 * most, height), fontsize=9.5, fontweight="bold",
                      color=colour, va="center", linespacing=1.15)
        free = height + half
    drawing.axes_of(axis, "iterations", "seconds, from launch to end", title)
    axis.set_xticks([mark for mark in MARKS if mark <= most])
    axis.set_xlim(0, 1.4 * most)
    axis.set_ylim(top=1.1 * max(top, free))


def draw_paper(axis: Any, job: Job, most: int) -> None:
    for name, (first, later) in job.paper.items():
        places = range(1, most + 1)
        seconds = [first + later * (place - 1) for place in places]
        axis.plot(places, seconds, color=PAPER_COLOURS[name], linewidth=1.6, linestyle="--")
        axis.annotate(f"{name}\n{seconds[-1]:,.0f} s", (most, seconds[-1]), xytext=(4, 0), textcoords="offset points",
                      fontsize=8.5, color=PAPER_COLOURS[name], va="center")
    drawing.axes_of(axis, "iterations", "seconds", f"the paper's:\n{job.setting}")
    axis.set_xticks([mark for mark in MARKS if mark <= most])
    axis.set_xlim(0, 1.5 * most)


def claim_of_curves(job: Job, record: Record, curves: Mapping[str, list[Record]]) -> str:
    count = min(map(len, curves.values()))
    memory = curves["engine"][count - 1]["median"]
    if "mapreduce" not in curves:
        return f"{job.title}: {count} iterations over data in memory take {shown(memory)} s; disk mode was not measured"
    disk = curves["mapreduce"][count - 1]["median"]
    measured = f"{job.title}: {count} iterations take {shown(memory)} s in memory and"
    if disk < memory:
        return f"{measured}, against the claim, only {shown(disk)} s on disk"
    one_memory, one_disk = (record[name]["later"]["median"] for name in ("engine", "mapreduce"))
    return (
        f"{measured} {shown(disk)} s on disk, {shown(disk / memory)} times as long; each iteration more "
        f"{shown(one_memory)} and {shown(one_disk)} s"
    )


# First and later iterations


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
    drawing.bars(left, first, "s", f"measured here: {megabytes(record)};\nloading and first iteration")
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
        "whichever engine it runs on; start-up is not in them.",
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


# What an iteration costs


def cost_split(job: Job, record: Record) -> Figure | Missing:
    """First and later iterations, in memory and on disk, stacked by part; what is too small to see once more, larger."""
    bars = split_bars(record)
    if not bars:
        return Missing(f"{job.title}: what an iteration costs, by part", f"python -m benchmarks.{job.benchmark} --disk 1")
    longest = max(sum(split.values()) for split in bars.values())
    small = {label: split for label, split in bars.items() if sum(split.values()) < 0.12 * longest}
    heights = [len(bars)] + ([0.3 + 0.8 * len(small)] if small else [])
    drawn, axes = drawing.canvas(1, len(heights), height=1.7 + 0.42 * sum(heights), gridspec_kw={"height_ratios": heights})
    draw_stacks(axes[0], bars, 1, "s")
    axes[0].set_title(f"{job.title}: {megabytes(record)}")
    if small:
        in_ms = max(sum(split.values()) for split in small.values()) < 1
        draw_stacks(axes[1], small, 1000 if in_ms else 1, "ms" if in_ms else "s")
        axes[1].set_title("the short ones, magnified")
    used = [part for part in PART_COLOURS if any(split.get(part, 0) > 0 for split in bars.values())]
    swatches = [drawing.swatch(PART_COLOURS[part], part) for part in used]
    drawn.legend(handles=swatches, ncols=min(8, len(swatches)), loc="outside lower center", handlelength=1, columnspacing=1.2)
    key = f"{job.benchmark}-split"
    return Figure(key, claim_of_split(job, bars), drawing.as_svg(drawn, key), note_of_split(record))


def split_bars(record: Record) -> dict[str, dict[str, float]]:
    """Seconds by part, for each bar that was measured, by its label."""
    if split := record.get("split"):
        names = {"first": "loading and first iteration,", "later": "a later iteration,"}
        return {
            f"{names[which]}\n{MODE_LABELS[mode]}": {part: max(0.0, seconds) for part, seconds in split[mode][which].items()}
            for which in names
            for mode in MODES
            if mode in split
        }
    old = record.get("later_split_s")  # of before each part was counted: later iterations, and reading and parsing only
    if not old or "engine" not in sides(record, "later"):
        return {}
    return {
        "a later iteration,\nin memory": {"compute and job": record["engine"]["later"]["median"]},
        "a later iteration,\ndisk mode": {part: max(0.0, old[part]) for part in OLD_PARTS},
    }


def draw_stacks(axis: Any, bars: Mapping[str, Mapping[str, float]], scale: float, unit: str) -> None:
    longest = scale * max(sum(split.values()) for split in bars.values())
    for place, split in enumerate(bars.values()):
        left = 0.0
        for part, seconds in split.items():
            width = scale * seconds
            axis.barh(place, width, left=left, color=PART_COLOURS[part], height=0.66)
            if width > 0.055 * longest:
                axis.text(left + width / 2, place, shown(width), ha="center", va="center", fontsize=8,
                          color="white" if part in DARK_PARTS else "#1c2430")
            left += width
        drawing.label(axis, left, place, f"{shown(left)} {unit}")
    axis.set_yticks(range(len(bars)), list(bars))
    axis.invert_yaxis()
    axis.grid(axis="y", visible=False)
    axis.set_xlim(0, 1.1 * longest)
    axis.set_xlabel({"s": "seconds", "ms": "milliseconds"}[unit])


def claim_of_split(job: Job, bars: Mapping[str, Mapping[str, float]]) -> str:
    claims = []
    for label, split in bars.items():
        if label.startswith("a later") and not label.endswith("uncontrolled"):
            total = sum(split.values())
            part = max(split, key=lambda one: split[one])
            claims.append(f"{label.partition(chr(10))[2]} {split[part] / total:.0%} of its {shown(total)} s are {part}")
    return f"{job.title}, a later iteration: {'; '.join(claims)}"


def note_of_split(record: Record) -> str:
    if "split" not in record:
        return (
            "Reading and parsing were measured by jobs of their own, in the same mode; the rest of the iteration is what "
            "remains. This record is older than the counting of each part."
        )
    return (
        "From runs of their own, of 6 iterations, in which the job's parser is timed; a later iteration is the one of "
        "median length. Each part is the mean over the executors, which count it: read (input and files), parse (text to "
        "lines to numbers), deserialise and serialise (bytes to records and back), write (with fsync), exchange (with "
        "waiting for its other side), compute (all else that tasks do; sorting, in disk mode, too). Launch and wait is "
        "what is left: handing out tasks, messages, the driver's own work, executors waiting for the slowest. So the "
        "parts add up to the time on the clock."
    )


# Whole runs


def whole_run(job: Job, record: Record) -> Figure:
    """What can be told of each program from outside."""
    found = programs(record, "later")
    splits = {name: phases_of(side) for name, side in found.items()}
    phases = list(splits["engine"])
    colours = dict(zip(phases, ("#c3c8cf", "#e2b93b", "#7fa6c9", "#0b6e4f"), strict=True))
    drawn, (axis,) = drawing.canvas(1, height=1.2 + 0.34 * len(found))
    for place, split in enumerate(splits.values()):
        left = 0.0
        for phase, seconds in split.items():
            axis.barh(place, seconds, left=left, color=colours[phase], height=0.62)
            left += seconds
        drawing.label(axis, left, place, f"{shown(left)} s")
    axis.set_yticks(range(len(splits)), [drawing.LABELS.get(name, name) for name in splits])
    axis.invert_yaxis()
    axis.grid(axis="y", visible=False)
    axis.set_xlim(0, 1.1 * max(sum(split.values()) for split in splits.values()))
    axis.set_xlabel("seconds of a whole run, from launch to exit")
    drawn.legend(handles=[drawing.swatch(colours[phase], phase) for phase in phases], ncols=4, loc="outside lower center")
    engine = splits["engine"]
    largest = max(engine, key=lambda phase: engine[phase])
    return Figure(
        f"{job.benchmark}-whole",
        f"{job.title}, {len(totals(record['engine']))} iterations: of {shown(sum(engine.values()))} s in memory, "
        f"{engine[largest] / sum(engine.values()):.0%} are {largest}",
        drawing.as_svg(drawn, f"{job.benchmark}-whole"),
        "Medians over the runs. Launch and end are what the whole command took beyond what the job timed: the interpreter, "
        "imports, MPI or Java, and shutting down.",
    )


def phases_of(side: Record) -> dict[str, float]:
    """Seconds by phase."""
    runs = len(side["first"]["values"])
    inside = totals(side)[-1]["median"]
    load = side["load"]["median"] if is_spread(side.get("load")) else 0.0
    return {
        "launch and end": max(0.0, side["total_s"]["median"] - inside),
        "loading: read, parse, cache": load,
        "first iteration": side["first"]["median"],
        "later iterations": sum(side["later"]["values"]) / runs,
    }


def megabytes(record: Record) -> str:
    options, size = record["options"], f"{shown(record['bytes'] / 1e6)} MB"
    what = f"{options['edges']:,} links ({size})" if "edges" in options else f"{size} of text"
    return f"{what}, {options['ranks'] - 1} executors"
