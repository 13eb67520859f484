"""The summary of a run: a line for each operation, the largest costs, hints. Pure text, from a ``RunState``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from shutil import get_terminal_size
from textwrap import wrap

from mpirdd.observe.hints import hints
from mpirdd.observe.run_state import Line, RunState, StageState, executors_at_once
from mpirdd.observe.views import replaced
from mpirdd.protocol.shown import shown_size

_PARTS = {
    "compute_s": "your functions", "input_s": "reading files", "lines_s": "cutting lines", "parse_s": "parsing",
    "read_s": "reading spill files", "write_s": "writing spill files", "commit_s": "committing files",
    "encode_s": "encoding", "decode_s": "decoding", "output_s": "writing output",
}
_LEAST_PART = 0.05
"""The summary does not name parts below this share."""
_WIDEST, _NARROWEST = 48, 26
"""Most and least columns for the operation and its line."""
_GAP = 2
_MOST_TEXT = 300
"""Characters of an error; the event log and the report have all of it."""


def summary(state: RunState, *, most: int | None = 40, width: int | None = None, gone: bool = False) -> str:
    """Lines for people, each with its line end.

    Args:
        most: at most so many rows, those that took longest; None: all.
        width: columns of the terminal; None without one.
        gone: the log has no end, and its driver is known to be gone.
    """
    rows = _rows(state.stages.values())
    left_out = 0
    if most is not None and len(rows) > most:
        kept = set(map(id, sorted(rows, key=lambda row: -row.seconds)[:most]))
        left_out, rows = len(rows) - most, [row for row in rows if id(row) in kept]
    lines = [_head(state, gone), *_table(rows, width)]
    if left_out:
        lines.append(f"  ({left_out} stages that took less are left out; `mpirdd summary --all EVENTS` shows them)")
    lines += _dominated(state)
    lines += [f"  lost executor {loss['executor']} on {loss['host']}: {loss['why']}{replaced(loss)}" for loss in state.losses]
    lines += [f"  lost spare {loss['spare']} on {loss['host']}: {loss['why']}" for loss in state.spares_lost]
    if state.failures:
        last = state.failures[-1]
        lines.append(f"  {_count(len(state.failures), 'failed attempt')}, the last in {last['label']}, partition "
                     f"{last['partition']}: {_first_line(last['error'])}")
    lines += _unsuccessful(state)
    for hint in hints(state):
        lines += wrap(f"hint: {hint}", max(width or 0, 60), initial_indent="  ", subsequent_indent="    ",
                      break_on_hyphens=False, break_long_words=False) if width else [f"  hint: {hint}"]
    return "".join(f"{line}\n" for line in lines)


class AtEnd:
    """Writes the summary when the run has ended, fitted to the terminal if there is one. Writes nothing if no stage ran."""

    def __init__(self, write: Callable[[str], None], *, terminal: bool) -> None:
        self._write, self._terminal, self._state = write, terminal, RunState()

    def take(self, line: Line) -> None:
        self._state.take(line)
        if line["event"] == "end" and self._state.stages:
            self._write(summary(self._state, width=terminal_width(self._terminal)))


def terminal_width(terminal: bool) -> int | None:
    """The width in columns; None without a terminal, whatever the variable COLUMNS says."""
    return (get_terminal_size((0, 0)).columns or None) if terminal else None


# --- parts ----------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Row:
    """The stages of one operation at one line of the program."""

    label: str
    kind: str
    stages: int = 0
    done: int = 0
    tasks: int = 0
    failed: int = 0
    seconds: float = 0.0
    slowest: StageState | None = None
    sums: Counter[str] = field(default_factory=Counter)

    def add(self, stage: StageState) -> None:
        self.stages += 1
        self.done, self.tasks, self.failed = self.done + stage.done, self.tasks + stage.tasks, self.failed + stage.failed
        self.seconds += stage.seconds
        self.sums.update(stage.sums)
        if self.slowest is None or stage.longest > self.slowest.longest:
            self.slowest = stage


def _rows(stages: Iterable[StageState]) -> list[_Row]:
    rows: dict[tuple[str, str], _Row] = {}
    for stage in stages:
        rows.setdefault((stage.label, stage.kind), _Row(stage.label, stage.kind)).add(stage)
    return list(rows.values())


def _head(state: RunState, gone: bool) -> str:
    done = sum(stage.done for stage in state.stages.values())
    unfinished = "killed" if gone else "still running, or killed"
    end = unfinished if state.end is None else state.end["status"]
    program, app = state.run.get("program") or [""], str(state.run.get("app", ""))
    name = str(program[0]).rpartition("/")[2]
    if not name:  # the shell, for example
        name = app or "a run"
    elif state.contexts == 1 and app not in ("", "mpirdd", name, name.rpartition(".")[0]):
        name = f"{name} ({app})"
    return (f"mpirdd: {name}: {end} after {_time(state.t)}: {_count(len(state.jobs), 'job')}, "
            f"{_count(len(state.stages), 'stage')}, {_count(done, 'task')} on {_executors(state)}")


def _executors(state: RunState) -> str:
    executors = executors_at_once(state)
    counted = _count(executors, "executor")
    if not state.spares:
        return counted
    joined = len(state.executors) - executors
    return f"{counted} and {_count(len(state.spares), 'spare')}, of which {joined or 'none'} joined"


def _table(rows: list[_Row], width: int | None) -> list[str]:
    cells = [_cells(row) for row in rows]
    if not cells:
        return []
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    if width is not None and _GAP * len(widths) + sum(widths) > width:
        said = [any(not row[column].endswith(" 0") for row in cells) for column in range(len(widths))]  # in, shuffle, spill
        cells = [[cell for cell, shown in zip(row, said, strict=True) if shown] for row in cells]
        widths = [size for size, shown in zip(widths, said, strict=True) if shown]
        over = _GAP * len(widths) + sum(widths) - width
        if over > 0:
            widths[0] = max(_NARROWEST, widths[0] - over)
            cells = [[_short(row[0], widths[0]), *row[1:]] for row in cells]
    return ["  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _cells(row: _Row) -> list[str]:
    slowest, sums = row.slowest, row.sums
    assert slowest is not None
    tasks = f"{row.done:,}" if row.done == row.tasks else f"{row.done:,} of {row.tasks:,}"
    tasks += " task" if row.done == row.tasks == 1 else " tasks"
    if row.stages > 1:
        tasks += f" in {row.stages} stages"
    if row.failed:
        tasks += f", {row.failed} failed"
    usual = slowest.median
    longest = f"longest {_time(slowest.longest)}"
    if usual and slowest.longest >= 2 * usual and slowest.longest >= 0.05:
        longest += f" ({slowest.longest / usual:.0f}x, partition {slowest.longest_partition})"
    shuffled = sums["shuffle_written"] if row.kind == "map" else sums["shuffle_read"]
    shuffle = f"shuffle {_size(shuffled)}"
    if row.kind == "map" and sums["shuffle_read"]:
        shuffle = f"shuffle {_size(sums['shuffle_read'])} in, {_size(shuffled)} out"
    return [
        _short(row.label), tasks, f"median {_time(usual)}", longest, f"in {_size(sums['bytes_in'] + sums['cached_bytes'])}",
        shuffle, f"spill {_size(sums['spilled'])}"]


def _dominated(state: RunState) -> list[str]:
    """What took the tasks' time, and the time of all jobs."""
    costs: Counter[str] = Counter()
    for stage in state.stages.values():
        costs.update(stage.costs)
    total = sum(stage.seconds for stage in state.stages.values())
    if not total:
        return []
    shares = [(min(1.0, seconds / total), _PARTS.get(name, name.removesuffix("_s"))) for name, seconds in costs.items()]
    parts = [f"{name} {100 * part:.0f} %" for part, name in sorted(shares, reverse=True) if part >= _LEAST_PART]
    collected = sum(stage.sums["gc_s"] for stage in state.stages.values()) / total
    among = f" (garbage collection {100 * collected:.0f} % among them)" if collected >= _LEAST_PART else ""
    dominated = f": {', '.join(parts)}{among}" if parts else ""
    jobs_s = sum(job.seconds for job in state.jobs.values() if job.status != "RUNNING")
    return [f"  tasks took {_time(total)} in all{dominated}; jobs {_time(jobs_s)}"]


def _unsuccessful(state: RunState) -> Iterator[str]:
    """A line for the jobs that failed, and for those that were cancelled."""
    for status, ended in (("FAILED", "failed"), ("CANCELLED", "cancelled")):
        jobs = [job for job in state.jobs.values() if job.status == status]
        if jobs:
            last = jobs[-1]
            said = f": {_first_line(last.error)}" if last.error and not state.failures else ""  # else it is in the line above
            which = ":" if len(jobs) == 1 else ", the last was"
            yield f"  {_count(len(jobs), 'job')} {ended}{which} {last.label}, after {_time(last.seconds)}{said}"


def _short(label: str, widest: int = _WIDEST) -> str:
    """The label without its middle, the beginning of the file's name."""
    if len(label) <= widest:
        return label
    operation = label.rpartition(" at ")[0]
    before = operation + " at " if operation and len(operation) < widest - 14 else label[:widest // 2]
    return f"{before}...{label[len(before) + 3 - widest:]}"


def _first_line(error: str) -> str:
    line = error.partition("\n")[0]
    return line if len(line) <= _MOST_TEXT else f"{line[:_MOST_TEXT]} ..."


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _time(seconds: float) -> str:
    if seconds >= 100:
        return f"{seconds / 60:.1f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
    if seconds >= 0.1 or not seconds:
        return f"{seconds:.1f} s" if seconds else "0 s"
    return f"{1000 * seconds:.0f} ms" if seconds >= 0.01 else f"{1000 * seconds:.2g} ms"


def _size(size: float) -> str:
    return shown_size(size) if size else "0"
