"""The parts of an iteration's time, computed from the engine's counts.

Executors count seconds without overlap (``Context.costs``), so of an interval on the wall clock each spends so much on
reading, on computing, and so on; a part is the mean over the executors. What is left of the interval is ``launch``: handing
out tasks, messages, the driver's own work, and executors that wait for the slowest. So the parts add up to the interval.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

LAUNCH = "launch and wait"
PARTS = (LAUNCH, "read", "parse", "deserialise", "compute", "serialise", "exchange", "write")
"""In drawing order."""


def of_interval(seconds: float, executors: int, costs: Mapping[str, float], parse_s: float) -> dict[str, float]:
    """Seconds of each part.

    Args:
        costs: what ``Context.costs`` has grown by, summed over the executors.
        parse_s: of its ``compute_s``, what the job's own parser took.
    """
    counted = {
        "read": costs.get("input_s", 0) + costs.get("read_s", 0),
        "parse": costs.get("lines_s", 0) + parse_s,
        "deserialise": costs.get("decode_s", 0),
        "compute": costs.get("compute_s", 0) - parse_s,
        "serialise": costs.get("encode_s", 0),
        "exchange": costs.get("exchange_s", 0),
        "write": costs.get("write_s", 0) + costs.get("commit_s", 0),
    }
    each = {part: total / executors for part, total in counted.items()}
    return {LAUNCH: seconds - sum(each.values()), **each}


def first_and_later(intervals: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """``first``: loading and the first iteration. ``later``: the iteration of median length among the others, whole, as
    the medians of parts would not add up."""
    first, *others = intervals
    later = statistics.median_low([interval["seconds"] for interval in others])
    typical = next(interval for interval in others if interval["seconds"] == later)
    return {"first": dict(first["parts"]), "later": dict(typical["parts"])}
