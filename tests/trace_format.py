"""What the Trace Event Format asks of a trace, and what Perfetto and chrome://tracing make of it."""

from __future__ import annotations

import json
from collections import defaultdict
from typing import Any

Entry = dict[str, Any]
_FIELDS = {
    "X": {"name", "cat", "pid", "tid", "ts", "dur", "args"}, "M": {"name", "pid", "tid", "ts", "args"},
    "C": {"name", "pid", "tid", "ts", "args"}, "i": {"name", "cat", "s", "pid", "tid", "ts", "args"},
    "s": {"name", "cat", "id", "pid", "tid", "ts"}, "f": {"name", "cat", "id", "bp", "pid", "tid", "ts"},
}


def checked(entries: list[Entry]) -> dict[str, list[Entry]]:
    """The entries by phase, after a check of all that the format asks of them."""
    by_phase: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        by_phase[entry["ph"]].append(entry)
        _check_fields(entry)
    times = [entry["ts"] for entry in entries if entry["ph"] != "M"]
    assert times == sorted(times)
    _check_names(entries, by_phase["M"])
    bound = _slices_of_flows(entries)
    _check_flows(by_phase, bound)
    json.dumps(entries, allow_nan=False)
    return by_phase


def _check_fields(entry: Entry) -> None:
    assert set(entry) == _FIELDS[entry["ph"]] | {"ph"}, entry
    numbers = [entry[name] for name in ("pid", "tid", "ts", "dur", "id") if name in entry]
    assert all(type(number) is int and number >= 0 for number in numbers), entry
    assert isinstance(entry["name"], str) and entry["name"], entry
    if entry["ph"] == "C":
        assert entry["args"] and all(type(value) is int for value in entry["args"].values()), entry
    if entry["ph"] == "i":
        assert entry["s"] in "gpt", entry
    if entry["ph"] == "f":
        assert entry["bp"] == "e", entry


def _check_names(entries: list[Entry], metadata: list[Entry]) -> None:
    """Metadata comes first, and names each process and each row that has slices, once."""
    assert entries[: len(metadata)] == metadata
    names = [(entry["name"], entry["pid"], entry["tid"]) for entry in metadata]
    assert len(names) == len(set(names))
    for entry in metadata:
        [value] = entry["args"].values()
        assert (type(value) is int) == entry["name"].endswith("_sort_index"), entry
    for entry in entries:
        assert ("process_name", entry["pid"], 0) in names, entry
        assert entry["ph"] not in "Xsf" or ("thread_name", entry["pid"], entry["tid"]) in names, entry


def _slices_of_flows(entries: list[Entry]) -> dict[tuple[str, int], Entry]:
    """The slice that each end of a flow belongs to: the innermost that is open on its row when the entry comes, in the order of
    the file. Slices of a row must lie one inside the other, or side by side."""
    rows: dict[tuple[int, int], list[Entry]] = defaultdict(list)
    bound: dict[tuple[str, int], Entry] = {}
    for entry in entries:
        if entry["ph"] not in "Xsf":
            continue
        row = rows[entry["pid"], entry["tid"]]
        if entry["ph"] == "X":
            while row and _end(row[-1]) <= entry["ts"]:
                row.pop()
            assert not row or _end(entry) <= _end(row[-1]), f"{entry} crosses {row[-1]}"
            row.append(entry)
        else:
            while row and _end(row[-1]) <= entry["ts"] != row[-1]["ts"]:
                row.pop()  # a part of a task may end 1 us before the task
            assert row, f"{entry} lies in no slice"
            bound[entry["ph"], entry["id"]] = row[-1]
    return bound


def _end(entry: Entry) -> int:
    end: int = entry["ts"] + entry["dur"]
    return end


def _check_flows(by_phase: dict[str, list[Entry]], bound: dict[tuple[str, int], Entry]) -> None:
    """Each has a start and an end with the same name and category, none leads back in time, and each is bound to slices of
    what it is about."""
    starts, ends = ({entry["id"]: entry for entry in by_phase[phase]} for phase in "sf")
    assert len(starts) == len(by_phase["s"]) and len(ends) == len(by_phase["f"])
    assert starts.keys() == ends.keys()
    kinds = {"shuffle write": ("task", "exchange"), "shuffle": ("exchange", "exchange"), "shuffle read": ("exchange", "task")}
    for number, start in starts.items():
        end = ends[number]
        assert start["ts"] <= end["ts"]
        assert (start["name"], start["cat"]) == (end["name"], end["cat"])
        found = [bound[phase, number]["cat"].replace("part", "task") for phase in "sf"]
        assert tuple(found) == kinds[start["name"]], (start, end)
