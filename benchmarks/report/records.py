"""Lines of JSON that benchmarks wrote: read, chosen, and looked into."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Record = dict[str, Any]


@dataclass
class Results:
    """One record for each benchmark: the newest valid one, of full size where there is one."""

    chosen: dict[str, Record] = field(default_factory=dict)
    by_ranks: dict[str, dict[tuple[str, int], Record]] = field(default_factory=dict)
    """For each benchmark, the newest valid record of each MPI and number of ranks."""
    read: int = 0
    failed: list[Record] = field(default_factory=list)
    """Newer than the chosen one, and not valid: said on the page."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Why benchmarks measured nothing, by name, unless another run of theirs did."""
    unreadable: list[str] = field(default_factory=list)
    """Where lines are that are no record: ``file:line``."""

    def get(self, name: str) -> Record | None:
        return self.chosen.get(name)


def load(paths: Iterable[Path]) -> Results:
    """Read files of JSON lines; later runs replace earlier ones, but never full ones by quick ones."""
    results, records = Results(), []
    for path in paths:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            try:
                record = json.loads(line)
                records.append((record["when"], record["benchmark"], record))
            except (ValueError, KeyError, TypeError):
                results.unreadable.append(f"{path}:{number}")
    results.read = len(records)
    for _, name, record in sorted(records, key=lambda item: item[:2]):
        if not record.get("valid"):
            results.failed.append(record)
        elif "left_out" in record:
            results.left_out[name] = record["left_out"]
        elif name not in results.chosen or not is_quick(record) or is_quick(results.chosen[name]):
            results.chosen[name] = record
            results.by_ranks.setdefault(name, {})[mpi_of(record), record.get("options", {}).get("ranks", 0)] = record
            results.failed = [other for other in results.failed if other["benchmark"] != name]
    for name in results.chosen:
        results.left_out.pop(name, None)
    return results


def mpi_of(record: Record) -> str:
    """Which MPI the run used: ``Open MPI``, ``MPICH``, or the first words of what another says of itself."""
    said = str(record.get("versions", {}).get("mpi", ""))
    return next((name for name in ("Open MPI", "MPICH") if said.startswith(name)), said[:20])


def is_quick(record: Record) -> bool:
    return bool(record.get("options", {}).get("quick"))


def sides(record: Record, key: str) -> dict[str, Record]:
    """The programs that measured ``key``, by name, in the order of the record."""
    return {name: side for name, side in record.items() if isinstance(side, dict) and is_spread(side.get(key))}


def is_spread(value: Any) -> bool:
    return isinstance(value, dict) and {"median", "min", "max"} <= value.keys()


def spread(values: Sequence[float]) -> Record:
    return {"median": statistics.median(values), "min": min(values), "max": max(values), "values": list(values)}


def medians(value: Any, path: str = "") -> Iterator[tuple[str, Record]]:
    """Every spread in a record, with where it is: ``engine.later``, ``points.2.seconds``."""
    if is_spread(value):
        yield path, value
    elif isinstance(value, dict | list):
        for key, inside in value.items() if isinstance(value, dict) else enumerate(value):
            yield from medians(inside, f"{path}.{key}" if path else str(key))


def totals(side: Record) -> list[Record]:
    """Seconds from the start of loading to the end of iteration 1, 2, ..., each a spread over the runs."""
    first, later = side["first"]["values"], side["later"]["values"]
    runs, each = len(first), len(later) // len(first)
    load = side["load"]["values"] if is_spread(side.get("load")) else [0.0] * runs
    curves = []
    for run in range(runs):
        seconds = load[run] + first[run]
        curve = [seconds]
        for one in later[run * each:(run + 1) * each]:
            seconds += one
            curve.append(seconds)
        curves.append(curve)
    return [spread(at) for at in zip(*curves, strict=True)]


def whole_runs(side: Record) -> list[Record]:
    """Seconds of the whole command, from launch to end, if it had stopped after iteration 1, 2, ...: ``totals``, and what each
    run took beyond what it timed."""
    curves = totals(side)
    beyond = [whole - inside for whole, inside in zip(side["total_s"]["values"], curves[-1]["values"], strict=True)]
    return [spread([inside + more for inside, more in zip(at["values"], beyond, strict=True)]) for at in curves]
