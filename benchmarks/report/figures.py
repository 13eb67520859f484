"""The other figures: one function for each question, its title a claim computed from the record that it draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from benchmarks.report import drawing, hadoop, iterations
from benchmarks.report.drawing import COLOURS, Figure, Missing, shown
from benchmarks.report.operations import operations
from benchmarks.report.records import Record, Results, sides, spread
from benchmarks.report.scale import at_scale, ranks, simulation

PAPER_FRACTIONS = {0: 68.8, 25: 58.1, 50: 40.7, 75: 29.7, 100: 11.5}
PAPER_RECOVERY = {"before": 58, "with the loss": 81, "after": 57}


def all_figures(results: Results) -> list[Figure | Missing]:
    """In the order of the page: the claim first, then what it costs, then the rest."""
    found = iterations.figures(results)
    found += hadoop.figures(results)
    for name, what, draw in DRAWN:
        record = results.get(name)
        found.append(draw(record) if record else Missing(what, f"python -m benchmarks {name}"))
    found.append(ranks(results) or Missing("Programs and shuffles, to 128 ranks", "python -m benchmarks many_ranks shuffle"))
    found.append(
        peers(results) or Missing("Peers: how many times the engine's time others take", "python -m benchmarks")
    )
    return found


def seconds_bars(record: Record, what: str, note: str) -> Figure:
    """Programs with the same work, by seconds."""
    found = {name: side["seconds"] for name, side in sides(record, "seconds").items()}
    drawn, (axis,) = drawing.canvas(1, height=0.9 + 0.36 * len(found))
    drawing.bars(axis, found, "s", f"{record['bytes'] / 1e6:,.0f} MB, {record['options']['ranks'] - 1} executors")
    engine = found["engine"]["median"]
    words = {
        "handwritten": "a hand-written MPI program",
        "plain": "one plain process",
        "dask": "Dask",
        "pyspark": "PySpark",
        "mapreduce": "disk mode",
    }
    others = ", ".join(
        f"{words[name]} {shown(side['median'] / engine)}" for name, side in found.items() if name in words
    )
    key = record["benchmark"]
    return Figure(key, f"{what} takes {shown(engine)} s; times as long: {others}", drawing.as_svg(drawn, key), note)


def sort(record: Record) -> Figure:
    return seconds_bars(
        record,
        f"Sorting {record['options']['records']:,} records of 100 bytes, from files to files,",
        "Medians; black lines run from the fastest to the slowest. Output is checked for order, number and checksum.",
    )


def words(record: Record) -> Figure:
    return seconds_bars(
        record,
        f"Counting {record['words'] / 1e6:,.1f} million words",
        "Medians; black lines run from the fastest to the slowest. Counts are compared with the generator's. Engine, "
        "hand-written program and PySpark call the same Python functions for each word; Dask's frequencies and plain "
        "Python's Counter count in C and call none.",
    )


def recovery(record: Record) -> Figure:
    times, kill = record["iterations_s"], record["options"]["kill"]
    drawn, (axis, paper) = drawing.canvas(2, height=2.9, gridspec_kw={"width_ratios": [1.8, 1]})
    for name, label, colour in (
        ("undisturbed", "nobody dies", COLOURS["handwritten"]),
        ("killed", f"one executor killed at the start of iteration {kill}", COLOURS["mapreduce"]),
    ):
        spreads = [spread(at) for at in zip(*times[name], strict=True)]
        drawing.line(axis, range(1, len(spreads) + 1), spreads, name, label, color=colour)
    axis.axvline(kill, color="#555555", linewidth=0.8, linestyle=":")
    drawing.axes_of(
        axis,
        "iteration",
        "seconds an iteration",
        f"measured here: k-means, {record['options']['ranks'] - 1} executors, {record['bytes'] / 1e6:,.0f} MB",
    )
    axis.set_xticks(range(1, len(spreads) + 1))
    axis.set_ylim(top=1.25 * axis.get_ylim()[1])  # the legend's place
    axis.legend(loc="upper left")
    paper.bar(list(PAPER_RECOVERY), list(PAPER_RECOVERY.values()), color=COLOURS["paper"], width=0.55)
    drawing.axes_of(paper, "", "seconds an iteration", "the paper's: one of 75 machines lost")
    paper.grid(axis="x", visible=False)
    before, during, after = (record[key]["median"] for key in ("before_s", "during_s", "after_s"))
    seen = record.get("detection_and_repair_s")
    return Figure(
        "recovery",
        f"Losing one of {record['options']['ranks'] - 1} executors makes one iteration take {shown(during)} s "
        f"instead of {shown(before)} s; later ones take {shown(after)} s on the survivors",
        drawing.as_svg(drawn, "recovery"),
        "The executor is killed with SIGKILL; results are the same with and without the loss. Lines are medians, bands run from "
        "the fastest to the slowest." + (f" Detection and repair: {shown(seen['median'])} s." if seen else ""),
    )


def fractions(record: Record) -> Figure:
    points = record["points"]
    drawn, (axis, paper) = drawing.canvas(2, height=2.8, gridspec_kw={"width_ratios": [1.4, 1]})
    kept = [100 * point["kept"]["median"] for point in points]
    drawing.line(axis, kept, [point["later"] for point in points], "engine")
    for place, point in zip(kept, points, strict=True):
        drawing.label(axis, place, point["later"]["median"], f"{shown(point['later']['median'])} s", above=True)
    drawing.axes_of(
        axis,
        "% of the partitions kept in memory",
        "seconds an iteration",
        f"measured here: {record['bytes'] / 1e6:,.0f} MB of text, {record['options']['ranks'] - 1} executors",
    )
    axis.set_xlim(-4, 112)
    paper.plot(
        list(PAPER_FRACTIONS), list(PAPER_FRACTIONS.values()), marker="o", markersize=3.5, color=COLOURS["paper"]
    )
    for percent, seconds in PAPER_FRACTIONS.items():
        drawing.label(paper, percent, seconds, f"{seconds} s", above=True)
    drawing.axes_of(paper, "% of the data in memory", "seconds an iteration", "the paper's: 100 GB, 25 machines")
    paper.set_xlim(-4, 118)
    paper.set_ylim(top=80)
    least, most = points[0]["later"]["median"], points[-1]["later"]["median"]
    medians = [point["later"]["median"] for point in points]
    smooth = all(more <= less * 1.05 for less, more in pairwise(medians))
    how = "falls with every quarter of the data that fits" if smooth else "does not fall steadily with memory"
    return Figure(
        "fractions",
        f"Time of an iteration {how}: from {shown(least)} s with {kept[0]:.0f} % of it in memory to {shown(most)} s "
        f"with {kept[-1]:.0f} %",
        drawing.as_svg(drawn, "fractions"),
        "Logistic regression. The memory budget of a rank is set to a share of what the cached data takes; what is drawn is the "
        "share of partitions that was really kept, as the smallest budget still holds a block or two. What does not fit is read "
        "and parsed anew. Bands run from the fastest iteration to the slowest.",
    )


def scaling(record: Record) -> Figure:
    titles = {"wordcount": "word count", "lr": "LR, an iteration"}
    drawn, axes = drawing.canvas(4, height=2.7)
    claims = []
    for axis, (job, kind) in zip(axes, ((job, kind) for job in titles for kind in ("strong", "weak")), strict=True):
        points = [point for point in record["points"] if (point["job"], point["kind"]) == (job, kind)]
        executors = [point["executors"] for point in points]
        drawing.line(axis, executors, [point["seconds"] for point in points], "engine", "measured")
        one = points[0]["seconds"]["median"]
        ideal = [one / count if kind == "strong" else one for count in executors]
        axis.plot(executors, ideal, color="#555555", linestyle="--", linewidth=1, label="ideal")
        cores = points[0]["cores"]
        if executors[-1] > cores:
            axis.axvspan(cores + 0.1, executors[-1] + 0.2, color="#f1e3d3", zorder=0)
            axis.text(cores + 0.2, 0, " more than cores", fontsize=7.5, va="bottom", color="#7a5a33")
        size = f"{points[0]['bytes'] / 1e6:,.0f} MB" + ("" if kind == "strong" else " each")
        drawing.axes_of(axis, "executors", "seconds", f"{titles[job]}\n{kind}: {size}")
        axis.set_xticks(executors)
        if kind == "strong":
            most = max(
                (point for point in points if point["executors"] <= cores), key=lambda point: point["executors"]
            )
            claims.append(
                f"{titles[job]} is {shown(one / most['seconds']['median'])} times as fast on {most['executors']}"
            )
    axes[1].legend(loc="upper left")
    cores = record["points"][0]["cores"]
    return Figure(
        "scaling",
        f"On {cores} cores, against 1 executor, {' and '.join(claims)}",
        drawing.as_svg(drawn, "scaling"),
        "Strong: the same data on more executors. Weak: as much more data. Shaded: more executors than this machine has cores, "
        "where no gain can be had; the driver is a rank of its own that sleeps. Bands run from the fastest to the slowest.",
    )


def reread(record: Record) -> Figure:
    found = {name: side["gb_per_s_a_rank"] for name, side in sides(record, "gb_per_s_a_rank").items()}
    drawn, (axis,) = drawing.canvas(1, height=1.6)
    drawing.bars(axis, found, "GB/s", f"{record['bytes'] / 1e9:.2g} GB in {record['options']['ranks'] - 1} executors")
    axis.axvline(5, color="#555555", linestyle=":", linewidth=1)
    rate = found["engine"]["median"]
    return Figure(
        "reread",
        f"Cached numpy blocks are read again at {shown(rate)} GB/s a rank, by hand at "
        f"{shown(found['handwritten']['median'])}",
        drawing.as_svg(drawn, "reread"),
        "A job that sums all blocks, its hand-out and its result included. Dotted: the 5 GB/s to be reached. Black lines run "
        "from the slowest to the fastest turn.",
    )


def spill(record: Record) -> Figure:
    drawn, axes = drawing.canvas(2, height=1.6)
    claims = []
    for axis, operation in zip(axes, ("sort", "group"), strict=True):
        found = {
            f"{side['budget_mb']:,.0f} MB a rank": spread(side["seconds"])
            for side in (record[operation][name] for name in ("small", "enough"))
        }
        drawing.bars(axis, found, "s", {"sort": "sortByKey", "group": "groupByKey"}[operation])
        claims.append(f"{operation} takes {shown(record[operation]['ratio']['median'])} times as long")
    return Figure(
        "spill",
        f"{record['bytes'] / 1e6:,.0f} MB with {record['sort']['small']['budget_mb']:,.0f} MB a rank, against memory "
        f"enough: {', '.join(claims)}",
        drawing.as_svg(drawn, "spill"),
        f"Over the budget at the peak, as the system counts: {record['sort']['over_budget_mb']:,.0f} MB (sort), "
        f"{record['group']['over_budget_mb']:,.0f} MB (group).",
    )


DRAWN: tuple[tuple[str, str, Callable[[Record], Figure]], ...] = (
    ("fractions", "Memory fractions: an iteration with 0 to 100 % of the data in memory", fractions),
    ("recovery", "Recovery: time of each iteration with an executor killed", recovery),
    ("terasort", "Sort of 100-byte records", sort),
    ("wordcount", "Word count", words),
    ("operators", "Every operation beside its plain loop", operations),
    ("spill", "Sort and group beyond memory", spill),
    ("reread", "Cached numpy blocks read again", reread),
    ("scaling", "Scaling with executors", scaling),
    ("simulation", "The scheduler alone, to 10,000 executors", simulation),
    ("at_scale", "What the driver sends, gets, keeps and takes, to 1,000 executors", at_scale),
)

PEERS = ("handwritten", "plain", "dask", "pyspark")
PEER_KEYS = {"startup": "first_result_s", "lr": "later", "kmeans": "later", "pagerank": "later"}
"""What is compared; ``seconds`` by default."""
PEER_TITLES = {
    "startup": "start-up to first result",
    "tasks": "job of empty tasks",
    "collect": "collect of arrays",
    "broadcast": "broadcast of an array",
    "reread": "sum of cached blocks",
    "shuffle": "shuffle of arrays",
    "wordcount": "word count",
    "terasort": "sort",
    "group": "group rows, a mean each",
    "join": "join of rows",
    "lr": "LR, later iteration",
    "kmeans": "k-means, later iteration",
    "pagerank": "PageRank, later iteration",
}


def peers(results: Results) -> Figure | None:
    """All comparisons with others, as ratios."""
    rows = []
    for name, title in PEER_TITLES.items():
        record = results.get(name)
        key = PEER_KEYS.get(name, "seconds")
        found = {side: values[key] for side, values in sides(record, key).items()} if record else {}
        if "engine" in found and len(found) > 1:
            rows.append((title, found))
    if not rows:
        return None
    drawn, (axis,) = drawing.canvas(1, height=1.3 + 0.36 * len(rows))
    labelled = set()
    for place, (_, found) in enumerate(rows):
        engine = found["engine"]
        for side in PEERS:
            if side in found:
                ratio = found[side]["median"] / engine["median"]
                axis.plot(
                    [found[side]["min"] / engine["max"], found[side]["max"] / engine["min"]],
                    [place, place],
                    color=COLOURS[side],
                    linewidth=1.2,
                    alpha=0.6,
                )
                label = None if side in labelled else drawing.LABELS[side].replace("\n", " ")
                axis.plot(ratio, place, "o", color=COLOURS[side], markersize=6, label=label)
                axis.annotate(shown(ratio), (ratio, place), xytext=(0, 5), textcoords="offset points", fontsize=7.5,
                              ha="center", color=COLOURS[side],
                              bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.4, "alpha": 0.85})
                labelled.add(side)
    axis.axvline(1, color=COLOURS["engine"], linewidth=1.4, label="mpirdd")
    axis.set_xscale("log")
    drawing.plain_numbers(axis.xaxis)
    axis.set_yticks(range(len(rows)), [f"{title}\n{duration(found['engine']['median'])}" for title, found in rows])
    axis.set_ylim(len(rows) - 0.5, -0.7)
    axis.set_xlabel("times as long as mpirdd (logarithmic; right of the line: slower than mpirdd, whose time is at the left)")
    drawn.legend(ncols=5, loc="outside lower center")
    claims = []
    for side in ("handwritten", "pyspark", "dask"):
        ratios = [found[side]["median"] / found["engine"]["median"] for _, found in rows if side in found]
        if ratios:
            name = {"handwritten": "hand-written MPI", "pyspark": "PySpark", "dask": "Dask"}[side]
            span = f"{shown(min(ratios))} to {shown(max(ratios))}" if len(ratios) > 1 else shown(ratios[0])
            claims.append(f"{name} {span}")
    return Figure(
        "peers",
        f"Times of others over mpirdd's, in the same runs: {'; '.join(claims)}",
        drawing.as_svg(drawn, "peers"),
        "Dots are ratios of medians; lines run from the peer's fastest over mpirdd's slowest to the reverse, so they overstate "
        "the spread. Hand-written programs use the same Python functions and the same ranks.",
        peers_table(rows),
    )


def peers_table(rows: Sequence[tuple[str, dict[str, Record]]]) -> tuple[list[str], list[list[str]]]:
    """Medians, and in brackets how many times mpirdd's."""

    def cell(found: dict[str, Record], side: str) -> str:
        if side not in found:
            return ""
        median = found[side]["median"]
        return duration(median) + ("" if side == "engine" else f" ({shown(median / found['engine']['median'])})")

    columns = ["engine", *(side for side in PEERS if any(side in found for _, found in rows))]
    head = ["", *("mpirdd" if side == "engine" else drawing.LABELS[side].replace("\n", " ") for side in columns)]
    return head, [[title, *(cell(found, side) for side in columns)] for title, found in rows]


def duration(seconds: float) -> str:
    return f"{shown(seconds)} s" if seconds >= 1 else f"{shown(seconds * 1000)} ms"
