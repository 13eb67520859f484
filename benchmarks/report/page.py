"""The page: figures, targets, raw medians, circumstances and method, in one HTML file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.report import records
from benchmarks.report.records import Record, Results

if TYPE_CHECKING:
    from benchmarks.report.drawing import Figure  # imports matplotlib, which is an extra

RESULTS = Path(__file__).resolve().parent.parent / "results"
IN_DOCS = {
    "lr": "lr",
    "iterations": "iterations",
    "lr-split": "split",
    "peers": "peers",
    "operators": "operators",
    "fractions": "fractions",
    "recovery": "recovery",
    "simulation": "simulation",
    "at_scale": "at_scale",
    "ranks": "ranks",
}
"""The figures that README.md and ARCHITECTURE.md show, and their files in ``docs/figures``."""

STYLE = """
body { font: 15px/1.5 system-ui, Helvetica, Arial, sans-serif; color: #1c2430;
       max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.7rem; margin-bottom: .2rem }
h2 { font-size: 1.25rem; margin-top: 2.6rem }
h3 { font-size: 1.05rem; margin: 2rem 0 .3rem }
figure { margin: 1.6rem 0 2.2rem; break-inside: avoid }
figure svg { width: 100%; height: auto }
figcaption { color: #566070; font-size: .87rem }
.missing { color: #566070 }
.lead { color: #566070; margin-top: 0 }
.table { overflow-x: auto }
table { border-collapse: collapse; font-size: .85rem; width: 100% }
th, td { text-align: left; padding: .22rem .6rem .22rem 0; border-bottom: 1px solid #e4e6ea; vertical-align: top }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums }
code { font-size: .82rem; overflow-wrap: anywhere }
.missed { color: #b3262e; font-weight: 600 }
.quick { background: #fff3cd; padding: .4rem .7rem }
details { margin: .6rem 0 }
@media print { body { max-width: none }
details > * { display: block }
}
"""

METHOD = """
<ul>
<li><b>Pairs.</b> Engine and hand-written program run in turn (A B A B), each in a launch of its own with the same
number of ranks, so that both see the same machine; a ratio is taken within each pair, and its median is reported.
Slow peers run after them.</li>
<li><b>Validity.</b> Every run's output is checked against the generator's truth or the other programs' results. A
record that is not valid is not drawn, and is listed as failed.</li>
<li><b>Times</b> are wall clock, taken inside the program, and exclude start-up unless said. Spreads are from the
least to the most of all runs; nothing is left out as an outlier.</li>
<li><b>Page cache.</b> Benchmarks that read files drop it before each run (<code>/proc/sys/vm/drop_caches</code>, root
only). Where that is not permitted, files come from memory, and the table of circumstances says so. The others do not
read files and leave it alone.</li>
<li><b>Within a run</b> nothing is dropped: what disk mode writes or reads once more comes mostly from the page cache, so that its
times are lower bounds, and the advantage of memory is one over parsing and serialising, not over slow disks.</li>
<li><b>fsync.</b> Disk mode writes what a MapReduce job would commit, with fsync before each commit; spill files of
memory mode are not synced, as they are worth nothing after a crash. Output of a sort is written without fsync on all
sides.</li>
<li><b>Same functions.</b> Engine, disk mode, hand-written program and PySpark call the same Python functions of the
same job file.</li>
<li><b>Not measured:</b> networks between hosts, parallel file systems, more cores than the host has, other users of
the machine (its load is recorded), and energy. The paper's figures are from other machines and other data: compare
shapes and ratios, not seconds.</li>
</ul>
"""


def main(argv: Sequence[str] | None = None) -> int:
    """``python -m benchmarks report``: 0 when it wrote a page, 2 without results or matplotlib."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks report", description="Draw what the benchmarks found, as one HTML page."
    )
    parser.add_argument("files", nargs="*", type=Path, help="JSON lines (benchmarks/results/*.jsonl)")
    parser.add_argument("--output", type=Path, default=Path("report.html"), help="the page to write (report.html)")
    parser.add_argument("--figures", type=Path, metavar="DIR", help="also write the figures of the docs there, as SVG")
    options = parser.parse_args(argv)
    files = options.files or sorted(RESULTS.glob("*.jsonl"))
    absent = [str(file) for file in files if not file.is_file()]
    if absent or not files:
        print(
            f"no results: {', '.join(absent) or RESULTS / '*.jsonl'}; run python -m benchmarks --quick first",
            file=sys.stderr,
        )
        return 2
    results = records.load(files)
    try:
        page = render(results, options.figures)
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        print("the report draws with matplotlib, which is not installed: pip install mpirdd[report]", file=sys.stderr)
        return 2
    options.output.write_text(page, encoding="utf-8")
    print(
        f"{options.output}: {len(results.chosen)} benchmarks of {results.read} records, {len(page) / 1e3:,.0f} kB",
        file=sys.stderr,
    )
    return 0


def render(results: Results, folder: Path | None = None) -> str:
    """The page; with ``folder``, the figures of README.md and ARCHITECTURE.md are written there as well."""
    from benchmarks.report.drawing import Figure  # imports matplotlib, which is an extra
    from benchmarks.report.figures import all_figures

    drawn = all_figures(results)
    found = [one for one in drawn if isinstance(one, Figure)]
    missing = [one for one in drawn if not isinstance(one, Figure)]
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for figure in found:
            if figure.key in IN_DOCS:
                (folder / f"{IN_DOCS[figure.key]}.svg").write_text(figure.svg, encoding="utf-8")
    shown = "".join(
        f"<figure id='{figure.key}'><h3>{escape(figure.title)}</h3>{figure.svg}"
        f"<figcaption>{escape(figure.note)}</figcaption>{numbers_of(figure)}</figure>"
        for figure in found
    )
    left_out = "".join(
        f"<li class='missing'>{escape(one.what)}: <code>{escape(one.command)}</code></li>" for one in missing
    )
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>mpirdd: what was measured</title>"
        f"<meta name='viewport' content='width=device-width'><style>{STYLE}</style></head><body>"
        "<h1>mpirdd: what was measured</h1>"
        f"{lead(results)}{shown}"
        + (f"<h2>Not measured here</h2><ul>{left_out}</ul>" if left_out else "")
        + f"<h2>What was promised</h2>{targets(results)}<h2>Method</h2>{METHOD}"
        f"<h2>Circumstances</h2>{circumstances(results)}<h2>Raw medians</h2>{raw(results)}</body></html>\n"
    )


def numbers_of(figure: Figure) -> str:
    if figure.table is None:
        return ""
    head, rows = figure.table
    return table(list(map(escape, head)), [list(map(escape, row)) for row in rows], range(1, len(head)))


def lead(results: Results) -> str:
    chosen = list(results.chosen.values())
    if not chosen:
        return "<p class='quick'>None of the records is valid.</p>"
    hosts = sorted(
        {
            f"{record['host']['processor']}, {record['host']['cores']} cores, "
            f"{record['host']['memory_bytes'] / 2**30:.0f} GiB"
            for record in chosen
        }
    )
    revisions = sorted({revision(record) for record in chosen})
    days = sorted({record["when"][:10] for record in chosen})
    lines = [
        f"<p class='lead'>{escape('; '.join(hosts))}. Revision {escape(', '.join(revisions))}. "
        f"{days[0] if len(days) == 1 else f'{days[0]} to {days[-1]}'}.</p>"
    ]
    quick = [name for name, record in results.chosen.items() if records.is_quick(record)]
    if quick:
        lines.append(
            f"<p class='quick'>Small sizes (--quick), which show that it works and not how fast it is: {', '.join(quick)}.</p>"
        )
    if results.failed:
        names = ", ".join(f"{escape(record['benchmark'])} ({record['when']})" for record in results.failed)
        lines.append(f"<p class='quick'>Runs that failed, or whose output was wrong, and are not drawn: {names}.</p>")
    if results.unreadable:
        lines.append(f"<p class='quick'>Lines that are no record: {escape(', '.join(results.unreadable))}.</p>")
    return "".join(lines)


def revision(record: Record) -> str:
    return (record["git"]["revision"] or "unknown")[:10] + (" with changes" if record["git"]["changed"] else "")


def table(head: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int] = ()) -> str:
    """Cells are HTML; the columns ``numbers`` stand to the right."""

    def cells(tag: str, row: Sequence[str]) -> str:
        return "".join(
            f"<{tag}{' class=number' if place in numbers else ''}>{cell}</{tag}>" for place, cell in enumerate(row)
        )

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<div class='table'><table><thead><tr>{cells('th', head)}</tr></thead><tbody>{body}</tbody></table></div>"


def targets(results: Results) -> str:
    rows = [
        [
            escape(name),
            escape(target["what"]),
            f"{target['reached']:.3g}",
            "met" if target["met"] else "<span class='missed'>missed</span>",
        ]
        for name, record in results.chosen.items()
        for target in record.get("targets", [])
    ]
    return table(["benchmark", "target", "reached", ""], rows, (2,))


def circumstances(results: Results) -> str:
    rows = []
    for name, record in results.chosen.items():
        versions = ", ".join(f"{key} {value}" for key, value in record["versions"].items())
        flags = " ".join(f"{key}={value}" for key, value in record["flags"].items())
        rows.append(
            [
                escape(name),
                record["when"],
                escape(revision(record)),
                escape(f"{versions}; {record['host']['system']}"),
                escape(record.get("page_cache", "warm")),
                f"{record['load_before']:.1f}",
                escape(str(record.get("took_s", ""))),
                f"<code>{escape(record.get('command_line', ''))}</code><br><code>{escape(flags)}</code>",
            ]
        )
    return table(
        [
            "benchmark",
            "when (UTC)",
            "revision",
            "versions",
            "page cache",
            "load before",
            "took s",
            "command line and flags",
        ],
        rows,
        (5, 6),
    )


def raw(results: Results) -> str:
    """Every spread of every record, and the commands that it ran."""
    parts = []
    for name, record in results.chosen.items():
        rows = [
            [
                escape(path),
                *(f"{value[key]:.6g}" for key in ("median", "min", "max")),
                str(len(value.get("values", [])) or ""),
            ]
            for path, value in records.medians({key: value for key, value in record.items() if key != "options"})
        ]
        commands = "".join(
            f"<p><b>{escape(side)}</b> <code>{escape(value['command'])}</code></p>"
            for side, value in record.items()
            if isinstance(value, dict) and "command" in value
        )
        parts.append(
            f"<details><summary>{escape(name)}</summary>{table(['what', 'median', 'min', 'max', 'values'], rows, (1, 2, 3, 4))}"
            f"{commands}</details>"
        )
    return "".join(parts)
