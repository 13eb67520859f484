"""The figures of tasks: the names that the sums of ``store/costs.py`` have in the event log."""

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
"""Figures of tasks that are no costs of their own: ``Context.costs`` leaves them out."""
_NOT_OF_TASKS = frozenset({"task_s", "exchange_s"})


def figures_of(sums: Mapping[str, float]) -> dict[str, Any]:
    """Counts by the names of the log, and ``costs``: seconds by part. Zeros are left out."""
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
    """The growth of each sum since the sums were ``others``."""
    return {name: value - others.get(name, 0) for name, value in sums.items()}
