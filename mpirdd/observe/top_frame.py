"""One frame of ``mpirdd top``: a run at one moment, as rich draws it in a terminal. Pure: a view in, a picture out."""

from __future__ import annotations

from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mpirdd.observe.rates import Rates
from mpirdd.observe.run_view import RunView
from mpirdd.observe.shown import duration
from mpirdd.observe.views import ExecutorView, StageView, replaced
from mpirdd.protocol.shown import shown_size

_QUIET_S = 30.0
"""The frame tells when a running log has had no news for this long. (A long task writes a line at 1, 2, 4, 8 ... seconds.)"""
_STYLES = {"running": "bold cyan", "succeeded": "bold green", "failed": "bold red", "terminated": "bold yellow"}


def frame(
    run: RunView, rates: Rates, *, now: float, height: int, width: int = 120, note: str = "", title: str = "",
    status: str = "",
) -> RenderableType:
    """Jobs, stages, executors and the latest trouble, in at most ``height`` lines.

    Args:
        now: seconds since the run began.
        note: a line about the log.
        status: shown instead of the log's own status.
    """
    trouble = _trouble(run)
    room = max(6, height - 9 - len(trouble) - bool(note))
    stages = _shown_stages(run, max(2, room // 2))
    executors = _shown_executors(run, max(2, room - len(stages)))
    parts: list[RenderableType] = [_head(run, now, title, status or run.status), _totals(run, rates, now)]
    if note:
        parts.append(Text(note, style="yellow", no_wrap=True, overflow="ellipsis"))
    if stages:
        parts.append(_stages(run, stages, now, wide=width >= 100))
    if executors:
        parts.append(_executors(run, executors, now, wide=width >= 100))
        more = len(run.executors) - len(executors)
        if more > 0:
            parts.append(Text(f"and {more:,} more executors", style="dim"))
    return Group(*parts, *trouble)


def _head(run: RunView, now: float, title: str, status: str) -> Text:
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(title or "run", style="bold")
    line.append("  ")
    line.append(status, style=_STYLES.get(status, "bold red"))
    line.append(f"  {duration(now)}  driver {run.run.get('host', '?')}")
    quiet = now - run.now
    if status == "running" and quiet > _QUIET_S:
        line.append(f"  no news for {duration(quiet)}", style="bold yellow")
    return line


def _totals(run: RunView, rates: Rates, now: float) -> Text:
    stages = run.stages.values()
    running = sum(job.end is None for job in run.jobs.values())
    failed = sum(job.status == "FAILED" for job in run.jobs.values())
    parts = [f"jobs {len(run.jobs) - running:,} done" + (f", {running} running" if running else ""),
             f"tasks {sum(stage.done for stage in stages):,} ({rates.tasks:,.0f}/s)"]
    for name, total, rate in (
            ("read", sum(stage.sums["bytes_in"] for stage in stages), rates.read_bytes),
            ("shuffled", run.shuffled_bytes, rates.shuffled_bytes),
            ("spilled", sum(stage.sums["spilled"] for stage in stages), rates.spilled_bytes)):
        if total:
            parts.append(f"{name} {shown_size(total)}" + (f" ({shown_size(rate)}/s)" if rate >= 1 and run.end is None else ""))
    if run.spares_waiting > 0 and run.end is None:
        parts.append(f"{run.spares_waiting} spare{'s' if run.spares_waiting > 1 else ''} waiting")
    line = Text("   ".join(parts))
    if failed:
        line.append(f"   {failed} job{'s' if failed > 1 else ''} failed", style="red")
    if run.failure_count:
        line.append(f"   {run.failure_count:,} failed attempts", style="red")
    return line


def _shown_stages(run: RunView, most: int) -> list[StageView]:
    """The stages that run, and the latest of the others, by their numbers."""
    ordered = sorted(run.stages.values(), key=lambda stage: (not stage.over, stage.id))
    return sorted(ordered[-most:], key=lambda stage: stage.id)


def _stages(run: RunView, stages: list[StageView], now: float, *, wide: bool) -> Table:
    rows: list[list[RenderableType]] = []
    for stage in stages:
        total = max(stage.tasks, stage.done, 1)
        running = not stage.over and run.end is None
        until = now if running else stage.last
        shuffled = stage.sums["shuffle_written"] or stage.sums["shuffle_read"]
        rows.append([
            str(stage.id), Text(stage.label, style="" if running else "dim"),
            ProgressBar(total=total, completed=stage.done, finished_style="green",
                        complete_style="red" if stage.failed else "cyan"),
            f"{stage.done:,}/{total:,}" + (f" {stage.failed} failed" if stage.failed else ""),
            duration(max(0.0, until - stage.start)), duration(stage.longest_s) if stage.done else "",
            _size_or_none(shuffled), _size_or_none(stage.sums["spilled"])])
    return _table(wide, rows, [
        _Column("stage"), _Column("operation", text=True, ratio=3), _Column("progress", text=True, ratio=2, wide=True),
        _Column("tasks"), _Column("took"), _Column("longest"), _Column("shuffle", wide=True), _Column("spilled")])


def _shown_executors(run: RunView, most: int) -> list[ExecutorView]:
    """All executors, if there is room; else first the lost ones, then those that have been at a task the longest."""
    executors = sorted(run.executors.values(), key=lambda each: each.rank)
    if len(executors) <= most:
        return executors
    urgent = sorted(executors, key=lambda each: (each.lost is None, each.since if each.now else float("inf")))
    return sorted(urgent[:most], key=lambda each: each.rank)


def _executors(run: RunView, executors: list[ExecutorView], now: float, *, wide: bool) -> Table:
    rows: list[list[RenderableType]] = []
    for each in executors:
        there = max(1e-9, (each.lost if each.lost is not None else now) - each.joined)
        limit, used = each.limit_bytes, each.used_bytes
        rows.append([
            str(each.rank), each.host, _doing(run, each, now), f"{each.tasks:,}", f"{min(100, 100 * each.busy_s / there):.0f} %",
            ProgressBar(total=limit or 1, completed=min(used, limit), finished_style="red",
                        complete_style="red" if used > 0.85 * limit else "cyan"),
            f"{shown_size(used)}/{shown_size(limit)}" if limit else shown_size(used), _size_or_none(each.spilled)])
    return _table(wide, rows, [
        _Column("executor"), _Column("host", text=True, wide=True), _Column("does", text=True, ratio=3), _Column("tasks"),
        _Column("busy"), _Column("", text=True, ratio=1, wide=True), _Column("memory"), _Column("spilled")])


class _Column(NamedTuple):
    name: str
    text: bool = False
    """Aligned to the left."""
    ratio: int | None = None
    """The column's part of the width that is left over; None: as wide as it needs."""
    wide: bool = False
    """Left out on narrow terminals."""


def _table(wide: bool, rows: list[list[RenderableType]], columns: list[_Column]) -> Table:
    table = Table(expand=True, box=None, padding=(0, 1), header_style="dim")
    shown = [number for number, column in enumerate(columns) if wide or not column.wide]
    for column in map(columns.__getitem__, shown):
        table.add_column(column.name, justify="left" if column.text else "right", ratio=column.ratio, no_wrap=True,
                         overflow="ellipsis")
    for row in rows:
        table.add_row(*map(row.__getitem__, shown))
    return table


def _size_or_none(amount: float) -> str:
    return shown_size(amount) if amount else ""


def _doing(run: RunView, executor: ExecutorView, now: float) -> Text:
    if executor.lost is not None:
        return Text(f"lost: {executor.cause}", style="red")
    if run.end is not None or not executor.now:
        return Text("idle", style="dim")
    (stage, partition), *queued = executor.now
    since = max(0.0, now - executor.since)
    text = Text(f"stage {stage}, partition {partition}, {duration(since)}")
    if queued:
        text.append(f", {len(queued):,} queued", style="dim")
    return text


def _trouble(run: RunView) -> list[Text]:
    """The latest losses and errors, a line each."""
    lines = [(event.get("t", 0.0), f"executor {event['executor']} was lost: {event.get('why', '')}{replaced(event)}")
             for event in run.losses[-3:]]
    lines += [(event.get("t", 0.0), f"stage {event['stage']}, partition {event.get('partition')}: {event.get('error', '')}")
              for event in run.failures[-3:]]
    if run.end is not None and run.end.get("error"):
        lines.append((run.end.get("t", run.now), str(run.end["error"]).strip().splitlines()[0]))
    return [Text(f"{duration(time)}  {text}", style="red", no_wrap=True, overflow="ellipsis")
            for time, text in sorted(lines)[-4:]]
