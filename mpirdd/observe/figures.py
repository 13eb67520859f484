"""The figures of tasks: how the sums of ``store/costs.py`` read in the event log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_COUNTS = {
    "input_bytes": "bytes_in", "input_records": "records_in", "cached_records": "records_in", "cached_bytes": "cached_bytes",
    "records_out": "records_out", "result_bytes": "bytes_out", "output_bytes": "bytes_out",
    "shuffle_read_bytes": "shuffle_read", "shuffle_written_bytes": "shuffle_written", "written_bytes": "spilled",
    "gc_s": "gc_s", "cpu_s": "cpu_s",
}
COUNTS = frozenset(_COUNTS) - {"input_bytes", "output_bytes", "written_bytes"}
"""What is counted of tasks and costs no time of its own."""
_NOT_OF_TASKS = frozenset({"task_s", "exchange_s"})


def figures_of(sums: Mapping[str, float]) -> dict[str, Any]:
    """Counts by the names of the log, and ``costs``: seconds by part. What is 0 is left out."""
    figures: dict[str, Any] = {}
    costs: dict[str, float] = {}
    for name, value in sums.items():
        if not value:
            continue
        count = _COUNTS.get(name)
        if count is None:
            if name.endswith("_s") and name not in _NOT_OF_TASKS:
                costs[name] = round(value, 6)
        elif count.endswith("_s"):
            figures[count] = round(value, 6)
        else:
            figures[count] = figures.get(count, 0) + int(value)
    if costs:
        figures["costs"] = costs
    return figures


def less(sums: Mapping[str, float], others: Mapping[str, float]) -> dict[str, float]:
    """What the sums have grown by since they were ``others``."""
    return {name: value - others.get(name, 0) for name, value in sums.items()}
