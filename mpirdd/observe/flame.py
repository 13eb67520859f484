"""A flame graph from collapsed stacks: the tree of calls, with the time of each call and of all that it called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

_MOST = 1500
"""A page draws at most so many frames; those with the least time are left out."""


@dataclass(slots=True)
class _Frame:
    us: int = 0
    calls: dict[str, _Frame] = field(default_factory=dict)


def tree(profiles: Iterable[Mapping[str, Any]]) -> dict[str, list[Any]] | None:
    """Columns ``ids``, ``labels``, ``parents``, ``values`` (microseconds, callees included); None without any profile.

    Args:
        profiles: ``profile`` events. Below the root are the operations, below each its frames.
    """
    root = _Frame()
    for profile in profiles:
        scale = 1 if profile.get("unit", "us") == "us" else 1_000_000
        for stack, amount in profile.get("stacks", {}).items():
            frame = root
            frame.us += round(amount * scale)
            for name in (str(profile.get("label", "tasks")), *filter(None, stack.split(";"))):
                frame = frame.calls.setdefault(name, _Frame())
                frame.us += round(amount * scale)
    if not root.calls:
        return None
    rows: list[tuple[str, str, str, int]] = [("0", "all tasks", "", root.us)]
    waiting = [("0", root)]
    while waiting:
        identity, frame = waiting.pop()
        for name, call in frame.calls.items():
            rows.append((f"{identity}.{len(rows)}", name, identity, call.us))
            waiting.append((rows[-1][0], call))
    least = sorted((row[3] for row in rows), reverse=True)[min(len(rows), _MOST) - 1]
    shown = [row for row in rows if row[3] >= least][:_MOST]
    known = {row[0] for row in shown}
    shown = [row for row in shown if not row[2] or row[2] in known]
    ids, labels, parents, values = (list(column) for column in zip(*shown, strict=True))
    return {"ids": ids, "labels": labels, "parents": parents, "values": values}
