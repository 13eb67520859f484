"""Axes, bars and lines with their spreads, and a figure as SVG text for a page. The one module that imports matplotlib."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib.figure import Figure as Canvas
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator

from benchmarks.report.records import Record

LABELS = {
    "engine": "mpirdd, in memory",
    "mapreduce": "mpirdd, disk mode",
    "uncontrolled": "mpirdd, uncontrolled",
    "handwritten": "hand-written MPI",
    "plain": "plain Python/numpy,\none process",
    "dask": "Dask bag",
    "pyspark": "PySpark",
    "hadoop": "Hadoop MapReduce",
    "binary": "Hadoop, SequenceFiles",
    "streaming": "Hadoop Streaming",
}
COLOURS = {
    "engine": "#0b6e4f",
    "mapreduce": "#b3262e",
    "uncontrolled": "#73b59a",
    "handwritten": "#3c4a5a",
    "plain": "#98a4b3",
    "dask": "#d9822b",
    "pyspark": "#7b4fa3",
    "hadoop": "#2b6cb0",
    "binary": "#6ea3d8",
    "streaming": "#1b3f6b",
    "paper": "#8a8a8a",
}
STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans"],
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e6ea",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}
matplotlib.rcParams.update(STYLE)  # titles and legends look at it when they are made; nothing else here draws
WIDTH = 9.2
"""Inches, of every figure."""


@dataclass(frozen=True)
class Figure:
    """An entry of the page: a claim, its drawing, and notes."""

    key: str
    title: str
    svg: str
    note: str
    table: tuple[Sequence[str], Sequence[Sequence[str]]] | None = None
    """Its numbers, where the drawing shows them too coarsely: head and rows; all columns but the first stand to the right."""


@dataclass(frozen=True)
class Missing:
    """A figure without data, and the command that measures it."""

    what: str
    command: str


def canvas(columns: int, rows: int = 1, height: float = 2.9, **options: Any) -> tuple[Canvas, list[Any]]:
    """A figure and its axes, row by row."""
    drawn = Canvas(figsize=(WIDTH, height), layout="constrained")
    return drawn, list(drawn.subplots(rows, columns, squeeze=False, **options).flat)


def as_svg(drawn: Canvas, key: str) -> str:
    """SVG that can share a page with others: its ids hang on ``key``, and nothing in it depends on the time."""
    text = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": key}):
        drawn.savefig(text, format="svg", metadata={"Date": None})
    svg = text.getvalue()
    svg = re.sub(r'<g id="[^"]*"', "<g", svg[svg.index("<svg") :])  # which nothing refers to, and all figures have
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # Ids hash numbers of the layout, whose last bits are not the same in each run.
    names = {name: f"{key}-{place}" for place, name in enumerate(dict.fromkeys(re.findall(r' id="([^"]+)"', svg)))}
    svg = re.sub(r'( id="|#)([\w-]+)', lambda found: found[1] + names.get(found[2], found[2]), svg)
    return re.sub(r'width="[^"]*pt" height="[^"]*pt"', 'role="img"', svg, count=1)  # as wide as the page lets it be


def bars(axis: Any, spreads: Mapping[str, Record], unit: str, title: str) -> None:
    """Horizontal bars from zero with their values, and a line from the least to the most."""
    names = list(spreads)
    for place, name in enumerate(names):
        value = spreads[name]
        axis.barh(place, value["median"], color=COLOURS.get(name, COLOURS["paper"]), height=0.62)
        axis.plot([value["min"], value["max"]], [place, place], color="black", linewidth=1, marker="|", markersize=6)
        label(axis, value["max"], place, f"{shown(value['median'])} {unit}")
    axis.set_yticks(range(len(names)), [LABELS.get(name, name) for name in names])
    axis.invert_yaxis()
    axis.grid(axis="y", visible=False)
    axis.set_xlim(0, 1.28 * max(value["max"] for value in spreads.values()))
    axis.set_xlabel(unit)
    axis.set_title(title)


def label(axis: Any, x: float, y: float, text: str, *, above: bool = False) -> None:
    """Words beside a point: to its right, or above it."""
    axis.annotate(
        text,
        (x, y),
        xytext=(5, 6 if above else 0),
        textcoords="offset points",
        fontsize=8.5,
        va="bottom" if above else "center",
    )


def line(
    axis: Any, places: Sequence[float], spreads: Sequence[Record], name: str, label: str | None = None, **options: Any
) -> None:
    """A line through medians, and a band from the least to the most."""
    colour = COLOURS.get(name, COLOURS["paper"])
    options = {
        "marker": "o",
        "markersize": 3.5,
        "linewidth": 1.6,
        "color": colour,
        "label": label or LABELS.get(name, name),
    } | options
    axis.plot(places, [value["median"] for value in spreads], **options)
    axis.fill_between(
        places,
        [value["min"] for value in spreads],
        [value["max"] for value in spreads],
        color=options["color"],
        alpha=0.15,
        linewidth=0,
    )


def swatch(colour: str, label: str) -> Any:
    """A line of a legend."""
    return Patch(color=colour, label=label)


def axes_of(axis: Any, x: str, y: str, title: str, *, zero: bool = True) -> None:
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    axis.set_title(title)
    if zero:
        axis.set_ylim(bottom=0)


def plain_numbers(axis: Any) -> None:
    """1,000 rather than 10^3 on a logarithmic axis; 1, 2 and 5 of each decade."""
    if axis.get_scale() == "log":
        axis.set_major_locator(LogLocator(subs=(1, 2, 5) if narrow(axis) else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 1 else f"{value:g}"))
    axis.set_minor_formatter(FuncFormatter(lambda value, _: ""))


def narrow(axis: Any) -> bool:
    """Less than three decades."""
    low, high = axis.get_view_interval()
    return bool(high / low < 1000)


def shown(value: float) -> str:
    """A number with three significant digits."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
